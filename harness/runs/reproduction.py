"""Versions, hashes and settings that could change a run's numbers, for its results."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.engines.kinds import engine_kind
from reports.document.evidence import Reproduction
from reports.files import sha256_file, sha256_value
from tasks.rendering import load_tokenizer
from training.models.weight_format import weight_format

if TYPE_CHECKING:
    from pathlib import Path

    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored

_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")


def reproduction(plan: Plan, scored: Sequence[Scored], engine: str) -> Reproduction:
    """Versions, hashes and settings that decide a run's numbers and that its results do not state elsewhere."""
    recipe, folder, kind = plan.recipe, plan.base.tokenizer, engine_kind(engine)
    by_task = {answers.task.name: answers for answers in scored}
    return Reproduction(
        engine=" ".join(dict.fromkeys((engine, kind.packages[0], importlib.metadata.version(kind.packages[0])))),
        quantization=weight_format(plan.base, recipe.quantization).summary,
        train_dtype=plan.train_dtype,
        score_dtype=plan.score_dtype,
        batching=kind.batching(plan),
        tokenizer_sha256=tokenizer_hash(folder),
        chat_template_sha256=chat_template_hash(folder, recipe.format.chat_template),
        prompts={name: answers.tally.prompts.hexdigest() for name, answers in by_task.items()},
        golds={name: answers.tally.golds.hexdigest() for name, answers in by_task.items()},
        generation={
            name: dict(answers.task.task.config.generation_kwargs)
            for name, answers in by_task.items()
            if answers.task.task.OUTPUT_TYPE == "generate_until"
        },
    )


def tokenizer_hash(folder: Path) -> str:
    """Hash of the tokenizer's files in a model's folder."""
    files = sorted({path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()})
    return sha256_value([[path.name, sha256_file(path)] for path in files])


def chat_template_hash(folder: Path, wanted: str) -> str | None:
    """Hash of the tokenizer's chat template; None if it has none or the recipe's format does not use it."""
    template = load_tokenizer(str(folder)).chat_template if wanted == "auto" else None
    return hashlib.sha256(str(template).encode()).hexdigest() if template else None
