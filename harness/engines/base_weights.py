"""Checksums of the base's own weights, which no adapter may change."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from reports.errors import UserError

_CHUNK = 1 << 22  # words of 8 bytes


def weight_checksums(model: nn.Module, only: Mapping[str, int] | None = None) -> dict[str, int]:
    """A 64-bit checksum of each weight and buffer by name.

    On a CPU it is a BLAKE2b hash. On other devices, where the weights stay, each word is multiplied with a random odd
    number of its place, modulo 2**64 (Dietzfelbinger et al. 1997).

    Args:
        model: The model.
        only: Names of the weights to read; None for all.
    """
    checksums = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if only is None or name in only:
            checksums[name] = _checksum(tensor)
    return checksums


def check_unchanged(model: nn.Module, before: Mapping[str, int], adapters: Mapping[str, Path]) -> None:
    """See that the base's weights are as they were.

    Raises:
        UserError: They are not.
    """
    after = weight_checksums(model, before)
    changed = [name for name, checksum in before.items() if after.get(name) != checksum]
    if changed:
        raise UserError(
            f"loading the adapters changed {len(changed)} of the base's own weights, such as {changed[0]};"
            " no answer was stored",
            where=", ".join(map(str, adapters.values())),
            fix="score the adapters one at a time to find out which it is, and save that one again with PEFT",
        )


def _checksum(tensor: torch.Tensor) -> int:
    octets = tensor.detach().reshape(-1).view(torch.uint8)
    if octets.device.type == "cpu":
        return int.from_bytes(hashlib.blake2b(octets.numpy().data, digest_size=8).digest())
    words = nn.functional.pad(octets, (0, -len(octets) % 8)) if len(octets) % 8 else octets
    total = torch.zeros((), dtype=torch.int64, device=octets.device)
    for part in torch.split(words.view(torch.int64), _CHUNK):
        total = total * 3 + (part * _multipliers(part.device)[: len(part)]).sum()
    return int(total)


@functools.lru_cache(maxsize=2)
def _multipliers(device: torch.device) -> torch.Tensor:
    return torch.randint(-(2**62), 2**62, (_CHUNK,), device=device, generator=torch.Generator(device)) * 2 + 1
