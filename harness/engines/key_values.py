"""Key-value caches: of shared prefixes, and of the slots in which sequences generate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache

Layer = tuple[torch.Tensor, torch.Tensor]  # keys and values, each [rows, key heads, tokens, width]


class PrefixKVCache(Cache):  # type: ignore[misc]
    """Keys and values of a pass, behind those of the earlier pass that its rows continue.

    Attributes:
        kept: Keys and values by layer, those of the earlier pass first.
        valid: Mask of their tokens, [rows, tokens]; others are padding.
    """

    valid: torch.Tensor

    def __init__(self, valid: torch.Tensor, before: PrefixKVCache | None = None, rows: Sequence[int] = ()) -> None:
        super().__init__(layers=[])
        self.kept: list[Layer] = []
        self._before = before
        self._rows = torch.tensor(rows, device=valid.device)
        self.earlier: torch.Tensor | None = before.valid[self._rows] if before is not None else None
        self.valid = valid if self.earlier is None else torch.cat([self.earlier, valid], 1)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> Layer:
        """Keys and values that the layer attends to."""
        if self._before is not None:
            keys, values = self._before.kept[layer_idx]
            key_states = torch.cat([keys[self._rows], key_states], 2)
            value_states = torch.cat([values[self._rows], value_states], 2)
        self.kept.append((key_states, value_states))
        return key_states, value_states

    def mask(self, new: int) -> torch.Tensor | None:
        """Attention mask of `new` tokens of each row, [rows, 1, new, tokens]; None for a causal one."""
        if self.earlier is None:
            return None
        rows = len(self.earlier)
        causal = torch.ones(new, new, dtype=torch.bool, device=self.valid.device).tril()
        before = self.earlier[:, None, None].expand(rows, 1, new, -1)
        return torch.cat([before, causal.expand(rows, 1, new, new)], 3)

    def positions(self, new: int) -> torch.Tensor | None:
        """Positions of `new` tokens of each row, [rows, new]; None if they start at 0."""
        if self.earlier is None:
            return None
        return self.earlier.sum(1, keepdim=True) + torch.arange(new, device=self.valid.device)

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - transformers' signature
        """Tokens of the earlier pass, padding included."""
        return 0 if self.earlier is None else self.earlier.shape[1]


class SlotKVCache(Cache):  # type: ignore[misc]
    """A slot of fixed size for each sequence; its tokens are contiguous from the start of the slot.

    Args:
        rows: Number of slots.
        tokens: Size of a slot.

    Attributes:
        store: Keys and values by layer.
    """

    def __init__(self, rows: int, tokens: int) -> None:
        super().__init__(layers=[])
        self.rows = rows
        self.tokens = tokens
        self.store: list[Layer] = []
        self._numbers = torch.empty(0, dtype=torch.long)
        self._positions = torch.empty(0, dtype=torch.long)
        self._length = 0

    def put(self, slots: Sequence[int], made: PrefixKVCache) -> None:
        """Fill slots with the rows of a prefill; padding behind a row is overwritten as the row grows."""
        index = torch.tensor(slots, device=made.valid.device)
        for number, (keys, values) in enumerate(made.kept):
            if number == len(self.store):
                self.store.append((self._empty(keys), self._empty(values)))
            for store, new in zip(self.store[number], (keys, values), strict=True):
                store[index, :, : new.shape[2]] = new

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy rows to other slots."""
        if not self.store:  # all rows so far have recorded responses
            return
        device = self.store[0][0].device
        to, of = torch.tensor(targets, device=device), torch.tensor(sources, device=device)
        for layer in self.store:
            for store in layer:
                store[to] = store[of]

    def step(self, positions: torch.Tensor, length: int) -> torch.Tensor:
        """Prepare for one new token of each row at `positions` [rows]; returns the mask [rows, 1, 1, length]."""
        self._positions = positions
        self._numbers = torch.arange(len(positions), device=positions.device)
        self._length = length
        return (torch.arange(length, device=positions.device) <= positions[:, None])[:, None, None]

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> Layer:
        """Write each row's new token into its slot; returns the keys and values to attend to."""
        keys, values = self.store[layer_idx]
        keys[self._numbers, :, self._positions] = key_states[:, :, 0]
        values[self._numbers, :, self._positions] = value_states[:, :, 0]
        rows = len(self._positions)
        return keys[:rows, :, : self._length], values[:rows, :, : self._length]

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - transformers' signature
        """Return the length in use; the model is given positions instead."""
        return self._length

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, _, width = like.shape
        return like.new_zeros(self.rows, heads, self.tokens, width)
