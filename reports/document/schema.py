"""The results document of a run (`results.json`) and its samples (`samples/MODEL/TASK.jsonl`), as pydantic models.

`schema_version` follows semantic versioning: a reader of 2.x reads every 2.y. Documents of 1.x are rejected: their
outcomes were not read off corrected intervals. Lengths are in tokens, times in seconds, sizes in bytes,
log-likelihoods in nats. A missing number is null, never NaN.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from reports.document.answer_confidence import AnswerConfidence
from reports.document.configurations import RunsCompared
from reports.document.evidence import (
    ClassCount,
    Confusion,
    NoiseCheck,
    OverlapCheck,
    Problem,
    RatingSummary,
    ReferenceLine,
    Reproduction,
)
from reports.document.judging import Judging
from reports.document.label_use import LabelUse
from reports.document.learning_curve import CheckpointChoice, LearningCurve
from reports.document.position_effect import PositionEffect
from reports.document.reasoning_effect import ReasoningEffect
from reports.document.row_account import RowAccount
from reports.document.scores import Comparison, MetricInfo, MetricKind, Outcome, Score
from reports.document.slices import TaskSlices, WorstSlice
from reports.document.suites import MEAN_ACCURACY, SuiteInfo
from reports.files import sha256_value
from reports.names import PlainName
from reports.strict import Strict

__all__ = [
    "Comparison",
    "DataInfo",
    "MemoryUse",
    "MetricInfo",
    "MetricKind",
    "ModelInfo",
    "Outcome",
    "Results",
    "Sample",
    "Score",
    "SuiteInfo",
    "TaskCost",
    "TaskInfo",
    "Training",
]

SCHEMA_VERSION = "2.1"
Purpose = Literal["target", "retention", "languages", "control"]


class TaskInfo(Strict):
    """A task that models were scored on.

    Attributes:
        name: Name of the lm-eval task.
        title: Display name.
        setting: Data, split, number of items and method of scoring, in words.
        synthetic: Whether the items are medbench's own synthetic samples, which are not a benchmark.
        metrics: Metrics in the order of the tables.
        version: Version of the task.
        label: Short name of the task and its items, which tables add to the metrics' names, or empty.
        references: Reference scores.
        by_likelihood: Name of the task that scores the same items by log-likelihood, for tasks with generated answers
            that have one; empty otherwise, and in results of earlier versions.
        purpose: `target` if a fine-tune is meant to improve it, else the suite by which it measures something beside
            the target.
        reasoned: Whether only the answer after a model's reasoning counts, so that an answer cut before it is wrong.
        own_token_limit: Limit of generated tokens that the task sets itself; None where the recipe's holds.
    """

    name: PlainName
    title: str
    setting: str = ""
    synthetic: bool = False
    metrics: list[MetricInfo] = Field(default_factory=list)
    version: str = ""
    label: str = ""
    references: list[ReferenceLine] = Field(default_factory=list)
    by_likelihood: str = ""
    purpose: Purpose = "target"
    reasoned: bool = False
    own_token_limit: int | None = None

    @property
    def main(self) -> MetricInfo | None:
        """The first metric with a better direction that does not only explain others, or None."""
        return next((metric for metric in self.metrics if metric.sign and not metric.secondary), None)

    @property
    def short_title(self) -> str:
        """The label, or the title without one."""
        return self.label or self.title

    @property
    def lead(self) -> MetricInfo | None:
        """The metric that says which of two answers is better: the first with a direction and a value for each."""
        kinds = ("mean", "proportion")
        return next((metric for metric in self.metrics if metric.sign and metric.kind in kinds), None)


class ModelInfo(Strict):
    """One model that was scored.

    Attributes:
        name: Name in `--models`.
        kind: `base`, an `adapter` on it, another `full` model, one from a `gguf` file, one that is `served`, or a
            `pool` of adapters trained with several seeds.
        source: Hub id, built-in name, or the folder's name.
        sha256: Hash of the weight files; for a pool, hash over those of its members.
        config_sha256: Hash of what the weights are used with: an adapter's own settings (without the name of its base)
            and tokenizer, or a base's configuration; None for a pool and in results of earlier versions.
        weights: Quantisation and dtype of the weights in scoring, in words.
        quantized_share: Share of the layers' weights, embeddings and head not counted, that is quantised in scoring;
            None if unknown, and in results of earlier versions.
        weight_bytes: Size of an adapter's weight file.
        members: Names of a pool's models.
        tokenizer_sha256: Hash of its tokenizer's files; None for a pool and in results of earlier versions.
        chat_template_sha256: Hash of its chat template; None likewise, or if the recipe's format uses none.
        answer_ends: Tokens and texts that end its answers; None for a pool and in results of earlier versions.
        training_data: Whether the rows that it was trained on are known, or only declared by the recipe's
            `trained_on`; None in results of earlier versions.
        trained_here: Whether the run's recipe trains it, or it is a checkpoint of that training; None for a pool and in
            results of earlier versions.
        step: Step of that training, or with `seed` of that seed's, whose weights it has; of a pool, the step of all its
            members, if it is one; None for other models and in results of earlier versions.
        seed: Seed of the training that it belongs to, with `--seeds`; None for other models and in results of earlier
            versions.
        unrecorded_base: Hash of the weights that its export merged an adapter into, if no record says what these were
            trained on; else None.
    """

    name: PlainName
    kind: Literal["base", "adapter", "full", "gguf", "served", "pool"]
    source: str
    sha256: str
    weights: str
    quantized_share: float | None = None
    weight_bytes: int | None = None
    members: list[str] = Field(default_factory=list)
    tokenizer_sha256: str | None = None
    chat_template_sha256: str | None = None
    config_sha256: str | None = None
    answer_ends: list[str] | None = None
    training_data: Literal["known", "declared", "unknown"] | None = None
    trained_here: bool | None = None
    step: int | None = None
    seed: int | None = None
    unrecorded_base: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it has all its weights itself, so that the run's base says nothing of it."""
        return self.kind == "base" or self.is_other_whole

    @property
    def is_other_whole(self) -> bool:
        """Whether it is a whole model beside the recipe's base."""
        return self.kind in ("full", "gguf", "served")


class DataInfo(Strict):
    """A set of rows used by a run.

    Attributes:
        role: `train`, `validation` or a task's name.
        account: How the rows were read and what became of the others; None in results of earlier versions and for
            other people's tasks.
        available: Number of items of a task but those set aside, of which `rows` were scored; None for training
            rows and in results of earlier versions.
    """

    role: str
    source: str
    selection: str
    rows: int
    sha256: str
    synthetic: bool
    account: RowAccount | None = None
    available: int | None = None


class TaskCost(Strict):
    """Time, tokens and memory of scoring one model on one task.

    Attributes:
        seconds: Share of the engine's time; tasks are computed together.
        output_tokens: Number of scored or generated tokens.
        tokens_per_second: Prompt and output tokens per second.
        latency_p50: Median of the seconds from the start of a question's batch to its answer.
        latency_p95: 95th percentile of the same.
        peak_memory_bytes: Peak memory: allocated on a GPU, resident on a CPU.
        truncated: Number of generated answers that hit the token limit.
        reused: Whether all answers come from an earlier run, whose time `seconds` is.
        reused_answers: Number of answers from an earlier run.
        reused_seconds: The part of `seconds` spent on them.
    """

    model: str
    task: str
    seconds: float
    prompt_tokens: int
    output_tokens: int
    tokens_per_second: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    peak_memory_bytes: int | None = None
    truncated: int = 0
    reused: bool = False
    reused_answers: int = 0
    reused_seconds: float = 0.0


class MemoryUse(Strict):
    """Memory use of training, in bytes.

    On a GPU, allocated is the memory of tensors and reserved the memory that the process holds for them; on a CPU both
    are the resident set of the whole process.

    Attributes:
        device_total_bytes: Memory of the GPU, or of the machine on a CPU.
        before_allocated_bytes: With the base loaded, before the first step.
        before_reserved_bytes: The same.
        peak_allocated_bytes: Peak during training.
        peak_reserved_bytes: The same.
        after_allocated_bytes: After the last step.
        after_reserved_bytes: The same.
    """

    device_total_bytes: int = Field(gt=0)
    before_allocated_bytes: int
    before_reserved_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    after_allocated_bytes: int
    after_reserved_bytes: int


class Training(Strict):
    """Facts of the training.

    Attributes:
        truncated_rows: Number of rows that were cut at the maximum length.
        dropped_rows: Number of rows whose prompt leaves no room for an answer.
        altered_turns: Number of earlier answers of conversations that were not learned, since the chat template alters
            them.
        trained_now: False if an adapter of the same recipe, data and base was reused.
        processes: Number of processes, each with its own batch.
        dtype: Dtype of the computation.
        attention: Attention implementation.
        quantized_share: Share of the layers' weights that was quantised, counted in the model that was trained.
        batch_size: Rows per device and batch as used; None in results of earlier versions, like all newer fields.
        gradient_accumulation: Batches per device and step.
        seconds: Duration of training and validation; since the checkpoint, if training was resumed.
        seconds_per_step: Median time between the ends of consecutive optimizer steps with nothing in between.
        tokens_per_second: Training tokens per second, without padding and validation.
        estimated_memory: Computed bytes of this training on its device, by component; on a CPU of the process.
        full_finetuning_memory: The same for training all weights; computed, never measured.
        losses: One record per logged step: step, and loss or eval_loss.
        scores: One record per scoring while training: step, seconds, and scores by TASK/METRIC.
        choice: How the checkpoint was chosen, if it was.
        peak_memory_bytes: Peak memory: allocated on a GPU, resident on a CPU.
    """

    trained_now: bool
    backend: str
    device: str
    processes: int = 1
    dtype: str = ""
    attention: str = ""
    steps: int
    epochs: float
    rows: int
    validation_rows: int
    truncated_rows: int
    dropped_rows: int = 0
    altered_turns: int = 0
    trained_tokens: int
    batch_size: int | None = None
    gradient_accumulation: int | None = None
    trainable_parameters: int
    total_parameters: int = Field(gt=0)
    quantized_share: float | None = None
    seconds: float
    seconds_per_step: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    memory: MemoryUse | None = None
    estimated_memory: dict[str, int] = Field(default_factory=dict)
    full_finetuning_memory: dict[str, int] = Field(default_factory=dict)
    final_loss: float | None
    losses: list[dict[str, float]] = Field(default_factory=list)
    scores: list[dict[str, float]] = Field(default_factory=list)
    choice: CheckpointChoice | None = None

    def loss_by_step(self, key: Literal["loss", "eval_loss"]) -> dict[int, float]:
        """Training or validation losses by step, in order; the last one of a step that was logged twice."""
        losses = {int(record["step"]): record[key] for record in self.losses if key in record}
        return dict(sorted(losses.items()))


class Results(Strict):
    """Everything that a report needs, except the samples.

    Attributes:
        base: The recipe's base, which adapters were scored on, also if it is not among the models; None in comparisons
            of runs with different bases, and in results of earlier versions.
    """

    schema_version: str = SCHEMA_VERSION
    medbench_version: str
    name: str
    created: str
    command: str
    seed: int
    baseline: str
    recipe: dict[str, Any]
    environment: dict[str, Any]
    models: list[ModelInfo]
    base: ModelInfo | None = None
    data: list[DataInfo]
    tasks: list[TaskInfo]
    suites: list[SuiteInfo] = Field(default_factory=list, description="the suites that the run named, with their rows")
    training: Training | None = None
    scores: list[Score] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
    costs: list[TaskCost] = Field(default_factory=list)
    classes: list[ClassCount] = Field(default_factory=list)
    confusion: list[Confusion] = Field(default_factory=list)
    label_use: list[LabelUse] = Field(default_factory=list)
    positions: list[PositionEffect] = Field(default_factory=list)
    reasoning: list[ReasoningEffect] = Field(default_factory=list)
    answer_confidence: list[AnswerConfidence] = Field(default_factory=list)
    slices: list[TaskSlices] = Field(default_factory=list, description="by task and column of `scoring.slices`")
    worst_slices: list[WorstSlice] = Field(default_factory=list, description="by model, task and metric, if shown")
    learning_curve: LearningCurve | None = Field(default=None, description="if several of its checkpoints were scored")
    problems: list[Problem] = Field(default_factory=list)
    overlap: OverlapCheck | None = None
    noise: NoiseCheck | None = None
    compared: RunsCompared | None = Field(default=None, description="if the document compares several runs")
    reproduction: Reproduction | None = None
    ratings: RatingSummary | None = None
    judging: list[Judging] = Field(default_factory=list, description="answers judged by models; the gate ignores them")
    stages: dict[str, float] = Field(default_factory=dict, description="seconds spent in each stage")
    engine: dict[str, Any] = Field(default_factory=dict, description="the engine, the reason for it, and its settings")
    notes: list[str] = Field(default_factory=list)
    verdict: list[str] = Field(default_factory=list, description="plain sentences made from the comparisons")
    checksum: str = Field(default="", description="SHA-256 of all other values as they were written")

    def is_as_written(self) -> bool:
        """Whether the file is as medbench wrote it, by its checksum."""
        return self.checksum == sha256_value(self.model_dump(mode="json", exclude={"checksum"}, exclude_unset=True))

    def metrics(self) -> dict[tuple[str, str], tuple[TaskInfo, MetricInfo]]:
        """All metrics with their tasks, by the task's name and the metric's key."""
        return {(task.name, metric.key): (task, metric) for task in self.tasks for metric in task.metrics}

    def suite_means(self) -> dict[tuple[str, str], tuple[SuiteInfo, MetricInfo]]:
        """The means of suites that have one, titled as the suite, by the suite's name and the metric's key."""
        return {
            (suite.name, MEAN_ACCURACY.key): (suite, MEAN_ACCURACY.model_copy(update={"title": suite.title}))
            for suite in self.suites
            if suite.scores
        }

    def shown_models(self) -> list[str]:
        """Names of the models in tables of scores: of those on a learning curve only one, and the baseline."""
        others = self.learning_curve.others if self.learning_curve else []
        return [model.name for model in self.models if model.name == self.baseline or model.name not in others]

    def scores_by_key(self) -> dict[tuple[str, str, str], Score]:
        """Scores by model, task and metric; those of a suite by the suite's name."""
        means = [score for suite in self.suites for score in suite.scores]
        return {(score.model, score.task, score.metric): score for score in [*self.scores, *means]}

    def comparisons_by_key(self) -> dict[tuple[str, str, str], Comparison]:
        """Comparisons by candidate, task and metric; those of a suite by the suite's name."""
        means = [pair for suite in self.suites for pair in suite.comparisons]
        return {(pair.candidate, pair.task, pair.metric): pair for pair in [*self.comparisons, *means]}

    def learned_from(self, task: str, model: str) -> bool:
        """Whether a model was trained on any of a task's items."""
        return self.overlap is not None and self.overlap.affected(task, model) > 0


class Sample(Strict):
    """One model's answer to one item.

    Attributes:
        id: Id of the item; samples are paired by it.
        doc_hash: Hash of the item as lm-eval saw it, so that changed items are not paired.
        question: The question for human readers, if the prompt contains more.
        output: The generated answer, or the chosen label.
        metrics: Values by metric: a number, or several, depending on its kind.
        choices: Log-likelihood of each label, for questions with choices.
        problems: Format problems of a generated answer.
        finish_reason: `stop` or `length`, for generated answers.
        seconds: From the start of the row's batch to its end for generated answers, else its share of the batch.
        fields: Short further facts of the item, such as its speciality, by column.
        cluster: Hash of the source that the item shares with others, such as an abstract with two questions.
        repeat: Number of the answer to the item, from 0; the repeats of an item are averaged first.
    """

    id: str
    doc_hash: str
    model: str
    task: str
    prompt: str
    output: str
    gold: str
    metrics: dict[str, float | tuple[float, ...] | None]
    choices: dict[str, float] | None = None
    problems: list[str] | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: Literal["stop", "length"] | None = None
    seconds: float | None = None
    fields: dict[str, str] = Field(default_factory=dict)
    cluster: str | None = None
    repeat: int = 0
    question: str | None = None
