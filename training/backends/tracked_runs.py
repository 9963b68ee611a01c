"""The tracker runs of a training, and values that are reported to them after it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from reports.errors import UserError, first_line
from reports.files import read_json, write_json
from reports.strict import Strict, checked
from training.backends.trackers import PROJECT, keep_in, run_name
from training.recipes.recipe import Recipe

FILE = "trackers.json"
STEP = "train/global_step"  # what transformers' integrations call the step
_MOST_AT_ONCE = 1000  # values in one request to MLflow
_WANDB_OFFLINE = ("offline", "dryrun")  # modes in which no run can be resumed: syncing it would replace the first part
_opened: dict[str, str] = {}  # runs by tracker that a training of this process has opened
Values = dict[str, dict[str, float]]  # by step and metric


class Reported(Strict):
    """What was reported after a training.

    Attributes:
        training: Fingerprint of the training.
        runs: Id by tracker of the runs that were opened for it, since the training's log has none.
        values: The values by tracker, step and metric.
    """

    training: str
    runs: dict[str, Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]] = Field(default_factory=dict)
    values: dict[str, Values] = Field(default_factory=dict)


def follow_runs(names: Sequence[str]) -> Any:
    """Callback that follows which runs transformers' integrations open; it has to come after those.

    The runs that an earlier training of this process left open, which the integrations would continue, are ended.
    MLflow's run is opened again at the end, since the last validation would open a second one.

    Args:
        names: The trackers.
    """
    from transformers import TrainerCallback

    end_runs()
    others = active_runs(names)  # the user's own, which the integrations write to

    class Follow(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            _opened.update({name: run for name, run in active_runs(names).items() if run != others.get(name)})

        def on_train_end(self, *_: Any, **__: Any) -> None:
            if "mlflow" in _opened and "mlflow" not in active_runs(names):
                sys.modules["mlflow"].start_run(run_id=_opened["mlflow"])

    return Follow()


def active_runs(names: Sequence[str]) -> dict[str, str]:
    """Id by tracker of the runs that are open in this process, of those trackers whose runs have ids."""
    return {name: run for name in names if (run := _active(name)) is not None}


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


def report_values(recipe: Recipe, folder: Path, fingerprint: str, runs: Mapping[str, str], values: Values) -> list[str]:
    """Report values of a training's checkpoints to the trackers of its recipe, into the runs of the training.

    Only values that are new or have changed are reported. After a change, TensorBoard's file of reported values is
    replaced, and the other trackers have both points. A tracker without a recorded run gets a new one of the same name.

    Args:
        recipe: The recipe of the training.
        folder: The folder with the adapter's, where `FILE` is read and written.
        fingerprint: The training's, see `training.finetune.fingerprint`.
        runs: Id of the training's run by tracker.
        values: Finite values by step and metric.

    Returns:
        A note for each tracker that failed; nothing is raised.
    """
    reported, notes = _reported(folder, fingerprint), []
    runs = {**reported.runs, **runs}
    keep_in(folder)
    for name in recipe.trainer.trackers:
        before = reported.values.get(name, {})
        new = {
            step: changed
            for step, of_step in values.items()
            if (changed := {key: value for key, value in of_step.items() if before.get(step, {}).get(key) != value})
        }
        merged = {step: before.get(step, {}) | values.get(step, {}) for step in {**before, **values}}
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                if name == "tensorboard":
                    _to_tensorboard(fingerprint[:16], merged, changed=bool(new))
                elif new:
                    run = _REPORT[name](runs.get(name), run_name(recipe), new)
                    reported.runs |= {} if run is None or name in runs else {name: run}
            reported.values[name] = merged
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises must not lose the scores
            what = f"{type(error).__name__}: {first_line(error)[:200]}"
            notes.append(f"the scores were not reported to {name} ({what}); to retry, score the run again")
    with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):  # reported all the same
        end_runs({*runs.values()})
    write_json(folder / FILE, reported.model_dump(mode="json"))
    return notes


def _reported(folder: Path, fingerprint: str) -> Reported:
    """What was reported of a training; nothing if the file is missing, broken or of another training."""
    with contextlib.suppress(UserError):
        path = folder / FILE
        reported = checked(
            Reported, read_json(path), what="a record of reported values", where=str(path), fix="remove it"
        )
        if reported.training == fingerprint:
            return reported
    return Reported(training=fingerprint)


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
        existing = None if experiment is None else experiment.experiment_id
        run_id = client.create_run(
            existing or client.create_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"]), run_name=name
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
