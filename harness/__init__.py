"""The `medbench` command and its Python API: plan, train, score and report on one base and many adapters.

    import harness
    results = harness.run("quickstart", models="base,adapter", out="runs/quickstart")
    print(results.verdict)

Heavy libraries are imported by the functions that need them, not by this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import ask, plan, report, run, score, train
    from harness.bundles.bundling import bundle
    from harness.judging.judging import judge
    from harness.opening import open_run
    from harness.releases.exporting import export
    from harness.releases.gating import gate
    from harness.releases.publishing import push
    from harness.releases.verifying import verify
    from harness.sweeps.sweeping import compare, sweep

__all__ = [
    "ask",
    "bundle",
    "compare",
    "export",
    "gate",
    "judge",
    "open_run",
    "plan",
    "push",
    "report",
    "run",
    "score",
    "sweep",
    "train",
    "verify",
]

importlib.import_module("medbench")  # before all others: it makes sure that `tasks` and its like are ours

_ELSEWHERE = {
    "bundle": "harness.bundles.bundling",
    "compare": "harness.sweeps.sweeping",
    "export": "harness.releases.exporting",
    "gate": "harness.releases.gating",
    "judge": "harness.judging.judging",
    "open_run": "harness.opening",
    "push": "harness.releases.publishing",
    "sweep": "harness.sweeps.sweeping",
    "verify": "harness.releases.verifying",
}


def __getattr__(name: str) -> Any:
    """A function of the API, imported when it is first named: the command's `--help` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "harness.api")), name)
