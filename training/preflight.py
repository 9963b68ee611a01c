"""What a training will do, found in seconds without loading weights: rows, lengths, parameters, memory."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.rendering import load_tokenizer
from training.backends.choice import pick_backend
from training.encoding import MASKED, EncodedRow, check_vocabulary, encode_rows
from training.memory_estimate import Training, estimated_memory, full_finetuning_memory
from training.models.architecture import architecture, embedding_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.models.device import Device
    from training.models.model import Model
    from training.recipes.recipe import Recipe
    from training.splits import TrainingRows

_QUANTILES = (5, 50, 95, 100)


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Attributes:
        rows: Rows that will be trained on.
        dropped: Ids of rows whose prompt leaves no room for an answer.
        truncated: How many rows lose their end at the limit.
        ended: How many rows teach the end token.
        lengths: Tokens of a row at the 5th, 50th, 95th percentile and of the longest.
        altered_turns: Number of earlier answers that are not learned because the chat template alters them.
        example: (text, whether it is learned) of the parts of the first row.
        trainable: Parameters of the adapter.
        total: Parameters of the base.
        memory: Estimated bytes by component, on the device.
        full_memory: The same components if all weights were fine-tuned.
    """

    rows: int
    dropped: list[str]
    truncated: int
    ended: int
    lengths: dict[int, int]
    altered_turns: int
    example: list[tuple[str, bool]]
    trainable: int
    total: int
    memory: dict[str, int]
    full_memory: dict[str, int]

    @property
    def memory_bytes(self) -> int:
        """Estimated peak."""
        return sum(self.memory.values())


def preflight(recipe: Recipe, base: Model, rows: TrainingRows, device: Device) -> Preflight:
    """Look at a recipe's rows and its base's configuration.

    Raises:
        UserError: The rows cannot be trained on.
    """
    tokenizer = load_tokenizer(str(base.folder))
    encoded = encode_rows(tokenizer, recipe, rows.train)
    check_vocabulary(encoded.token_ids(), tokenizer, embedding_rows(base))
    lengths = [len(row.input_ids) for row in encoded.rows]
    layers = architecture(base)
    trainable = sum(
        recipe.lora.r * (inputs + outputs)
        for name, (inputs, outputs) in layers.linear.items()
        if name != layers.head
        and any(name == target or name.endswith(f".{target}") for target in recipe.lora.target_modules)
    )
    training = Training(recipe, base, lengths, device, pick_backend(recipe, base, device))
    return Preflight(
        rows=len(encoded.rows),
        dropped=encoded.dropped,
        truncated=encoded.truncated,
        ended=sum(not row.truncated for row in encoded.rows),
        lengths={quantile: int(np.percentile(lengths, quantile)) for quantile in _QUANTILES},
        altered_turns=encoded.altered_turns,
        example=_parts(tokenizer, encoded.rows[0]),
        trainable=trainable,
        total=layers.parameters,
        memory=estimated_memory(training, trainable),
        full_memory=full_finetuning_memory(training),
    )


def _parts(tokenizer: PreTrainedTokenizerBase, row: EncodedRow) -> list[tuple[str, bool]]:
    """(text, whether it is learned) of a row's parts, the prompt first."""
    runs = itertools.groupby(zip(row.input_ids, row.labels, strict=True), key=lambda pair: pair[1] != MASKED)
    return [(tokenizer.decode([token for token, _ in run]), is_learned) for is_learned, run in runs]
