"""Predicts an endpoint's replies from our own weights under faults: other scales, adapters, roundings and prompts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engines.interface import (
    GenerateRequest,
    GenerateResponse,
    ModelRequest,
    Request,
    Response,
    ScoreRequest,
)
from harness.releases.endpoint_causes import STOP_TOKENS, Fit, Observation, Prediction, best_fit, errors
from training.exporting.causes import Cause
from training.exporting.merging import merge
from training.exporting.variants import ROUNDINGS, round_weights, scaled_adapter
from training.models.adapters import load_adapter
from training.models.model import BASE

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.engines.answer_text import AnswerEnd
    from reports.document.verification import CauseKey
    from training.models.device import Device, DTypeName

_FACTORS = (0.0, 0.5, 2.0)
_LEADING = 3  # of the best hypotheses
_NEAR = 2.0  # a fit within this multiple of the noise ends the search
_FACTOR_CAUSES: dict[float, tuple[CauseKey, str]] = {
    0.0: ("missing_adapter", "it answers as the base: the adapter is missing"),
    2.0: ("merged_twice", "the adapter counts twice, as where it was merged into the weights and loaded beside them"),
}
_GROUPS = (("factor", "adapter"), ("full_base",), ("rounding", "embeddings"), ("bos",), ("tokens_read",))  # of faults
_BOS_CAUSES: dict[str, tuple[CauseKey, str]] = {
    "double": ("double_bos", "a second start token stands before prompts"),
    "missing": ("missing_bos", "prompts lack their start token"),
}


@dataclass(frozen=True)
class Hypothesis:
    """Our own weights with some faults; without any by default.

    Attributes:
        factor: What the adapter's change of the weights is multiplied by.
        adapter: Name of another adapter in place of the reference's.
        full_base: Whether the adapter is on the base's own weights, where the run's base is quantised.
        rounding: GGUF type that the weights are rounded to; empty for none.
        embeddings: Whether embedding and output layer are rounded too.
        bos: `double` or `missing` where the start token is; empty if it is as it should be.
        tokens_read: Only so many tokens of a request are read, its last; 0 for all.
    """

    factor: float = 1.0
    adapter: str = ""
    full_base: bool = False
    rounding: str = ""
    embeddings: bool = True
    bos: str = ""
    tokens_read: int = 0

    @property
    def faults(self) -> list[tuple[CauseKey, str]]:
        """(cause key, sentence) of each fault."""
        faults: list[tuple[CauseKey, str]] = []
        if self.adapter:
            faults.append(("wrong_adapter", f"it answers as another adapter of the run: {self.adapter}"))
        elif self.factor != 1:
            default: tuple[CauseKey, str] = (
                "adapter_scale",
                f"the adapter's scale is {self.factor:g} of what it should be",
            )
            faults.append(_FACTOR_CAUSES.get(self.factor, default))
        if self.bos:
            faults.append(_BOS_CAUSES[self.bos])
        if self.tokens_read:
            faults.append(("context_cut", f"only the last {self.tokens_read} tokens of a request are read"))
        if self.full_base:
            faults.append(("precision", "its base is not quantised, as that of the evaluated model is"))
        if self.rounding:
            which = "" if self.embeddings else ", all but the embeddings"
            faults.append(("precision", f"the weights are rounded to {self.rounding}{which}"))
        return faults


@dataclass(frozen=True)
class OwnWeights:
    """The reference model on this machine.

    Attributes:
        load: Loads the base as it is scored, on its device.
        load_full: Loads it without the run's quantisation; None if there is none.
        adapter: Folder of the reference adapter; None if the base itself is the reference.
        others: Folders of other adapters, by name.
        end: Recognises the end of an answer.
        dtype: Of merged weights.
    """

    load: Callable[[], PreTrainedModel]
    load_full: Callable[[], PreTrainedModel] | None
    tokenizer: PreTrainedTokenizerBase
    adapter: Path | None
    others: Mapping[str, Path]
    end: AnswerEnd
    device: Device
    dtype: DTypeName


def identify(
    own: OwnWeights,
    observed: Sequence[Observation],
    reference: Sequence[Prediction],
    noise: float,
    tokens_read: int = 0,
) -> list[Cause]:
    """The faults under which our weights predict an endpoint's replies best.

    Single faults are tried first, then pairs with the best of them, and roundings where these leave something. No
    causes if there is no difference; one with the key `unidentified` if no hypothesis explains it.

    Args:
        own: The reference.
        observed: The endpoint's replies.
        reference: What our weights predict without a fault.
        noise: What the engines' arithmetic explains, in the unit of `errors`.
        tokens_read: Number of tokens that the endpoint was seen to read of longer requests; 0 if it reads all.
    """
    none = Hypothesis()
    observed = [replace(one, whole=(), answers=() if one.logprobs is not None else one.answers) for one in observed]
    wrong = {none: errors(observed, reference)}
    fit = best_fit(wrong, none, noise)
    if not fit.is_different:
        return []
    others = [Hypothesis(adapter=name) for name in own.others]
    scales = [Hypothesis(factor=factor) for factor in _FACTORS] if own.adapter is not None else []
    starts = [Hypothesis(bos=kind) for kind in ("double", "missing")] if own.tokenizer.bos_token_id is not None else []
    cuts = [Hypothesis(tokens_read=tokens_read)] if tokens_read else []
    roundings = [Hypothesis(rounding=kind, embeddings=whole) for kind in ROUNDINGS for whole in (True, False)]
    full = [Hypothesis(full_base=True)] if own.load_full is not None else []
    for candidates in ([*scales, *others, *full, *starts, *cuts], roundings):
        for count in (1, _LEADING):  # how many of the best so far are combined with all others
            tried = [*candidates, *(_both(best, other) for best in _best(wrong, count) for other in candidates)]
            new = [hypothesis for hypothesis in dict.fromkeys(tried) if hypothesis not in wrong]
            for hypothesis, predictions in predict(own, observed, new).items():
                wrong[hypothesis] = errors(observed, predictions)
            fit = best_fit(wrong, none, noise)
            if fit.hypotheses and fit.error <= _NEAR * noise:
                return _causes(fit, len(wrong))
    return _causes(fit, len(wrong))


def _best(wrong: Mapping[Hypothesis, np.ndarray], count: int) -> list[Hypothesis]:
    return sorted(wrong, key=lambda hypothesis: float(wrong[hypothesis].mean()))[:count]


def _both(first: Hypothesis, second: Hypothesis) -> Hypothesis:
    """The faults of both; of two that exclude each other, the first's."""
    none = Hypothesis()
    parts: dict[str, Any] = {}
    for group in _GROUPS:
        names = [name for name in group if getattr(first, name) != getattr(none, name)]
        parts |= {name: getattr(first if names else second, name) for name in group}
    return Hypothesis(**parts)


def _causes(fit: Fit[Hypothesis], tried: int) -> list[Cause]:
    evidence: dict[str, float | str] = {"difference": fit.unexplained, "left": fit.error, "hypotheses": tried}
    if not fit.hypotheses:
        sentence = "cause not identifiable: none of the faults that were tried explains the replies"
        return [Cause("unidentified", sentence, evidence)]
    best, *alike = (hypothesis.faults for hypothesis in fit.hypotheses)
    alternatives = [" and ".join(sentence for _, sentence in faults) for faults in alike]
    if alternatives:
        evidence["cannot_be_told_from"] = "; ".join(alternatives)
    return [Cause(key, sentence, evidence) for key, sentence in best]


def predict(
    own: OwnWeights, observed: Sequence[Observation], hypotheses: Iterable[Hypothesis]
) -> dict[Hypothesis, list[Prediction]]:
    """What our weights give for the items of some observations under each hypothesis."""
    hypotheses = list(hypotheses)
    predictions: dict[Hypothesis, list[Prediction]] = {}
    plain = [hypothesis for hypothesis in hypotheses if not hypothesis.rounding]
    with tempfile.TemporaryDirectory() as work:
        for full_base in (False, True):
            same = [hypothesis for hypothesis in plain if hypothesis.full_base == full_base]
            if same:
                adapters = _adapters(own, same, Path(work))
                names = {hypothesis: _name(own, hypothesis) for hypothesis in same}
                predictions |= _ask(own, _load(own, same[0]), adapters, names, observed)
        for weights in dict.fromkeys(_weights(hypothesis) for hypothesis in hypotheses if hypothesis.rounding):
            same = [hypothesis for hypothesis in hypotheses if _weights(hypothesis) == weights]
            folder = _adapters(own, same, Path(work)).get(_name(own, weights))
            predictions |= _ask(own, lambda: _rounded(own, folder, weights), {}, dict.fromkeys(same, BASE), observed)  # noqa: B023 - called at once
    return {hypothesis: predictions[hypothesis] for hypothesis in hypotheses}


def _weights(hypothesis: Hypothesis) -> Hypothesis:
    return replace(hypothesis, bos="", tokens_read=0)


def _load(own: OwnWeights, hypothesis: Hypothesis) -> Callable[[], PreTrainedModel]:
    if not hypothesis.full_base:
        return own.load
    assert own.load_full is not None
    return own.load_full


def _name(own: OwnWeights, hypothesis: Hypothesis) -> str:
    """Name of the model that has a hypothesis's weights before rounding."""
    if hypothesis.adapter:
        return f"other {hypothesis.adapter}"
    return BASE if own.adapter is None or hypothesis.factor == 0 else f"{hypothesis.factor:g}"


def _adapters(own: OwnWeights, hypotheses: Iterable[Hypothesis], work: Path) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for hypothesis in hypotheses:
        name = _name(own, hypothesis)
        if name == BASE or name in folders:
            continue
        if hypothesis.adapter:
            folders[name] = own.others[hypothesis.adapter]
            continue
        assert own.adapter is not None
        if hypothesis.factor == 1:
            folders[name] = own.adapter
        else:
            copy = work / name
            folders[name] = copy if copy.is_dir() else scaled_adapter(own.adapter, hypothesis.factor, copy)
    return folders


def _rounded(own: OwnWeights, adapter: Path | None, hypothesis: Hypothesis) -> PreTrainedModel:
    model = _load(own, hypothesis)()
    if adapter is not None:
        model = merge(load_adapter(model, adapter), own.dtype)
    return round_weights(model, hypothesis.rounding, embeddings=hypothesis.embeddings).eval()


def _ask(
    own: OwnWeights,
    load: Callable[[], PreTrainedModel],
    adapters: Mapping[str, Path],
    names: Mapping[Hypothesis, str],
    observed: Sequence[Observation],
) -> dict[Hypothesis, list[Prediction]]:
    from harness.engines.transformers_engine import TransformersEngine

    requests: list[ModelRequest] = []
    for hypothesis, name in names.items():
        for one in observed:
            requests += [ModelRequest(name, request) for request in _requests(own, hypothesis, one)]
    distinct = list(dict.fromkeys(requests))
    ends = dict.fromkeys([BASE, *adapters], own.end)
    engine = TransformersEngine(load, own.tokenizer, adapters, ends=ends, device=own.device)
    with contextlib.closing(engine):
        responses = {distinct[index]: response for index, response in engine.respond(distinct)}
    predictions: dict[Hypothesis, list[Prediction]] = {}
    for hypothesis, name in names.items():
        predictions[hypothesis] = []
        for one in observed:
            given = [responses[ModelRequest(name, request)] for request in _requests(own, hypothesis, one)]
            predictions[hypothesis].append(_prediction(own, one, given))
    return predictions


def _requests(own: OwnWeights, hypothesis: Hypothesis, one: Observation) -> list[Request]:
    """The log-likelihood of an item's target, and the answers to which the endpoint gave one."""
    bos = own.tokenizer.bos_token_id
    prompt = one.prompt
    if hypothesis.bos == "double":
        prompt = (bos, *prompt)
    elif hypothesis.bos == "missing" and prompt[:1] == (bos,) and len(prompt) > 1:
        prompt = prompt[1:]
    kept = prompt
    if hypothesis.tokens_read:
        kept = prompt[-max(1, hypothesis.tokens_read - len(one.target)) :]
        prompt = prompt[-hypothesis.tokens_read :]
    requests: list[Request] = [ScoreRequest(kept, one.target)]
    if one.answers:
        requests.append(GenerateRequest(prompt, max(map(len, one.answers)) or 1))
    if one.whole:
        requests.append(GenerateRequest(one.whole, STOP_TOKENS))
    return requests


def _prediction(own: OwnWeights, one: Observation, given: Sequence[Response]) -> Prediction:
    """What the responses to the requests about an item say."""
    score, *generated = given
    assert not isinstance(score, GenerateResponse)
    answers = []
    for response in generated:
        assert isinstance(response, GenerateResponse)
        tokens = tuple(token for token in response.tokens if token not in own.end.ends)
        answers.append((tokens, response.finish_reason == "stop"))
    stops = bool(one.whole) and answers.pop() == ((), True)
    answer, ended = answers[0] if one.answers else ((), True)
    return Prediction(tuple(score.logprobs), answer, ended, stops)
