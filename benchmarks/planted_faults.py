"""Plants faults in a served model and records what `medbench verify` makes of them.

    python -m benchmarks.planted_faults RUN OUT.json [--faults NAME ...] [--limit 8]

RUN is the folder of a finished quickstart. Each fault is served by `benchmarks.planted_server` with the real base and
adapter; the expected cause is compared with the one that is named. Minutes for each fault on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.planted_server import Faults, PlantedModel, serving
from harness.environment import describe
from reports.files import read_json, write_json
from training.models.device import device_of
from training.models.quickstart_model import quickstart_model

_TEMPLATE = "{% for m in messages %}### {{ m['role'] }}:\n{{ m['content'] }}\n{% endfor %}### assistant:\n"
FAULTS: dict[str, tuple[Faults, set[str]]] = {
    "none": (Faults(), set()),
    "adapter missing": (Faults(scale=0), {"missing_adapter"}),
    "scale halved": (Faults(scale=0.5), {"adapter_scale"}),
    "merged twice": (Faults(scale=2), {"merged_twice"}),
    "another template": (Faults(template=_TEMPLATE), {"template"}),
    "double BOS": (Faults(starts=1), {"double_bos"}),
    "missing end token": (Faults(runs_on=True), {"end_token"}),
    "q4_0": (Faults(rounding="q4_0"), {"precision"}),
    "temperature 0.7": (Faults(temperature=0.7), {"sampling"}),
    "context of 256": (Faults(context=256), {"context_cut"}),
    "q4_0 and scale halved": (Faults(scale=0.5, rounding="q4_0"), {"adapter_scale", "precision"}),
    "noise on all weights": (Faults(noise=0.02), {"unidentified"}),
}


def verify_with(run: Path, faults: Faults, limit: int) -> dict[str, Any]:
    """Outcome and causes of a certificate for a server with these faults."""
    import harness

    model = PlantedModel(quickstart_model(), run / "adapter", faults)
    settings = ["scoring.served.concurrency=2", "scoring.max_new_tokens=32"]
    tasks = ["medbench_perplexity"]
    with serving(model) as url, tempfile.TemporaryDirectory() as out:
        target = f"{url}#adapter"
        document = harness.verify(run, target, limit=limit, tasks=tasks, settings=settings, out=out, quiet=True)
    return {
        "outcome": document.outcome,
        "causes": [cause.model_dump() for cause in document.causes],
        "reasons": document.reasons,
    }


def main() -> None:
    """Plant the faults one after another; what is in OUT.json already is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--limit", type=int, default=8)
    args = parser.parse_args()
    results = read_json(args.out)["faults"] if args.out.is_file() else {}
    for name in args.faults:
        faults, expected = FAULTS[name]
        result = verify_with(args.run, faults, args.limit)
        named = {cause["key"] for cause in result["causes"]}
        results[name] = {"expected": sorted(expected), "as_expected": named == expected, **result}
        print(name, result["outcome"], sorted(named), flush=True)
        command = f"python -m benchmarks.planted_faults RUN OUT.json --limit {args.limit}"
        write_json(args.out, {"command": command, "faults": results, "environment": describe(device_of("cpu"))})


if __name__ == "__main__":
    main()
