"""Holds our numbers on real data against what others compute: the official script, lm-eval, rouge_score, float64.

    python -m benchmarks.real_parity DATA --out benchmarks/results/real_parity.json [--base MODEL] [--limit N]

DATA holds `pubmedqa/` (ori_pqal.json and test_ground_truth.json of github.com/pubmedqa/pubmedqa) and `medical_o1/`
(test_data.jsonl: rows of question, complex_cot, response). In float32:

1. Accuracy and macro-F1 equal the formula of PubMedQA's evaluation.py on the predictions that the run exported.
2. Every choice equals that of lm-eval's own pubmedqa task, with its own prompt function, scored by its own HFLM.
3. ROUGE-L equals rouge_score on the answers.
4. Perplexity equals that of the model in float64, by plain transformers, to 1e-5.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
from harness.environment import describe
from harness.folder import RunFolder
from reports.document.reading import read_samples
from reports.document.schema import Results, Sample
from reports.files import read_json, write_json
from tasks import catalog
from tasks.data import DataSource, load_reasoning
from tasks.formats import split_answer
from tasks.rendering import encode, load_tokenizer
from tasks.text_metrics import rouge_l
from training.models.base_model import find_base
from training.models.device import device_of
from training.recipes.recipe_file import load_recipe

TASKS = [catalog.PUBMEDQA, catalog.PERPLEXITY, catalog.GENERATION]
TOLERANCE = 1e-5
Figures = dict[tuple[str, str], float]  # by task and metric
_STOCK = """
task: stock_pubmedqa
dataset_path: json
dataset_kwargs:
  data_files: {{test: {rows}}}
test_split: test
output_type: multiple_choice
doc_to_text: !function lm_eval.tasks.pubmedqa.preprocess_pubmedqa.doc_to_text
doc_to_target: final_decision
doc_to_choice: ["yes", "no", "maybe"]
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def check(data: Path, base: str, work: Path, *, limit: int | None, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Score a base on the real data and hold its numbers against the four others.

    Args:
        data: The folder of real data.
        base: A model as recipes name it.
        work: Where to put the run.
        limit: Items of each task.
        settings: Further recipe overrides.
    """
    own = [
        f"model.base={base}",
        "scoring.base=full",
        "scoring.dtype=float32",
        "scoring.noise_items=0",
        f"data.pubmedqa={{source: {data / 'pubmedqa' / 'ori_pqal.json'}}}",
        f"data.reasoning={{source: {data / 'medical_o1' / 'test_data.jsonl'}}}",
    ]
    results = harness.score(
        "quickstart", models="base", tasks=TASKS, out=work, limit=limit, settings=[*own, *settings], quiet=True
    )
    folder = RunFolder(work)
    figures = {(score.task, score.metric): score.value or 0.0 for score in results.scores}
    samples = {task: list(read_samples(folder.samples("base", task))) for task in TASKS}
    model = find_base(load_recipe(str(folder.recipe)).model).folder
    predictions = read_json(folder.predictions("base", catalog.PUBMEDQA))
    found = {
        "official_script": official(figures, predictions, read_json(data / "pubmedqa" / "test_ground_truth.json")),
        "lm_eval_multiple_choice": stock(figures, samples[catalog.PUBMEDQA], data, model),
        "rouge_score": rouge(figures, samples[catalog.GENERATION], results, data),
        "float64_perplexity": float64(figures, samples[catalog.PERPLEXITY], model),
    }
    return {"base": Path(base).name, "holds": all(each["holds"] for each in found.values()), "checks": found}


def official(figures: Figures, predictions: dict[str, str], gold: dict[str, str]) -> dict[str, Any]:
    """The formula of PubMedQA's evaluation.py on the exported predictions, for the ids that were asked."""
    from sklearn.metrics import accuracy_score, f1_score

    ids = [key for key in gold if key in predictions]
    truth, given = [gold[key] for key in ids], [predictions[key] for key in ids]
    theirs = {"accuracy": accuracy_score(truth, given), "macro_f1": f1_score(truth, given, average="macro")}
    ours = {name: figures[catalog.PUBMEDQA, name] for name in theirs}
    holds = set(predictions) <= set(gold) and ours == {name: float(value) for name, value in theirs.items()}
    return {"items": len(ids), "ours": ours, "theirs": {k: float(v) for k, v in theirs.items()}, "holds": holds}


def stock(figures: Figures, samples: Sequence[Sample], data: Path, model: Path) -> dict[str, Any]:
    """lm-eval's own pubmedqa task and model class on the same items."""
    rows = read_json(data / "pubmedqa" / "ori_pqal.json")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [json.dumps({**rows[sample.id], "id": sample.id}) for sample in samples]
        (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (folder / "stock.yaml").write_text(_STOCK.format(rows=folder / "rows.jsonl"), encoding="utf-8")
        command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--batch_size", "8", "--device", "cpu"]
        command += ["--model_args", f"pretrained={model},dtype=float32,softmax_dtype=float32", "--log_samples"]
        command += ["--include_path", name, "--tasks", "stock_pubmedqa", "--output_path", name]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        (path,) = folder.rglob("results_*.json")
        accuracy = json.loads(path.read_text())["results"]["stock_pubmedqa"]["acc,none"]
        (path,) = folder.rglob("samples_*.jsonl")
        logged = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    theirs = {each["doc"]["id"]: [float(answer[0]) for answer in each["filtered_resps"]] for each in logged}
    ours = {sample.id: list((sample.choices or {}).values()) for sample in samples}
    worst = max(abs(a - b) for key in ours for a, b in zip(ours[key], theirs[key], strict=True))
    flips = sum(ours[key].index(max(ours[key])) != theirs[key].index(max(theirs[key])) for key in ours)
    same = all(sample.prompt == logged_prompt(each) for sample, each in zip(samples, logged, strict=True))
    return {
        "items": len(ours),
        "ours": figures[catalog.PUBMEDQA, "accuracy"],
        "theirs": accuracy,
        "choices_that_differ": flips,
        "largest_difference_of_a_log_likelihood": worst,
        "holds": same and not flips and figures[catalog.PUBMEDQA, "accuracy"] == accuracy,
    }


def logged_prompt(entry: dict[str, Any]) -> str:
    """The prompt of an item in lm-eval's log."""
    return str(entry["arguments"]["gen_args_0"]["arg_0"])


def rouge(figures: Figures, samples: Sequence[Sample], results: Results, data: Path) -> dict[str, Any]:
    """rouge_score's ROUGE-L with its own tokenizer on the ASCII characters of the final responses, beside ours on them.

    Other characters are left out because rouge_score's tokenizer drops them and ours does not.
    """
    from rouge_score.rouge_scorer import RougeScorer

    rows = load_reasoning(DataSource(source=str(data / "medical_o1" / "test_data.jsonl")), seed=0)
    gold = {row.id: row.response for row in rows}
    name, scorer = results.recipe["format"]["name"], RougeScorer(["rougeL"])
    pairs = [
        (gold[sample.id], split_answer(sample.output, name, prompt_opened=sample.prompt).response) for sample in samples
    ]
    plain = [tuple(text.encode("ascii", "ignore").decode() for text in pair) for pair in pairs]
    theirs = sum(scorer.score(*pair)["rougeL"].fmeasure for pair in plain) / len(plain)
    ours = sum(rouge_l(prediction, reference) for reference, prediction in plain) / len(plain)
    whole = sum(rouge_l(prediction, reference) for reference, prediction in pairs) / len(pairs)
    holds = ours == theirs and math.isclose(whole, figures[catalog.GENERATION, "rouge_l"], rel_tol=1e-12)
    return {"items": len(pairs), "ours": ours, "theirs": theirs, "of_all_characters": whole, "holds": holds}


def float64(figures: Figures, samples: Sequence[Sample], model: Path) -> dict[str, Any]:
    """Perplexity of the whole gold answers by the model in float64, one text at a time, from its full logits."""
    import torch
    from transformers import AutoModelForCausalLM

    plain, tokenizer = (
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64).eval(),
        load_tokenizer(str(model)),
    )
    total, tokens = 0.0, 0
    for sample in samples:
        whole = encode(tokenizer, sample.prompt + sample.gold)
        start = len(encode(tokenizer, sample.prompt.rstrip()))
        with torch.no_grad():
            logprobs = plain(torch.tensor([whole])).logits[0].log_softmax(-1)
        total += sum(float(logprobs[place - 1, whole[place]]) for place in range(start, len(whole)))
        tokens += len(whole) - start
    theirs, ours = math.exp(-total / tokens), figures[catalog.PERPLEXITY, "perplexity_with_markers"]
    relative = abs(ours - theirs) / theirs
    return {
        "items": len(samples),
        "ours": ours,
        "theirs": theirs,
        "relative_difference": relative,
        "holds": relative < TOLERANCE,
    }


def main() -> None:
    """Run all checks, print them, write them down, and fail if one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = check(args.data.resolve(), args.base, Path(work), limit=args.limit)
    command = "python -m benchmarks.real_parity DATA --out benchmarks/results/real_parity.json"
    limit = "" if args.limit is None else f" --limit {args.limit}"
    write_json(
        args.out, {"command": command + limit, "dtype": "float32", **found, "environment": describe(device_of("cpu"))}
    )
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
