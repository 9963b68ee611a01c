"""The configuration of a LoRA adapter as anyone may have written it: settings that could do harm are refused.

A configuration can make PEFT import modules, copy layers, decompose weights and match regular expressions.
"""

from __future__ import annotations

import json
import math
import re
import shlex
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
    "runtime_config",
}
# Ways to begin with which PEFT subtracts something of the adapter from the base when it loads it.
_CHANGE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_KEEP_BASE = ("gaussian", "orthogonal", "eva", "mica")
_UNMERGEABLE = {"alora_invocation_tokens", "layer_replication", "use_qalora"}
# Settings that a trained adapter's layers do not depend on.
_NOT_OF_LAYERS = {
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "lora_dropout",
    "peft_type",
    "task_type",
}


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
Index = Annotated[int, Field(ge=0)]
Layers = Annotated[list[Index], Field(max_length=10_000)]
Tokens = Annotated[list[Index], Field(max_length=1_000_000)]


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
    target_parameters: Annotated[list[Name], Field(max_length=100_000)] | None = None
    trainable_token_indices: Tokens | dict[ModuleName, Tokens] | None = None
    layers_to_transform: Layers | Index | None = None
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
    init_lora_weights: bool | str = True
    inference_mode: bool = False
    task_type: Literal["CAUSAL_LM"] | None = None

    def peft_arguments(self) -> dict[str, Any]:
        """Arguments of PEFT's `LoraConfig` for a trained adapter, whose weights are not initialised."""
        own = self.model_dump(include={*type(self).model_fields} - _NOT_OF_LAYERS, exclude_none=True)
        return own | {"inference_mode": True, "init_lora_weights": False}

    def saves(self, module: str) -> bool:
        """Whether the adapter has a copy of its own of a whole module, as PEFT decides it by the module's name."""
        return any(module.endswith(name) for name in self.modules_to_save or ())

    @property
    def is_plain(self) -> bool:
        """Whether it is LoRA as Hu et al. (2021) describe it, with one rank and one scale."""
        return not (
            self.use_dora
            or self.lora_bias
            or self.fan_in_fan_out
            or self.rank_pattern
            or self.alpha_pattern
            or self.target_parameters
            or self.trainable_token_indices
            or self.modules_to_save
            or self.bias != "none"
        )


def check_config(value: Any, path: Path, base: str = "BASE") -> LoraSettings:
    """Check the settings in an adapter's configuration.

    Args:
        value: The configuration.
        path: Its file, for messages.
        base: Folder or hub id of the adapter's base, for the command that merges an adapter that is refused.

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
            fix="save it as plain LoRA with save_pretrained(..., path_initial_model_for_weight_conversion=...) of PEFT,"
            f" or merge it into its base and score that: {merge_command(path.parent, base)}",
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
    unsupported = sorted(name for name, setting in (settings.model_extra or {}).items() if not _is_off(name, setting))
    if isinstance(settings.init_lora_weights, str) and start not in _KEEP_BASE:
        unsupported.append(f"init_lora_weights={start[:60]}")
    if unsupported:
        version = value.get("peft_version")
        written = f" (written by PEFT {str(version)[:40]})" if version else ""
        fix = f"merge it into its base with the PEFT that wrote it and score that: {merge_command(path.parent, base)}"
        raise UserError(
            f"the adapter sets {', '.join(unsupported)[:200]}, which medbench does not support{written}",
            where=str(path),
            fix="give a LoRA adapter; PEFT cannot merge this kind either" if _UNMERGEABLE & {*unsupported} else fix,
        )
    return settings


def merge_command(folder: Path, base: str = "BASE", rows: int | None = None) -> str:
    """A command that merges an adapter into its base with PEFT, for adapters that medbench does not score.

    Args:
        folder: The adapter's.
        base: Folder or hub id of its base.
        rows: Tokens of the vocabulary that it was trained with, if that is not the base's.
    """
    resize = f"m.resize_token_embeddings({rows}); " if rows else ""
    merged = f"{folder.resolve().name}-merged"
    tokenizer = json.dumps(str(folder) if (folder / "tokenizer_config.json").is_file() else base)
    code = (
        "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; from peft import PeftModel as P; "
        f'm = M.from_pretrained({json.dumps(base)}, dtype="float32"); {resize}'
        # an adapter may change one of two tied layers, or each in its own way
        "m.load_state_dict({k: v.clone() for k, v in m.state_dict().items()}, assign=True); "
        f"m = P.from_pretrained(m, {json.dumps(str(folder))}).merge_and_unload(); "
        "m.config.tie_word_embeddings = False; "
        f"m.save_pretrained({json.dumps(merged)}); T.from_pretrained({tokenizer}).save_pretrained({json.dumps(merged)})"
    )
    return f"python -c {shlex.quote(code)}, then --set model.base={shlex.quote(merged)}"


def _is_off(name: str, value: Any) -> bool:
    """Whether a setting that medbench does not read leaves an adapter as it is, because it has PEFT's default.

    Of settings that the installed PEFT does not know, those of a later version, the default is that they are off.
    """
    if name in _HARMLESS or not (value or isinstance(value, dict)):
        return True
    from training.models.loading import quiet_bitsandbytes

    with quiet_bitsandbytes():
        from peft import LoraConfig

    defaults = LoraConfig().to_dict()
    return value == defaults[name] if name in defaults else _is_empty(value)


def _is_empty(value: Any) -> bool:
    """Whether a value of any type says nothing, such as an object of switches that are off."""
    return all(map(_is_empty, value.values())) if isinstance(value, dict) else not value or value == "none"
