"""The configuration of a LoRA adapter as a stranger may have written it: only what PEFT can do without harm is let in.

PEFT imports modules, copies layers, starts decompositions and compiles regular expressions that a configuration names.
"""

from __future__ import annotations

import re
from pathlib import Path
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reports.errors import UserError

_MOST_PATTERN = 2000
_MOST_REPEATS = 4  # in one branch of a pattern: with names of 60 characters that is a millisecond
_LARGE = 8  # repeats of one character up to so many times count as none
_MOST_RANK = 65_536
# Settings of PEFT 0.21 that change nothing in how a trained adapter computes.
_HARMLESS = {
    "auto_mapping",
    "corda_config",
    "eva_config",
    "lora_ga_config",
    "loftq_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
}
# Ways to begin with which PEFT subtracts something of the adapter from the base when it loads it.
_CHANGE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_EMPTY: tuple[Any, ...] = (None, False, "none", [])


def _linear(text: str) -> str:
    """The pattern, if matching it takes a time that its author cannot stretch."""
    try:
        tree = parser.parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if _repeats(tree) > _MOST_REPEATS:
        raise ValueError("is a regular expression that could take for ever")
    return text


def _repeats(tree: Any) -> int:
    """How many repeats of any length one branch of a pattern has at most; more than allowed where they are nested."""
    count = 0
    for code, value in tree:
        if code in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
            _, most, inner = value
            single = len(inner) == 1 and inner[0][0] in (
                constants.LITERAL,
                constants.NOT_LITERAL,
                constants.IN,
                constants.ANY,
            )
            if most > 1:
                count += (0 if most <= _LARGE else 1) if single else _MOST_REPEATS + 1
            else:
                count += _repeats(inner)
        elif code is constants.BRANCH:
            count += max(map(_repeats, value[1]))
        elif code is constants.SUBPATTERN:
            count += _repeats(value[3])
        elif code in (constants.ASSERT, constants.ASSERT_NOT):
            count += _repeats(value[1])
        elif code in (constants.GROUPREF, constants.GROUPREF_EXISTS, constants.ATOMIC_GROUP):
            count += _MOST_REPEATS + 1
    return count


Pattern = Annotated[str, Field(min_length=1, max_length=_MOST_PATTERN), AfterValidator(_linear)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
Rank = Annotated[int, Field(ge=1, le=_MOST_RANK)]
Alpha = Annotated[float, Field(allow_inf_nan=False)]
Layers = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=10_000)]


class LoraSettings(BaseModel):
    """The settings of a LoRA adapter that decide what it computes, as `adapter_config.json` names them."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    peft_type: Literal["LORA"]
    base_model_name_or_path: Annotated[str, Field(max_length=1000)] | None = None
    r: Rank = 8
    lora_alpha: Alpha = 8
    lora_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    target_modules: Annotated[list[Name], Field(max_length=100_000)] | Pattern | None = None
    exclude_modules: Annotated[list[Name], Field(max_length=100_000)] | Pattern | None = None
    layers_to_transform: Layers | Annotated[int, Field(ge=0)] | None = None
    layers_pattern: list[Pattern] | Pattern | None = None
    rank_pattern: dict[Pattern, Rank] | None = None
    alpha_pattern: dict[Pattern, Alpha] | None = None
    modules_to_save: list[Name] | None = None
    bias: Literal["none", "all", "lora_only"] = "none"
    fan_in_fan_out: bool = False
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False
    ensure_weight_tying: bool = False
    init_lora_weights: bool | Annotated[str, Field(pattern=r"^(gaussian|orthogonal|eva)$")] = True
    inference_mode: bool = False
    task_type: Literal["CAUSAL_LM"] | None = None

    def rank_of(self, module: str) -> int:
        """The declared rank of a layer, as PEFT finds it: the first pattern that ends the layer's name, else `r`."""
        for pattern, rank in (self.rank_pattern or {}).items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                return rank
        return self.r

    def wants(self, module: str) -> bool | None:
        """Whether a layer is to have LoRA weights; None where that takes more than the names of layers to tell."""
        if (
            self.layers_to_transform is not None
            or self.layers_pattern
            or self.exclude_modules
            or not self.target_modules
        ):
            return None
        if isinstance(self.target_modules, str):
            if self.target_modules == "all-linear":
                return None
            return re.fullmatch(self.target_modules, module) is not None
        return any(module == name or module.endswith(f".{name}") for name in self.target_modules)


def check_config(value: Any, path: Path) -> LoraSettings:
    """The settings of an adapter's configuration.

    Raises:
        UserError: It is no LoRA adapter's, a value is not possible, or it wants what medbench does not do.
    """
    kind = value.get("peft_type") if isinstance(value, dict) else type(value).__name__
    if not isinstance(value, dict) or kind != "LORA":
        raise UserError(
            f"this is not a LoRA adapter (peft_type {str(kind)[:60]})", where=str(path), fix="give a LoRA adapter"
        )
    start = str(value.get("init_lora_weights", "")).lower()
    if start.startswith(_CHANGE_BASE):
        raise UserError(
            f"it is a {start[:60]} adapter, which changes the base's own weights, and so every other model's answers",
            where=str(path),
            fix="save it as plain LoRA: save_pretrained(..., path_initial_model_for_weight_conversion=...) of PEFT",
        )
    try:
        settings = LoraSettings.model_validate(value)
    except ValidationError as error:
        faults = error.errors()
        first = next((each for each in faults if each["type"] == "value_error"), faults[0])
        raise UserError(
            f"{'.'.join(map(str, first['loc']))[:200]}: {first['msg'].removeprefix('Value error, ')}",
            where=str(path),
            fix="save the adapter again with PEFT",
        ) from error
    extra = settings.model_extra or {}
    odd = sorted(key for key, each in extra.items() if key not in _HARMLESS and not _is_empty(each))
    if odd:
        raise UserError(
            f"the adapter wants {', '.join(odd)[:200]}, which medbench does not load",
            where=str(path),
            fix="give a plain LoRA adapter; PEFT's documentation tells how others are converted",
        )
    return settings


def _is_empty(value: Any) -> bool:
    """Whether a setting is off; an empty object is not, which PEFT takes for a wish with defaults."""
    if isinstance(value, dict) and value:  # such as a runtime_config of switches that are off
        return all(_is_empty(each) for each in value.values())
    return any(value is each or (value == each and type(value) is type(each)) for each in _EMPTY)
