"""What a safetensors file says it holds, read without loading any of it, and refused where it cannot be true.

The file begins with the length of its header (8 bytes, little-endian) and the header as JSON: name, dtype, shape and
place of each tensor (github.com/huggingface/safetensors, format section). The library checks that the places fit the
file, the shapes and each other; here the header is bounded before the library takes it into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reports.errors import UserError, first_line, is_failure

_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 32 << 20  # models with a hundred thousand tensors have less than 16 MiB
_MOST_NAME = 500
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Tensor:
    """What the header says of one tensor; `dtype` as safetensors writes it, such as `BF16`."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        UserError: It is no whole safetensors file, or one that nobody would write.
    """
    import safetensors

    where = str(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    except OSError as error:
        raise UserError(f"cannot read the file ({error.strerror})", where=where, fix="check its rights") from error
    if size < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
        raise _refused("the header is longer than the file, which was cut off or is of another kind", where)
    if length > _MOST_HEADER_BYTES:
        raise _refused(f"the header has {length / 1e6:,.0f} MB", where)
    try:
        with safetensors.safe_open(path, "numpy") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            tensors = {
                name: Tensor(str(tensor.get_dtype()), tuple(tensor.get_shape())) for name, tensor in slices.items()
            }
    except BaseException as error:
        if not is_failure(error):
            raise
        raise _refused(first_line(error)[:300], where) from error
    unprintable = next((name for name in tensors if len(name) > _MOST_NAME or not name.isprintable()), None)
    if unprintable is not None:
        raise _refused(f"the name {unprintable[:60]!r} is no name of a weight", where)
    return tensors


def _refused(what: str, where: str) -> UserError:
    return UserError(f"not a safetensors file that can be read: {what}", where=where, fix="fetch or save it again")


def check_finite(path: Path) -> None:
    """Check that a file's floating-point tensors hold no NaN and no infinity; one is in memory at a time.

    Raises:
        UserError: One does; the message names it.
    """
    import safetensors

    with safetensors.safe_open(path, "pt") as opened:
        for name in opened.keys():  # noqa: SIM118 - no mapping
            tensor = opened.get_tensor(name)
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise UserError(
                    f"the weights {name} hold NaN or infinity",
                    where=str(path),
                    fix="train it again with a lower learning rate, or take an earlier checkpoint",
                )
