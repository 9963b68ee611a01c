"""Sends what libraries log, warn and draw to the run's log file, so that the terminal shows only what medbench says.

A line of the log is `TIME LEVEL LOGGER:LINE: MESSAGE`, and further lines of a message are indented, so that no message
can look like another's line; with `--log-json` it is a JSON object. Secrets are hidden, control characters left out.
"""

from __future__ import annotations

import logging
import os
import traceback
import warnings
from pathlib import Path

from harness.console import Terminal, printable
from reports.errors import UserError

_LIBRARIES = (
    "transformers",
    "lm_eval",
    "datasets",
    "peft",
    "trl",
    "bitsandbytes",
    "accelerate",
    "evaluate",
    "huggingface_hub",
)
_MARK = "medbench"
_FRAMES = 5  # innermost frames of the stack that are reported


def quiet_libraries() -> None:
    """Turn off progress bars and notices of libraries; call before they are imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


def drop_unhandled() -> None:
    """Drop log records without a handler, which Python would print: a traceback may quote data."""
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())


def log_to(path: Path | None) -> None:
    """Log to a file from now on, or nowhere for None; what libraries print by handlers of their own goes there too."""
    quiet_libraries()
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if handler.get_name() == _MARK]:
        root.removeHandler(earlier)
        earlier.close()
    handler: logging.Handler = logging.NullHandler() if path is None else logging.FileHandler(path, encoding="utf-8")
    handler.set_name(_MARK)
    handler.setFormatter(JsonLines() if Terminal.as_json else Lines())
    root.addHandler(handler)
    logging.getLogger("medbench").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # writing the results reports a full disk; log lines may be lost
    warnings.simplefilter("default")
    import datasets  # noqa: F401 - these two make handlers of their own when imported, so they are, before they lose them
    import transformers  # noqa: F401

    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        for own in list(logger.handlers):
            if isinstance(own, logging.StreamHandler) and not isinstance(own, logging.FileHandler):
                logger.removeHandler(own)
        logger.propagate = True


def log_fault(error: BaseException) -> UserError:
    """Write an unexpected error to the log, if there is one, and turn it into a message.

    The message gives only its type and place, since its text may quote data.
    """
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    place = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    handler = next((handler for handler in logging.getLogger().handlers if handler.get_name() == _MARK), None)
    file = handler.baseFilename if isinstance(handler, logging.FileHandler) else None
    logging.getLogger(_MARK).error("unexpected error", exc_info=error)
    details = f"the details are in {file}; " if file else ""
    return UserError(
        f"unexpected {type(error).__name__} ({place}): this is a fault in medbench",
        fix=f"{details}for a report without your texts: medbench doctor --bundle report.zip",
    )


class Lines(logging.Formatter):
    """Lines for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s:%(lineno)d: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One record; its first line has all but the rest of a message of several."""
        return "\n    ".join(printable(super().format(record)).splitlines())


class JsonLines(logging.Formatter):
    """A JSON object a line for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        from datetime import UTC, datetime

        from reports.json_text import dumps

        value = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": f"{record.name}:{record.lineno}",
            "message": printable(record.getMessage()),
        }
        if record.exc_info:
            value["exception"] = printable(self.formatException(record.exc_info))
        return dumps(value)
