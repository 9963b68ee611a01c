"""Faults of task files, reported together in one message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.errors import UserError


def raise_faults(faults: Sequence[UserError]) -> None:
    """Raise all faults as one.

    Raises:
        UserError: There is at least one.
    """
    if len(faults) == 1:
        raise faults[0]
    if faults:
        lines = [f"  - {fault.where}: {fault.what}" if fault.where else f"  - {fault.what}" for fault in faults]
        raise UserError("\n".join([f"task files have {len(faults)} faults:", *lines]), fix=_joined(faults))


def _joined(faults: Iterable[UserError]) -> str:
    return "; ".join(dict.fromkeys(fault.fix for fault in faults if fault.fix))
