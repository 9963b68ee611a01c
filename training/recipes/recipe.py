"""The recipe: everything that decides a run, as strict pydantic models.

Longer than other files, so that every setting is in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from reports.names import PlainName
from tasks.catalog import GENERATION, PERPLEXITY, PUBMEDQA
from tasks.chat import TEMPLATE_ARGUMENTS, ChatSettings, ChatTemplate, Setting
from tasks.data import DataSource
from tasks.data.source import QuestionSource
from tasks.formats import FORMATS

Text = Annotated[str, Field(min_length=1)]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
EngineName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]  # checked by the plan
# Settings of vLLM about speed and memory; others name code, models or pickled weights to load.
_VLLM = {
    "block_size",
    "cpu_offload_gb",
    "data_parallel_size",
    "disable_custom_all_reduce",
    "enable_chunked_prefill",
    "enable_expert_parallel",
    "enable_prefix_caching",
    "enforce_eager",
    "fully_sharded_loras",
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "max_cpu_loras",
    "max_loras",
    "max_lora_rank",
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "pipeline_parallel_size",
    "seed",
    "swap_space",
    "tensor_parallel_size",
}
QUICKSTART_MODEL = "smollm2-135m-instruct"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(_Section):
    """The base model.

    Attributes:
        base: Hub id, local folder, or `smollm2-135m-instruct`, which needs pip but no hub.
        revision: Branch, tag or commit on the hub.
        dtype: Of activations and of weights that are not quantised; `auto` is bfloat16 where the device is fast at it,
            else float16 on a GPU and float32 on a CPU.
    """

    base: Text = QUICKSTART_MODEL
    revision: Text | None = None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"


class QuantizationSection(_Section):
    """How the base's weights are held while training (Dettmers et al. 2023, QLoRA).

    Attributes:
        method: `nf4` and `fp4` are 4-bit, `int8` is LLM.int8(), `none` trains LoRA on 16- or 32-bit weights.
        double_quant: Whether the 4-bit scales are quantised too; true for 4-bit methods unless given.
    """

    method: Literal["nf4", "fp4", "int8", "none"] = "nf4"
    double_quant: bool | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.double_quant and not self.is_4bit:
            raise ValueError(f"double_quant goes with nf4 or fp4, not with {self.method}")
        return self

    @property
    def is_4bit(self) -> bool:
        """Whether the weights are held in 4 bits."""
        return self.method in ("nf4", "fp4")


class LoraSection(_Section):
    """The adapter (Hu et al. 2021, LoRA).

    Attributes:
        r: Rank.
        alpha: Scale; updates are multiplied by alpha / r.
        dropout: On the adapter's input, from 0 to below 1.
        target_modules: Names of the linear layers that get an adapter.
    """

    r: PositiveInt = 16
    alpha: PositiveFloat = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[list[Text], Field(min_length=1)] = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ]


class DataSection(_Section):
    """Which rows the adapter is trained on and which it is scored on.

    Attributes:
        train: Rows to train on.
        validation: Rows whose loss is followed while training.
        validation_rows: Instead, split this many off the training rows by seed.
        reasoning: Held-out rows for perplexity and generated answers; samples where neither this nor the next is given.
        reasoning_rows: Instead, hold this many rows of the training source out by seed, before any are drawn from it.
        keep_duplicates: Train on rows that repeat earlier ones as often as the source has them, instead of once.
        pubmedqa: PubMedQA items; a `test_ground_truth.json` beside their file lists the ids that are scored, unless
            `ids` says otherwise: `all` for all rows.
        folders: Local folders in place of data sets of the hub that tasks read, by the data sets' ids, such as
            `{cais/mmlu: data/mmlu}`; as `datasets.load_dataset` reads them.
        questions: Your own multiple-choice questions, for `medbench_questions` and `medbench_questions_reasoned`.
    """

    train: DataSource = DataSource(source="samples:reasoning_train")
    validation: DataSource | None = None
    validation_rows: PositiveInt | None = None
    reasoning: DataSource | None = None
    reasoning_rows: PositiveInt | None = None
    keep_duplicates: bool = False
    pubmedqa: DataSource = DataSource(source="samples:pubmedqa")
    folders: dict[Text, Text] = {}
    questions: QuestionSource | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.validation is not None and self.validation_rows is not None:
            raise ValueError("give validation or validation_rows, not both")
        if self.reasoning is not None and self.reasoning_rows is not None:
            raise ValueError("give reasoning or reasoning_rows, not both")
        return self


class FormatSection(_Section):
    """The shape of prompts and answers.

    Attributes:
        name: One of `medbench list formats`.
        chat_template: `auto` uses the model's chat template where it has one, `never` plain text.
        system: System prompt before each question; in the user turn where the chat template has no system turn.
        chat_template_kwargs: Settings of the chat template, such as `{enable_thinking: false}` for Qwen3.
    """

    name: str = "thinking-headings"
    chat_template: ChatTemplate = "auto"
    system: Text | None = None
    chat_template_kwargs: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=80)], Setting] = {}

    @property
    def chat(self) -> ChatSettings:
        """How a question becomes a prompt."""
        return ChatSettings(self.chat_template, self.system or "", tuple(sorted(self.chat_template_kwargs.items())))

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FORMATS:
            raise ValueError(f"there is no answer format {name!r}; known: {', '.join(FORMATS)}")
        return name

    @field_validator("chat_template_kwargs")
    @classmethod
    def _free(cls, kwargs: dict[str, Setting]) -> dict[str, Setting]:
        taken = sorted(kwargs.keys() & TEMPLATE_ARGUMENTS)
        if taken:
            raise ValueError(f"{taken[0]} is set by medbench, not by the recipe")
        return kwargs

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.chat_template == "never" and self.chat_template_kwargs:
            raise ValueError("chat_template_kwargs go with chat_template: auto")
        return self


class TrainerSection(_Section):
    """The optimisation.

    Attributes:
        epochs: Passes over the training rows; or give `max_steps`.
        max_steps: Optimizer steps.
        batch_size: Rows at once on one device.
        gradient_accumulation: Batches for each optimizer step.
        seed: Of first weights, dropout and the order of rows; the recipe's own where it is not given.
        schedule: Learning-rate schedule after the warm-up.
        warmup_steps: Steps of warm-up.
        warmup_ratio: Instead, as a share of all steps.
        weight_decay: Of the optimizer, decoupled.
        max_grad_norm: Gradients are clipped to this norm.
        logging_steps: Loss and gradient norm are logged every so many steps.
        learning_rate: The largest, after the warm-up.
        backend: `auto` is TRL where it packs rows with attention in a kernel; elsewhere Unsloth on one NVIDIA or AMD
            card with the extra `unsloth` and a base it can take, else TRL.
        optimizer: A name transformers knows.
        max_length: Longest row in tokens; longer ones are cut, and counted.
        packing: The rows of a step in few sequences without padding, refused where attention would see from one into
            another; `auto` in one process where rows are kept apart. A step has the same rows either way.
        attention: `auto` is FlashAttention 2 where it is installed, else PyTorch's scaled dot product.
        gradient_checkpointing: Trade time for memory; `offload` also moves the checkpoints to the machine's memory.
        eval_steps: Validation loss every so many steps; None for once at the end.
        save_steps: Checkpoint every so many steps, from which a killed training goes on.
        keep_checkpoints: Keep the adapters of every `save_steps` steps and of the last step in the run folder: the
            last so many of them, or `all`; none where it is not given.
        choose_by: `TASK/METRIC`, such as `medbench_pubmedqa/macro_f1`: of the adapters of every `save_steps` steps and
            of the last step, the one with the best score on `validation_items` items becomes the adapter.
        score_steps: Score the tasks that compare log-likelihoods every so many steps while training, on their
            `validation_items`.
        validation_items: Number of items of a task, drawn by seed, that `choose_by` and `score_steps` use and that
            reported scores leave out. By default a fifth of the items, at most 100.
        early_stopping_patience: Stop after so many validations without a lower loss; with `choose_by`, after so many
            scorings without a better score.
        keep_best: Keep the adapter of the lowest validation loss instead of the last.
        trackers: Where else losses are reported to while training, through transformers' own integrations.
    """

    backend: Literal["auto", "trl", "unsloth"] = "auto"
    epochs: PositiveFloat | None = None
    max_steps: PositiveInt | None = None
    batch_size: PositiveInt = 2
    gradient_accumulation: PositiveInt = 4
    seed: NonNegativeInt | None = None
    learning_rate: PositiveFloat = 2e-4
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_steps: NonNegativeInt | None = None
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"] = (
        "adamw_torch"
    )
    max_length: Annotated[int, Field(ge=8)] = 2048
    packing: bool | Literal["auto"] = "auto"
    attention: Literal["auto", "flash_attention_2", "sdpa", "eager"] = "auto"
    gradient_checkpointing: bool | Literal["offload"] = False
    eval_steps: PositiveInt | None = None
    save_steps: PositiveInt = 50
    keep_checkpoints: PositiveInt | Literal["all"] | None = None
    choose_by: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$", max_length=200)] | None = None
    score_steps: PositiveInt | None = None
    validation_items: Annotated[int, Field(ge=2)] | None = None
    early_stopping_patience: PositiveInt | None = None
    keep_best: bool = False
    logging_steps: PositiveInt = 1
    trackers: list[Tracker] = []

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("give either epochs or max_steps")
        if self.warmup_steps is not None and self.warmup_ratio is not None:
            raise ValueError("give warmup_steps or warmup_ratio, not both")
        if self.keep_best and self.choose_by:
            raise ValueError("give keep_best or choose_by, not both")
        if self.keep_best and self.eval_steps is None:
            raise ValueError("keep_best needs eval_steps")
        if self.early_stopping_patience and not (self.keep_best or self.choose_by):
            raise ValueError("early_stopping_patience goes with keep_best: true or choose_by")
        if self.early_stopping_patience and self.choose_by and self.score_steps is None:
            raise ValueError("early_stopping_patience with choose_by needs score_steps")
        if self.validation_items and not self.sets_items_aside:
            raise ValueError("validation_items goes with choose_by or score_steps")
        return self

    @property
    def keeps_adapters(self) -> bool:
        """Whether the adapters of earlier steps are saved while training."""
        return self.keep_checkpoints is not None or self.choose_by is not None

    @property
    def sets_items_aside(self) -> bool:
        """Whether items are scored while training, or choose the adapter, and reported scores leave them out."""
        return self.choose_by is not None or self.score_steps is not None

    @property
    def chooses_by(self) -> tuple[str, str] | None:
        """(task, metric) of `choose_by`."""
        return None if self.choose_by is None else tuple(self.choose_by.split("/", 1))  # type: ignore[return-value]


class ServedSection(_Section):
    """Requests to servers (`served=` in `--models`).

    Attributes:
        concurrency: Requests at once to one server.
        timeout: Seconds until a request has to be answered.
        retries: Further attempts after status 429 or 5xx, a broken connection, or a damaged reply.
        api_key_env: Environment variable with the API key; if not given, `OPENAI_API_KEY` where it is set, which is
            only sent over https or to this machine.
        context: Tokens of the servers' context, if they do not report it or less should be used.
    """

    concurrency: Annotated[int, Field(ge=1, le=512)] = 8
    timeout: PositiveFloat = 300.0
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=80)] | None = None
    context: Annotated[int, Field(ge=16)] | None = None


class ScoringSection(_Section):
    """Which tasks every model is scored on, and how.

    Attributes:
        tasks: lm-eval task names, ours start with `medbench_`; suites of `medbench list suites`; paths of task files,
            as in `task_paths`.
        task_paths: Your own lm-eval task files (`.yaml`), or folders of them, whose tasks `tasks` may name.
        trust_task_code: Whether these files may run Python: functions and classes that they name, and pickled data.
        limit: Items for each task, drawn by seed; all where it is not given.
        limits: The same for single tasks; the smaller of the two counts.
        slices: Columns of the data, such as `[speciality, year]`, by whose values scores and differences are reported
            too; `class` is the gold label, `length` the characters of the question where no column has that name.
        max_new_tokens: Longest generated answer of our own tasks.
        base: `as_trained` scores every model on the base as training saw it (4-bit values, computed densely);
            `full` on the base's own weights.
        dtype: Of weights and activations while scoring; `auto` as in training.
        temperature: Of our own generated answers; 0 is greedy.
        top_p: Nucleus sampling: sample from the most likely tokens that together have this probability.
        top_k: Sample from this many of the most likely tokens; 0 from all.
        repeats: Answers sampled for each question; their metrics are averaged.
        num_fewshot: Examples with their answers before each question, the same ones for all models; for other people's
            tasks their own number where it is not given.
        adapter_tokenizer: `own` prompts an adapter with the tokenizer and chat template in its folder, where they
            differ from the base's; `base` prompts all models with the base's.
        stop: Strings at which generated answers of our own tasks end, such as `["Question:"]`; not part of the answers.
        engine: `transformers`, `vllm` (needs a GPU and the extra), the engine of an installed package, or `auto`: the
            faster of the first two by estimate.
        adapters: `merged` into the base's weights while they answer, `unmerged` beside them, or the faster possible.
        batch_tokens: Tokens (rows times longest row) computed at once; by the device if not given, less where memory
            runs out.
        batch_rows: Rows generated at once; likewise.
        vllm: Settings handed to `vllm.LLM`, such as `{tensor_parallel_size: 2}`; those that name files or code are not.
        across: Whether models on this machine and models behind servers are compared in one run, although their
            differences are also those of two engines.
        served: Requests to servers.
        noise_items: Items of each task that are scored again in another arithmetic to measure numerical noise; `auto`
            takes 100 of each task for which a tenth of the scoring time is enough, 0 takes none.
    """

    tasks: Annotated[list[Text], Field(min_length=1)] = [PUBMEDQA, PERPLEXITY, GENERATION]
    task_paths: list[Text] = []
    trust_task_code: bool = False
    limit: PositiveInt | None = None
    limits: dict[str, PositiveInt] = {}
    slices: list[Text] = []
    max_new_tokens: PositiveInt = 512
    base: Literal["as_trained", "full"] = "as_trained"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    temperature: NonNegativeFloat = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: NonNegativeInt = 0
    repeats: PositiveInt = 1
    num_fewshot: Annotated[int, Field(ge=0, le=64)] | None = None
    adapter_tokenizer: Literal["own", "base"] = "own"
    stop: list[Text] = []
    engine: EngineName = "auto"
    adapters: Literal["auto", "merged", "unmerged"] = "auto"
    batch_tokens: Annotated[int, Field(ge=64)] | None = None
    batch_rows: PositiveInt | None = None
    vllm: dict[str, bool | int | float | str] = {}
    across: bool = False
    served: ServedSection = ServedSection()
    noise_items: Literal["auto"] | NonNegativeInt = "auto"

    @field_validator("vllm")
    @classmethod
    def _harmless(cls, settings: dict[str, object]) -> dict[str, object]:
        odd = sorted(settings.keys() - _VLLM)
        if odd:
            raise ValueError(f"{odd[0]!r} is not handed to vLLM; known: {', '.join(sorted(_VLLM))}")
        return settings

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.temperature == 0 and (self.repeats > 1 or self.top_p < 1 or self.top_k):
            raise ValueError(
                "repeats, top_p and top_k go with a temperature above 0; without one all answers are the same"
            )
        return self

    def limit_of(self, task: str) -> int | None:
        """How many items of a task are scored; None for all."""
        return min((limit for limit in (self.limit, self.limits.get(task)) if limit is not None), default=None)


class ReportSection(_Section):
    """The report.

    Attributes:
        title: Its heading.
        samples: How many questions of each task are shown side by side at most; fewer for a page below 2 MB.
    """

    title: Text = "medbench report"
    samples: NonNegativeInt = 200


class Recipe(_Section):
    """A whole run: `name`, `description` and `seed`, and the sections.

    Attributes:
        name: Of the recipe and, by default, of its run folder.
        description: What it is for, in a line.
        seed: Of all that is drawn: rows, items, weights, samples, resamples.
        trained_on: Training data of models from elsewhere, by the name in `--models`: a file, a hub data set or a
            mapping as under `data.train`. All texts of all rows are compared with the test items.
    """

    name: Annotated[PlainName, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
    description: str = ""
    seed: NonNegativeInt = 42
    model: ModelSection = ModelSection()
    quantization: QuantizationSection = QuantizationSection()
    lora: LoraSection = LoraSection()
    data: DataSection = DataSection()
    format: FormatSection = FormatSection()
    trainer: TrainerSection
    scoring: ScoringSection = ScoringSection()
    report: ReportSection = ReportSection()
    trained_on: dict[PlainName, DataSource] = {}

    @field_validator("trained_on", mode="before")
    @classmethod
    def _files(cls, models: object) -> object:
        if not isinstance(models, dict):
            return models
        return {name: {"source": given} if isinstance(given, str | list) else given for name, given in models.items()}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        validates = self.data.validation is not None or self.data.validation_rows is not None
        if self.trainer.eval_steps is not None and not validates:
            raise ValueError("trainer.eval_steps needs data.validation or data.validation_rows")
        return self

    @property
    def training_seed(self) -> int:
        """The seed of the optimisation; the recipe's own decides which rows are drawn."""
        return self.seed if self.trainer.seed is None else self.trainer.seed

    def needed_tasks(self, names: Sequence[str] | None = None) -> list[str]:
        """The tasks to score by name, the recipe's own if none are given, and the one that chooses a checkpoint."""
        by = self.trainer.chooses_by
        return list(dict.fromkeys([*(names or self.scoring.tasks), *([] if by is None else by[:1])]))

    def training_part(self) -> dict[str, object]:
        """All that decides the adapter but the contents of data and base, for its fingerprint."""
        keep = {"seed", "model", "quantization", "lora", "format", "trainer"}
        rows = {"train", "validation", "validation_rows", "reasoning_rows", "keep_duplicates"}
        data = self.data.model_dump(mode="json", include=rows)
        decides = {**self.model_dump(mode="json", include=keep), "data": data}
        trainer = decides["trainer"]
        for key in ("trackers", "keep_checkpoints"):  # change no weight
            trainer.pop(key)
        trainer["packing"] = self.trainer.packing is True  # `auto` joins the same rows, equal but for rounding
        if self.trainer.choose_by is None:  # then neither do these; nor do they end a training
            for key in ("choose_by", "score_steps", "validation_items"):
                trainer.pop(key)
        else:
            scores = {"base", "dtype", "max_new_tokens", "temperature", "num_fewshot", "stop"}
            decides["scoring"] = self.scoring.model_dump(mode="json", include=scores)
        decides["format"] = {key: value for key, value in decides["format"].items() if value}  # new settings, unset
        return decides
