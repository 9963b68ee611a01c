"""Parts of the results document that say what its numbers rest on, and what to hold them against."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from reports.strict import Strict

NOISE_ITEMS = 100  # fewer items cannot tell a systematic shift from chance


class OverlapMatch(Strict):
    """A test item that shares text with a row that was trained on.

    Attributes:
        item: Id of the item, as in the samples.
        row: Id of the row that shares most with it.
        role: What the row was used for.
        kind: `exact`, `near` or `n-gram`, as the check's method says.
        part: Which text of the item is shared.
        share: Share of that text's words, from 0 to 1.
        rows: How many rows share text with the item.
        models: The models that were trained on them; all of the check where it is empty.
        row_part: Which text of the row it is; empty in older results, as the next four.
        item_source: Where the item stands, such as `ori_pqal.json, key 21645374`.
        row_source: Where the row stands, such as `train.jsonl, line 12`.
        item_text: The shared text of the item with its surroundings, a few hundred characters.
        row_text: The same of the row.
    """

    task: str
    item: str
    row: str
    role: Literal["train", "validation"]
    kind: Literal["exact", "near", "n-gram"]
    part: str
    share: float
    rows: int
    models: list[str] = Field(default_factory=list)
    row_part: str = ""
    item_source: str = ""
    row_source: str = ""
    item_text: str = ""
    row_text: str = ""


_SHARES = {"exact": "equals", "near": "nearly equals"}


def match_text(match: OverlapMatch) -> str:
    """Both sides of an overlap in one line: where they stand, and the texts that they share.

    The texts are not escaped; whoever shows the line does that.
    """
    shares = _SHARES.get(match.kind, f"shares {match.share:.0%} of its {match.part} with")
    item = f"item {match.item}" + (f" ({match.item_source})" if match.item_source else "")
    row = f"{match.role} row {match.row}" + (f" ({match.row_source})" if match.row_source else "")
    others = f" and {match.rows - 1} more rows" if match.rows > 1 else ""
    texts = f': "{match.item_text}" and "{match.row_text}"' if match.item_text else ""
    return f"{item} {shares} {row}{others}{texts}"


class OverlapCheck(Strict):
    """Whether the items of a run were trained on.

    Attributes:
        method: What counts as overlap, in words.
        models: The models that were trained on these rows; what others were trained on is not known.
        rows: How many rows were looked at.
        items: How many items of each task were looked at.
        matches: Every item that shares text with a row.
        unsearched: Ids of items, by task, whose text cannot be split into words, so that nothing is known of them.
        unsearched_rows: Places of rows of which the same is true, at most 20.
    """

    method: str
    models: list[str]
    rows: int
    items: dict[str, int]
    matches: list[OverlapMatch] = Field(default_factory=list)
    unsearched: dict[str, list[str]] = Field(default_factory=dict)
    unsearched_rows: list[str] = Field(default_factory=list)

    def learned_by(self, model: str) -> list[OverlapMatch]:
        """The matches with rows that a model was trained on."""
        return [match for match in self.matches if model in (match.models or self.models)]

    def affected(self, task: str | None = None, model: str | None = None) -> int:
        """How many items of one task or of all share text with a row that one model, or any, was trained on."""
        matches = self.matches if model is None else self.learned_by(model)
        return len({(match.task, match.item) for match in matches if task in (None, match.task)})


class ReferenceLine(Strict):
    """A figure to hold scores against that is no model's of this run, such as always giving the majority label.

    Attributes:
        title: Whose figure it is.
        values: Figures by metric.
        source: Where they are from.
    """

    title: str
    values: dict[str, float]
    source: str


class Confusion(Strict):
    """How often a model gave one label to items of another, or of the same; `none` where no label was found."""

    model: str
    task: str
    gold: str
    predicted: str
    count: int


class ClassCount(Strict):
    """How often a label was right and how often it was given, for one model on one classification task."""

    model: str
    task: str
    label: str
    gold: int
    predicted: int
    correct: int


class Problem(Strict):
    """How many answers of one model broke their format in one way."""

    model: str
    task: str
    problem: str
    count: int


class Flips(Strict):
    """Items whose value changed when they were scored again in another arithmetic.

    Attributes:
        changed: Number of items whose value changed.
        items: Number of items that were scored again.
        low: Lower end of the exact 95 % interval of the flip rate (Clopper and Pearson 1934).
        high: Upper end of that interval.
        limit: Exact one-sided 95 % upper limit of the flip rate.
    """

    changed: int
    items: int
    low: float
    high: float
    limit: float


class Shift(Strict):
    """Change of a score, or of a difference of two scores, when the same items are scored in another arithmetic.

    Attributes:
        value: The other arithmetic's value minus the run's, in the metric's unit.
        low: Lower end of its 95 % interval; None with fewer than two independent units.
        high: Upper end.
        items: Number of items that were scored again.
    """

    value: float
    low: float | None
    high: float | None
    items: int

    @property
    def is_systematic(self) -> bool:
        """Whether at least 100 items were scored again and the interval excludes 0."""
        if self.low is None or self.high is None:
            return False
        return self.items >= NOISE_ITEMS and (self.low > 0 or self.high < 0)


class Noise(Strict):
    """Numerical noise of the difference of two models: an annotation of the outcome, which it never changes.

    Attributes:
        baseline: Flips of the baseline.
        candidate: Flips of the candidate; of a pool, items that changed in any of its members.
        shift: Shift of candidate minus baseline.
    """

    baseline: Flips
    candidate: Flips
    shift: Shift

    def explains(self, difference: float | None) -> bool:
        """Whether an observed difference is not distinguishable from numerical noise.

        It is not if the shift is systematic, points the other way, and is at least as large: then the other arithmetic
        removes or reverses the difference. Flips without a systematic shift are part of the variance between items,
        which the interval of the difference already covers.
        """
        if not difference or not self.shift.is_systematic:
            return False
        return difference * self.shift.value < 0 and abs(difference) <= abs(self.shift.value)


class ModelNoise(Strict):
    """Numerical noise of one model's score."""

    model: str
    task: str
    metric: str
    flips: Flips
    shift: Shift


class FixedLimit(Strict):
    """Upper limit of numerical noise from a committed benchmark.

    Attributes:
        measure: What was compared, such as `choices`.
        model: The benchmark's model.
        items: Number of items scored in both arithmetics.
        changed: Number of items that changed; None where the limit is that of a shift.
        shift: Relative shift of the score; None where the limit is that of a flip rate.
        limit: 95 % upper limit of the flip rate, or of the relative shift's size.
    """

    measure: str
    model: str
    items: int
    changed: int | None = None
    shift: float | None = None
    limit: float


class FixedNoise(Strict):
    """Limits of numerical noise that were not measured in the run but in a committed benchmark.

    Attributes:
        dtype: Arithmetic of the run.
        device: PyTorch's name for the device.
        engine: Name of the engine.
        compared_with: The other arithmetic, in words.
        hardware: What the benchmark ran on.
        source: Path of the committed benchmark or of its results.
        limits: The limits.
    """

    dtype: str
    device: str
    engine: str
    compared_with: str
    hardware: str
    source: str
    limits: list[FixedLimit]


class NoiseCheck(Strict):
    """Numerical noise of a run.

    Attributes:
        method: How items were scored again, in words; empty where none were.
        scores: Noise of every score that was measured; that of a difference is stored in its comparison.
        unmeasured: Why a task was not measured, or not on all items that were planned, by task.
        seconds: Time of scoring again, loading included.
        fixed: Fixed limits for the tasks that were not measured; None where all were, or no benchmark covers the run.
    """

    method: str = ""
    scores: list[ModelNoise] = Field(default_factory=list)
    unmeasured: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    fixed: FixedNoise | None = None


class Reproduction(Strict):
    """What could change a number and stands nowhere else in the results.

    Recipe, seed, package versions, hardware, git commit, weight hashes and data hashes are in their own sections.

    Attributes:
        engine: What computed the answers.
        quantization: How the base's weights were held in training.
        train_dtype: Of activations in training.
        score_dtype: Of weights and activations in scoring.
        batching: How rows were put into batches.
        tokenizer_sha256: Hash over the tokenizer's files.
        chat_template_sha256: Hash of the chat template; None where prompts are plain text.
        prompts: Hash over ids and prompts, by task, as they were asked.
        golds: Hash over ids and gold answers, by task.
        generation: Settings of generated answers, by task.
    """

    engine: str
    quantization: str
    train_dtype: str
    score_dtype: str
    batching: str
    tokenizer_sha256: str
    chat_template_sha256: str | None = None
    prompts: dict[str, str] = Field(default_factory=dict)
    golds: dict[str, str] = Field(default_factory=dict)
    generation: dict[str, dict[str, Any]] = Field(default_factory=dict)


HUMAN_RATING = "human_rating"  # the task that holds people's marks


class RatingSummary(Strict):
    """What people's ratings rest on; their figures are those of the task `human_rating`.

    Attributes:
        task: The task whose answers were rated.
        raters: How many people gave marks.
        answers: How many answers got at least one.
        outdated: How many rated answers the models have changed since; their marks do not count.
        agreement: Krippendorff's alpha for ordinal marks, by aspect; null with fewer than two raters.
    """

    task: str
    raters: int
    answers: int
    outdated: int = 0
    agreement: dict[str, float | None] = Field(default_factory=dict)
