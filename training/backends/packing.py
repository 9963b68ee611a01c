"""Packing: the rows of an optimizer step joined into few sequences without padding, kept apart by attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from training.encoding import MASKED
from training.processes import process_count

if TYPE_CHECKING:
    from training.models.device import Device
    from training.models.model import Model
    from training.recipes.recipe import Recipe, TrainerSection

_CHECKED_ROWS = (7, 12, 9)  # tokens of the rows in the check
_APART = 1e-3  # logits of a row behind different rows: equal but for rounding
_ALONE = {True: 1e-3, False: 0.1}  # logits of a row alone, in float32 or not: other shapes round differently


def wants_packing(recipe: Recipe, device: Device) -> bool:
    """Whether rows are to be joined: `auto` does so in one process, where its speed was measured, on a CPU too."""
    if recipe.trainer.packing == "auto":
        measured = device.supports_kernel_packages or device.type == "cpu"
        return measured and process_count() == 1 and recipe.trainer.attention != "eager"
    return recipe.trainer.packing


def packs_fast(recipe: Recipe, base: Model, device: Device) -> bool:
    """Whether TRL will train on packed rows with attention in a kernel, which is faster than Unsloth.

    By the base's configuration; kernels for rows of different lengths run on cards that have bfloat16.
    """
    if not (wants_packing(recipe, device) and device.supports_kernel_packages and device.has_bfloat16()):
        return False
    from training.models.architecture import model_shell
    from training.models.row_attention import fits_own_attention

    return fits_own_attention(model_shell(base))


def token_budget(settings: TrainerSection, longest: int, device: Device, *, is_spared: bool) -> int:
    """Most tokens of one sequence: on a GPU those of a full padded batch, or half as many again.

    A GPU is slow at short sequences; on a CPU only padding is saved, so a sequence has no more tokens than a batch of
    the longest rows, and takes no more memory.

    Args:
        settings: Of the recipe.
        longest: Tokens of the longest row.
        device: Where to train.
        is_spared: Whether layers are fused and checkpointed: a token then takes a bit more than half the memory.
    """
    if not device.supports_kernel_packages:
        return settings.batch_size * longest
    tokens = settings.batch_size * settings.max_length
    return max(tokens * 3 // 2 if is_spared else tokens, longest)


def share_out(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Share rows out over as few sequences as hold them, all about equally long.

    Args:
        lengths: Tokens of each row.
        budget: Most tokens of a sequence, unless a single row has more.

    Returns:
        The indices of each sequence's rows; each row is in one of them.
    """
    longest_first = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    for count in range(min(len(lengths), -(-sum(lengths) // budget)), len(lengths) + 1):
        sequences: list[list[int]] = [[] for _ in range(count)]
        tokens = [0] * count
        for row in longest_first:
            shortest = tokens.index(min(tokens))
            sequences[shortest].append(row)
            tokens[shortest] += lengths[row]
        if max(tokens) <= budget or count == len(lengths):
            return [sorted(rows) for rows in sequences]
    return []


def collate_joined(rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
    """Join the rows of a batch: `input_ids` and `labels` [1, tokens], and the rows' lengths.

    The first label of each row is masked, since the token before it belongs to another row.
    """
    import torch

    labels = [token for row in rows for token in (MASKED, *row["labels"][1:])]
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row["input_ids"]]]),
        "labels": torch.tensor([labels]),
        "row_lengths": [len(row["input_ids"]) for row in rows],
    }


def sequences(batch: dict[str, Any], budget: int) -> Iterator[dict[str, Any]]:
    """The sequences of a joined batch, as a model's forward takes them."""
    import torch

    from training.models.row_attention import row_bounds

    lengths = batch["row_lengths"]
    parts = {name: batch[name].split(lengths, dim=1) for name in ("input_ids", "labels")}
    for rows in share_out(lengths, budget):
        yield {
            **{name: torch.cat([part[row] for row in rows], dim=1) for name, part in parts.items()},
            **row_bounds([lengths[row] for row in rows], batch["input_ids"].device),
        }


def packing_trainer(budget: int) -> type:
    """TRL's SFTTrainer, training each step's rows joined into sequences of at most `budget` tokens."""
    from trl import SFTTrainer

    class PackingTrainer(SFTTrainer):  # type: ignore[misc]
        """Joins the rows of training batches only: validation is padded, as without packing."""

        data_collator: Any

        def get_train_dataloader(self) -> Any:
            padding: Any = self.data_collator
            self.data_collator = collate_joined
            try:
                return super().get_train_dataloader()
            finally:
                self.data_collator = padding

        def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
            """Loss and gradients of a batch; each sequence's loss is over the number of learned tokens of the step."""
            losses = [
                super(PackingTrainer, self).training_step(model, part, num_items_in_batch)
                for part in sequences(inputs, budget)
            ]
            return sum(losses[1:], losses[0])

    return PackingTrainer


def keeps_rows_apart(model: Any) -> bool:
    """Whether joined rows have the logits that they have alone, whatever the rows beside them."""
    import torch

    from training.models.row_attention import row_bounds

    device = model.get_input_embeddings().weight.device
    first, second, last = _CHECKED_ROWS
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = (torch.arange(2 * (first + second) + last, device=device) + 1) % vocabulary
    others = tokens[last:].split((first, second, first, second))
    row, bounds = tokens[:last], row_bounds(_CHECKED_ROWS, device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            joined = [
                model(input_ids=torch.cat([*before, row]).unsqueeze(0), use_cache=False, **bounds)
                .logits[0, -last:]
                .float()
                for before in (others[:2], others[2:])
            ]
            alone = model(input_ids=row.unsqueeze(0), use_cache=False).logits[0].float()
    finally:
        model.train(was_training)
    scale = max(1.0, float(alone.abs().max()))
    is_exact = model.dtype == torch.float32
    apart = float((joined[0] - joined[1]).abs().max())
    return apart <= _APART * scale and float((joined[0] - alone).abs().max()) <= _ALONE[is_exact] * scale


def check_apart(model: Any) -> None:
    """Check that joined rows do not see each other.

    Raises:
        UserError: They do.
    """
    if keeps_rows_apart(model):
        return
    attention = getattr(model.config, "_attn_implementation", "unknown")
    raise UserError(
        f"with {attention} attention, rows packed into one sequence see each other",
        where="trainer.packing",
        fix="install flash-attn and set trainer.attention=flash_attention_2, or set trainer.packing=false",
    )
