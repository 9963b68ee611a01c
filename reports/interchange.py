"""A run for other tools: one table of all samples and one of all scores as CSV or Parquet, or lm-eval's own layout."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from reports.document.reading import read_results, read_samples, samples_of, samples_path
from reports.document.schema import Results, Sample
from reports.files import WholeFile, dumps, sha256_value, write_json, write_jsonl
from reports.spreadsheet import write_csv
from reports.text import replace_surrogates

Layout = Literal["csv", "parquet", "lm_eval"]
_SCORE = ["model", "task", "metric", "value", "low", "high", "n"]
_NO_DATE = re.compile(r"[^0-9A-Za-z.+]")  # of a date, what no file's name may have
_BATCH = 2000  # rows held at once while Parquet is written


def convert(run: Path, layout: Layout, out: Path) -> list[Path]:
    """Write a run in another layout.

    Args:
        run: The run folder.
        layout: `csv` and `parquet` give `scores` and `samples`, a line for each figure and each answer; `lm_eval`
            gives `MODEL/results_DATE.json` and `MODEL/samples_TASK_DATE.jsonl`, as `lm_eval --output_path` does.
        out: The folder to write into.

    Returns:
        The files written.

    Raises:
        UserError: The run has no results, or a sample is broken.
    """
    results = read_results(run)
    if layout == "lm_eval":
        return [path for model in results.models for path in _lm_eval(run, results, model.name, out)]
    scores = [each.model_dump(mode="json", include=set(_SCORE)) for each in results.scores]
    write = write_csv if layout == "csv" else _write_parquet
    columns = _columns(results)
    paths = [out / f"scores.{layout}", out / f"samples.{layout}"]
    write(paths[0], _SCORE, iter(scores))
    write(paths[1], columns, _rows(run, results, columns))
    return paths


def _columns(results: Results) -> list[str]:
    """One column for each field of a sample, and for each metric of any task that has a single value."""
    fields = [name for name in Sample.model_fields if name not in ("metrics", "choices", "problems")]
    keys = dict.fromkeys(metric.key for task in results.tasks for metric in task.metrics)
    return [*fields, "problems", *(f"metric.{key}" for key in keys)]


def _rows(run: Path, results: Results, columns: list[str]) -> Iterator[dict[str, Any]]:
    for task in results.tasks:
        for model in results.models:
            for sample in samples_of(run, model.name, task.name):
                row = sample.model_dump(mode="json") | {"problems": "; ".join(sample.problems or ())}
                row["fields"] = dumps(sample.fields) if sample.fields else None
                row |= {f"metric.{key}": value for key, value in sample.metrics.items() if isinstance(value, float)}
                yield {name: row.get(name) for name in columns}


def _write_parquet(path: Path, columns: list[str], rows: Iterator[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    integers = {"n", "prompt_tokens", "output_tokens", "repeat"}
    numbers = {"value", "low", "high", "seconds", *(name for name in columns if name.startswith("metric."))}
    kinds = {
        name: pa.int64() if name in integers else pa.float64() if name in numbers else pa.string() for name in columns
    }
    with contextlib.closing(WholeFile(path)) as file:
        with pq.ParquetWriter(file.binary, pa.schema(kinds)) as writer:
            batch: list[dict[str, Any]] = []
            for row in rows:
                batch.append({name: replace_surrogates(value) for name, value in row.items()})
                if len(batch) == _BATCH:
                    writer.write_table(pa.Table.from_pylist(batch, pa.schema(kinds)))
                    batch.clear()
            writer.write_table(pa.Table.from_pylist(batch, pa.schema(kinds)))
        file.put()


def _lm_eval(run: Path, results: Results, model: str, out: Path) -> Iterator[Path]:
    """One model in lm-eval's layout; what lm-eval would know beyond our results document is left out, not invented."""
    date = _NO_DATE.sub("-", results.created)
    tasks = [
        task for task in results.tasks if any((each.model, each.task) == (model, task.name) for each in results.scores)
    ]
    figures: dict[str, dict[str, Any]] = {task.name: {"alias": task.name} for task in tasks}
    for score in results.scores:
        if score.model == model:
            figures[score.task] |= {_lm_eval_key(score.metric): score.value, "sample_len": score.n}
    info = next(each for each in results.models if each.name == model)
    value: dict[str, Any] = {
        "results": figures,
        "group_subtasks": {task.name: [] for task in tasks},
        "configs": {task.name: {"task": task.name, "metadata": {"version": task.version}} for task in tasks},
        "versions": {task.name: task.version for task in tasks},
        "n-shot": {},
        "higher_is_better": {
            task.name: {metric.key.partition(",")[0]: metric.higher_is_better for metric in task.metrics}
            for task in tasks
        },
        "n-samples": {
            task.name: {"effective": figures[task.name]["sample_len"]}
            for task in tasks
            if "sample_len" in figures[task.name]
        },
        "config": {"model": "medbench", "model_args": {"name": model, "source": info.source, "weights": info.weights}},
        "git_hash": results.environment.get("git_commit"),
        "date": results.created,
        "model_name": model,
        "model_name_sanitized": model,
    }
    path = out / model / f"results_{date}.json"
    write_json(path, value)
    yield path
    for task in tasks:
        source = samples_path(run, model, task.name)
        if source.is_file():
            path = out / model / f"samples_{task.name}_{date}.jsonl"
            write_jsonl(path, (_lm_eval_sample(number, each) for number, each in enumerate(read_samples(source))))
            yield path


def _lm_eval_key(metric: str) -> str:
    return metric if "," in metric else f"{metric},none"


def _lm_eval_sample(number: int, sample: Sample) -> dict[str, Any]:
    if sample.choices:
        asked = {
            f"gen_args_{place}": {"arg_0": sample.prompt, "arg_1": each} for place, each in enumerate(sample.choices)
        }
        answered: list[Any] = [[[value, False]] for value in sample.choices.values()]
    else:
        asked, answered = {"gen_args_0": {"arg_0": sample.prompt}}, [[sample.output]]
    return {
        "doc_id": number,
        "doc": {"id": sample.id, "prompt": sample.prompt, "gold": sample.gold},
        "target": sample.gold,
        "arguments": asked,
        "resps": answered,
        "filtered_resps": [sample.output],
        "filter": "none",
        "metrics": list(sample.metrics),
        "doc_hash": sample.doc_hash,
        "prompt_hash": sha256_value(sample.prompt),
        "target_hash": sha256_value(sample.gold),
        **sample.metrics,
    }
