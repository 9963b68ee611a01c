"""The log of an export: what was merged and how well the two agree, kept in the folder as `export.json`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.log import TrainedOn
from training.models.device import DTypeName

EXPORT_FILE = "export.json"
BaseWeights = Literal["as_trained", "full"]


class ExportLog(BaseModel):
    """What was merged and how well the merged model agrees with the adapter on its base.

    Attributes:
        base: What others know the base by.
        base_weights: Whether it is the base as training saw it, or the base's own weights.
        weights: How the base's weights were held, in words.
        dtype: Of the merged weights.
        files: How many files the weights are in.
        weight_bytes: Their size.
        probes: How many texts both were run on.
        probe_tokens: How many tokens those have.
        max_logit_difference: The biggest difference of two logits, merged against unmerged.
        mean_kl: Mean divergence of the merged model's predictions from the unmerged one's, in nats.
        same_top_token: Share of positions at which both have the same argmax token.
        tolerance_kl: The `mean_kl` that is allowed: what rounding to `dtype` explains, but less than `adapter_kl`.
        adapter_kl: What the adapter itself changes: the base's divergence from base and adapter, in nats.
        notes: What the user should know.
        adapter_config_sha256: Hash of the adapter's settings; empty in logs of earlier versions.
        weights_sha256: Hash of the weight files, as of any base model; the rest is believed only of these weights.
        config_sha256: Hash of the configuration, as of any base model; empty in logs of earlier versions.
        trained_on: The rows of the adapter and of earlier fine-tunes in its base; None if they are unknown.
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
