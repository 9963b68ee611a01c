"""Estimated time of suites for a base on this machine, before any of their data is fetched."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engines.estimate import sample_texts, task_seconds, work_of_benchmark
from reports.numbers import duration
from tasks.rendering import encode, load_tokenizer
from tasks.suites import SUITES
from training.models.base_model import find_base_config
from training.models.device import pick_device
from training.models.model import Model
from training.recipes.recipe_file import QUICKSTART, load_recipe

_UNKNOWN = "size not stated"


def characters_per_token(base: Model) -> float:
    """Characters of English medical text for each token of a base's tokenizer, by medbench's own samples."""
    tokenizer = load_tokenizer(str(base.tokenizer))
    texts = sample_texts()
    return sum(map(len, texts)) / sum(len(encode(tokenizer, text)) for text in texts)


def suite_times(base: str | None, recipe: str | None, settings: Sequence[str]) -> dict[str, str]:
    """Estimated times of scoring one model, in words, by task and by suite; without loading the model once.

    Raises:
        UserError: The recipe or the base cannot be used.
    """
    changes = {} if base is None else {("model.base", "--base"): base}
    loaded = load_recipe(recipe or QUICKSTART, settings, changes)
    device = pick_device()
    dtype = device.default_dtype(loaded.model.dtype if loaded.scoring.dtype == "auto" else loaded.scoring.dtype)
    model = find_base_config(loaded.model)
    density = characters_per_token(model)
    times: dict[str, str] = {}
    for suite in SUITES.values():
        total = 0.0
        for member in (*suite.members, *suite.extras):
            work = work_of_benchmark(member, loaded.scoring.max_new_tokens, density)
            seconds = None if work is None else task_seconds(work, model, device, dtype)
            times[member.task] = _UNKNOWN if seconds is None else f"about {duration(seconds)}"
            if member in suite.members and seconds is not None:
                total += seconds
        times[suite.name] = f"about {duration(total)}"
    return times
