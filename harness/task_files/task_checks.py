"""Checks a task's configuration before lm-eval sees it, since lm-eval ends faults with a traceback or a wrong score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from harness.task_files.task_yaml import CodeReference, TaskFile
from reports.errors import UserError, did_you_mean
from reports.names import is_plain_name
from reports.text import Place

OURS = "medbench_"  # how the names of medbench's own tasks start
_STRUCTURE = {"class", "group", "include", "tag", "task", "task_list"}
_GROUP = {"group_alias", "aggregate_metric_list"}
# The metrics that lm-eval computes for each type of task; it computes others of the same registry for none of them.
METRICS = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": (
        "acc",
        "acc_norm",
        "acc_bytes",
        "acc_mutual_info",
        "exact_match",
        "f1",
        "mcc",
        "brier_score",
        "likelihood",
    ),
    "generate_until": ("exact_match", "bleu", "chrf", "chrf++", "ter"),
}
_DEFAULT_TYPE = "generate_until"


def check_name(name: Any, file: TaskFile, *place: str | int) -> Iterator[UserError]:
    """Faults of the name of a task or group."""
    where = file.where(*place)
    if not isinstance(name, str):
        yield UserError("the name of a task is a text", where=where, fix="write `task: my_task`")
    elif name.startswith(OURS):
        fix = "choose another name: this one would pass for medbench's own task in reports"
        yield UserError(f"the name {name} starts with {OURS}", where=where, fix=fix)
    elif not is_plain_name(name):
        fix = "use letters, digits, `_` and `-`: samples are saved in a file of this name"
        yield UserError(f"the name {name[:80]!r} cannot be that of a file", where=where, fix=fix)


def check_task(config: Mapping[str, Any], file: TaskFile, place: Place = ()) -> list[UserError]:
    """Faults of a task's keys.

    Args:
        config: The task's configuration.
        file: The file that it stands in.
        place: Where in the file.
    """
    faults = [*check_name(config.get("task"), file, *place, "task"), *check_keys(config, file, place)]
    if "class" in config:
        return faults
    kind = config.get("output_type", _DEFAULT_TYPE)
    if kind not in METRICS:
        near = did_you_mean(str(kind), METRICS)
        fix = f"{near} it is one of {', '.join(METRICS)}"
        faults.append(UserError(f"there is no output_type {kind!r}", where=file.where(*place, "output_type"), fix=fix))
        kind = None
    faults += _check_required(config, kind, file, place)
    faults += _check_metrics(config, kind, file, place)
    faults += _check_filters(config, file, place)
    return faults


def check_keys(config: Mapping[str, Any], file: TaskFile, place: Place = (), *, group: bool = False) -> list[UserError]:
    """Faults of the names of keys; a group's other keys are settings of all its tasks."""
    from lm_eval.config.task import TaskConfig

    names = {field.name for field in fields(TaskConfig)} | _STRUCTURE | (_GROUP if group else set())
    return [
        UserError(
            f"lm-eval knows no key {str(key)[:80]!r}",
            where=file.where(*place, str(key)),
            fix=did_you_mean(str(key), sorted(names)) or "take it out; see lm-eval's guide to task files for its keys",
        )
        for key in config
        if key not in names
    ]


def _check_required(config: Mapping[str, Any], kind: str | None, file: TaskFile, place: Place) -> Iterator[UserError]:
    """What lm-eval needs and has no default for, and what medbench cannot ask."""
    where = file.where(*place, "task")
    if config.get("dataset_path") is None and config.get("custom_dataset") is None:
        yield UserError(
            "it has no dataset_path",
            where=where,
            fix="write `dataset_path: json` with `dataset_kwargs: {data_files: FILE}`, a folder, or a hub id",
        )
    if config.get("test_split") is None and config.get("validation_split") is None:
        yield UserError(
            "it says no split to score", where=where, fix="write `test_split: train` for a file without splits"
        )
    needed = ["doc_to_text", "doc_to_target", *(["doc_to_choice"] if kind == "multiple_choice" else [])]
    if config.get("use_prompt") is None:
        missing = [key for key in needed if config.get(key) is None]
        if missing:
            yield UserError(
                f"it has no {' and no '.join(missing)}", where=where, fix="name a column, or write a template"
            )
    for key in ("doc_to_image", "doc_to_audio"):
        if config.get(key):
            yield UserError(
                f"{key}: medbench asks models text only", where=file.where(*place, key), fix="leave the task out"
            )
    if config.get("unsafe_code"):
        yield UserError(
            "it runs the code that a model writes, which medbench does not",
            where=file.where(*place, "unsafe_code"),
            fix="leave the task out",
        )


def _check_metrics(config: Mapping[str, Any], kind: str | None, file: TaskFile, place: Place) -> Iterator[UserError]:
    """Faults of `metric_list`; a task that brings its own `process_results` names its metrics as it likes."""
    from lm_eval.api.registry import get_metric  # imports the metrics, which registers aggregations

    get_metric("acc")
    listed = config.get("metric_list")
    if listed is None:
        return
    if not isinstance(listed, list) or not all(isinstance(entry, dict) and "metric" in entry for entry in listed):
        where = file.where(*place, "metric_list")
        fix = "write `metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]`"
        yield UserError("metric_list is a list of mappings with the key metric", where=where, fix=fix)
        return
    for number, entry in enumerate(listed):
        at = (*place, "metric_list", number)
        metric = entry["metric"]
        is_free = config.get("process_results") is not None or entry.get("hf_evaluate") is True
        if not is_free and not isinstance(metric, CodeReference) and kind and metric not in METRICS[kind]:
            near = did_you_mean(str(metric), METRICS[kind])
            fix = f"{near} metrics of {kind}: {', '.join(METRICS[kind])}"
            yield UserError(f"lm-eval computes no metric {metric!r} for {kind}", where=file.where(*at), fix=fix)
        yield from _check_aggregation(entry.get("aggregation"), file.where(*at, "aggregation"), is_free=is_free)


def _check_aggregation(name: Any, where: str, *, is_free: bool) -> Iterator[UserError]:
    from lm_eval.api.registry import aggregation_registry

    names = sorted(aggregation_registry.keys())
    if name is None and is_free:
        yield UserError("a metric of its own needs an aggregation", where=where, fix="write `aggregation: mean`")
    elif isinstance(name, str) and name not in names:
        fix = f"{did_you_mean(name, names)} it is one of {', '.join(names)}"
        yield UserError(f"lm-eval knows no aggregation {name!r}", where=where, fix=fix)


def _check_filters(config: Mapping[str, Any], file: TaskFile, place: Place) -> Iterator[UserError]:
    from lm_eval.api.registry import filter_registry

    listed = config.get("filter_list")
    if listed is None:
        return
    where = file.where(*place, "filter_list")
    if not isinstance(listed, list) or not all(_is_pipeline(entry) for entry in listed):
        fix = "write `filter_list: [{name: first, filter: [{function: take_first}]}]`"
        yield UserError("filter_list is a list of mappings with the keys name and filter", where=where, fix=fix)
        return
    names: Iterable[str] = sorted(filter_registry.keys())
    for number, entry in enumerate(listed):
        for step, function in enumerate(entry["filter"]):
            name = function["function"]
            if isinstance(name, str) and name not in names:
                at = file.where(*place, "filter_list", number, "filter", step)
                fix = f"{did_you_mean(name, names)} it is one of {', '.join(names)}"
                yield UserError(f"lm-eval knows no filter {name!r}", where=at, fix=fix)


def _is_pipeline(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("filter"), list)
        and all(isinstance(step, dict) and "function" in step for step in entry["filter"])
    )
