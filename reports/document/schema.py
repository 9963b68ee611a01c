"""The results document of a run (`results.json`) and its samples (`samples/MODEL/TASK.jsonl`), as pydantic models.

`schema_version` follows semantic versioning: a reader of 2.x reads every 2.y. Documents of 1.x are rejected: their
outcomes were not read off corrected intervals. Lengths are in tokens, times in seconds,
sizes in bytes, log-likelihoods in nats. A number that could not be had is null, never NaN.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

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
from reports.document.label_use import LabelUse
from reports.document.scores import Comparison, MetricInfo, MetricKind, Outcome, Score
from reports.names import PlainName
from reports.strict import Strict

__all__ = [
    "Comparison",
    "DataInfo",
    "LabelUse",
    "MemoryUse",
    "MetricInfo",
    "MetricKind",
    "ModelInfo",
    "Outcome",
    "Results",
    "Sample",
    "Score",
    "TaskCost",
    "TaskInfo",
    "Training",
]

SCHEMA_VERSION = "2.0"


class TaskInfo(Strict):
    """What was asked.

    Attributes:
        name: The lm-eval task.
        title: Its name for people.
        setting: Data, split, number of items and the way of scoring, in words.
        synthetic: Whether the items are medbench's own invented samples, which are no benchmark.
        metrics: The metrics in the order of the tables.
        version: The task's own version.
        label: Short name of the task and its items, which tables put beside the metrics' names where there is one.
        references: Figures to hold the scores against.
    """

    name: PlainName
    title: str
    setting: str = ""
    synthetic: bool = False
    metrics: list[MetricInfo] = Field(default_factory=list)
    version: str = ""
    label: str = ""
    references: list[ReferenceLine] = Field(default_factory=list)

    @property
    def short_title(self) -> str:
        """Its label, where it has one."""
        return self.label or self.title

    @property
    def lead(self) -> MetricInfo | None:
        """The metric that says which of two answers is better: the first with a direction and a value for each."""
        kinds = ("mean", "proportion")
        return next((each for each in self.metrics if each.sign and each.kind in kinds), None)


class ModelInfo(Strict):
    """One model that was scored.

    Attributes:
        name: The name in `--models`.
        kind: `base`, an adapter on it, another `full` model, or a `pool` of adapters trained alike with several seeds.
        source: Hub id, built-in name, or the folder's name.
        sha256: Hash of its weight files; of a pool over those of its members.
        weights: How the weights were held while scoring, in words (quantisation, dtype).
        weight_bytes: Size of an adapter's weight file.
        members: The models of a pool.
        tokenizer_sha256: Hash of its tokenizer's files; None for a pool and in results of earlier versions.
        chat_template_sha256: Hash of its chat template; None likewise, or if the recipe's format uses none.
        training_data: Whether the rows that it was trained on are known; None in results of earlier versions.
        trained_here: Whether the run's recipe trains it; None for a pool and in results of earlier versions.
    """

    name: PlainName
    kind: Literal["base", "adapter", "full", "pool"]
    source: str
    sha256: str
    weights: str
    weight_bytes: int | None = None
    members: list[str] = Field(default_factory=list)
    tokenizer_sha256: str | None = None
    chat_template_sha256: str | None = None
    training_data: Literal["known", "unknown"] | None = None
    trained_here: bool | None = None


class DataInfo(Strict):
    """One set of rows that a run used, by role (`train`, `validation`, or a task's name)."""

    role: str
    source: str
    selection: str
    rows: int
    sha256: str
    synthetic: bool


class TaskCost(Strict):
    """What scoring one model on one task took.

    Attributes:
        seconds: Its share of the engine's time; tasks are computed together.
        output_tokens: Scored or generated.
        tokens_per_second: Prompt and output tokens in these seconds.
        latency_p50: Median seconds from when a question's batch began to its answer.
        latency_p95: 95 of 100 questions were answered within so many seconds of that.
        peak_memory_bytes: Highest while it was computed: allocated on the GPU, or resident on a CPU.
        truncated: Generated answers that were cut off at the token limit.
        reused: All of it is kept from an earlier run, which it took the time given here.
        reused_answers: Answers that are kept from an earlier run.
        reused_seconds: The part of `seconds` that they took then.
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
    """What training took of the device's memory, in bytes.

    On a GPU, allocated is what tensors held and reserved what the process took from the card for them; on a CPU both
    are the resident set of the whole process.

    Attributes:
        device_total_bytes: Of the card, or the machine's memory on a CPU.
        before_allocated_bytes: With the base loaded, before the first step.
        before_reserved_bytes: The same.
        peak_allocated_bytes: The most at any time while training.
        peak_reserved_bytes: The same.
        after_allocated_bytes: After the last step.
        after_reserved_bytes: The same.
    """

    device_total_bytes: int
    before_allocated_bytes: int
    before_reserved_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    after_allocated_bytes: int
    after_reserved_bytes: int


class Training(Strict):
    """What training did.

    Attributes:
        trained_now: False when the adapter was found ready for the same recipe, data and base.
        processes: How many trained together, each with its own batch.
        dtype: Of the computation.
        attention: The implementation that ran.
        batch_size: Rows at once on a device, as it came to be; None in results of earlier versions, as all that is new.
        gradient_accumulation: Batches of a device for each step.
        seconds: Of the whole training with its validations; where it went on from a checkpoint, since then.
        seconds_per_step: Median time from one optimizer step's end to the next's, with nothing else in between.
        tokens_per_second: Tokens that went through the model in training, neither padding nor validation counted.
        estimated_memory: Bytes by component of this training on a GPU, computed.
        full_finetuning_memory: The same components if all weights were trained; computed, never measured.
        losses: One record for each logged step: step, and loss or eval_loss.
        peak_memory_bytes: Allocated on the GPU, or resident on a CPU.
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
    trained_tokens: int
    batch_size: int | None = None
    gradient_accumulation: int | None = None
    trainable_parameters: int
    total_parameters: int
    seconds: float
    seconds_per_step: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    memory: MemoryUse | None = None
    estimated_memory: dict[str, int] = Field(default_factory=dict)
    full_finetuning_memory: dict[str, int] = Field(default_factory=dict)
    final_loss: float | None
    losses: list[dict[str, float]] = Field(default_factory=list)

    def loss_by_step(self, key: Literal["loss", "eval_loss"]) -> dict[int, float]:
        """Training or validation losses by step, in order; of a step that was logged twice the last."""
        found = {int(each["step"]): each[key] for each in self.losses if key in each}
        return dict(sorted(found.items()))


class Results(Strict):
    """Everything a report needs but the samples."""

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
    data: list[DataInfo]
    tasks: list[TaskInfo]
    training: Training | None = None
    scores: list[Score] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
    costs: list[TaskCost] = Field(default_factory=list)
    classes: list[ClassCount] = Field(default_factory=list)
    confusion: list[Confusion] = Field(default_factory=list)
    label_use: list[LabelUse] = Field(default_factory=list)
    problems: list[Problem] = Field(default_factory=list)
    overlap: OverlapCheck | None = None
    noise: NoiseCheck | None = None
    compared: RunsCompared | None = Field(default=None, description="where the document compares several runs")
    reproduction: Reproduction | None = None
    ratings: RatingSummary | None = None
    stages: dict[str, float] = Field(default_factory=dict, description="seconds spent in each stage")
    engine: dict[str, Any] = Field(default_factory=dict, description="what answered, why, and how it was set up")
    notes: list[str] = Field(default_factory=list)
    verdict: list[str] = Field(default_factory=list, description="plain sentences made from the comparisons")

    def metrics(self) -> dict[tuple[str, str], tuple[TaskInfo, MetricInfo]]:
        """All metrics with their tasks, by the task's name and the metric's key."""
        return {(task.name, metric.key): (task, metric) for task in self.tasks for metric in task.metrics}

    def scores_by_key(self) -> dict[tuple[str, str, str], Score]:
        """Scores by model, task and metric."""
        return {(each.model, each.task, each.metric): each for each in self.scores}

    def comparisons_by_key(self) -> dict[tuple[str, str, str], Comparison]:
        """Comparisons by candidate, task and metric."""
        return {(each.candidate, each.task, each.metric): each for each in self.comparisons}

    def learned_from(self, task: str, model: str) -> bool:
        """Whether a model was trained on some of a task's items."""
        return self.overlap is not None and self.overlap.affected(task, model) > 0


class Sample(Strict):
    """One question asked of one model.

    Attributes:
        id: The item's own id; samples are paired on it.
        doc_hash: Hash of the item as lm-eval saw it, so that a changed item never pairs with its former self.
        question: The question as people read it, where the prompt wraps it into more.
        output: The generated answer, or the chosen label.
        metrics: Values by metric: a number, or several as its kind wants them.
        choices: Log-likelihood of each label, for questions with choices.
        problems: How a generated answer breaks its format.
        finish_reason: `stop` or `length`, for generated answers.
        seconds: From the start of the row's batch to its end for generated answers, else its share of the batch.
        fields: What else the data says of the item in a word, such as its speciality, by column.
        cluster: Hash of the source that the item shares with others, such as one abstract asked about twice.
        repeat: Which time the item was asked, from 0; the repeats of an item are averaged before anything else.
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
