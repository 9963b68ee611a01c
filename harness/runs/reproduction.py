"""Versions, hashes and settings that could change a run's numbers, for its results."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.kinds import engine_kind
from reports.document.evidence import Reproduction
from reports.files import sha256_file, sha256_value
from tasks.rendering import OVER, load_tokenizer
from training.models.weight_format import weight_format

if TYPE_CHECKING:
    from harness.planning.dialogues import Dialogue
    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored

_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")


def reproduction(plan: Plan, scored: Sequence[Scored], engine: str) -> Reproduction:
    """Versions, hashes and settings that decide a run's numbers and that its results do not state elsewhere."""
    recipe, base, kind = plan.recipe, plan.dialogues[plan.base.name], engine_kind(engine)
    by_task = {answers.task.name: answers for answers in scored if plan.dialogues[answers.model] == base}
    by_task = {answers.task.name: answers for answers in scored} | by_task
    own = [answers for answers in scored if answers is not by_task[answers.task.name] and answers.task.reference]
    return Reproduction(
        engine=" ".join(dict.fromkeys((engine, kind.packages[0], importlib.metadata.version(kind.packages[0])))),
        quantization=weight_format(plan.base, recipe.quantization).summary,
        train_dtype=plan.train_dtype,
        score_dtype=plan.score_dtype,
        batching=kind.batching(plan),
        tokenizer_sha256=tokenizer_hash(base.tokenizer),
        chat_template_sha256=chat_template_hash(base),
        prompts={name: answers.tally.prompts.hexdigest() for name, answers in by_task.items()},
        golds={name: answers.tally.golds.hexdigest() for name, answers in by_task.items()},
        own_prompts={
            model: {answers.task.name: answers.tally.prompts.hexdigest() for answers in own if answers.model == model}
            for model in dict.fromkeys(answers.model for answers in own)
        },
        generation={
            name: dict(answers.task.task.config.generation_kwargs)
            for name, answers in by_task.items()
            if answers.task.task.OUTPUT_TYPE == "generate_until"
        },
    )


def tokenizer_hash(name: str) -> str:
    """Hash of the files of the tokenizer of this name, see `tasks.rendering.load_tokenizer`."""
    folders = map(Path, name.split(OVER))
    files = [
        path
        for folder in folders
        for path in sorted({path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()})
    ]
    return sha256_value([[path.name, sha256_file(path)] for path in files])


def chat_template_hash(dialogue: Dialogue) -> str | None:
    """Hash of a model's chat template; None if it has none or the recipe's format does not use it."""
    tokenizer = load_tokenizer(dialogue.tokenizer)
    if not dialogue.chat.uses_template(tokenizer):
        return None
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
