"""medbench from Python: `run = medbench.load("runs/mine")`, then `run.scores` and other pandas frames.

Names are imported on first use, so that `import medbench` is fast. The functions of the commands are here too:
`medbench.run("quickstart", out="runs/mine")`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from medbench.clashes import claim_names

claim_names()

if TYPE_CHECKING:
    from harness import ask, compare, export, gate, open_run, plan, push, report, run, score, sweep, train
    from harness.loading import Run, load
    from medbench import metrics, stats
    from reports.errors import UserError
    from reports.version import __version__

__all__ = ["Run", "UserError", "__version__", "ask", "compare", "export", "gate", "load", "metrics", "open_run"]
__all__ += ["plan", "push", "report", "run", "score", "stats", "sweep", "train"]
_MODULES = {"Run": "harness.loading", "load": "harness.loading", "UserError": "reports.errors"}
_MODULES |= {"__version__": "reports.version"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'medbench' has no attribute {name!r}")
    if name in ("metrics", "stats"):
        return importlib.import_module(f"medbench.{name}")
    return getattr(importlib.import_module(_MODULES.get(name, "harness")), name)
