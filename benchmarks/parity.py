"""Checks our numbers against stock lm-eval and plain transformers + PEFT, on a real model in float32.

    python benchmarks/parity.py runs/quickstart --out benchmarks/results/parity.json

1. Stock `lm_eval --include_path tasks/lm_eval_tasks` with the run's base: PubMedQA figures and
   the perplexity of whole answers, markers included, must be ours; stock lm-eval has no other.
2. The run's adapter, loaded by plain transformers and PEFT: its log-likelihoods of the held-out answers must be ours.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import harness
from harness.environment import describe
from reports.files import read_jsonl, write_json
from tasks.catalog import CONFIG_FOLDER
from tasks.data import load_reasoning
from tasks.formats import get_format
from tasks.rendering import encode, load_tokenizer, render_prompt
from training.models.base_model import find_base
from training.models.device import device_of
from training.recipes.recipe_file import load_recipe
from training.splits import held_out_source

TASKS = ["medbench_pubmedqa", "medbench_perplexity"]
FLOAT32 = ["scoring.base=full", "scoring.dtype=float32"]


def stock_figures(folder: Path) -> dict[str, float]:
    """Metrics of the base by the stock lm-eval command."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--batch_size", "8", "--device", "cpu"]
        command += ["--model_args", f"pretrained={folder},dtype=float32,softmax_dtype=float32"]
        command += ["--include_path", str(CONFIG_FOLDER), "--tasks", ",".join(TASKS), "--output_path", out]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        (path,) = Path(out).rglob("results_*.json")
        results = json.loads(path.read_text())["results"]
    return {
        f"{task}/{key.removesuffix(',none')}": value
        for task in TASKS
        for key, value in results[task].items()
        if key.endswith(",none") and "_stderr" not in key
    }


def plain_logprobs(base: Path, adapter: Path, ids: set[str], recipe: str) -> dict[str, float]:
    """Log-likelihood of each held-out answer by plain transformers and PEFT, full logits in float64."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    settings = load_recipe(recipe)
    tokenizer, shape = load_tokenizer(str(base)), get_format(settings.format.name)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(adapter)).eval()
    found = {}
    for row in load_reasoning(held_out_source(settings), seed=settings.seed):
        if row.id not in ids:
            continue
        prompt = render_prompt(tokenizer, shape, row.question, settings.format.chat)
        whole = encode(tokenizer, prompt + shape.completion(row.reasoning, row.response))
        start = len(encode(tokenizer, prompt.rstrip()))
        with torch.no_grad():
            logprobs = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        found[row.id] = sum(float(logprobs[place - 1, whole[place]]) for place in range(start, len(whole)))
    return found


def relative(ours: float, theirs: float) -> float:
    """Relative difference."""
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def main() -> None:
    """Run both checks, print them, write them down, and fail if one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder with an adapter")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    recipe = str(args.run / "recipe.yaml")
    base = find_base(load_recipe(recipe).model)
    with tempfile.TemporaryDirectory() as folder:
        models = f"base,trained={args.run / 'adapter'}"
        results = harness.score(recipe, models=models, tasks=TASKS, out=folder, settings=FLOAT32)
        rows = [row for _, row in read_jsonl(Path(folder) / "samples" / "trained" / "medbench_perplexity.jsonl")]
    ours = {f"{each.task}/{each.metric}": each.value or math.nan for each in results.scores if each.model == "base"}
    stock = stock_figures(base.folder)
    logprobs = {row["id"]: row["metrics"]["perplexity_with_markers"][0] for row in rows}
    plain = plain_logprobs(base.folder, args.run / "adapter", set(logprobs), recipe)
    figures = {
        key: {"ours": ours[key], "stock": value, "relative_difference": relative(ours[key], value)}
        for key, value in stock.items()
    }
    worst = max(relative(logprobs[key], plain[key]) for key in plain)
    holds = worst < 1e-5 and all(each["relative_difference"] < 1e-4 for each in figures.values())  # noqa: PLR2004
    found = {
        "command": "python benchmarks/parity.py runs/quickstart --out benchmarks/results/parity.json",
        "model": base.source,
        "dtype": "float32",
        "against_stock_lm_eval": figures,
        "adapter_against_plain_peft": {"items": len(plain), "largest_relative_difference_of_a_log_likelihood": worst},
        "holds": holds,
        "environment": describe(device_of("cpu")),
    }
    write_json(args.out, found)
    print(json.dumps({key: value for key, value in found.items() if key != "environment"}, indent=1))
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
