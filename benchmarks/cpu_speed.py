"""Times medbench's scoring on a CPU against stock lm-eval (one run for the base, one with `peft=`), on the same items.

    python -m benchmarks.cpu_speed --out benchmarks/results/cpu_speed.json [--adapter FOLDER]
        [--pubmedqa ori_pqal.json] [--reasoning test_data.jsonl] [--check-only]

60 PubMedQA items, 20 texts, 16 generations of 96 tokens, SmolLM2-135M in bfloat16, base and one adapter; a further
adapter; and the generations one prompt at a time, as notebooks do. Every side is a process of its own with its imports.
In float32 all answers must be those of stock lm-eval. Without files the items are the synthetic samples and the adapter
is random. Times mean something on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.agreement import all_equal, compare
from benchmarks.random_adapter import make_adapter
from benchmarks.speed_items import GENERATION, PERPLEXITY, PUBMEDQA, write_tasks
from harness.environment import describe
from reports.files import read_json, write_json
from training.models.device import device_of
from training.models.quickstart_model import quickstart_model

COUNTS = {PUBMEDQA: 60, PERPLEXITY: 20, GENERATION: 16}
NEW_TOKENS = 96
_TOLERANCE = 1e-5  # of summed log-likelihoods; with 3 nats a token, perplexity then agrees to 1e-4
_ONE_AT_A_TIME = """
import json, sys, time
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
prompts = [json.loads(line)["prompt"] for line in open(sys.argv[1], encoding="utf-8")]
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(sys.argv[2], dtype=torch.bfloat16).eval()
started, tokens = time.perf_counter(), 0
with torch.inference_mode():
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        found = model.generate(**inputs, max_new_tokens=int(sys.argv[3]), do_sample=False)
        tokens += found.shape[1] - inputs.input_ids.shape[1]
json.dump({"seconds": time.perf_counter() - started, "tokens": tokens}, open(sys.argv[4], "w"))
"""


class Sides:
    """Runs each side as a process and reads what it wrote."""

    def __init__(self, work: Path, model: str, adapter: str) -> None:
        self._work = work
        self._model = model
        self._adapter = adapter

    def stock(self, *, peft: bool, dtype: str = "bfloat16") -> dict[str, Any]:
        """One run of stock lm-eval, as its command makes it."""
        adapter = ["--adapter", self._adapter] if peft else []
        found = self._run("benchmarks.stock_run", ["--dtype", dtype, *adapter])
        return {**found, **found["runs"][0]}

    def ours(self, adapters: int, dtype: str = "bfloat16", mode: str = "auto") -> dict[str, Any]:
        """Base and so many adapters in one process."""
        words = [word for number in range(adapters) for word in ("--adapter", f"a{number}={self._adapter}")]
        return self._run("benchmarks.our_run", ["--dtype", dtype, "--mode", mode, *words])

    def one_at_a_time(self) -> dict[str, Any]:
        """Generations of the base by `generate`, one prompt after the other."""
        out = self._work / "single.json"
        words = [str(self._work / f"{GENERATION}.jsonl"), self._model, str(NEW_TOKENS), str(out)]
        subprocess.run([sys.executable, "-c", _ONE_AT_A_TIME, *words], check=True, capture_output=True)  # noqa: S603
        return dict(read_json(out))

    def _run(self, module: str, words: list[str]) -> dict[str, Any]:
        out = self._work / "out.json"
        command = [sys.executable, "-m", module, str(self._work), str(out), "--model", self._model, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        found = dict(read_json(out))
        print(f"{module} {' '.join(words)}: {found['total_seconds']:.1f} s", flush=True)
        return found


def check_answers(sides: Sides) -> dict[str, Any]:
    """In float32: base and adapter against stock lm-eval with its softmax in float32."""
    ours = {mode: sides.ours(1, "float32", mode)["answers"] for mode in ("merged", "unmerged")}
    found: dict[str, Any] = {}
    for name, peft in (("base", False), ("a0", True)):
        theirs = sides.stock(peft=peft, dtype="float32")["answers"]
        for mode, answers in ours.items():
            found[f"{'adapter' if peft else 'base'}, {mode}"] = compare(answers[name], theirs)
    found["identical"] = all(all_equal(each, tolerance=_TOLERANCE) for each in found.values())
    return found


def measure(sides: Sides, rounds: int) -> dict[str, Any]:
    """Times and peak memory of all sides, in turns; of several rounds the fastest of each."""
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        found.setdefault("stock_base", []).append(sides.stock(peft=False))
        found.setdefault("ours", []).append(sides.ours(1))
        found.setdefault("stock_adapter", []).append(sides.stock(peft=True))
        found.setdefault("ours_two_adapters", []).append(sides.ours(2))
    best = {name: min(runs, key=lambda run: run["total_seconds"]) for name, runs in found.items()}
    stock = best["stock_base"]["total_seconds"] + best["stock_adapter"]["total_seconds"]
    further = best["ours_two_adapters"]["total_seconds"] - best["ours"]["total_seconds"]
    single = sides.one_at_a_time()
    ours_single = best["ours"]["costs"]["base"][GENERATION]["seconds"]
    return {
        "seconds": {
            "stock, base": best["stock_base"]["seconds"] | {"all": best["stock_base"]["total_seconds"]},
            "stock, adapter": best["stock_adapter"]["seconds"] | {"all": best["stock_adapter"]["total_seconds"]},
            "medbench, base and adapter": {
                f"{model}, {task}": cost["seconds"]
                for model, tasks in best["ours"]["costs"].items()
                for task, cost in tasks.items()
            }
            | {"all": best["ours"]["total_seconds"]},
            "medbench, further adapter": further,
            "one prompt at a time": single["seconds"],
        },
        "ratios": {
            "end to end": stock / best["ours"]["total_seconds"],
            "further adapter": best["stock_adapter"]["total_seconds"] / further,
            "generation, against one prompt at a time": single["seconds"] / ours_single,
        },
        "peak_memory_bytes": {name: each["peak_memory_bytes"] for name, each in best.items()},
        "agreement_in_bfloat16": {
            "base": compare(best["ours"]["answers"]["base"], best["stock_base"]["answers"]),
            "adapter": compare(best["ours"]["answers"]["a0"], best["stock_adapter"]["answers"]),
        },
        "all_rounds_total_seconds": {name: [run["total_seconds"] for run in runs] for name, runs in found.items()},
    }


def main() -> None:
    """Check answers, measure, print the ratios, and write everything down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--pubmedqa")
    parser.add_argument("--reasoning")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--check-only", action="store_true", help="only compare answers in float32")
    args = parser.parse_args()
    model = quickstart_model(print)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_tasks(
            work, str(model), pubmedqa=args.pubmedqa, reasoning=args.reasoning, counts=COUNTS, new_tokens=NEW_TOKENS
        )
        adapter = args.adapter
        if adapter is None:
            adapter = work / "adapter"
            make_adapter(model, adapter)
        sides = Sides(work, str(model), str(adapter))
        found = {} if args.check_only else measure(sides, args.rounds)
        found["agreement_in_float32"] = check_answers(sides)
    found |= {
        "command": "python -m benchmarks.cpu_speed --out benchmarks/results/cpu_speed.json",
        "items": {**COUNTS, "new_tokens": NEW_TOKENS, "synthetic": args.pubmedqa is None or args.reasoning is None},
        "adapter": "trained" if args.adapter else "random",
        "environment": describe(device_of("cpu")),
    }
    write_json(args.out, found)
    shown = {key: found.get(key) for key in ("ratios", "seconds", "peak_memory_bytes", "agreement_in_float32")}
    print(json.dumps(shown, indent=1))
    sys.exit(0 if found["agreement_in_float32"]["identical"] else 1)


if __name__ == "__main__":
    main()
