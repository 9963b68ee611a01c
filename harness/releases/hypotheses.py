"""Predicts an endpoint's replies from our own weights under faults: other scales, adapters, roundings and prompts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.interface import (
    GenerateRequest,
    GenerateResponse,
    ModelRequest,
    Request,
    Response,
    ScoreRequest,
)
from harness.releases.endpoint_causes import STOP_TOKENS, Observation, Prediction
from training.exporting.merging import merge
from training.exporting.variants import round_weights, scaled_adapter
from training.models.adapters import load_adapter
from training.models.model import BASE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.engines.answer_text import AnswerEnd
    from reports.document.verification import CauseKey
    from training.models.device import Device, DTypeName

_FACTOR_CAUSES: dict[float, tuple[CauseKey, str]] = {
    0.0: ("missing_adapter", "it answers as the base: the adapter is missing"),
    2.0: ("merged_twice", "the adapter counts twice, as where it was merged into the weights and loaded beside them"),
}
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
