"""The tracker runs that a training writes to, noted beside its adapter, and values that are reported to them later."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from reports.errors import UserError, first_line
from reports.files import read_json, write_json
from reports.strict import Strict, checked
from training.backends.job import Job
from training.backends.trackers import PROJECT, keep_in, run_name
from training.recipes.recipe import Recipe

FILE = "trackers.json"
STEP = "train/global_step"  # what transformers' integrations call the step
_MOST_AT_ONCE = 1000  # values in one request to MLflow
_WANDB_OFFLINE = ("offline", "dryrun")  # modes in which no run can be resumed: syncing it would replace the first part
_opened: dict[str, str] = {}  # runs by tracker that a training of this process has opened
RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Values = dict[str, dict[str, float]]  # by step and metric


class TrackedRuns(Strict):
    """What is noted beside an adapter.

    Attributes:
        training: Start of the fingerprint of the training.
        runs: Id of the training's run by tracker, of those that have ids.
        reported: Values that were reported after the training, by tracker, step and metric.
    """

    training: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
    runs: dict[str, RunId] = Field(default_factory=dict)
    reported: dict[str, Values] = Field(default_factory=dict)


def note_runs(job: Job) -> Any:
    """Callback that notes the ids of the runs that transformers' integrations open; it has to come after those.

    It also ends the runs that an earlier training of this process left open, which the integrations would continue, and
    opens MLflow's again for the last validation, which would open a second one.
    """
    from transformers import TrainerCallback

    names = job.recipe.trainer.trackers
    end_runs()
    others = {name: _active(name) for name in names}  # the user's own, which the integrations write to

    class Note(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if not state.is_world_process_zero:
                return
            runs = {name: run for name in names if (run := _active(name)) is not None}
            _opened.update({name: run for name, run in runs.items() if run != others[name]})
            noted = TrackedRuns(training=job.work.name.rpartition("-")[2], runs=runs)
            write_json(job.work.parent / FILE, noted.model_dump(mode="json"))

        def on_train_end(self, *_: Any, **__: Any) -> None:
            if job.validation is not None and "mlflow" in _opened and _active("mlflow") is None:
                sys.modules["mlflow"].start_run(run_id=_opened["mlflow"])

    return Note()


def end_runs(which: Collection[str] | None = None) -> None:
    """End the runs that trainings of this process have opened: all, or those with certain ids."""
    for name, run in [*_opened.items()]:
        if which is None or run in which:
            del _opened[name]
            if _active(name) == run:
                module: Any = sys.modules[name]
                module.finish() if name == "wandb" else module.end_run()


def _active(tracker: str) -> str | None:
    """Id of the run that a tracker writes to in this process; None if there is none, or it has no ids."""
    module: Any = sys.modules.get(tracker)
    if tracker == "wandb":
        run = getattr(module, "run", None)
        return None if run is None else str(run.id)
    if tracker == "mlflow" and module is not None:
        run = module.active_run()
        return None if run is None else str(run.info.run_id)
    return None


def report_values(recipe: Recipe, folder: Path, fingerprint: str, values: Values) -> list[str]:
    """Report values of a training's checkpoints to the trackers of its recipe, into the runs of the training.

    A value that was reported before is not reported again. One that has changed is: TensorBoard's file of reported
    values is replaced, the other trackers keep both points. A tracker without a noted run gets a new one of the same
    name.

    Args:
        recipe: The recipe of the training.
        folder: The folder with the adapter's, where `FILE` is read and written.
        fingerprint: The training's, see `training.finetune.fingerprint`.
        values: Finite values by step and metric.

    Returns:
        A note for each tracker that failed; nothing is raised.
    """
    noted, notes = _noted(folder, fingerprint), []
    keep_in(folder)
    for name in recipe.trainer.trackers:
        before = noted.reported.get(name, {})
        new = {
            step: changed
            for step, of_step in values.items()
            if (changed := {key: value for key, value in of_step.items() if before.get(step, {}).get(key) != value})
        }
        merged = {step: before.get(step, {}) | values.get(step, {}) for step in {**before, **values}}
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                if name == "tensorboard":
                    _to_tensorboard(noted.training, merged, changed=bool(new))
                elif new:
                    run = _REPORT[name](noted.runs.get(name), run_name(recipe), new)
                    noted.runs |= {} if run is None else {name: run}
            noted.reported[name] = merged
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises must not lose the scores
            what = f"{type(error).__name__}: {first_line(error)[:200]}"
            notes.append(f"the scores were not reported to {name} ({what}); scoring again tries again")
    with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):  # reported all the same
        end_runs({*noted.runs.values()})
    write_json(folder / FILE, noted.model_dump(mode="json"))
    return notes


def _noted(folder: Path, fingerprint: str) -> TrackedRuns:
    """What is noted of a training; nothing if the file is missing, broken or of another training."""
    with contextlib.suppress(UserError):
        path = folder / FILE
        noted = checked(TrackedRuns, read_json(path), what="a list of tracker runs", where=str(path), fix="remove it")
        if fingerprint.startswith(noted.training):
            return noted
    return TrackedRuns(training=fingerprint[:16])


def _to_tensorboard(training: str, values: Values, *, changed: bool) -> None:
    """Write an event file of these values beside those of the losses, instead of the earlier one of this training."""
    try:
        writers = import_module("torch.utils.tensorboard")
    except ImportError:
        writers = import_module("tensorboardX")
    folder = Path(os.environ["TENSORBOARD_LOGGING_DIR"]).expanduser()
    suffix = f".scores-{training}"
    earlier = [*folder.glob(f"*tfevents*{suffix}")]
    if earlier and not changed:
        return
    with writers.SummaryWriter(log_dir=str(folder), filename_suffix=suffix) as writer:
        for step, key, value in _points(values):
            writer.add_scalar(key, value, step)
    for path in earlier:
        path.unlink(missing_ok=True)


def _to_wandb(run_id: str | None, name: str, values: Values) -> str:
    wandb = import_module("wandb")
    is_open = wandb.run is not None and run_id in (None, wandb.run.id)  # the training's, or the user's
    resumes = run_id is not None and os.environ.get("WANDB_MODE") not in _WANDB_OFFLINE
    which = {"id": run_id, "resume": "allow"} if resumes else {"name": name}
    beside = {} if wandb.run is None else {"reinit": "create_new"}
    run = wandb.run if is_open else wandb.init(project=os.environ["WANDB_PROJECT"], **which, **beside)
    try:
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        for step, of_step in _ordered(values):
            run.log({**of_step, STEP: step})
        return run_id or str(run.id)
    finally:
        if not is_open:
            run.finish()


def _to_mlflow(run_id: str | None, name: str, values: Values) -> str:
    client, is_new = import_module("mlflow.tracking").MlflowClient(), run_id is None
    if run_id is None:
        experiment = client.get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"])
        found = None if experiment is None else experiment.experiment_id
        run_id = client.create_run(
            found or client.create_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"]), run_name=name
        ).info.run_id
    now = int(1000 * time.time())
    metric = import_module("mlflow.entities").Metric
    metrics = [metric(key, value, now, step) for step, key, value in _points(values)]
    for start in range(0, len(metrics), _MOST_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _MOST_AT_ONCE])
    if is_new:
        client.set_terminated(run_id)
    return run_id


def _to_trackio(_: str | None, name: str, values: Values) -> None:
    """Continue the run of the name, as transformers' integration does."""
    trackio = import_module("trackio")
    trackio.init(project=PROJECT, name=name, resume="allow")
    try:
        for step, of_step in _ordered(values):
            trackio.log({**of_step, STEP: step}, step=step)
    finally:
        trackio.finish()


def _ordered(values: Values) -> list[tuple[int, dict[str, float]]]:
    return sorted((int(step), of_step) for step, of_step in values.items())


def _points(values: Values) -> list[tuple[int, str, float]]:
    return [(step, key, value) for step, of_step in _ordered(values) for key, value in of_step.items()]


_REPORT: dict[str, Callable[[str | None, str, Values], str | None]] = {
    "wandb": _to_wandb,
    "mlflow": _to_mlflow,
    "trackio": _to_trackio,
}
