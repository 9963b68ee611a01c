"""Answers of the evaluated and the deployed model to a run's items: scored, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.folder import RunFolder
from harness.releases.own_arithmetic import own_arithmetic
from reports.document.reading import read_samples
from reports.document.verification import EndsPart, PromptsPart, VerificationParts
from reports.errors import UserError
from reports.verification.equivalence import judge, margins_of
from reports.verification.likelihoods import Explanation
from training.models.model import BASE

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.planning.run_plan import Plan
    from harness.releases.causes import Inspection
    from harness.scoring.kept_answers import Scored
    from reports.gate.policy import Policy
    from reports.verification.likelihoods import Answers

EVALUATED, DEPLOYED, DEPLOYED_BASE, ROUNDED = "evaluated", "deployed", "deployed_base", "rounded"
_LONGEST = 1024  # tokens of a request, where the run has no samples


def longest_request(home: RunFolder, model: str) -> int:
    """Tokens of the longest prompt of a run with its answer."""
    samples = (sample for path in home.samples(model, "x").parent.glob("*.jsonl") for sample in read_samples(path))
    return max(((sample.prompt_tokens or 0) + (sample.output_tokens or 0) for sample in samples), default=_LONGEST)


def score_both(
    plan: Plan, inspection: Inspection, terminal: Terminal
) -> tuple[list[Scored], dict[str, Any], list[str]]:
    """(scores of all models, how the engine was set up, what was left out)."""
    from harness.scoring.stage import score_models

    notes = list(inspection.notes)
    if not inspection.has_likelihoods:
        answered = [loaded for loaded in plan.tasks if loaded.task.OUTPUT_TYPE == "generate_until"]
        left_out = [loaded.name for loaded in plan.tasks if loaded not in answered]
        if not answered:
            raise UserError(
                "the server gives no log-probabilities, which all tasks of the run need",
                where=plan.model(DEPLOYED).source,
                fix="name tasks that are answered in words: --tasks medbench_pubmedqa_cot,medbench_generation",
            )
        if left_out:
            notes.append(f"the server gives no log-probabilities, so {', '.join(left_out)} are left out")
        plan = replace(plan, tasks=answered)
    scored, engine = score_models(plan, terminal, {})
    return scored, engine, notes


def judge_answers(
    plan: Plan,
    scored: Sequence[Scored],
    evaluated: str,
    inspection: Inspection,
    rounded_to: str | None,
    policy: Policy | None,
    terminal: Terminal,
) -> VerificationParts:
    """Compare the scored answers of both models.

    Args:
        plan: The plan that scored them.
        scored: The scores of all its models.
        evaluated: Name of the evaluated model in it.
        inspection: What a look at the target shows.
        rounded_to: Type that the evaluated weights were rounded to for the model `ROUNDED`, if it is among them.
        policy: A gate's policy, whose rule `deployed_equals` sets the margins.
        terminal: Says what is scored again.

    Raises:
        UserError: The two have no items in common.
    """
    answers = {model.name: _answers(plan.folder, scored, model.name) for model in plan.models}
    explained = []
    if ROUNDED in answers:
        description = f"The evaluated model's own weights, rounded to {rounded_to}, answered the same items."
        rounding = Explanation("rounding", description, answers[evaluated], answers[ROUNDED], is_exact=True)
        explained.append(rounding)
    if DEPLOYED_BASE in answers:
        description = "The base answered the same items through the run's engine and through the server."
        explained.append(Explanation("kernel", description, before=answers[BASE], after=answers[DEPLOYED_BASE]))
    else:
        model = next(model for model in plan.models if model.name == evaluated)
        arithmetic = own_arithmetic(plan, model, answers[evaluated], terminal)
        explained += [] if arithmetic is None else [arithmetic]
    deployed = [answered for answered in scored if answered.model == DEPLOYED]
    return judge(
        [answered.task.info.model_copy(update={"metrics": answered.metrics}) for answered in deployed],
        answers[evaluated],
        answers[DEPLOYED],
        margins=margins_of(policy),
        explained=explained,
        prompts=inspection.prompts or _prompts(plan, answers, evaluated),
        ends=_ends(plan, evaluated, inspection),
    )


def _answers(folder: RunFolder, scored: Sequence[Scored], model: str) -> Answers:
    return {
        answered.task.name: list(read_samples(folder.samples(model, answered.task.name)))
        for answered in scored
        if answered.model == model
    }


def _prompts(plan: Plan, answers: Mapping[str, Answers], evaluated: str) -> PromptsPart:
    """Compare the tokens of both models' prompts, as medbench renders them with the tokenizers in their folders."""
    from harness.releases.causes import prompt_difference
    from tasks.rendering import encode, load_tokenizer

    own, other = (load_tokenizer(plan.dialogues[name].tokenizer) for name in (evaluated, DEPLOYED))
    items, equal, first = 0, 0, None
    for task, samples in answers[evaluated].items():
        theirs = {(sample.id, sample.repeat): sample for sample in answers[DEPLOYED].get(task, ())}
        for sample in samples:
            if (match := theirs.get((sample.id, sample.repeat))) is None:
                continue
            pair = encode(own, sample.prompt), encode(other, match.prompt)
            items += 1
            equal += pair[0] == pair[1]
            if pair[0] != pair[1] and first is None:
                first = prompt_difference(task, sample.id, *pair, other)
    return PromptsPart(items=items, equal=equal, first=first)


def _ends(plan: Plan, evaluated: str, inspection: Inspection) -> EndsPart:
    """What ends the answers of both; a server does not tell."""
    target = None if inspection.observed else plan.dialogues[DEPLOYED].ends_in_words()
    return EndsPart(reference=plan.dialogues[evaluated].ends_in_words(), target=target)
