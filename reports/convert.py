"""`medbench convert`: the frames of scores and samples as CSV or Parquet, or a run in lm-eval's own layout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from reports.document.reading import read_results, read_samples, samples_of, samples_path
from reports.document.schema import Results, Sample
from reports.files import remove_parts_of, sha256_value, write_json, write_jsonl

Layout = Literal["csv", "parquet", "lm_eval"]
_DATE = 32  # characters of a date in a file's name; an ISO date has 25
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z.+]")  # characters of a date that a file name may not have


def convert(run: Path, layout: Layout, out: Path) -> list[Path]:
    """Write a run in another layout.

    Args:
        run: The run folder.
        layout: `csv` and `parquet` give the frames of `reports.frames` as `scores` and `samples`; `lm_eval` gives
            `MODEL/results_DATE.json` and `MODEL/samples_TASK_DATE.jsonl`, as `lm_eval --output_path` does.
        out: The folder to write into.

    Returns:
        The files written.

    Raises:
        UserError: The run has no results, or a sample is broken.
    """
    results = read_results(run)
    if layout == "lm_eval":
        return [path for model in results.models for path in _lm_eval(run, results, model.name, out)]
    from reports.frame_files import write_csv, write_parquet
    from reports.frames import sample_frames, scores_frame

    samples = (
        sample
        for task in results.tasks
        for model in results.models
        for sample in samples_of(run, model.name, task.name)
    )
    write = write_csv if layout == "csv" else write_parquet
    paths = [out / f"scores.{layout}", out / f"samples.{layout}"]
    remove_parts_of(paths)
    write(paths[0], [scores_frame(results)])
    write(paths[1], sample_frames(results, samples))
    return paths


def _lm_eval(run: Path, results: Results, model: str, out: Path) -> Iterator[Path]:
    """Write one model in lm-eval's layout, without the values that our results document does not have."""
    date = _NOT_IN_NAMES.sub("-", results.created)[:_DATE]
    scores = [score for score in results.scores if score.model == model]
    tasks = [task for task in results.tasks if task.name in {score.task for score in scores}]
    values: dict[str, dict[str, Any]] = {task.name: {"alias": task.name} for task in tasks}
    for score in scores:
        key = score.metric if "," in score.metric else f"{score.metric},none"
        values[score.task] |= {key: score.value, "sample_len": score.n}
    info = next(info for info in results.models if info.name == model)
    value: dict[str, Any] = {
        "results": values,
        "group_subtasks": {task.name: [] for task in tasks},
        "configs": {task.name: {"task": task.name, "metadata": {"version": task.version}} for task in tasks},
        "versions": {task.name: task.version for task in tasks},
        "n-shot": {},
        "higher_is_better": {
            task.name: {metric.key.partition(",")[0]: metric.higher_is_better for metric in task.metrics}
            for task in tasks
        },
        "n-samples": {task.name: {"effective": values[task.name]["sample_len"]} for task in tasks},
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
            write_jsonl(path, (_lm_eval_sample(*pair) for pair in enumerate(read_samples(source))))
            yield path


def _lm_eval_sample(number: int, sample: Sample) -> dict[str, Any]:
    arguments = [{"arg_0": sample.prompt, "arg_1": choice} for choice in sample.choices or ()]
    responses: list[Any] = [[[value, False]] for value in (sample.choices or {}).values()]
    return {
        "doc_id": number,
        "doc": {"id": sample.id, "prompt": sample.prompt, "gold": sample.gold},
        "target": sample.gold,
        "arguments": {f"gen_args_{place}": pair for place, pair in enumerate(arguments or [{"arg_0": sample.prompt}])},
        "resps": responses or [[sample.output]],
        "filtered_resps": [sample.output],
        "filter": "none",
        "metrics": list(sample.metrics),
        "doc_hash": sample.doc_hash,
        "prompt_hash": sha256_value(sample.prompt),
        "target_hash": sha256_value(sample.gold),
        **sample.metrics,
    }
