"""Looks at a deployed model before it is scored: files by their weights and prompts, endpoints by their replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from harness.releases.endpoint_causes import answer_findings, prompt_findings
from reports.document import verification
from reports.document.verification import CauseKey, PromptDifference, PromptsPart
from training.exporting.causes import Cause, first_difference

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.planning.run_plan import Plan
    from harness.releases.endpoint_causes import Observation, Prediction
    from harness.releases.hypotheses import OwnWeights
    from reports.document.verification import VerificationParts, VerifyOutcome
    from training.models.model import Model

_ORDER = get_args(CauseKey)
_KERNEL_NATS = 0.05  # per token, of 16-bit kernels that differ; measured through the base where the server has it
_NEAR_TIES = 0.2  # share of an answer's tokens that follow a near tie, which another kernel decides
_SHOWN_TOKENS = 8
# Causes that make a deployed model different whatever the run's items show: other prompts or stopping.
_ALWAYS: frozenset[CauseKey] = frozenset(
    ("template", "tokenizer", "double_bos", "missing_bos", "context_cut", "end_token", "sampling")
)
# Causes that decide where the items are too few: it is another model.
_ANOTHER_MODEL: frozenset[CauseKey] = frozenset(("missing_adapter", "wrong_adapter", "merged_twice", "adapter_scale"))


@dataclass(frozen=True)
class Inspection:
    """What a look at the target shows.

    Attributes:
        form: What the target is in words.
        findings: Causes that show without scoring.
        server: What its server says about itself.
        prompts: Comparison with the prompts that the target renders itself; None if medbench renders them.
        has_likelihoods: Whether it gives log-probabilities.
        notes: What could not be seen.
        observed: Its replies, of an endpoint.
        own: Our weights, of an endpoint.
    """

    form: str
    findings: Sequence[Cause] = ()
    server: dict[str, str] = field(default_factory=dict)
    prompts: PromptsPart | None = None
    has_likelihoods: bool = True
    notes: Sequence[str] = ()
    observed: Sequence[Observation] = ()
    own: OwnWeights | None = None

    def explain(
        self, parts: VerificationParts, noise: float | None
    ) -> tuple[VerificationParts, list[verification.Cause]]:
        """(the comparison with its outcome, causes of a difference in their order from prompt to answer).

        Other prompts, stopping or sampling make a model different though all metrics are equivalent; an adapter that is
        missing, another or scaled does where the items are too few to show it.

        Args:
            parts: The comparison on the run's items.
            noise: What the engines' arithmetic explains, in nats per token; None if it was not measured.
        """
        findings = list(self.findings)
        if self.own is not None and self.observed:
            is_equivalent = parts.outcome == "equivalent"
            findings += _endpoint_findings(self.own, self.observed, findings, noise, only_answers=is_equivalent)
        decisive = _ALWAYS | (_ANOTHER_MODEL if parts.outcome == "inconclusive" else frozenset())
        if parts.outcome != "different" and (shown := [one for one in findings if one.key in decisive]):
            reasons = [f"{one.sentence[:1].upper()}{one.sentence[1:]}." for one in shown]
            parts = parts.model_copy(update={"outcome": "different", "reasons": reasons, "items_needed": None})
        return parts, [] if parts.outcome == "equivalent" else self._sorted(findings, parts.outcome)

    def _sorted(self, findings: list[Cause], outcome: VerifyOutcome) -> list[verification.Cause]:
        if not findings and outcome == "different":
            findings = [Cause("unidentified", "cause not identifiable: weights, prompts and ends are as evaluated", {})]
        findings.sort(key=lambda finding: _ORDER.index(finding.key))
        return [
            verification.Cause(
                key=finding.key,
                sentence=finding.sentence,
                evidence={key: float(value) for key, value in finding.evidence.items() if not isinstance(value, str)},
            )
            for finding in findings
        ]


def _endpoint_findings(
    own: OwnWeights,
    observed: Sequence[Observation],
    prompts: Sequence[Cause],
    noise: float | None,
    *,
    only_answers: bool,
) -> list[Cause]:
    """What re-scoring our own weights shows about an endpoint's replies; about answers only, or weights too."""
    from harness.releases.hypotheses import Hypothesis, predict
    from harness.releases.identifying import identify

    cut = next((finding for finding in prompts if finding.key == "context_cut"), None)
    tokens_read = int(cut.evidence["tokens_read"]) if cut is not None else 0
    none = Hypothesis()
    replies = list(zip(observed, predict(own, observed, [none])[none], strict=True))
    usable = [pair for pair in replies if pair[0].logprobs is not None]
    answered = [pair for pair in replies if pair[0].answers or pair[0].whole]
    if not usable:
        usable, noise = [pair for pair in answered if pair[0].answers], _NEAR_TIES
    allowed = _KERNEL_NATS if noise is None else noise
    findings = identify(own, *_columns(usable), allowed, tokens_read) if usable and not only_answers else []
    seen = {finding.key for finding in prompts}
    findings = [finding for finding in findings if finding.key not in seen]
    if prompts:  # which explain what is left
        findings = [finding for finding in findings if finding.key != "unidentified"]
    is_explained = bool(findings or prompts)
    generation = answer_findings(*_columns(answered))
    return findings + [finding for finding in generation if finding.key == "sampling" or not is_explained]


def _columns(pairs: Sequence[tuple[Observation, Prediction]]) -> tuple[list[Observation], list[Prediction]]:
    return [one for one, _ in pairs], [prediction for _, prediction in pairs]


def inspect(
    plan: Plan, evaluated: Model, target: Model, others: Mapping[str, Path], longest: int, terminal: Terminal
) -> Inspection:
    """Look at the target of a plan.

    Args:
        plan: The plan that scores both.
        evaluated: The model that the run evaluated.
        target: The deployed one.
        others: Folders of other adapters that an endpoint may serve.
        longest: Tokens of the run's longest request.
        terminal: Gets a line.
    """
    if target.is_served:
        return _inspect_endpoint(plan, evaluated, target, others, longest, terminal)
    return _inspect_files(plan, evaluated, target, terminal)


def _inspect_files(plan: Plan, evaluated: Model, target: Model, terminal: Terminal) -> Inspection:
    from tasks.data import DataSource, load_reasoning
    from tasks.formats import get_format
    from training.exporting.adapter_settings import find_setting_causes
    from training.exporting.prompting_causes import find_prompting_causes
    from training.exporting.weight_causes import find_weight_causes

    if target.is_adapter:
        if target.sha256 != evaluated.sha256:
            what = "it is another adapter than the evaluated one, by the hash of its weights"
            return Inspection("adapter", [Cause("wrong_adapter", what, {})])
        return Inspection("adapter", find_setting_causes(evaluated.folder, target.folder))
    terminal.say("  comparing weights, prompts and end tokens with the evaluated model's")
    questions = [row.question for row in load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)]
    prompting = find_prompting_causes(
        plan.dialogues[evaluated.name].tokenizer,
        target.folder,
        questions,
        get_format(plan.recipe.format.name),
        plan.recipe.format.chat,
    )
    weights = find_weight_causes(
        plan.base,
        evaluated.folder if evaluated.is_adapter else None,
        target.folder,
        quantization=plan.base.quantization,
        train_dtype=plan.train_dtype,
    )
    findings = [*prompting, *weights.causes]
    values = str(weights.evidence["types"]).partition(":")[0]  # the most frequent type of the weights
    form = f"{values} {'GGUF' if target.kind == 'gguf' else 'model folder'}".strip()
    return Inspection(form, findings, notes=weights.notes)


def _inspect_endpoint(
    plan: Plan, evaluated: Model, target: Model, others: Mapping[str, Path], longest: int, terminal: Terminal
) -> Inspection:
    from harness.engines.answer_text import AnswerEnd
    from harness.engines.served.client import ServedClient, server_facts
    from harness.engines.served.probes import with_dialect, with_log_likelihoods
    from harness.engines.served.served_model import ServedModel
    from harness.releases.hypotheses import OwnWeights
    from harness.releases.observing import observe
    from tasks.rendering import load_tokenizer
    from training.models.loading import load_for_scoring

    dialogue = plan.dialogues[evaluated.name]
    tokenizer = load_tokenizer(dialogue.tokenizer)
    end = AnswerEnd(tokenizer, dialogue.ends)
    settings = plan.recipe.scoring.served
    terminal.say("  asking the endpoint how it renders prompts, and twice for the same answers")
    client = ServedClient(target.url, settings)
    try:
        model = ServedModel(target.name, target.served_name, client, tokenizer, end, strict=False)
        model, _ = with_log_likelihoods(with_dialect(model)[0])
        observed = observe(model, plan.recipe.format.name, plan.recipe.format.chat, longest)
    finally:
        client.close()
    load = partial(
        load_for_scoring, plan.base, train_dtype=plan.train_dtype, dtype=plan.score_dtype, device=plan.device
    )
    own = OwnWeights(
        load=partial(load, plan.base.quantization),
        load_full=partial(load, None) if plan.weight_format.is_quantised and plan.weight_format.by_recipe else None,
        tokenizer=tokenizer,
        adapter=evaluated.folder if evaluated.is_adapter else None,
        others=others,
        end=end,
        device=plan.device,
        dtype=plan.score_dtype,
    )
    return Inspection(
        "server",
        prompt_findings(observed, tokenizer.bos_token_id),
        server=server_facts(target.url, target.served_name, settings),
        prompts=_chat_prompts(observed, tokenizer),
        has_likelihoods=model.dialect.whole is not None,
        observed=observed,
        own=own,
    )


def _chat_prompts(observed: Sequence[Observation], tokenizer: object) -> PromptsPart:
    """Comparison of the prompts that the chat endpoint renders with ours."""
    shown = [one for one in observed if one.chat_prompt is not None]
    if not shown:
        note = "the server does not tell which tokens its chat template makes; only their number was compared"
        return PromptsPart(note=note)
    different = [(number, one) for number, one in enumerate(shown) if one.chat_prompt != one.prompt]
    first = None
    if different:
        number, one = different[0]
        first = prompt_difference("chat endpoint", str(number), one.prompt, one.chat_prompt or (), tokenizer)
    return PromptsPart(items=len(shown), equal=len(shown) - len(different), first=first)


def prompt_difference(
    task: str, item: str, reference: Sequence[int], target: Sequence[int], tokenizer: object
) -> PromptDifference:
    """The first tokens in which two prompts differ, and their text."""
    place = first_difference(reference, target)
    ours, theirs = (list(tokens[place : place + _SHOWN_TOKENS]) for tokens in (reference, target))
    decode = tokenizer.decode  # type: ignore[attr-defined]
    return PromptDifference(
        task=task,
        item=item,
        position=place,
        reference=ours,
        target=theirs,
        reference_text=decode(ours),
        target_text=decode(theirs),
    )
