"""Plants faults in a served model and records what `medbench verify` makes of them.

    python -m benchmarks.planted_faults RUN OTHER OUT.json [--faults NAME ...] [--limit 24]

RUN is the folder of a finished quickstart, OTHER another adapter on its base. Each fault is served by
`benchmarks.planted_server` with the real base and adapter; the expected causes are compared with those that are named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.evidence import environment
from benchmarks.planted_server import Faults, PlantedModel, serving
from reports.files import read_json, write_json

_OTHER = "OTHER"
_TEMPLATE = "{% for m in messages %}### {{ m['role'] }}:\n{{ m['content'] }}\n{% endfor %}### assistant:\n"
FAULTS: dict[str, tuple[Faults, set[str]]] = {
    "none": (Faults(), set()),
    "full-precision base": (Faults(full_base=True), {"precision"}),
    "adapter missing": (Faults(scale=0), {"missing_adapter"}),
    "wrong adapter": (Faults(adapter=_OTHER), {"wrong_adapter"}),
    "wrong adapter that is not named": (Faults(adapter=_OTHER), {"unidentified"}),
    "scale halved": (Faults(scale=0.5), {"adapter_scale"}),
    "merged twice": (Faults(scale=2), {"merged_twice"}),
    "another template": (Faults(template=_TEMPLATE), {"template"}),
    "double BOS": (Faults(starts=1), {"double_bos"}),
    "missing end token": (Faults(runs_on=True), {"end_token"}),
    "q4_0": (Faults(rounding="q4_0"), {"precision"}),
    "temperature 0.7": (Faults(temperature=0.7), {"sampling"}),
    "context of 256": (Faults(context=256), {"context_cut"}),
    "q4_0 and scale halved": (Faults(scale=0.5, rounding="q4_0"), {"adapter_scale", "precision"}),
    "another template and adapter missing": (Faults(scale=0, template=_TEMPLATE), {"template", "missing_adapter"}),
    "noise on all weights": (Faults(noise=0.02), {"unidentified"}),
}


def verify_with(run: Path, faults: Faults, others: list[str], limit: int, out: Path) -> dict[str, Any]:
    """Outcome and causes of a certificate for a server with these faults."""
    import harness

    settings = ["scoring.served.concurrency=2", "scoring.max_new_tokens=32"]
    tasks = ["medbench_perplexity"]
    start = time.perf_counter()
    with serving(PlantedModel(run, faults)) as url:
        target = f"{url}#adapter"
        document = harness.verify(
            run, target, others=others, limit=limit, tasks=tasks, settings=settings, out=out, quiet=True
        )
    return {
        "outcome": document.outcome,
        "causes": [cause.model_dump() for cause in document.causes],
        "reasons": document.reasons,
        "seconds": round(time.perf_counter() - start),
    }


def main() -> None:
    """Plant the faults one after another; what is in OUT.json already is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    facts = environment(allow_dirty=args.allow_dirty)
    results = read_json(args.out)["faults"] if args.out.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:  # keeps our own answers from one fault to the next
        for name in args.faults:
            faults, expected = FAULTS[name]
            others = [f"previous={args.other}"] if name == "wrong adapter" else []
            faults = replace(faults, adapter=faults.adapter and str(args.other))
            result = verify_with(args.run, faults, others, args.limit, Path(folder))
            named = {cause["key"] for cause in result["causes"]}
            results[name] = {"expected": sorted(expected), "as_expected": named == expected, **result}
            print(name, result["outcome"], sorted(named), f"{result['seconds']} s", flush=True)
            command = f"python -m benchmarks.planted_faults RUN OTHER OUT.json --limit {args.limit}"
            write_json(args.out, {"command": command, "faults": results, "environment": facts})
    sys.exit(not all(result["as_expected"] for result in results.values()))


if __name__ == "__main__":
    main()
