"""Schema of answers judged by a model: the rows in `judging/JUDGE/RUBRIC.jsonl`, and their part of the results."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reports.document.scores import Comparison, MetricInfo, Score
from reports.names import PlainName
from reports.strict import Strict

RubricKind = Literal["scores", "preference", "criteria"]


class JudgedReply(Strict):
    """A judge's reply about one answer, or about two in one order.

    Attributes:
        id: Id of the item.
        doc_hash: Hash of the item, as in its samples.
        cluster: Hash of the source that the item shares with others, as in its samples.
        models: The model whose answer was judged; for preferences the two models in the order shown.
        outputs: Hash of each answer; replies about answers that have changed since are ignored.
        characters: Length of each answer.
        prompt_sha256: Hash of the prompt.
        status: `rated`; `unparsed` if it is not the requested JSON; `refused`; `failed` if the judge could not take
            the prompt.
        ratings: Values by metric; `preferred` is 1 for the first answer, 0.5 for a tie, 0 for the second.
        reply: What the judge wrote.
    """

    id: str
    doc_hash: str
    cluster: str | None = None
    models: list[str]
    outputs: list[str]
    characters: list[int]
    prompt_sha256: str
    status: Literal["rated", "unparsed", "refused", "failed"]
    ratings: dict[str, float] = Field(default_factory=dict)
    reply: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None


class JudgeInfo(Strict):
    """The judge and how it was prompted.

    Attributes:
        name: Name in `--judge`.
        kind: Kind of model, as in `ModelInfo`.
        source: Folder, hub id, or address and name on its server.
        sha256: Hash of its weights, or of its address and name.
        facts: What its server reports about it, with a hash of its replies to fixed prompts.
        json_schema: Whether replies were requested by JSON schema; None if there was none to ask.
        temperature: Always 0.
        seed: Seed of its replies.
        same_as: Models of the run that it is itself, by weights or address.
        is_base: Whether it is the base of the run's adapters.
    """

    name: str
    kind: str
    source: str
    sha256: str
    facts: dict[str, str] = Field(default_factory=dict)
    json_schema: bool | None = None
    temperature: float = 0.0
    seed: int
    same_as: list[str] = Field(default_factory=list)
    is_base: bool = False


class JudgingInfo(Strict):
    """What judged answers rest on; written beside the replies.

    Attributes:
        judge: The judge.
        rubric: Name of the rubric.
        rubric_sha256: Hash of the rubric.
        title: Heading.
        kind: What is asked.
        note: Sentence of the rubric that is shown beside the results.
        task: The task whose answers were judged.
        prompts_sha256: Hash over all prompts in order.
        metrics: The metrics of the ratings.
    """

    judge: JudgeInfo
    rubric: str
    rubric_sha256: str
    title: str
    kind: RubricKind
    note: str = ""
    task: PlainName
    prompts_sha256: str
    metrics: list[MetricInfo]


class ReplyCounts(Strict):
    """Replies about the answers of one model by status; in preferences, about its pairs with the baseline."""

    model: str
    rated: int = 0
    unparsed: int = 0
    refused: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All replies."""
        return self.rated + self.unparsed + self.refused + self.failed


class LengthBias(Strict):
    """Rank correlation (Spearman) of ratings with the length of answers, bootstrapped over items.

    Attributes:
        correlation: None if ratings or lengths do not vary.
        low: Lower end of its 95 % interval.
        high: Upper end.
        items: Number of items.
        longer: Verdicts for the longer answer, for preferences.
        verdicts: Verdicts between answers of different lengths that are no tie.
    """

    correlation: float | None
    low: float | None = None
    high: float | None = None
    items: int
    longer: int | None = None
    verdicts: int | None = None


class PositionBias(Strict):
    """Effect of the order in which two answers are shown.

    Attributes:
        changed: Pairs whose verdict changes when the order does.
        pairs: Pairs judged in both orders.
        low: Lower end of the 95 % interval of the share of changed pairs (Wilson 1927).
        high: Upper end.
        first: Verdicts for the answer shown first.
        verdicts: Verdicts that are no tie.
    """

    changed: int
    pairs: int
    low: float | None = None
    high: float | None = None
    first: int
    verdicts: int


class CalibratedDifference(Strict):
    """A judged difference corrected by human ratings of a random part of the items (PPI++, Angelopoulos et al. 2023).

    Attributes:
        metric: The aspect.
        candidate: Model that is compared with the baseline.
        rated: Items whose answers of both models people rated.
        others: Further items that only the judge rated.
        imputed: Items of both kinds with a reply that was no rating, for which the judge's mean stands.
        value: Estimate of the human difference; None with too few ratings.
        low: Lower end of its 95 % interval.
        high: Upper end.
        human_low: Lower end of the interval of the human ratings alone.
        human_high: Upper end.
        weight: Weight of the judge's ratings from 0 to 1: 0 ignores them.
        further: Further items to rate until a relevant difference is detected or ruled out: 0 if it is; None if all
            judged items are not enough, or nothing was estimated.
        why: Why nothing was estimated, or why the interval is unreliable; empty if it is reliable.
        alpha: Krippendorff's alpha of the judge and the mean human rating, interval scale.
        alpha_low: Lower end of its 95 % interval.
        alpha_high: Upper end.
        kappa: Quadratically weighted kappa of the same.
        kappa_low: Lower end of its 95 % interval.
        kappa_high: Upper end.
        answers: Answers behind alpha and kappa.
    """

    metric: str
    candidate: str
    rated: int
    others: int
    imputed: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    human_low: float | None = None
    human_high: float | None = None
    weight: float | None = None
    further: int | None = None
    why: str = ""
    alpha: float | None = None
    alpha_low: float | None = None
    alpha_high: float | None = None
    kappa: float | None = None
    kappa_low: float | None = None
    kappa_high: float | None = None
    answers: int = 0


class Judging(JudgingInfo):
    """Answers judged by a model by one rubric. The gate ignores it.

    Attributes:
        replies: Replies by model and status.
        outdated: Replies about answers that have changed since; they are ignored.
        scores: Scores by model and metric.
        comparisons: Paired differences from the baseline.
        length: Length bias; None with too few ratings.
        position: Position bias of preferences.
        prompt_tokens: Tokens of all prompts that were reported.
        output_tokens: Tokens of all replies that were reported.
        faults: Faults of the judge in sentences, also that it judges itself.
        calibration: Differences calibrated by human ratings; empty without any, and then the scores are uncalibrated.
    """

    replies: list[ReplyCounts] = Field(default_factory=list)
    outdated: int = 0
    scores: list[Score] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
    length: LengthBias | None = None
    position: PositionBias | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    faults: list[str] = Field(default_factory=list)
    calibration: list[CalibratedDifference] = Field(default_factory=list)
