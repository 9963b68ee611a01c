"""`medbench gate`: reads policy, candidate and baseline, judges, and writes and prints the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.console import Terminal
from harness.folder import RunFolder
from harness.releases.baselines import baseline_folder, is_baseline, read_baseline, with_own_metrics
from harness.releases.gate_reports import remove_reports, show_report, write_reports
from harness.releases.scored_adapters import check_adapters, own_adapters
from reports.document.checksums import verified_facts
from reports.document.evidence import HUMAN_RATING
from reports.document.reading import read_results
from reports.document.schema import Results, Sample
from reports.document.verification import Verification, read_verification
from reports.errors import UserError
from reports.gate.inputs import GateInput, ItemScore, check_values, read_items
from reports.gate.outcome import GateInputInfo, GateReport
from reports.gate.policy import DEFAULT, DeployedEquals, Policy
from reports.names import is_plain_name
from tasks.suites import SUITES
from training.recipes.strict_yaml import check, read_yaml


class UnfinishedError(Exception):
    """Why a run cannot be judged yet; the gate blocks it for this reason."""


def gate(
    run: str | Path,
    *,
    policy: str | Path | None = None,
    baseline: str | Sequence[str] | None = None,
    candidate: str | None = None,
    store: str | Path = "baselines",
    out: str | Path | None = None,
    quiet: bool = False,
) -> GateReport:
    """Judge a model of a run by a policy, and write `gate.json`, `gate.xml` (JUnit) and `gate.md`.

    Args:
        run: The candidate's run folder.
        policy: A YAML file of rules; `reports.gate.policy.DEFAULT` if not given.
        baseline: `RUN[:MODEL]`, a run folder or a stored baseline, or several of them, against each of which every
            rule is judged; the run's own baseline if not given.
        candidate: The model to judge; if not given, the recipe's own adapter, else the only other one.
        store: Folder of the stored baselines.
        out: Folder to write to; the run folder if not given.
        quiet: Print nothing.

    Raises:
        UserError: Policy, run or baseline are missing or broken or do not contain the model, or a baseline occurs
            twice.
    """
    from reports.gate.judging import input_info, judge, refuse

    run = Path(run)
    folder = run if out is None else Path(out)
    remove_reports(folder)  # in case this gate ends with an error
    rules = DEFAULT if policy is None else load_policy(Path(policy))
    names = [None] if baseline is None else [baseline] if isinstance(baseline, str) else list(baseline)
    if not names:
        raise UserError("no baseline is given", where="--baseline", fix="give a run or a stored baseline")
    try:
        ours = read_run(run, candidate, avoid=baseline is None)
        ours = replace(ours, certificates=_read_certificates(run, rules))
        try:
            theirs = _read_baselines(ours, run, names, Path(store))
        except UnfinishedError as reason:
            unread = [GateInputInfo(run=str(name), model="") for name in names]
            report = refuse(rules, str(reason), input_info(ours), unread)
        else:
            suites = {suite.name: dict(suite.mean_of) for suite in SUITES.values() if suite.mean_of}
            report = judge(rules, ours, theirs, suites=suites, source=str(policy))
    except UnfinishedError as reason:
        unread = [GateInputInfo(run=str(name or ""), model="") for name in names]
        report = refuse(rules, str(reason), GateInputInfo(run=_name(run), model=candidate or ""), unread)
    terminal = Terminal(quiet=quiet)
    write_reports(report, folder, terminal)
    show_report(report, folder, terminal)
    return report


def load_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        UserError: The file has faults; all are listed, each with its line.
    """
    value, origins = read_yaml(path, "policy")
    if not isinstance(value, dict):
        raise UserError("a policy is a mapping with rules", where=str(path), fix="start from `medbench init`")
    return check(Policy, value, str(path), "policy", origins)


def read_run(run: Path, model: str | None, *, avoid: bool = False) -> GateInput:
    """Read a model of a run folder with its samples.

    Args:
        run: The folder.
        model: Its name; if not given, the recipe's own adapter, else the only model.
        avoid: Never choose the run's own baseline.

    Raises:
        UserError: There is no run, it is broken, or it has no such model.
        UnfinishedError: The run is not finished.
    """
    folder = RunFolder(run)
    if not folder.results.is_file():
        if not folder.recipe.is_file() and not (run / "samples").is_dir():
            raise UserError("there is no run in it", where=str(run), fix="give the folder of a `medbench run`")
        raise UnfinishedError(f"{_name(run)} is not finished: it has no results.json yet")
    results = read_results(run)
    if not results.is_as_written():
        raise UnfinishedError(f"the results.json of {_name(run)} was changed after medbench wrote it; run it again")
    results = with_own_metrics(results)
    _check_finished(folder, results)
    name = _model(results, model, str(run), avoid=results.baseline if avoid else None)
    has_weights = check_adapters(folder, results, name)
    items: dict[str, Mapping[str, ItemScore | Sample]] = {}
    faults: dict[str, str] = {}
    for task in results.tasks:
        path = folder.samples(name, task.name)
        if not path.resolve().is_relative_to(run.resolve()):
            raise UserError(
                f"the task name {task.name[:60]!r} leads out of the run folder", where=str(run), fix="run again"
            )
        if not path.is_file():
            faults[task.name] = f"the samples of {task.name} are missing"
            continue
        verified_facts(path, required=True)
        samples = read_items(path, Sample)
        foreign = next((row for row in samples.values() if (row.model, row.task) != (name, task.name)), None)
        if foreign is not None:
            raise UserError(
                f"the item {foreign.id[:60]} belongs to {foreign.model[:60]} and {foreign.task[:60]}",
                where=str(path),
                fix="score again",
            )
        check_values(path, task.metrics, samples)
        items[task.name] = samples
        answers = Counter(row.id for row in samples.values())
        expected = next((data.rows for data in results.data if data.role == task.name), len(answers))
        if len(answers) != expected:
            faults[task.name] = f"{len(answers)} of the {expected} items of {task.name} are answered"
        elif task.name != HUMAN_RATING and len(set(answers.values())) > 1:
            faults[task.name] = f"some items of {task.name} are answered less often than others"
    return GateInput(
        run=_name(run),
        results=results,
        model=name,
        items=items,
        faults=faults,
        trained_here=name in own_adapters(results) and results.training is not None,
        has_weights=has_weights,
    )


def _read_certificates(run: Path, policy: Policy) -> dict[str, Verification | str]:
    """The certificates that the policy asks for, or what is wrong with one, by file; missing ones are left out."""
    certificates: dict[str, Verification | str] = {}
    for rule in policy.rules:
        if isinstance(rule, DeployedEquals) and (path := run / rule.file).exists():
            try:
                certificates[rule.file] = read_verification(path)
            except UserError as error:
                certificates[rule.file] = f"{rule.file} cannot be used: {error.what}; {error.fix}"
    return certificates


def run_and_model(text: str) -> tuple[Path, str | None]:
    """The folder and model of RUN[:MODEL]; a folder whose own name has a colon stays whole."""
    readings = [(Path(place).expanduser(), model) for place, model in _readings(text)]
    return next((reading for reading in readings if reading[0].is_dir()), readings[-1])


def _readings(text: str) -> list[tuple[str, str | None]]:
    """RUN[:MODEL] as a run whose name may have a colon, and as a run with a model."""
    name, colon, model = text.rpartition(":")
    return [(text, None), *([(name, model)] if colon and name and model else [])]


def _read_baselines(candidate: GateInput, run: Path, names: Sequence[str | None], store: Path) -> list[GateInput]:
    """Read the baselines; None is the run's own.

    Raises:
        UserError: One is missing, broken, the candidate itself, or there twice, however it is spelled.
        UnfinishedError: A baseline's run is not finished.
    """
    baselines: dict[tuple[Path, str], GateInput] = {}
    for name in names:
        path, model = (run, candidate.results.baseline) if name is None else _locate(name, store)
        other = _read_baseline(candidate, run, path, model, stored=name is not None and is_baseline(path))
        if baselines.setdefault((path.resolve(), other.model), other) is not other:
            what = f"{other.model} of {other.run} is there twice"
            raise UserError(what, where=f"--baseline {name}", fix="give different baselines")
    return list(baselines.values())


def _read_baseline(candidate: GateInput, run: Path, path: Path, model: str | None, *, stored: bool) -> GateInput:
    if stored:
        return read_baseline(path, model)
    if not RunFolder(path).recipe.is_file() and not (path / "samples").is_dir():
        raise UserError(
            "it is neither a run nor a whole baseline: there is no baseline.json",
            where=str(path),
            fix="set the baseline again, or give the folder of a `medbench run`",
        )
    other = read_run(path, model)
    if path.resolve() != run.resolve():
        return other
    if other.model == candidate.model:
        raise UserError(
            f"candidate and baseline are both {candidate.model}",
            where=str(run),
            fix="name others with --candidate MODEL and --baseline RUN[:MODEL]",
        )
    return replace(other, results=candidate.results, trained_here=False)  # the same results need no comparison


def _locate(baseline: str, store: Path) -> tuple[Path, str | None]:
    """The folder and model of RUN[:MODEL], where RUN is a name in the store or, if it is none there, a folder.

    The store goes first, so a folder in the working directory cannot replace a stored baseline.
    """
    for place, model in _readings(baseline):
        folders = [Path(place).expanduser()]
        for path in [store / place, *folders] if is_plain_name(place) else folders:
            folder = baseline_folder(path) or path
            if folder.is_dir():
                return folder, model
    raise UserError(
        "there is no such run, nor a stored baseline of that name",
        where=f"--baseline {baseline}",
        fix=f"give a run folder, or a name of `medbench baseline list` (looked for in {store})",
    )


def _check_finished(folder: RunFolder, results: Results) -> None:
    """Refuse a run that is in progress, or whose recipe has changed since its results were written."""
    if folder.is_locked():
        raise UnfinishedError(f"{_name(folder.path)} is not finished: another medbench is working in this run folder")
    if folder.recipe.is_file():
        recipe, _ = read_yaml(folder.recipe, "recipe")
        if recipe != results.recipe:
            raise UnfinishedError(
                f"{_name(folder.path)} is not finished: its recipe.yaml is not the one that results.json was made with"
            )


def _model(results: Results, model: str | None, where: str, *, avoid: str | None) -> str:
    names = [info.name for info in results.models]
    if avoid is not None and avoid not in names:
        raise UserError(f"its baseline {avoid[:60]} is not among its models", where=where, fix="run again")
    choices = [name for name in names if name != avoid]
    own = [name for name in own_adapters(results) if name != avoid]
    chosen = model or next(iter(own), choices[0] if len(choices) == 1 else None)
    if chosen in names and RunFolder(Path()).samples(str(chosen), "t").parent.name == chosen:
        return str(chosen)
    what = f"it has no model {model}" if model else f"it has {len(choices)} models and none was chosen"
    fix = f"name one of {', '.join(names)[:200] or 'none'} with --candidate MODEL or --baseline RUN:MODEL"
    raise UserError(what, where=where, fix=fix)


def _name(run: Path) -> str:
    """The name of a run without the folders above it, which reports do not reveal."""
    return run.resolve().name
