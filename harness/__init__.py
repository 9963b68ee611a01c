"""The `medbench` command and its Python API: plan, train, score and report on one base and many adapters.

    import harness
    results = harness.run("quickstart", models="base,adapter", out="runs/quickstart")
    print(results.verdict)

Heavy libraries are imported by the functions that need them, not by this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import ask, export, gate, open_run, plan, push, report, run, score, train
    from harness.sweeps.comparing import compare, sweep

__all__ = ["ask", "compare", "export", "gate", "open_run", "plan", "push", "report", "run", "score", "sweep", "train"]


def __getattr__(name: str) -> Any:
    """A function of the API, imported when it is first named: the command's `--help` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module = "harness.sweeps.comparing" if name in {"compare", "sweep"} else "harness.api"
    return getattr(importlib.import_module(module), name)
