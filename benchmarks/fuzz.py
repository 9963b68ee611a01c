"""Runs the command on thousands of hostile inputs of every kind, watched, and writes what came of it as JSON.

    python -m benchmarks.fuzz --examples 2400 --out benchmarks/results/fuzz.json

Each input ends with exit code 2 and a message, or is taken; never a traceback, never longer than five seconds, and no
file outside the run folder is written (an audit hook watches). The tests run some of each kind; see `tests/fuzzing`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import yaml

from harness.environment import describe
from reports.files import write_json
from reports.version import __version__
from tests.conftest import make_model, tiny_recipe_value
from tests.fuzzing.bench import MOST_SECONDS, Bench, make_bench
from tests.fuzzing.targets import TARGETS, fuzz
from training.models.device import device_of


def prepare(root: Path) -> Bench:
    """A bench with a tiny model and a finished run of it."""
    import harness

    model = make_model(root / "tiny")
    recipe = root / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(tiny_recipe_value(model)), encoding="utf-8")
    harness.run(str(recipe), out=root / "run", quiet=True)
    return make_bench(root / "bench", recipe, model, root / "run")


def main() -> None:
    """Fuzz all kinds alike."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--examples", type=int, default=2400, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fuzz.json"))
    words = parser.parse_args()
    each = -(-words.examples // len(TARGETS))
    with tempfile.TemporaryDirectory(prefix="medbench-fuzz-") as folder:
        bench = prepare(Path(folder))
        failed: list[str] = []
        started = time.perf_counter()
        for name in TARGETS:
            fuzz(name, bench, each, seed=words.seed, failed=failed)
            print(name, dict(bench.codes[name]), f"slowest {bench.slowest[name]:.2f} s")
    for told in failed:
        print(told)
    value = {
        "medbench": __version__,
        "seed": words.seed,
        "inputs": sum(sum(codes.values()) for codes in bench.codes.values()),
        "failed": len(failed),
        "longest_allowed_seconds": MOST_SECONDS,
        "seconds": round(time.perf_counter() - started, 1),
        "kinds": {
            name: {
                "inputs": sum(codes.values()),
                "exit_codes": {str(code): codes[code] for code in sorted(codes)},
                "slowest_processor_seconds": round(bench.slowest[name], 3),
            }
            for name, codes in bench.codes.items()
        },
        "environment": describe(device_of("cpu")),
    }
    write_json(words.out, value)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
