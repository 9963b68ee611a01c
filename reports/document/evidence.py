"""Parts of the results document on the evidence behind its numbers, and reference values for them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from reports.strict import Strict

NOISE_ITEMS = 100  # fewer items cannot tell a systematic shift from chance


class OverlapMatch(Strict):
    """A test item that shares text with a training or validation row.

    Attributes:
        item: Id of the item, as in the samples.
        row: Id of the row with the largest overlap.
        role: Use of the row.
        kind: `exact`, `near` or `n-gram`, as defined by the check's method.
        part: Shared text of the item, such as its question.
        share: Share of that text's words, from 0 to 1.
        rows: Number of rows that share text with the item.
        models: Models that were trained on them; empty means all models of the check.
        row_part: Shared text of the row; empty in older results, like the next four.
        item_source: Location of the item, such as `ori_pqal.json, key 21645374`.
        row_source: Location of the row, such as `train.jsonl, line 12`.
        item_text: Shared text of the item with its context, a few hundred characters.
        row_text: The same for the row.
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
    """Describe an overlap in one line: the locations of both sides and the shared texts.

    The texts are not escaped; the caller has to.
    """
    shares = _SHARES.get(match.kind, f"shares {match.share:.0%} of its {match.part} with")
    item = f"item {match.item}" + (f" ({match.item_source})" if match.item_source else "")
    row = f"{match.role} row {match.row}" + (f" ({match.row_source})" if match.row_source else "")
    others = f" and {match.rows - 1} more rows" if match.rows > 1 else ""
    texts = f': "{match.item_text}" and "{match.row_text}"' if match.item_text else ""
    return f"{item} {shares} {row}{others}{texts}"


class OverlapCheck(Strict):
    """Overlap between the items of a run and training rows, those of a fine-tuned base included.

    Attributes:
        method: Definition of overlap, in words.
        models: Models that were trained on these rows; the training data of other models is unknown.
        rows: Number of rows searched.
        items: Number of items searched, by task.
        matches: All items that share text with a row.
        unsearched: Ids of items, by task, that were not searched because their text cannot be split into words.
        unsearched_rows: Locations of rows that were not searched for the same reason, at most 20.
    """

    method: str
    models: list[str]
    rows: int
    items: dict[str, int]
    matches: list[OverlapMatch] = Field(default_factory=list)
    unsearched: dict[str, list[str]] = Field(default_factory=dict)
    unsearched_rows: list[str] = Field(default_factory=list)

    def learned_by(self, model: str) -> list[OverlapMatch]:
        """Matches with rows that a model was trained on."""
        return [match for match in self.matches if model in (match.models or self.models)]

    def affected(self, task: str | None = None, model: str | None = None) -> int:
        """Number of items, of one task or all, that share text with rows that one model, or any, was trained on."""
        matches = self.matches if model is None else self.learned_by(model)
        return len({(match.task, match.item) for match in matches if task in (None, match.task)})


class ReferenceLine(Strict):
    """Reference scores from outside the run, such as those of always giving the majority label.

    Attributes:
        title: Name of the reference.
        values: Scores by metric.
        source: Source of the scores.
    """

    title: str
    values: dict[str, float]
    source: str


class Confusion(Strict):
    """Number of items of one gold label that a model gave some label; `none` for answers without a label."""

    model: str
    task: str
    gold: str
    predicted: str
    count: int


class ClassCount(Strict):
    """Number of gold, predicted and correct items of one label, for one model on one classification task."""

    model: str
    task: str
    label: str
    gold: int
    predicted: int
    correct: int


class Problem(Strict):
    """Number of answers of one model with one format problem."""

    model: str
    task: str
    problem: str
    count: int


class Flips(Strict):
    """Items whose value changed when re-scored in another arithmetic.

    Attributes:
        changed: Number of items whose value changed.
        items: Number of re-scored items.
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
        items: Number of re-scored items.
    """

    value: float
    low: float | None
    high: float | None
    items: int

    @property
    def is_systematic(self) -> bool:
        """Whether at least 100 items were re-scored and the interval excludes 0."""
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
        changed: Number of items that changed, or None if the limit is that of a shift.
        shift: Relative shift of the score, or None if the limit is that of a flip rate.
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
        method: How items were re-scored, in words; empty if none were.
        scores: Noise of every measured score; that of a difference is stored in its comparison.
        unmeasured: Reason why a task was not measured, or not on all planned items, by task.
        seconds: Time of re-scoring, with loading.
        fixed: Fixed limits for unmeasured tasks, or None if all were measured or no benchmark covers the run.
    """

    method: str = ""
    scores: list[ModelNoise] = Field(default_factory=list)
    unmeasured: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    fixed: FixedNoise | None = None


class Reproduction(Strict):
    """Everything that affects numbers and is recorded nowhere else in the results.

    Recipe, seed, package versions, hardware, git commit, weight hashes and data hashes are in their own sections.

    Attributes:
        engine: Engine that computed the answers.
        quantization: Quantisation of the base's weights in training.
        train_dtype: Dtype of activations in training.
        score_dtype: Dtype of weights and activations in scoring.
        batching: Batching of rows.
        tokenizer_sha256: Hash over the tokenizer's files.
        chat_template_sha256: Hash of the chat template, or None for plain-text prompts.
        prompts: Hash over ids and prompts, by task.
        own_prompts: The same by model and task for models that are prompted with their own tokenizer or chat template.
        golds: Hash over ids and gold answers, by task.
        generation: Generation settings, by task.
    """

    engine: str
    quantization: str
    train_dtype: str
    score_dtype: str
    batching: str
    tokenizer_sha256: str
    chat_template_sha256: str | None = None
    prompts: dict[str, str] = Field(default_factory=dict)
    own_prompts: dict[str, dict[str, str]] = Field(default_factory=dict)
    golds: dict[str, str] = Field(default_factory=dict)
    generation: dict[str, dict[str, Any]] = Field(default_factory=dict)


HUMAN_RATING = "human_rating"  # the task of human ratings


class RatingSummary(Strict):
    """Basis of the human ratings, whose scores are those of the task `human_rating`.

    Attributes:
        task: The task whose answers were rated.
        raters: Number of raters.
        answers: Number of answers with at least one mark.
        outdated: Number of rated answers that have changed since; their marks are ignored.
        agreement: Krippendorff's alpha for ordinal marks, by aspect; null with fewer than two raters.
    """

    task: str
    raters: int
    answers: int
    outdated: int = 0
    agreement: dict[str, float | None] = Field(default_factory=dict)
