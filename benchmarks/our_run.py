"""One run of medbench's engine as a process of its own, on the same task files as `benchmarks.stock_run`.

    python -m benchmarks.our_run TASKS-FOLDER OUT.json --model FOLDER [--adapter NAME=FOLDER ...] ...

Everything that scoring does is in it: imports, loading, requests by lm-eval's tasks, answers, metrics by lm-eval.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter", action="append", default=[])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--mode", choices=("auto", "merged", "unmerged"), default="auto")
    parser.add_argument("--settings", type=json.loads, default={}, help="of vllm.LLM, as JSON")
    parser.add_argument("--again", action="store_true", help="answer everything twice; the second round is kept too")
    args = parser.parse_args()
    from harness.logs import quiet_libraries

    quiet_libraries()
    from lm_eval.tasks import TaskManager

    from harness.planning.lm_tasks import LoadedTask
    from harness.scoring.lm import RequestMaker
    from harness.scoring.questions import make_questions
    from harness.scoring.stage import build_requests
    from reports.document.schema import TaskInfo
    from reports.files import write_json
    from tasks.rendering import load_tokenizer
    from training.models.model import BASE

    stages = {"imports": time.perf_counter() - STARTED}
    manager = TaskManager(include_path=str(args.tasks), include_defaults=False)
    maker = RequestMaker(load_tokenizer(args.model), 0)
    folders = {name: Path(folder) for name, folder in (pair.split("=", 1) for pair in args.adapter)}
    questions: dict[tuple[str, str], Any] = {}
    for name in sorted(path.stem for path in args.tasks.glob("*.yaml")):
        task = manager.load([name])["tasks"][name]
        loaded = LoadedTask(name, task, list(range(len(task.eval_docs))), None, "", TaskInfo(name=name, title=name))
        single = make_questions(loaded, maker, 0)
        questions |= {(model, name): single for model in (BASE, *folders)}
    pairs = sorted(questions, key=lambda pair: [BASE, *folders].index(pair[0]))
    stages["questions"] = time.perf_counter() - STARTED
    engine = _engine(args, folders, build_requests(questions, pairs))
    stages["engine"] = time.perf_counter() - STARTED
    first = _ask(engine, questions, pairs)
    found = {
        **first,
        "setup": engine.setup,
        "seconds_until": stages,
        "total_seconds": time.perf_counter() - STARTED,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if args.again:
        if args.engine == "vllm":  # or its second round finds all prompts in the prefix cache, which no run does
            getattr(engine, "_llm").reset_prefix_cache()  # noqa: B009 - only a benchmark asks everything twice
        again = _ask(engine, questions, pairs)
        found["again"] = {key: value for key, value in again.items() if key != "answers"}
        found["again"]["same_answers"] = again["answers"] == first["answers"]
    write_json(args.out, found)
    print({key: value for key, value in found.items() if key != "answers"}, flush=True)


def _engine(args: argparse.Namespace, folders: dict[str, Path], asked: list[Any]) -> Any:
    from tasks.rendering import load_tokenizer
    from training.models.device import torch_dtype
    from training.models.model import BASE

    tokenizer = load_tokenizer(args.model)
    if args.engine == "vllm":
        from transformers import GenerationConfig

        from harness.engines.answer_text import AnswerEnd, end_tokens
        from harness.engines.vllm_engine import VllmEngine

        end = AnswerEnd(tokenizer, end_tokens(GenerationConfig.from_pretrained(args.model), tokenizer))
        ends = dict.fromkeys((BASE, *folders), end)
        settings = {"dtype": args.dtype, "settings": args.settings}
        return VllmEngine(Path(args.model), tokenizer, folders, asked, ends=ends, **settings)
    from harness.engines.transformers_engine import TransformersEngine

    def load() -> Any:
        from transformers import AutoModelForCausalLM

        place = 0 if args.device == "cuda" else args.device
        settings = {"dtype": torch_dtype(args.dtype), "device_map": {"": place}}
        return AutoModelForCausalLM.from_pretrained(args.model, **settings).eval()

    return TransformersEngine(load, tokenizer, folders, adapter_mode=args.mode)


def _ask(engine: Any, questions: dict[tuple[str, str], Any], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Ask everything once: answers; and seconds, peak memory and generated tokens by model and task."""
    from harness.scoring.stage import build_requests, stream_responses

    started = time.perf_counter()
    answers: dict[str, dict[str, Any]] = defaultdict(dict)
    costs: dict[str, dict[str, Any]] = defaultdict(dict)
    requests = build_requests(questions, pairs)
    responses = engine.respond(requests)
    for (model, name), found in stream_responses(responses, requests, questions, pairs, lambda *_: None):
        samples = questions[model, name].evaluate(found.__getitem__)["samples"][name]
        answers[model][name] = [[response[0] for response in sample["resps"]] for sample in samples]
        costs[model][name] = {
            "seconds": sum(answer.cost.seconds for answer in found.values()),
            "peak_memory_bytes": max(answer.cost.peak_memory for answer in found.values()),
            "generated_tokens": sum(len(getattr(answer, "tokens", ())) for answer in found.values()),
        }
    return {"answers": dict(answers), "costs": dict(costs), "answer_seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
