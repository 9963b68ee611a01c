"""Packing: several rows in one sequence, only if a check shows that attention keeps them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

_ROW = 8  # tokens of a row in the check
_SAME = 1e-3  # logits of the same row behind two others: equal but for rounding


def pack(rows: Dataset, length: int) -> Dataset:
    """Pack whole rows into sequences of at most `length` tokens, best fit first."""
    from trl import pack_dataset

    return pack_dataset(rows, length, "bfd")


def check_apart(model: Any) -> None:
    """Check that a row's logits do not depend on the rows before it in its sequence.

    Raises:
        UserError: They do, so attention would cross from one row to another.
    """
    import torch

    device = model.get_input_embeddings().weight.device
    words = torch.arange(3 * _ROW, device=device).reshape(3, 1, _ROW) + 1
    positions = torch.arange(_ROW, device=device).repeat(2).unsqueeze(0)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        first, second = (
            model(input_ids=torch.cat([words[index], words[2]], dim=1), position_ids=positions, use_cache=False)
            .logits[:, _ROW:]
            .float()
            for index in (0, 1)
        )
    model.train(was_training)
    if (first - second).abs().max() > _SAME * max(1.0, float(first.abs().max())):
        attention = getattr(model.config, "_attn_implementation", "unknown")
        raise UserError(
            f"with {attention} attention, rows packed into one sequence see each other",
            where="trainer.packing",
            fix="install flash-attn and set trainer.attention=flash_attention_2, or set trainer.packing=false",
        )
