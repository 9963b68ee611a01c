"""The log of an export, saved in its folder as `export.json`, or beside a GGUF file: what was merged, and how well."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.log import TrainedOn
from training.models.device import DTypeName

EXPORT_FILE = "export.json"
BaseWeights = Literal["as_trained", "full"]


class GgufLog(BaseModel):
    """A GGUF file written from the merged weights, and how far it agrees with them.

    Attributes:
        sha256: Hash of the file; the log counts only for this file.
        type: Such as `q8_0`.
        bytes: Size of the file.
        written_by: `medbench` or `llama.cpp`.
        tensors: Number of tensors that were read back and compared.
        relative_error: Largest relative error of a tensor, as root mean squares: what its type loses.
        texts: Number of texts that the tokenizers of file and merged model turn into the same tokens.
        mean_kl: Mean divergence of the file's predictions from the merged model's, in nats.
        same_top_token: Share of positions at which both have the same argmax token.
    """

    model_config = ConfigDict(extra="forbid")

    sha256: str
    type: str
    bytes: int
    written_by: Literal["medbench", "llama.cpp"]
    tensors: int
    relative_error: float
    texts: int
    mean_kl: float
    same_top_token: float


class ExportLog(BaseModel):
    """What was merged and how well the merged model agrees with the adapter on its base.

    Attributes:
        base: Public name of the base.
        base_weights: `as_trained`, the base as in training, or `full`, its own weights.
        weights: Description of the base's weights before the merge.
        dtype: Dtype of the merged weights.
        files: Number of weight files.
        weight_bytes: Their size in bytes.
        probes: Number of texts that both were run on.
        probe_tokens: Number of their tokens.
        max_logit_difference: Largest difference of two logits, merged minus unmerged.
        mean_kl: Mean divergence of the merged model's predictions from the unmerged one's, in nats.
        same_top_token: Share of positions at which both have the same argmax token.
        tolerance_kl: Largest `mean_kl` allowed: what rounding to `dtype` explains, but less than `adapter_kl`.
        adapter_kl: What the adapter itself changes: the base's divergence from base and adapter, in nats.
        notes: Warnings for the user.
        adapter_config_sha256: Hash of the adapter's settings; empty in logs of earlier versions.
        weights_sha256: Hash of the weight files, as of any base model; the log counts only for these weights.
        config_sha256: Hash of the configuration, as of any base model; empty in logs of earlier versions.
        trained_on: Rows of the adapter and of earlier fine-tunes in its base, or None if unknown.
        gguf: The GGUF file beside which this log is saved; None for a model folder.
    """

    model_config = ConfigDict(extra="forbid")

    base: str
    base_sha256: str
    base_weights: BaseWeights
    weights: str
    adapter: str
    adapter_sha256: str
    dtype: DTypeName
    files: int
    weight_bytes: int
    probes: int
    probe_tokens: int
    max_logit_difference: float
    mean_kl: float
    same_top_token: float
    tolerance_kl: float
    adapter_kl: float
    notes: list[str]
    versions: dict[str, str]
    adapter_config_sha256: str = ""
    weights_sha256: str = ""
    config_sha256: str = ""
    trained_on: Annotated[list[TrainedOn], Field(min_length=1)] | None = None
    gguf: GgufLog | None = None
