"""Metadata and tensor list of a GGUF file, read with bounds before any library allocates what the file asks for.

The format (github.com/ggml-org/ggml, docs/gguf.md): magic, version, number of tensors and of metadata entries; the
entries; name, shape, type and offset of each tensor; the aligned data. The `gguf` package trusts all lengths.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.errors import UserError
from reports.files import check_regular

_VERSIONS = (2, 3)
_MOST_HEADER_BYTES = 256 << 20  # vocabularies of 256,000 tokens with their merges take 15 MB
_MOST_ENTRIES = 10_000
_MOST_TENSORS = 200_000
_MOST_ARRAY = 4 << 20
_MOST_TEXT = 4 << 20
_MOST_DIMS = 4
_MOST_ALIGNMENT = 1 << 20
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_MOST_SIZE = 1 << 24  # of a layer, in any direction
_MOST_EXPERTS = 4096
_MOST_LAYERS_TIMES_EXPERTS = 1 << 16


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of the file: `type` as ggml writes it, such as `Q8_0`; `shape` with the rows first, as in NumPy."""

    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class GgufHeader:
    """What a file says it holds.

    Attributes:
        architecture: Such as `llama`.
        metadata: Value of each entry by key.
        tensors: Tensors by name.
    """

    architecture: str
    metadata: dict[str, Any]
    tensors: dict[str, GgufTensor]

    @property
    def elements(self) -> int:
        """Number of weights."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    def setting(self, key: str, default: Any = None) -> Any:
        """Value of an entry of the architecture, such as `block_count`."""
        return self.metadata.get(f"{self.architecture}.{key}", default)


class _RefusedError(Exception):
    """Why the bytes are no GGUF file that can be read."""


def read_gguf_header(path: Path) -> GgufHeader:
    """Metadata and tensors of a file.

    Raises:
        UserError: The file cannot be read, is cut off, or has contents or sizes that no model has.
    """
    check_regular(path)
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Parser(content).header()
    except OSError as error:
        raise UserError(f"cannot read the file ({error.strerror})", where=str(path), fix="check the path") from error
    except (_RefusedError, ValueError) as error:  # the latter for an empty file
        raise UserError(
            f"not a GGUF file that can be read: {error}",
            where=str(path),
            fix="fetch or convert it again",
        ) from error


class _Parser:
    """Reads a file from its start; every length is checked against what is left."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = 0

    def header(self) -> GgufHeader:
        if self._take(4) != b"GGUF":
            raise _RefusedError("it does not begin with GGUF")
        version = self._number("I")
        if version not in _VERSIONS:
            raise _RefusedError(f"version {version}, or of a machine with another byte order")
        n_tensors, n_entries = self._count(_MOST_TENSORS, "tensors"), self._count(_MOST_ENTRIES, "metadata entries")
        metadata: dict[str, Any] = {}
        for _ in range(n_entries):
            key = self._text()
            if key in metadata or key.startswith("GGUF."):  # the second are fields of the `gguf` package's own
                raise _RefusedError(f"the metadata key {key[:60]!r} is there twice")
            metadata[key] = self._value(self._number("I"))
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str):
            raise _RefusedError("general.architecture is missing")
        places = dict(self._tensor() for _ in range(n_tensors))
        if len(places) != n_tensors:
            raise _RefusedError("two tensors have the same name")
        self._check_places(places, metadata.get("general.alignment", 32))
        header = GgufHeader(architecture, metadata, {name: tensor for name, (tensor, _) in places.items()})
        _check_sizes(header)
        return header

    def _tensor(self) -> tuple[str, tuple[GgufTensor, int]]:
        """(name, (tensor, offset of its data))."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        name = self._text()
        dims = [self._number("Q") for _ in range(self._count(_MOST_DIMS, "dimensions", "I"))]
        code, offset = self._number("I"), self._number("Q")
        if not name.isprintable() or not dims or not all(0 < dim <= _MOST_SIZE for dim in dims):
            raise _RefusedError(f"the tensor {name[:60]!r} has the shape {dims}")
        try:
            kind = GGMLQuantizationType(code)
        except ValueError as error:
            raise _RefusedError(f"the tensor {name[:60]!r} has the unknown type {code}") from error
        if dims[0] % GGML_QUANT_SIZES[kind][0]:
            raise _RefusedError(f"rows of the tensor {name[:60]!r} are no multiple of a block of {kind.name}")
        return name, (GgufTensor(kind.name, tuple(reversed(dims))), offset)

    def _check_places(self, places: dict[str, tuple[GgufTensor, int]], alignment: object) -> None:
        """Check that each tensor lies within the file."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        if not isinstance(alignment, int) or not 0 < alignment <= _MOST_ALIGNMENT or alignment & (alignment - 1):
            raise _RefusedError(f"general.alignment is {alignment!r}"[:100])
        start = -(-self._at // alignment) * alignment
        for name, (tensor, offset) in places.items():
            block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[tensor.type]]
            if offset % alignment:
                raise _RefusedError(f"the tensor {name[:60]!r} is not aligned")
            if start + offset + math.prod(tensor.shape) // block * n_bytes > len(self._content):
                raise _RefusedError(f"the tensor {name[:60]!r} ends behind the end of the file, which was cut off")

    def _value(self, kind: int, *, in_array: bool = False) -> Any:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY or in_array:
            raise _RefusedError(f"a metadata entry has the type {kind}, or is an array of arrays")
        kind, length = self._number("I"), self._count(_MOST_ARRAY, "values in an array")
        if kind in _SCALARS:
            form = f"<{length}{_SCALARS[kind]}"
            return list(struct.unpack(form, self._take(struct.calcsize(form))))
        return [self._value(kind, in_array=True) for _ in range(length)]

    def _text(self) -> str:
        try:
            return self._take(self._count(_MOST_TEXT, "bytes in a text")).decode("utf-8")
        except UnicodeDecodeError as error:
            raise _RefusedError("a text in it is no UTF-8") from error

    def _count(self, most: int, what: str, form: str = "Q") -> int:
        value: int = self._number(form)
        if value > most:
            raise _RefusedError(f"{value:,} {what}, where {most:,} are the most")
        return value

    def _number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0]

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._content):
            raise _RefusedError("the file was cut off")
        if end > _MOST_HEADER_BYTES:
            raise _RefusedError(f"its metadata has more than {_MOST_HEADER_BYTES >> 20} MiB")
        start, self._at = self._at, end
        return self._content[start:end]


def _check_sizes(header: GgufHeader) -> None:
    """Check that no setting asks for more or larger layers than the file can hold."""
    for key, value in header.metadata.items():
        if key.startswith(f"{header.architecture}.") and isinstance(value, int) and not 0 <= value <= _MOST_SIZE:
            raise _RefusedError(f"{key} is {value}")
    layers, experts = header.setting("block_count", 0), header.setting("expert_count", 0)
    if not isinstance(layers, int) or not isinstance(experts, int):
        raise _RefusedError("its number of layers or experts is no number")
    if layers > len(header.tensors) or experts > _MOST_EXPERTS or layers * experts > _MOST_LAYERS_TIMES_EXPERTS:
        raise _RefusedError(f"it has {layers} layers of {experts} experts, but {len(header.tensors)} tensors")
