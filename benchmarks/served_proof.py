"""Compares models behind a real server with the transformers engine on the same requests, and kills a run midway.

    benchmarks/results/served_cpu.json:
    CONTEXT=2048 bash vllm_cpu.sh VENV BASE-FOLDER 8011 adapter=ADAPTER-FOLDER &
    python -m benchmarks.served_proof OUT.json --url http://127.0.0.1:8011/v1 --adapter ADAPTER-FOLDER \
        [--pubmedqa ori_pqal.json] [--device cuda] [--concurrency 1]

The server has to list the base as `base` and the adapter as `adapter`. Noise is the largest difference of the
transformers engine from itself in another arithmetic: adapters merged, other batches, and float32. Every request to the
server passes a proxy that counts it.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import math
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from harness.engines.interface import GenerateRequest, ModelRequest, PerplexityRequest, Response, ScoreRequest
from training.models.quickstart_model import quickstart_model

MODELS = {"base": "base", "adapter": "adapter"}  # names in the run, and on the server
_SHARE_BEFORE_KILL = 0.4  # of the responses


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="the base's folder; the quickstart's if not given")
    parser.add_argument("--pubmedqa", help="ori_pqal.json; the samples if not given")
    parser.add_argument("--counts", type=int, nargs=3, default=(40, 12, 8), help="questions, texts, generated answers")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--concurrency", type=int, default=1, help="vLLM on a CPU with adapters takes 1")
    parser.add_argument("--allow-dirty", action="store_true")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)  # of the process that is killed
    args = parser.parse_args()
    args.model = args.model or quickstart_model()
    if args.store is not None:
        _answer_into_store(args)
        return
    from benchmarks.evidence import environment
    from reports.files import write_json

    facts = environment(allow_dirty=args.allow_dirty)
    requests = make_requests(args)
    engine = served_engine(args, args.url)
    served = dict(engine.respond(requests))
    engine.close()
    runs = {
        "reference": transformers_responses(args, requests, "bfloat16", "unmerged", None),
        "merged, other batches": transformers_responses(args, requests, "bfloat16", "merged", 700),
        "float32": transformers_responses(args, requests, "float32", "unmerged", None),
    }
    reference = runs.pop("reference")
    result = {
        "what": (__doc__ or "").splitlines()[0],
        "command": f"python -m benchmarks.served_proof {' '.join(_without_folders(sys.argv[1:]))}",
        "environment": facts,
        "setup": engine.setup,
        "facts": {name: _without_root(facts) for name, facts in engine.facts.items()},
        "models": {name: compare(name, requests, served, reference, runs) for name in MODELS},
    }
    write_json(args.out, result)  # the next step takes long
    result["killed"] = kill_and_restart(args, len(_without_texts(requests)))
    write_json(args.out, result)
    print(json.dumps({key: result[key] for key in ("setup", "models", "killed")}, indent=1))


def _without_folders(words: Sequence[str]) -> list[str]:
    """Words of a command with the names of files in place of their paths."""
    return [Path(word).name if word.startswith("/") else word for word in words]


def _without_root(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts of a server without the folders of its machine."""
    return {key: Path(value).name if key == "root" else value for key, value in facts.items()}


def make_requests(args: argparse.Namespace) -> list[ModelRequest]:
    """The requests of lm-eval's tasks in `benchmarks.speed_items`, for both models."""
    from lm_eval.tasks import TaskManager

    from benchmarks.speed_items import TASKS, write_tasks
    from harness.planning.lm_tasks import LoadedTask
    from harness.scoring.lm import RequestMaker
    from harness.scoring.questions import make_questions
    from reports.document.schema import TaskInfo
    from tasks.rendering import load_tokenizer

    maker = RequestMaker(load_tokenizer(str(args.model)), 0)
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(
            Path(folder),
            str(args.model),
            pubmedqa=args.pubmedqa,
            reasoning=None,
            counts=dict(zip(TASKS, args.counts, strict=True)),
            new_tokens=args.new_tokens,
        )
        manager = TaskManager(include_path=folder, include_defaults=False)
        requests = []
        for name in TASKS:
            task = manager.load([name])["tasks"][name]
            loaded = LoadedTask(name, task, list(range(len(task.eval_docs))), None, "", TaskInfo(name=name, title=name))
            requests += list(dict.fromkeys(make_questions(loaded, maker, 0).requests()))
    return [ModelRequest(model, request) for model in MODELS for request in requests]


def _without_texts(requests: Sequence[ModelRequest]) -> list[ModelRequest]:
    """The requests of the run that is killed: whole texts take vLLM's CPU build 20 seconds each."""
    return [request for request in requests if not isinstance(request.request, PerplexityRequest)]


def served_engine(args: argparse.Namespace, url: str) -> Any:
    """The engine on the server."""
    from transformers import GenerationConfig

    from harness.engines.answer_text import AnswerEnd, end_tokens
    from harness.engines.served.served_engine import ServedEngine
    from tasks.rendering import load_tokenizer
    from training.recipes.recipe import ServedSection

    tokenizer = load_tokenizer(str(args.model))
    end = AnswerEnd(tokenizer, end_tokens(GenerationConfig.from_pretrained(args.model), tokenizer))
    models = {name: (url, served) for name, served in MODELS.items()}
    settings = ServedSection(concurrency=args.concurrency)
    return ServedEngine(models, tokenizer, ends=dict.fromkeys(models, end), settings=settings)


def transformers_responses(
    args: argparse.Namespace,
    requests: Sequence[ModelRequest],
    dtype: Literal["bfloat16", "float32"],
    mode: Any,
    batch_tokens: int | None,
) -> dict[int, Response]:
    """Responses of the transformers engine on the same weights."""
    from harness.engines.transformers_engine import TransformersEngine
    from tasks.rendering import load_tokenizer
    from training.models.device import torch_dtype

    def load() -> Any:
        from transformers import AutoModelForCausalLM

        place = 0 if args.device == "cuda" else args.device
        settings = {"dtype": torch_dtype(dtype), "device_map": {"": place}}
        return AutoModelForCausalLM.from_pretrained(args.model, **settings).eval()

    settings = {"adapter_mode": mode, "batch_tokens": batch_tokens}
    engine = TransformersEngine(load, load_tokenizer(str(args.model)), {"adapter": args.adapter}, **settings)
    responses = dict(engine.respond(requests))
    engine.close()
    return responses


def compare(
    model: str,
    requests: Sequence[ModelRequest],
    served: dict[int, Any],
    reference: dict[int, Any],
    others: dict[str, dict[int, Any]],
) -> dict[str, Any]:
    """Differences of the server's responses from the reference, beside those of the same engine's other runs."""
    own = [(index, request) for index, (name, request) in enumerate(requests) if name == model]
    perplexities = {
        name: _perplexity(own, run) for name, run in {"served": served, "reference": reference, **others}.items()
    }
    differences = {name: _differences(own, run, reference) for name, run in {"served": served, **others}.items()}
    noise = max(values["largest_choice_difference"] for name, values in differences.items() if name != "served")
    flips = _flips(own, served, reference)
    # The reference's own arithmetic in 16 bits moves its perplexity; float32 is nearer to the exact one.
    ratio = perplexities["served"] / perplexities["float32"]
    return {
        "questions": len({request.context for _, request in own if isinstance(request, ScoreRequest)}),
        "choices_that_differ": len(flips),
        "margins_of_these_nats": flips,
        "noise_nats": noise,
        # Both choices may move by the noise, in opposite directions.
        "choices_agree_within_noise": all(margin <= 2 * noise for margin in flips),
        "differences_from_reference": differences,
        "perplexities": perplexities,
        "perplexity_ratio_to_float32": ratio,
        "perplexity_ratio_to_reference": perplexities["served"] / perplexities["reference"],
        "perplexity_within_half_a_percent": abs(ratio - 1) <= 0.005,  # noqa: PLR2004
    }


def _differences(own: Sequence[tuple[int, Any]], run: dict[int, Any], reference: dict[int, Any]) -> dict[str, Any]:
    scored = [index for index, request in own if isinstance(request, ScoreRequest)]
    moves = [abs(run[index].logprob - reference[index].logprob) for index in scored]
    generated = [index for index, request in own if isinstance(request, GenerateRequest)]
    pairs = [(run[index].tokens, reference[index].tokens) for index in generated]
    alike = [sum(1 for _ in _shared(one, other)) for one, other in pairs]
    return {
        "choices_that_differ": len(_flips(own, run, reference)),
        "largest_choice_difference": max(moves),
        "mean_choice_difference": math.fsum(moves) / len(moves),
        "equal_answers": sum(one == other for one, other in pairs),
        "answers": len(pairs),
        "shared_tokens": sum(alike),
        "tokens": sum(len(other) for _, other in pairs),
    }


def _shared(one: Sequence[int], other: Sequence[int]) -> Iterator[int]:
    """Tokens until the first difference."""
    for left, right in zip(one, other, strict=False):
        if left != right:
            return
        yield left


def _flips(own: Sequence[tuple[int, Any]], run: dict[int, Any], reference: dict[int, Any]) -> list[float]:
    """Distance between the reference's two choices, for each question in which the most likely choice differs."""
    questions = defaultdict(list)
    for index, request in own:
        if isinstance(request, ScoreRequest):
            questions[request.context].append(index)
    margins = []
    for indices in questions.values():
        chosen, wanted = (max(indices, key=lambda index: responses[index].logprob) for responses in (run, reference))
        if chosen != wanted:
            margins.append(reference[wanted].logprob - reference[chosen].logprob)
    return margins


def _perplexity(own: Sequence[tuple[int, Any]], run: dict[int, Any]) -> float:
    texts = [index for index, request in own if isinstance(request, PerplexityRequest)]
    tokens = sum(len(run[index].logprobs) for index in texts)
    return math.exp(-math.fsum(run[index].logprob for index in texts) / tokens)


def kill_and_restart(args: argparse.Namespace, count: int) -> dict[str, Any]:
    """Kill a run midway (SIGKILL) and start it again: what was sent in both, and what the store held between."""
    with tempfile.TemporaryDirectory() as folder, CountingProxy(args.url) as proxy:
        store = Path(folder) / "answers.sqlite"
        words = [word for word in sys.argv[1:] if word != "--allow-dirty"]
        command = [sys.executable, "-m", "benchmarks.served_proof", *words, "--store", str(store)]
        command[command.index("--url") + 1] = proxy.url
        first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this file
        assert first.stdout is not None
        start = stored = 0
        for line in first.stdout:
            start = int(line.split()[1]) if line.startswith("probes ") else start
            stored += line == "stored\n"
            if stored >= count * _SHARE_BEFORE_KILL:
                first.kill()
                break
        first.wait()
        before, held = proxy.sent[start:], _count(args, store)
        proxy.sent.clear()
        second = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - likewise
        lines = second.stdout.splitlines()
        after = proxy.sent[int(next(line for line in lines if line.startswith("probes ")).split()[1]) :]
        return {
            "responses": count,
            "in_the_store_after_the_kill": held,
            "computed_after_the_restart": lines.count("stored"),
            "requests_before": len(before),
            "requests_after": len(after),
            "sent_twice": len(set(before) & set(after)),
            # Those in flight, and one whose responses (a question's choices) were being stored.
            "unsaved_at_most": args.concurrency + 1,
            "nothing_answered_is_asked_again": held + lines.count("stored") == count
            and len(set(before) & set(after)) <= args.concurrency + 1,
            "all_answered": lines[-1] == f"answered {count}",
        }


def _store(path: Path) -> Any:
    from harness.answers.answer_store import AnswerStore

    return AnswerStore(path, 1 << 30)


def _cache(store: Any) -> Any:
    from harness.answers.stored_answers import ResponseCache

    return ResponseCache(store, {name: hashlib.sha256(name.encode()).digest() for name in MODELS})


def _count(args: argparse.Namespace, path: Path) -> int:
    store = _store(path)
    held = len(_cache(store).load(_without_texts(make_requests(args))))
    store.close()
    return held


def _answer_into_store(args: argparse.Namespace) -> None:
    """Answer everything behind the store; says how many requests its start took, and what is stored."""
    from harness.answers.cached_engine import CachedEngine

    requests = _without_texts(make_requests(args))
    sent = int(json.loads(_get(f"{args.url}/sent")))
    engine = served_engine(args, args.url)
    print(f"probes {int(json.loads(_get(f'{args.url}/sent'))) - sent}", flush=True)
    store = _store(args.store)
    cache = _cache(store)
    cached = cache.load(requests)
    responses = {}
    for index, response in CachedEngine(engine, cache).respond(requests):
        responses[index] = response
        if index not in cached:
            print("stored", flush=True)
    print(f"answered {len(responses)}", flush=True)
    engine.close()
    store.close()


def _get(url: str) -> bytes:
    import httpx

    return httpx.get(url).content


class CountingProxy:
    """Passes requests on to a server and remembers a hash of those for completions."""

    def __init__(self, url: str) -> None:
        import httpx

        self.sent: list[str] = []
        client, sent, base = httpx.Client(timeout=600), self.sent, url.rstrip("/").removesuffix("/v1")

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.path.endswith("/sent"):
                    status, reply = 200, str(len(sent)).encode()
                else:
                    if self.command == "POST":
                        sent.append(hashlib.sha256(data).hexdigest())
                    headers = {"content-type": "application/json"}
                    answer = client.request(self.command, base + self.path, content=data, headers=headers)
                    status, reply = answer.status_code, answer.content
                self.send_response(status)
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_POST = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


if __name__ == "__main__":
    main()
