"""Sends what libraries log, warn and draw to the run's log file, so that the terminal shows only what medbench says."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

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


def quiet_libraries() -> None:
    """Turn off progress bars and notices of libraries; call before they are imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


def log_to(path: Path | None) -> None:
    """Log to a file from now on, or nowhere for None; what libraries print by handlers of their own goes there too."""
    quiet_libraries()
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if each.get_name() == _MARK]:
        root.removeHandler(earlier)
        earlier.close()
    handler: logging.Handler = logging.NullHandler() if path is None else logging.FileHandler(path, encoding="utf-8")
    handler.set_name(_MARK)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    logging.getLogger("medbench").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a full disk is told by whoever writes results; lines of a log may be lost
    warnings.simplefilter("default")
    import datasets  # noqa: F401 - these two make handlers of their own when imported, so they are, before they lose them
    import transformers  # noqa: F401

    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        for own in list(logger.handlers):
            if isinstance(own, logging.StreamHandler) and not isinstance(own, logging.FileHandler):
                logger.removeHandler(own)
        logger.propagate = True
