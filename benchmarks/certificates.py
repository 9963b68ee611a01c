"""Certifies an adapter's merged folder, its f16 GGUF file and, if one runs, a server of it: all without a fault.

    python -m benchmarks.certificates WORK OUT.json [--limit 150] [--url http://127.0.0.1:8011/v1#adapter]
        [--pubmedqa ori_pqal.json] [--rows train_data.jsonl] [--tasks medbench_pubmedqa,medbench_perplexity]

The three commands of docs/verify.md, timed, for each form. WORK/run is the run that they use; what is there of it and
of exports is kept, and so are certificates in OUT.json. A server holds the base in full precision, so its reference is
scored so too. Exits with 1 unless all certificates are equivalent.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.evidence import environment
from reports.document.verification import VERIFY_FILE
from reports.files import read_json, write_json

_METRIC = ("task", "items", "reference", "target", "difference", "low", "high", "margin", "outcome", "items_needed")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--url", help="a server of WORK/run/adapter, with #MODEL")
    parser.add_argument("--pubmedqa", help="ori_pqal.json; the samples if not given")
    parser.add_argument("--rows", help="held-out reasoning rows; the samples if not given")
    parser.add_argument("--tasks", help="instead of the quickstart's")
    parser.add_argument("--only", nargs="*", default=[], choices=["run", "merged", "gguf", "server"])
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    facts = environment(allow_dirty=args.allow_dirty)
    chosen = args.only or ["run", "merged", "gguf", *(["server"] if args.url else [])]
    tasks = ["--tasks", args.tasks] if args.tasks else []
    items, in_full = ["--limit", str(args.limit), *tasks, *_settings(args)], ["--set", "scoring.base=full"]
    run, full = args.work / "run", args.work / "full"
    earlier = read_json(args.out) if args.out.is_file() else {"seconds": {}, "certificates": {}}
    result: dict[str, Any] = {
        "what": (__doc__ or "").splitlines()[0],
        "command": " ".join(["python -m benchmarks.certificates WORK OUT.json --limit", str(args.limit), *tasks]),
        "environment": facts,
        "seconds": earlier["seconds"],
        "certificates": earlier["certificates"],
    }
    steps = {
        "run": [["run", *items, "--out", str(run)]],
        "merged": [
            ["export", str(run), "--out", str(args.work / "merged")],
            ["verify", str(run), str(args.work / "merged")],
        ],
        "gguf": [
            ["export", str(run), "--gguf", "f16", "--out", str(args.work / "model.gguf")],
            ["verify", str(run), str(args.work / "model.gguf")],
        ],
        "server": [
            ["score", *items, *in_full, "--out", str(full)],
            ["verify", str(full), str(args.url)],
        ],
    }
    for form in chosen:
        if form == "server":
            shutil.copytree(run, full, dirs_exist_ok=True)
        for command in steps[form]:
            is_verify = command[0] == "verify"
            if command[0] == "export" and Path(command[-1]).exists():
                continue
            seconds = _medbench([*command, *(["--out", str(args.work / f"verify-{form}")] if is_verify else [])])
            result["seconds"][f"{command[0]} {form}"] = seconds
            if is_verify:
                result["certificates"][form] = _facts(read_json(args.work / f"verify-{form}" / VERIFY_FILE))
            write_json(args.out, result)
    outcomes = {form: facts["outcome"] for form, facts in result["certificates"].items()}
    print(outcomes, result["seconds"])
    sys.exit(set(outcomes.values()) - {"equivalent"} != set())


def _settings(args: argparse.Namespace) -> list[str]:
    """Flags of `medbench run` for other items than the samples."""
    settings = ["scoring.noise_items=0", "scoring.max_new_tokens=64", "scoring.limits={}"]
    settings += [f"data.pubmedqa={{source: {args.pubmedqa}}}"] if args.pubmedqa else []
    settings += ["data.reasoning_rows=null", f"data.reasoning={{source: {args.rows}}}"] if args.rows else []
    return [word for setting in settings for word in ("--set", setting)]


def _medbench(words: list[str]) -> float:
    """Run a command; its seconds. A certificate's exit codes 1 and 3 are results."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "harness", *words], check=False)  # noqa: S603 - our own command
    if done.returncode not in ((0, 1, 3) if words[0] == "verify" else (0,)):
        raise SystemExit(f"medbench {' '.join(words)} ended with {done.returncode}")
    return round(time.perf_counter() - start, 1)


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    """What of a certificate counts here."""
    return {
        "outcome": document["outcome"],
        "items": document["items"],
        "target": {key: document["target"][key] for key in ("kind", "form", "engine", "server")},
        "reference": {key: document["reference"][key] for key in ("weights", "engine")},
        "prompts": {key: document["prompts"][key] for key in ("items", "equal")},
        "likelihoods": document["likelihoods"],
        "metrics": [
            {"metric": part["info"]["title"]} | {key: part[key] for key in _METRIC} for part in document["metrics"]
        ],
        "causes": document["causes"],
        "reasons": document["reasons"],
    }


if __name__ == "__main__":
    main()
