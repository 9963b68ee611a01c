"""The deployment certificate of `medbench verify` (`verify.json`) as pydantic models, and reading and writing it.

`schema_version` follows semantic versioning. Differences are target minus reference, log-likelihoods are in nats. A
missing number is null, never NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from reports.document.reading import read_document
from reports.document.schema import MetricInfo, Results
from reports.errors import UserError
from reports.files import sha256_value, write_json
from reports.names import PlainName
from reports.strict import Strict
from reports.text import cut, map_texts, visible

SCHEMA_VERSION = "1.0"
VERIFY_FILE = "verify.json"
_SHOWN = 400  # characters of a text
_FIX = "verify again: medbench verify RUN TARGET"

VerifyOutcome = Literal["equivalent", "different", "inconclusive"]
VERIFY_EXIT_CODES: dict[VerifyOutcome, int] = {"equivalent": 0, "different": 1, "inconclusive": 3}
# In the order from prompt to answer: what changes prompts or ends explains changed log-probabilities, not the reverse.
CauseKey = Literal[
    "template",
    "tokenizer",
    "double_bos",
    "missing_bos",
    "context_cut",
    "end_token",
    "missing_adapter",
    "wrong_adapter",
    "merged_twice",
    "adapter_scale",
    "weights",
    "precision",
    "sampling",
    "unidentified",
]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Reference(Strict):
    """The evaluated model, as a run scored it.

    Attributes:
        run: Name of the run folder.
        sha256: Hash of the weights, as `ModelInfo.sha256`; likewise the next two.
        base_sha256: Hash of the base's weights; None if the run does not record it.
        weights: Quantisation and dtype of the weights in scoring, in words.
        engine: Engine that scored it, in words.
    """

    run: str
    model: PlainName
    sha256: str
    config_sha256: str | None = None
    base_sha256: str | None = None
    weights: str = ""
    engine: str = ""


class DeployedTarget(Strict):
    """What is deployed.

    Attributes:
        label: The source without folders and credentials, such as `model-q8_0.gguf` or `vllm.example.org#adapter`.
        form: What it is in words, such as `q8_0 GGUF`.
        sha256: Hash of its files; None for a server.
        server: Facts that a server reports about itself.
        engine: Engine that answered, in words.
    """

    kind: Literal["adapter", "full", "gguf", "export", "served"]
    label: str
    form: str
    sha256: str | None = None
    server: dict[str, str] = Field(default_factory=dict)
    engine: str = ""


class PromptDifference(Strict):
    """The first prompt whose tokens differ.

    Attributes:
        position: Index of the first token that differs.
        reference: The reference's tokens from `position`, a few.
        target: The target's.
        reference_text: Text of these tokens.
        target_text: The same.
    """

    task: str
    item: str
    position: Count
    reference: list[int]
    target: list[int]
    reference_text: str = ""
    target_text: str = ""


class PromptsPart(Strict):
    """Comparison of the rendered prompts, token by token.

    Attributes:
        items: Number of prompts compared; 0 if the target's cannot be seen.
        equal: Number with the same tokens.
        note: What could not be compared, and why.
    """

    items: Count = 0
    equal: Count = 0
    first: PromptDifference | None = None
    note: str = ""

    @property
    def differs(self) -> bool:
        """Whether any prompt has other tokens."""
        return self.equal < self.items


class EndsPart(Strict):
    """What ends answers, and how many ended by themselves.

    Attributes:
        reference: Tokens and texts that end the reference's answers.
        target: The target's; None if they cannot be seen.
        answers: Number of items with a generated answer on both sides.
        reference_ended: Number of the reference's answers that ended before the token limit.
        target_ended: The target's.
        stopping: Whether the same share of answers ends by itself, within 5 points; `inconclusive` without answers.
    """

    reference: list[str] = Field(default_factory=list)
    target: list[str] | None = None
    answers: Count = 0
    reference_ended: Count = 0
    target_ended: Count = 0
    stopping: VerifyOutcome = "inconclusive"

    @property
    def missing(self) -> list[str]:
        """The ends of the reference that do not end the target's answers."""
        return [] if self.target is None else [end for end in self.reference if end not in self.target]


class LikelihoodsPart(Strict):
    """Log-likelihoods of gold answers and choices, in nats per token, one number for each item.

    Attributes:
        items: Number of items with log-likelihoods on both sides.
        mean: Mean difference.
        mean_size: Mean absolute difference.
        largest: Largest absolute difference.
        largest_item: Item that has it, as `TASK ITEM`.
        explained: Mean absolute difference that rounding or another kernel explains; None if nothing is explained.
        excess: The mean absolute difference that remains unexplained.
        low: Lower end of the interval of `excess`, at the document's `confidence`; likewise `high`.
        margin: Largest excess that counts as equivalent.
        items_needed: Items that would show equivalence, for inconclusive ones; None if no number is known to.
        caution: Why the interval is unreliable.
    """

    items: Count
    mean: float
    mean_size: Annotated[float, Field(ge=0)]
    largest: Annotated[float, Field(ge=0)]
    largest_item: str
    explained: float | None = None
    excess: float
    low: float | None = None
    high: float | None = None
    margin: Annotated[float, Field(gt=0)]
    outcome: VerifyOutcome
    items_needed: int | None = None
    caution: str = ""


class AnswersPart(Strict):
    """Answers and chosen labels that changed.

    Attributes:
        kind: `choices` if the labels are the most likely ones, `texts` if answers were generated.
        items: Number of items answered on both sides.
        changed: Number with another answer.
        explained: Number that changed by rounding or another kernel alone; None if nothing is explained.
    """

    kind: Literal["choices", "texts"]
    items: Count
    changed: Count
    explained: int | None = None


class MetricPart(Strict):
    """Equivalence of one main metric.

    Attributes:
        info: The metric.
        difference: Target minus reference; likewise its interval, at the document's `confidence`.
        margin: Largest difference that counts as equivalent, in the metric's unit.
        explained: Difference that rounding or another kernel makes on these items; None if nothing is explained.
        p_equivalence: The larger p-value of the two one-sided tests (Schuirmann 1987).
        p_difference: Two-sided p-value of "no difference", after Holm's correction over the metrics.
        items_needed: Items that would show equivalence, for inconclusive ones; None if no number is known to.
    """

    task: str
    info: MetricInfo
    items: Count
    reference: float | None
    target: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    margin: float
    explained: float | None = None
    p_equivalence: float | None = None
    p_difference: float | None = None
    outcome: VerifyOutcome
    items_needed: int | None = None
    caution: str = ""


class ExplainedPart(Strict):
    """Where the explained differences come from.

    Attributes:
        kind: `rounding`: our own weights rounded the same way; `kernel`: the base through both engines; `arithmetic`:
            the evaluated model again in the same engine, computed another way.
        description: One sentence.
        items: Number of items that it was measured on.
        nats_per_token: Mean absolute difference of log-likelihoods; None without any.
    """

    kind: Literal["rounding", "kernel", "arithmetic"]
    description: str
    items: Count
    nats_per_token: float | None = None


class Cause(Strict):
    """The first cause that fits.

    Attributes:
        sentence: One sentence; for `unidentified`: `cause not identifiable`, and what was tried.
        evidence: Numbers behind it, such as the share of the difference that each hypothesis leaves.
    """

    key: CauseKey
    sentence: str
    evidence: dict[str, float] = Field(default_factory=dict)


class VerificationParts(Strict):
    """What the comparison of the two models found.

    Attributes:
        items: Number of different items that were compared.
        confidence: Two-sided, of all intervals: 1 - 2 alpha, so that an interval inside a margin is a test at alpha.
        likelihoods: None if the target gives no log-likelihoods.
        outcome: `different` if prompts, ends, stopping, log-likelihoods or a metric differ; `equivalent` if all metrics
            and the log-likelihoods are; else `inconclusive`.
        reasons: Why, one sentence each.
        items_needed: Items that would decide it, if it is inconclusive and a number is known.
    """

    items: Count
    confidence: Annotated[float, Field(gt=0, lt=1)]
    prompts: PromptsPart = Field(default_factory=PromptsPart)
    ends: EndsPart = Field(default_factory=EndsPart)
    likelihoods: LikelihoodsPart | None = None
    answers: list[AnswersPart] = Field(default_factory=list)
    metrics: list[MetricPart] = Field(default_factory=list)
    explained: list[ExplainedPart] = Field(default_factory=list)
    outcome: VerifyOutcome
    reasons: list[str] = Field(default_factory=list)
    items_needed: int | None = None

    @property
    def judged(self) -> list[MetricPart | LikelihoodsPart]:
        """The parts that all have to be equivalent."""
        return [*self.metrics, *([self.likelihoods] if self.likelihoods is not None else [])]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Reject a document that is called equivalent although one of its parts is not."""
        differs = self.prompts.differs or self.ends.missing or self.ends.stopping == "different"
        if self.outcome == "equivalent" and (differs or {part.outcome for part in self.judged} != {"equivalent"}):
            raise ValueError("the outcome is equivalent, but a part of it is not")
        return self


class Verification(VerificationParts):
    """The whole certificate.

    Attributes:
        causes: Why the two differ, in the order from prompt to answer; empty if they are not shown to.
        created: Date and time, as `Results.created`.
        versions: Versions of packages, and of the server if it reports one.
    """

    schema_version: str = SCHEMA_VERSION
    medbench_version: str
    created: str
    command: str
    versions: dict[str, str] = Field(default_factory=dict)
    reference: Reference
    target: DeployedTarget
    causes: list[Cause] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    checksum: str = Field(default="", description="SHA-256 of all other values as they were written")

    def is_as_written(self) -> bool:
        """Whether the file is as medbench wrote it, by its checksum."""
        return self.checksum == sha256_value(_values(self))


def write_verification(path: Path, document: Verification) -> None:
    """Write a certificate with the checksum of its values."""
    value = _values(document)
    write_json(path, value | {"checksum": sha256_value(value)})


def read_verification(path: Path) -> Verification:
    """Read a certificate.

    Raises:
        UserError: It is missing, broken, of another version, or was changed after medbench wrote it.
    """
    document = read_document(
        path,
        Verification,
        SCHEMA_VERSION,
        what="a certificate of `medbench verify`",
        later="use the medbench version that wrote it, or verify again",
        broken=_FIX,
    )
    if not document.is_as_written():
        raise UserError("the file was changed after medbench wrote it (SHA-256)", where=str(path), fix=_FIX)
    return document


def certificate_of(run: Path, results: Results) -> tuple[Verification | None, str]:
    """(the certificate in a run folder as texts to show, why there is none to show); empty if the folder has none."""
    path = run / VERIFY_FILE
    if not path.exists():
        return None, ""
    try:
        document = read_verification(path)
    except UserError as error:
        return None, f"{VERIFY_FILE} cannot be shown: {error.what}; {error.fix}."
    models = {_identity(info.name, info.sha256, info.config_sha256) for info in results.models}
    if _identity(document.reference.model, document.reference.sha256, document.reference.config_sha256) not in models:
        return None, f"{VERIFY_FILE} is about another model than those of this run; {_FIX}."
    shown = map_texts(document.model_dump(), lambda text: visible(cut(text, _SHOWN)))
    return Verification.model_validate(shown), ""


def _identity(*texts: str | None) -> tuple[str, ...]:
    """A model's name and hashes, the same whether its document is as read or as shown."""
    return tuple(visible(text or "")[:_SHOWN] for text in texts)


def _values(document: Verification) -> dict[str, Any]:
    return document.model_dump(mode="json", exclude={"checksum"})
