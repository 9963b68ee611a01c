"""The configuration of a LoRA adapter as anyone may have written it: settings that could do harm are refused.

A configuration can make PEFT import modules, copy layers, decompose weights and match regular expressions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reports.errors import UserError

_MOST_PATTERN = 2000
_REPEAT_WAYS = 32  # lengths of an unlimited repeat: four in a sequence match names of 60 characters in about 32**4 ways
_TOO_MANY_WAYS = (1 << 22) + 1  # of matching a name; fewer take about 0.1 s
_TOKEN = re.compile(
    r"(?P<open>\((?:\?(?:[aims-]*:|<?[=!]|P<\w+>)|(?!\?)))|(?P<flags>\(\?[aims]+\))|(?P<refused>\(\?|\\[1-9])"
    r"|(?P<close>\))|(?P<bar>\|)|(?P<repeat>(?:[*+?]|\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]*)\})[?+]?)"
    r"|(?P<literal>\\\W|[^\\.\[^$])|(?P<other>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.)",
    re.DOTALL,
)
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


@dataclass
class _Branch:
    """An alternative of a group: the ways in which it matches, and its text if it is literal."""

    ways: int = 1
    text: str = ""
    is_literal: bool = True

    def repeat(self, least: int, most: float, group_ways: int) -> None:
        """Count the repeats of the last item, which is a group if `group_ways` is not 0."""
        self.is_literal = False
        if not group_ways:
            self.ways *= int(min(_REPEAT_WAYS, most - least + 1))
        elif most > 1:
            self.ways = _TOO_MANY_WAYS
        elif least < most:
            self.ways += self.ways // group_ways  # the ways without the group


def _check_pattern(text: str) -> str:
    """Return a regular expression that can be matched in a time which its author cannot stretch."""
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if _count_ways(text) >= _TOO_MANY_WAYS:
        raise ValueError("is a regular expression that could take for ever")
    return text


def _count_ways(pattern: str) -> int:
    """Upper bound of the ways in which a valid pattern matches a layer's name, all of which `re` may try.

    Ways multiply along a sequence and add up over alternatives; repeated groups and references to groups are too many.
    """
    groups = [[_Branch()]]
    group_ways = 0  # of the group that ended just before, else 0
    for token in _TOKEN.finditer(pattern):
        branch, kind = groups[-1][-1], token.lastgroup
        if kind == "refused" or (kind == "close" and len(groups) == 1):
            return _TOO_MANY_WAYS
        if kind == "literal":
            branch.text += token[0].removeprefix("\\")
        elif kind == "repeat":
            branch.repeat(*_bounds(token[0]), group_ways)
        elif kind == "bar":
            groups[-1].append(_Branch())
        elif kind != "close":
            branch.is_literal = False
        group_ways = 0
        if kind == "open":
            groups.append([_Branch()])
        elif kind == "close":
            group_ways = _alternative_ways(groups.pop())
            groups[-1][-1].ways *= group_ways
    return _alternative_ways(groups[0])


def _bounds(repeat: str) -> tuple[int, float]:
    """Least and greatest number of repeats of a quantifier."""
    if repeat[0] != "{":
        return {"*": (0, math.inf), "+": (1, math.inf), "?": (0, 1)}[repeat[0]]
    least, comma, most = repeat.rstrip("?+")[1:-1].partition(",")
    return int(least or 0), (float(most) if most else math.inf) if comma else int(least)


def _alternative_ways(branches: list[_Branch]) -> int:
    """Ways of a group; of different literal texts, only those that begin alike match at the same place."""
    if not all(branch.is_literal and branch.text for branch in branches):
        return sum(branch.ways for branch in branches)
    texts = [branch.text.casefold() for branch in branches]
    return max(sum(text.startswith(start) for start in texts) for text in texts)


Pattern = Annotated[str, Field(min_length=1, max_length=_MOST_PATTERN), AfterValidator(_check_pattern)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
ModuleName = Annotated[str, Field(max_length=500, pattern=r"^[\w.-]+$")]  # which PEFT takes as a regular expression too
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
    modules_to_save: list[ModuleName] | None = None
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

    def wants(self, module: str) -> bool:
        """Whether a linear layer is to have LoRA weights, as PEFT decides it by the layer's name."""
        from training.models.loading import quiet_bitsandbytes

        with quiet_bitsandbytes():
            from peft.tuners.tuners_utils import check_target_module_exists

        # PEFT turns `all-linear` into the names of all linear layers
        settings = self.model_copy(update={"target_modules": [module]}) if self.is_all_linear else self
        return bool(settings.target_modules) and bool(check_target_module_exists(settings, module))

    @property
    def is_all_linear(self) -> bool:
        """Whether all linear layers but the head are to have LoRA weights."""
        return isinstance(self.target_modules, str) and self.target_modules.lower() == "all-linear"

    def saves(self, module: str) -> bool:
        """Whether the adapter has a copy of its own of a whole module, as PEFT decides it by the module's name."""
        return any(module.endswith(name) for name in self.modules_to_save or ())

    def scale_of(self, module: str) -> float:
        """What the product of a layer's LoRA weights is multiplied with (Hu et al. 2021, Kalajdzievski 2023)."""
        alphas = (self.alpha_pattern or {}).items()
        alpha = next((alpha for pattern, alpha in alphas if re.match(rf"(.*\.)?({pattern})$", module)), self.lora_alpha)
        rank = self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def check_config(value: Any, path: Path) -> LoraSettings:
    """Check the settings in an adapter's configuration.

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
        errors = error.errors()
        first = next((fault for fault in errors if fault["type"] == "value_error"), errors[0])
        raise UserError(
            f"{'.'.join(map(str, first['loc']))[:200]}: {first['msg'].removeprefix('Value error, ')}",
            where=str(path),
            fix="save the adapter again with PEFT",
        ) from error
    extra = settings.model_extra or {}
    unsupported = sorted(key for key, setting in extra.items() if key not in _HARMLESS and not _is_empty(setting))
    if unsupported:
        raise UserError(
            f"the adapter wants {', '.join(unsupported)[:200]}, which medbench does not load",
            where=str(path),
            fix="give a plain LoRA adapter; PEFT's documentation describes how to convert others",
        )
    return settings


def _is_empty(value: Any) -> bool:
    """Whether a setting is off; an empty object is on, with PEFT's defaults."""
    if isinstance(value, dict) and value:  # such as a runtime_config of switches that are off
        return all(_is_empty(part) for part in value.values())
    return any(value is empty or (value == empty and type(value) is type(empty)) for empty in _EMPTY)
