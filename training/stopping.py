"""Stopping on SIGINT and SIGTERM where nothing is lost: between two batches or steps, at once anywhere else.

Only the command installs handlers; for callers of the Python API signals are what they were.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_AGAIN_SECONDS = 0.02
_NOTE = b"\nstopping after the batch in flight; once more stops at once\n"


class Stopped(BaseException):
    """A signal asked this process to stop; no `except Exception` of a library holds it up.

    Attributes:
        number: The signal's.
        exit_code: 128 and the signal's number, as shells say it: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit_code = 128 + number


class _State:
    signal: int | None = None  # the pending signal
    waiting = 0  # nested places in which signals wait


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Stopped` while the block runs, in the main thread; none is pending after it."""
    _State.signal, _State.waiting = None, 0
    before = {number: signal.signal(number, _handle) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable
    try:
        yield
    finally:
        _State.signal = None
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def finishing_batches() -> Iterator[None]:
    """Let a first signal wait for `stop_if_asked`, or the end of the block; a second one stops at once."""
    _State.waiting += 1
    try:
        yield
        stop_if_asked()
    finally:
        _State.waiting -= 1


def is_asked_to_stop() -> bool:
    """Whether a signal is pending."""
    return _State.signal is not None


def stop_if_asked() -> None:
    """Raise `Stopped` if a signal is pending; called where all that is computed has been handed on."""
    if _State.signal is not None:
        raise Stopped(_State.signal)


def _handle(number: int, _: FrameType | None) -> None:
    if not _State.waiting or _State.signal is not None:
        raise Stopped(number)
    _State.signal = number
    with contextlib.suppress(OSError):
        os.write(2, _NOTE)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    """Send a signal again that came while an object was taken down, where Python drops whatever is raised."""
    if isinstance(args.exc_value, Stopped):
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), args.exc_value.number)).start()
    else:
        sys.__unraisablehook__(args)
