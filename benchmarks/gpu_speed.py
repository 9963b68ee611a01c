"""Times medbench's engines on a GPU against stock lm-eval: an 8B Llama shape with random weights and three adapters.

    python -m benchmarks.gpu_speed STAGE ... --work FOLDER --out FOLDER [--pubmedqa FILE] [--reasoning FILE]

256 prompts x 256 tokens and 200 PubMedQA items, asked of base and adapters. Stages, each kept in OUT/STAGE.json:
`make` (model and adapters), `stock` (lm-eval: batch 8 on a part of the prompts, larger batches on all), `ours`
(transformers engine), `restart` (it started again), `step` (a decoding step), `many` (ten adapters), `vllm` (vLLM
engine, cold and then steady), `warm` (vLLM started again), `agree` (SmolLM2-135M: both engines' answers compared),
`shapes` (Qwen and Gemma: the transformers engine's time against stock lm-eval's, and answers in float32), `table`
(ratios from the others, gpu_speed.json).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.agreement import compare
from benchmarks.random_adapter import make_adapter
from benchmarks.speed_items import GENERATION, PUBMEDQA, write_tasks
from harness.environment import describe
from reports.files import read_json, write_json
from training.models.device import device_of
from training.models.quickstart_model import quickstart_model

PROMPTS, NEW_TOKENS, QUESTIONS, ADAPTERS = 256, 256, 200, 3
_MANY = 10  # adapters
_SHAPES = {"llama-8b": ("qwen-7b-12-layers", "gemma2-9b-12-layers"), "tiny": ("qwen-tiny", "gemma2-tiny")}  # of others
_PART = (
    16  # prompts that stock lm-eval is timed on at batch 8; all rows have the same length, so they stand for the rest
)
_BATCHES = {"base": (8, 256), "adapter": (8, 256)}
_NOISE = 0.25  # nats; two engines may choose different labels where one of them has a smaller margin than this


class Benchmark:
    """The stages; see above."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._work: Path = args.work
        self._out: Path = args.out
        self._args = args
        self._model = self._work / "llama-8b"
        self._small = quickstart_model(print)

    def make(self) -> dict[str, Any]:
        """Random model, adapters and tasks."""
        from benchmarks.random_shape import make

        started = time.perf_counter()
        make(str(self._small), self._model, self._args.shape)
        for number in range(ADAPTERS):
            make_adapter(self._model, self._work / f"adapter{number}", seed=number)
        self._tasks("tasks", {PUBMEDQA: QUESTIONS, GENERATION: PROMPTS}, NEW_TOKENS)
        return {"seconds": time.perf_counter() - started}

    def stock(self) -> dict[str, Any]:
        """Stock lm-eval, base and one adapter."""
        found = {}
        for name, batches in _BATCHES.items():
            first, *larger = batches
            runs = [f"{first}:{GENERATION}:{_PART}", f"{first}:{PUBMEDQA}:", *(f"{n}:{GENERATION}:{n}" for n in larger)]
            words = ["--run", *runs]
            if name == "adapter":
                words += ["--adapter", str(self._work / "adapter0")]
            found[name] = self._run("benchmarks.stock_run", "tasks", self._model, words)
            for run in found[name]["runs"]:
                del run["answers"]
        return found

    def ours(self) -> dict[str, Any]:
        """The transformers engine, twice over."""
        return self._engine("--again")

    def restart(self) -> dict[str, Any]:
        """The transformers engine again, with what the first start compiled."""
        return self._engine()

    def step(self) -> dict[str, Any]:
        """Milliseconds of a decoding step of the base at fixed lengths, replayed from a CUDA graph."""
        return self._run("benchmarks.decoding_step", None, self._model, [])

    def many(self) -> dict[str, Any]:
        """The transformers engine with ten adapters and few prompts: what an adapter adds to start and switch."""
        for number in range(ADAPTERS, _MANY):
            make_adapter(self._model, self._work / f"adapter{number}", seed=number)
        self._tasks("few", {PUBMEDQA: 8, GENERATION: 8}, 8)
        runs = [self._run("benchmarks.our_run", "few", self._model, self._adapters(count)) for count in (1, _MANY)]
        seconds = [run["setup"]["start_seconds"] + run["answer_seconds"] for run in runs]
        own = [sum(task["seconds"] for tasks in run["costs"].values() for task in tasks.values()) for run in runs]
        added = (seconds[1] - seconds[0] - own[1] + own[0]) / (_MANY - 1)
        return {"runs": [self._without_answers(run) for run in runs], "seconds_beside_answers": added}

    def vllm(self) -> dict[str, Any]:
        """The vLLM engine, with nothing compiled before."""
        return self._engine("--engine", "vllm")

    def warm(self) -> dict[str, Any]:
        """VLLM again, with what the first start compiled, and a steady round."""
        return self._engine("--again", "--engine", "vllm")

    def agree(self) -> dict[str, Any]:
        """SmolLM2-135M with given or random adapters: both engines in bfloat16, and float32 as the truth."""
        folders = [Path(folder) for folder in self._args.adapter]
        if not folders:
            folders = [self._work / "small-adapter"]
            make_adapter(self._small, folders[0])
        self._tasks("small", {PUBMEDQA: 500 if self._args.pubmedqa else QUESTIONS, GENERATION: 32}, 128)
        words = [word for n, folder in enumerate(folders) for word in ("--adapter", f"a{n}={folder}")]
        sides = {
            "transformers": words,
            "vllm": [*words, "--engine", "vllm"],
            "unmerged": [*words, "--mode", "unmerged"],
            "float32": [*words, "--dtype", "float32"],
        }
        runs = {name: self._run("benchmarks.our_run", "small", self._small, more) for name, more in sides.items()}
        found: dict[str, Any] = {"noise": _NOISE, "adapters": "trained" if self._args.adapter else "random"}
        holds = True
        for model in runs["transformers"]["answers"]:
            answers = {name: run["answers"][model] for name, run in runs.items()}
            pairs = (
                ("transformers", "vllm"),
                ("transformers", "float32"),
                ("vllm", "float32"),
                ("unmerged", "float32"),
            )
            found[model] = {f"{one} and {other}": compare(answers[one], answers[other]) for one, other in pairs}
            different = found[model]["transformers and vllm"]["choices_different"]
            holds &= all(min(item["margins"]) < _NOISE for item in different)
        given = [("--pubmedqa", self._args.pubmedqa), ("--reasoning", self._args.reasoning)]
        given += [("--adapter", folder) for folder in self._args.adapter]
        options = [word for option, path in given if path for word in (option, Path(path).name)]
        return {**found, "holds": holds, **self._about("agree", *(["--", *options] if options else []))}

    def shapes(self) -> dict[str, Any]:
        """Bases of other families: seconds of both sides in bfloat16, and their answers in float32 compared."""
        from benchmarks.random_shape import make

        self._tasks("exact", {PUBMEDQA: 24, GENERATION: 8}, 32)
        found: dict[str, Any] = {}
        for shape in _SHAPES[self._args.shape]:
            model = self._work / shape
            make(str(self._small), model, shape)
            ours = self._run("benchmarks.our_run", "tasks", model, ["--again"])
            runs = [f"{PROMPTS}:{GENERATION}:{PROMPTS}", f"8:{PUBMEDQA}:"]
            stock = self._run("benchmarks.stock_run", "tasks", model, ["--run", *runs])
            exact = self._run("benchmarks.our_run", "exact", model, ["--dtype", "float32"])
            truth = self._run("benchmarks.stock_run", "exact", model, ["--dtype", "float32"])
            seconds = [sum(part["seconds"].values()) for part in stock["runs"]]
            found[shape] = {
                "stock_seconds": dict(zip(("generation", "questions"), seconds, strict=True)),
                "our_seconds": ours["again"]["answer_seconds"],
                "ratio": sum(seconds) / ours["again"]["answer_seconds"],
                "setup": ours["setup"],
                "float32": compare(exact["answers"]["base"], truth["runs"][0]["answers"]),
            }
        return found

    def table(self) -> dict[str, Any]:
        """Ratios from what the other stages measured."""
        stages = {name: read_json(path) for name in STAGES if (path := self._out / f"{name}.json").is_file()}
        found: dict[str, Any] = {"stages": stages, "ratios": {}, **self._about()}
        if "stock" not in stages:
            return found
        speeds = _stock_speeds(stages["stock"])
        found["stock_tokens_per_second"] = speeds
        tokens = PROMPTS * NEW_TOKENS
        at_8, best, building = 0.0, 0.0, 0.0  # seconds of stock lm-eval's four runs; of building their questions
        for name, runs in (("base", 1), ("adapter", ADAPTERS)):
            stock = stages["stock"][name]
            other = stock["load_seconds"] + stock["runs"][1]["seconds"]["loglikelihood"]
            answering = sum(sum(part["seconds"].values()) for part in stock["runs"])
            building += runs * (stock["total_seconds"] - stock["load_seconds"] - answering) / len(stock["runs"])
            at_8 += runs * (other + tokens / speeds[name][str(_BATCHES[name][0])])
            best += runs * (other + tokens / max(speeds[name].values()))
        found["stock_four_runs_seconds"] = {"batch 8": at_8, "best batch": best, "building questions": building}
        for name in ("ours", "restart", "vllm", "warm"):
            if name not in stages:
                continue
            run = stages[name]
            steady = run.get("again", run)["answer_seconds"]
            found["ratios"][name] = {
                "steady, against stock at batch 8": at_8 / steady,
                "steady, against stock at its best batch": best / steady,
                "whole process, against stock at batch 8": (at_8 + building) / run["total_seconds"],
                "whole process, against stock at its best batch": (best + building) / run["total_seconds"],
                "generated tokens a second, steady": _generated(run) / steady,
            }
        return found

    def _about(self, *words: str) -> dict[str, Any]:
        """The command that a file is kept with, without the folders of this machine, and the machine."""
        command = " ".join(["benchmarks/gpu_speed.sh OUT", *words])
        return {"command": command, "environment": describe(device_of(self._args.device))}

    def _adapters(self, count: int = ADAPTERS) -> list[str]:
        return [word for n in range(count) for word in ("--adapter", f"a{n}={self._work / f'adapter{n}'}")]

    def _tasks(self, name: str, counts: dict[str, int], new_tokens: int) -> None:
        folder = self._work / name
        folder.mkdir(parents=True, exist_ok=True)
        args = self._args
        settings: dict[str, Any] = {"pubmedqa": args.pubmedqa, "reasoning": args.reasoning, "new_tokens": new_tokens}
        write_tasks(folder, str(self._small), counts=counts, **settings)

    def _run(self, module: str, tasks: str | None, model: Path, words: list[str]) -> dict[str, Any]:
        out = self._work / "out.json"
        folders = [str(self._work / tasks)] if tasks else []
        command = [sys.executable, "-m", module, *folders, str(out), "--model", str(model)]
        started = time.perf_counter()
        subprocess.run([*command, "--device", self._args.device, *words], check=True)  # noqa: S603
        return {**read_json(out), "process_seconds": time.perf_counter() - started}

    def _engine(self, *words: str) -> dict[str, Any]:
        """One of our engines with all adapters, without the answers."""
        run = self._run("benchmarks.our_run", "tasks", self._model, [*self._adapters(), *words])
        return self._without_answers(run)

    def _without_answers(self, run: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in run.items() if key != "answers"}


STAGES: dict[str, Callable[[Benchmark], dict[str, Any]]] = {
    name: getattr(Benchmark, name)
    for name in ("make", "stock", "ours", "restart", "step", "many", "vllm", "warm", "agree", "shapes", "table")
}


def _stock_speeds(stock: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Generated tokens a second by model and batch."""
    speeds: dict[str, dict[str, float]] = {}
    for name, run in stock.items():
        for part in run["runs"]:
            if seconds := part["seconds"]["generate_until"]:
                prompts = _PART if part["batch"] == _BATCHES[name][0] else part["batch"]
                speeds.setdefault(name, {})[str(part["batch"])] = prompts * NEW_TOKENS / seconds
    return speeds


def _generated(run: dict[str, Any]) -> int:
    return sum(int(task["generated_tokens"]) for tasks in run["costs"].values() for task in tasks.values())


def main() -> None:
    """Run stages from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="+", choices=STAGES)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pubmedqa")
    parser.add_argument("--reasoning")
    parser.add_argument("--adapter", action="append", default=[], help="of SmolLM2-135M, for `agree`; may be repeated")
    parser.add_argument("--shape", default="llama-8b")
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(args)
    for stage in args.stage:
        found = STAGES[stage](benchmark)
        if stage == "table":
            print(json.dumps({key: value for key, value in found.items() if key != "stages"}, indent=1))
        write_json(args.out / f"{'gpu_speed' if stage == 'table' else stage}.json", found)


if __name__ == "__main__":
    main()
