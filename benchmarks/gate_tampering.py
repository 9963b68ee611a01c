"""Edits a finished run, its baseline and the policy in thousands of ways, and counts edits that the gate falls for.

    python -m benchmarks.gate_tampering --edits 2400 --out benchmarks/results/gate_tampering.json

An edit changes one thing: a value of results.json, of a sample or of a log, bytes of any file, a file of the stored
baseline, or a key of the policy. The gate must end with exit code 2, or judge no rule more favourably than without the
edit. The tests make some edits of each kind; see `tests/fuzzing/tampering.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness.environment import describe
from reports.files import write_json
from tests.conftest import make_model
from tests.fuzzing.tampering import KINDS, prepare, tamper
from training.models.device import device_of


def main() -> None:
    """Make equally many edits of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--edits", type=int, default=2400, help="of all kinds together")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    kinds = words.kinds.split(",")
    with tempfile.TemporaryDirectory(prefix="medbench-tampering-") as folder:
        root = Path(folder)
        tampering = prepare(root, make_model(root / "tiny"))
        for kind in kinds:
            for seed in range(-(-words.edits // len(kinds))):
                tamper(tampering, kind, seed)
            print(kind, {code: n for (name, code), n in sorted(tampering.codes.items()) if name == kind}, flush=True)
    print("\n".join(tampering.deceived))
    value = {
        "command": f"python -m benchmarks.gate_tampering --edits {words.edits}",
        "rules": len(tampering.intact),
        "edits": sum(tampering.codes.values()),
        "exit_codes": {
            kind: {str(code): n for (name, code), n in sorted(tampering.codes.items()) if name == kind}
            for kind in kinds
        },
        "deceived": len(tampering.deceived),
        "environment": describe(device_of("cpu")),
    }
    if words.out:
        write_json(words.out, value)


if __name__ == "__main__":
    main()
