"""Keeps the base's own weights apart from its adapters: checksums of them, and embeddings that one adapter brings."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from reports.errors import UserError
from training.models.adapters import embedding_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CHUNK = 1 << 22  # words of 8 bytes
_INFIXES = (".base_layer.", ".original_module.")  # where PEFT puts what it wraps


def weight_checksums(model: nn.Module, only: Mapping[str, int] | None = None) -> dict[str, int]:
    """A 64-bit checksum of each weight and buffer by name; PEFT's layers around them are left out of the names.

    On a CPU it is a BLAKE2b hash. On other devices, where the weights stay, each word is multiplied with a random odd
    number of its place, modulo 2**64 (Dietzfelbinger et al. 1997).

    Args:
        model: The model.
        only: Names of the weights to read; None for all.
    """
    checksums = {}
    for name, tensor in _weights(model):
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


def _weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        for infix in _INFIXES:
            name = name.replace(infix, ".")  # noqa: PLW2901 - the name without it
        yield name, tensor


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


class OwnEmbeddings:
    """Embeddings and heads that single adapters bring whole; each stands in the layer only while its adapter computes.

    The base's own parameters are put aside and never written to.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        modules = (model.get_input_embeddings(), model.get_output_embeddings())
        self._layers: dict[str, Any] = {name: layer for name, layer in model.named_modules() if layer in modules}
        self._base = {name: layer.weight for name, layer in self._layers.items()}
        self._own: dict[str, dict[str, nn.Parameter]] = {}

    def make_room(self, adapter: str, folder: Path) -> None:
        """Read the adapter's weights and put them in place, where PEFT loads them too; the base's where it has none."""
        own = {
            name: nn.Parameter(tensor.to(self._base[name]), requires_grad=False)
            for name, tensor in embedding_weights(folder, self._layers).items()
        }
        tied = len({id(weight) for weight in self._base.values()}) < len(self._base)
        if tied and len(own) == 1:
            own = dict.fromkeys(self._base, next(iter(own.values())))
        self._own[adapter] = own
        self.use(adapter)

    def use(self, adapter: str) -> None:
        """Put the adapter's weights in place, and the base's where it has none."""
        for name, layer in self._layers.items():
            layer.weight = self._own.get(adapter, {}).get(name, self._base[name])
