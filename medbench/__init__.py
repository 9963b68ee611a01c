"""medbench from Python: `medbench.run("quickstart")`, `medbench.load("runs/mine").scores`; imported on first use."""

import importlib
from typing import TYPE_CHECKING, Any

from medbench.clashes import claim_names

claim_names()

if TYPE_CHECKING:
    from harness import ask, bundle, compare, export, gate, judge, open_run, plan  # noqa: I001 - two lines, not sixteen
    from harness import push, report, run, score, sweep, train, verify
    from harness import metrics as metrics
    from harness import stats as stats
    from harness.__main__ import main
    from harness.loading import Run, load
    from reports.errors import UserError
    from reports.version import __version__

__all__ = ["Run", "UserError", "__version__", "ask", "bundle", "compare", "export", "gate", "judge", "load", "main"]
__all__ += ["metrics", "open_run", "plan", "push", "report", "run", "score", "stats", "sweep", "train", "verify"]
_MODULES = dict.fromkeys(("Run", "load"), "harness.loading") | {"main": "harness.__main__"}
_MODULES |= {"UserError": "reports.errors", "__version__": "reports.version"}
_MODULES |= {name: f"harness.{name}" for name in ("metrics", "stats")}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'medbench' has no attribute {name!r}")
    module = importlib.import_module(_MODULES.get(name, "harness"))
    return module if name in {"metrics", "stats"} else getattr(module, name)
