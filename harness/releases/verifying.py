"""`medbench verify`: whether a deployed model answers as the model that a run evaluated, and if not, why."""

from __future__ import annotations

import importlib.metadata
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.console import Terminal
from harness.folder import RunFolder
from harness.logs import log_to
from harness.opening import open_run
from harness.releases.deployed_answers import (
    DEPLOYED,
    DEPLOYED_BASE,
    EVALUATED,
    ROUNDED,
    judge_answers,
    longest_request,
    score_both,
)
from harness.runs.stages import command_line
from reports.certificate import markdown, summary
from reports.document.reading import read_results
from reports.document.verification import (
    VERIFY_FILE,
    DeployedTarget,
    PromptsPart,
    Reference,
    Verification,
    VerificationParts,
    write_verification,
)
from reports.errors import UserError
from reports.files import write_text
from reports.verification.equivalence import ALPHA
from reports.version import __version__
from training.machine_failures import raise_machine_errors
from training.models.model import BASE

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan
    from harness.releases.causes import Inspection
    from reports.document.schema import ModelInfo, Results
    from reports.document.verification import Cause
    from reports.gate.policy import Policy
    from training.models.model import Model

_SETTINGS = ("scoring.across=true", "scoring.noise_items=0")
_PACKAGES = ("torch", "transformers", "peft", "httpx")
_UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")


def verify(  # noqa: PLR0913 - one for each flag of the command
    run: str | Path,
    target: str,
    *,
    model: str = "adapter",
    others: Sequence[str] = (),
    rounded_to: str | None = None,
    policy: str | Path | None = None,
    limit: int | None = None,
    tasks: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    out: str | Path | None = None,
    quiet: bool = False,
) -> Verification:
    """Compare a deployed model with the one that a run evaluated, on the run's items, and write a certificate.

    Args:
        run: The run folder.
        target: What is deployed: a folder, a GGUF file, a hub id, or `http://HOST/v1#MODEL`.
        model: The evaluated model's name in the run; one from elsewhere as `NAME=FOLDER`.
        others: Other adapters on the same base as `NAME=FOLDER`, which an endpoint may serve by mistake.
        rounded_to: GGUF type that the target is meant to have, such as `q8_0`: the difference that this rounding makes
            to our own weights is explained.
        policy: A gate's policy, whose rule `deployed_equals` sets the margins.
        limit: Items for each task; the run's by default.
        tasks: Tasks instead of the run's.
        settings: `key.path=value` overrides of the run's recipe.
        out: The folder to write; by default `RUN/verify/TARGET`, and the certificate in `RUN` too, where the gate reads
            it.
        quiet: Print nothing.

    Raises:
        UserError: The run, its model, the target, another adapter or the policy cannot be used.
    """
    from harness.releases.gating import load_policy

    terminal = Terminal(quiet=quiet)
    home = RunFolder(Path(run))
    results = read_results(home.path)
    info, source = _reference(results, model, home)
    folder = RunFolder(Path(out) if out is not None else home.path / "verify" / _label(target))
    folder.make()
    with raise_machine_errors(), folder.lock():
        log_to(folder.log)
        models = {EVALUATED: source} if source is not None else {}
        models[DEPLOYED] = target
        with tempfile.TemporaryDirectory() as work:
            if rounded_to is not None:
                models[ROUNDED] = _rounded(info, source, rounded_to, Path(work))
            plan = _plan(home, folder, models, limit, tasks or [task.name for task in results.tasks], settings)
        _check_reference(plan, info, home)
        rules = None if policy is None else load_policy(Path(policy))
        document = _compare(plan, home, info, _others(others, plan, home), rounded_to, rules, terminal)
        for place in {folder.path, home.path if out is None else folder.path}:
            write_verification(place / VERIFY_FILE, document)
            write_text(place / "verify.md", markdown(document))
        folder.served.unlink(missing_ok=True)
    terminal.say(f"\n{summary(document)}")
    terminal.say(str(folder.path / VERIFY_FILE))
    return document


def _label(target: str) -> str:
    """A name for the target's folder, from the end of its source."""
    last = target.rstrip("/").rpartition("/")[2] if "#" not in target else target.partition("://")[2]
    return _UNNAMED.sub("-", last).strip("-.")[:80] or "target"


def _reference(results: Results, model: str, home: RunFolder) -> tuple[ModelInfo, str | None]:
    """(the evaluated model in the results, the source of its adapter; None for the base)."""
    name, _, source = model.partition("=")
    info = next((info for info in results.models if info.name == name), None)
    if info is None:
        names = ", ".join(info.name for info in results.models)
        raise UserError(f"the run scored no model named {name!r}", where="--model", fix=f"choose from {names}")
    if info.kind == "base" or source:
        return info, source or None
    if name != "adapter":
        fix = f"say where it is: --model {name}=FOLDER"
        raise UserError(f"{name} is not in the run folder", where="--model", fix=fix)
    return info, str(home.adapter)


def _plan(
    home: RunFolder,
    folder: RunFolder,
    models: Mapping[str, str],
    limit: int | None,
    tasks: Sequence[str],
    settings: Sequence[str],
) -> Plan:
    from harness.planning.run_plan import make_plan

    recipe, _ = open_run(str(home.recipe), limit=limit, settings=[*_SETTINGS, *settings])
    words = ",".join([BASE, *(f"{name}={source}" for name, source in models.items())])
    plan = make_plan(recipe, folder, words, tasks)
    parent = _served_parent(plan)
    return make_plan(recipe, folder, f"{words},{DEPLOYED_BASE}={parent}", tasks) if parent else plan


def _rounded(info: ModelInfo, source: str | None, kind: str, work: Path) -> str:
    """Path of a GGUF file of the evaluated model's weights, rounded to a type.

    Raises:
        UserError: There is no such type, it cannot be written here, or the evaluated model is no adapter.
    """
    from harness.releases.exporting import export

    if source is None:
        fix = f"leave it out, or score the rounded file beside {info.name} (medbench score --models)"
        raise UserError("only an adapter can be merged and rounded here", where="--rounded-to", fix=fix)
    path = work / f"rounded-{kind}.gguf"
    export(source, path, gguf=kind, quiet=True)
    return str(path)


def _served_parent(plan: Plan) -> str | None:
    """Address of the base on the target's server, if the server says which it is.

    Not of a quantised base, which the server holds otherwise: its difference would be more than another kernel's.
    """
    from harness.engines.served.client import server_facts

    model = plan.model(DEPLOYED)
    if model.kind != "served" or plan.weight_format.is_quantised:
        return None
    parent = server_facts(model.url, model.served_name, plan.recipe.scoring.served).get("parent")
    return f"{model.url}#{parent}" if parent and parent != model.served_name else None


def _evaluated(plan: Plan) -> Model:
    return next((model for model in plan.models if model.name == EVALUATED), plan.base)


def _check_reference(plan: Plan, info: ModelInfo, home: RunFolder) -> None:
    """See that the evaluated model's weights are still those that the run scored."""
    if _evaluated(plan).sha256 != info.sha256:
        raise UserError(
            f"the weights of {info.name} are not those that the run scored",
            where=str(home.path),
            fix="score the run again (`medbench score --out RUN`), then verify",
        )


def _others(others: Sequence[str], plan: Plan, home: RunFolder) -> dict[str, Path]:
    """Folders of other adapters by name: those that were named, and the run's own where another is evaluated."""
    from training.models.adapters import find_adapter

    folders = {}
    for text in others:
        name, separator, source = text.partition("=")
        if not (name and separator and source):
            what = f"{text!r} names no adapter"
            raise UserError(what, where="--other", fix="write NAME=FOLDER, such as --other previous=runs/old/adapter")
        folders[name] = find_adapter(name, source, plan.base).folder
    if home.adapter.is_dir() and _evaluated(plan).folder.resolve() != home.adapter.resolve():
        folders.setdefault("adapter", home.adapter)
    return folders


def _compare(
    plan: Plan,
    home: RunFolder,
    info: ModelInfo,
    others: Mapping[str, Path],
    rounded_to: str | None,
    policy: Policy | None,
    terminal: Terminal,
) -> Verification:
    """Score both sides, judge their equivalence, and find the causes of a difference."""
    from harness.releases.causes import inspect

    terminal.heading("Verify")
    evaluated = _evaluated(plan)
    inspection = inspect(plan, evaluated, plan.model(DEPLOYED), others, longest_request(home, info.name), terminal)
    try:
        scored, engine, notes = score_both(plan, inspection, terminal)
    except UserError as error:
        if not inspection.findings:
            raise
        parts = _unscored(inspection, error)
        parts, causes = inspection.explain(parts, None)
        return _document(plan, info, inspection, parts, causes, {"name": "none"}, [], home)
    parts = judge_answers(plan, scored, evaluated.name, inspection, rounded_to, policy, terminal)
    noise = next((part.nats_per_token for part in parts.explained if part.kind == "kernel"), None)
    parts, causes = inspection.explain(parts, noise)
    return _document(plan, info, inspection, parts, causes, engine, notes, home)


def _unscored(inspection: Inspection, error: UserError) -> VerificationParts:
    """What is certain of a target that reads other prompts than it is sent, so that it cannot be scored."""
    return VerificationParts(
        items=len(inspection.observed),
        confidence=1 - 2 * ALPHA,
        prompts=inspection.prompts or PromptsPart(),
        outcome="different",
        reasons=[f"It was not scored on the run's items: {error.what}."],
    )


def _document(
    plan: Plan,
    info: ModelInfo,
    inspection: Inspection,
    parts: VerificationParts,
    causes: list[Cause],
    engine: Mapping[str, Any],
    notes: Sequence[str],
    home: RunFolder,
) -> Verification:
    target, evaluated = plan.model(DEPLOYED), _evaluated(plan)
    name = str(engine.get("engine", engine["name"]))
    return Verification(
        **dict(parts),
        medbench_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command_line(),
        versions={package: importlib.metadata.version(package) for package in _PACKAGES},
        reference=Reference(
            run=home.path.resolve().name,
            model=info.name,
            sha256=info.sha256,
            config_sha256=info.config_sha256,
            base_sha256=plan.base.sha256,
            weights=plan.part_of(evaluated).weights,
            engine=name,
        ),
        target=DeployedTarget(
            kind=target.kind,
            label=target.source,
            form=inspection.form,
            sha256=None if target.is_served else target.sha256,
            server=inspection.server,
            engine="server" if target.is_served else name,
        ),
        causes=causes,
        notes=[*plan.warnings, *notes],
    )
