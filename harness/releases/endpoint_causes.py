"""Names what is wrong with an endpoint: its replies are compared with what our own weights predict under each fault."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from scipy import stats

from training.exporting.causes import Cause, first_difference

if TYPE_CHECKING:
    from reports.document.verification import CauseKey

# A fault explains the replies if it leaves at most this share of the difference, or what the engines' noise explains.
_LEFT = 0.1
_NOISE_MARGIN = 2.0
_CONFIDENCE = 0.99
_MOST_REPEATS_DIFFER = 0.25  # of greedy replies to the same prompt; near ties differ between batches
_CHAT = {
    "double_bos": "its chat endpoint puts a second start token before prompts",
    "missing_bos": "its chat endpoint leaves out the start token of prompts",
    "template": "its chat endpoint renders other prompts",
}
_Hypothesis = TypeVar("_Hypothesis", bound=Hashable)
_MIN_PREFIX = 3  # tokens of an answer that stop where ours does
STOP_TOKENS = 4  # asked for where an answer should end at once


@dataclass(frozen=True)
class Observation:
    """Replies of an endpoint about one item.

    Attributes:
        prompt: Token ids of the item's prompt as medbench renders it.
        target: Token ids of the gold answer.
        logprobs: Log-probability in nats of each token of `target`; None if the endpoint gives none.
        sent: Tokens of the request for these.
        counted: Tokens that the endpoint counted in it; None if it counts none.
        chat_prompt: Token ids that its chat endpoint makes of the question; None if it does not tell.
        chat_counted: How many these are; None if it does not tell.
        answers: Greedy answers of its chat endpoint to the same question, as token ids.
        ended: Whether the first of them ended by itself.
        whole: Token ids of the prompt with the whole gold answer; empty if the endpoint was not asked to go on there.
        stops: Whether it ended its answer at once there.
    """

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    logprobs: tuple[float, ...] | None = None
    sent: int = 0
    counted: int | None = None
    chat_prompt: tuple[int, ...] | None = None
    chat_counted: int | None = None
    answers: tuple[tuple[int, ...], ...] = ()
    ended: bool = True
    whole: tuple[int, ...] = ()
    stops: bool = True


@dataclass(frozen=True)
class Prediction:
    """What our own weights give for one item under a hypothesis.

    Attributes:
        logprobs: Log-probability in nats of each token of the target.
        answer: Greedy answer, as token ids.
        ended: Whether it ended by itself.
        stops: Whether the model ends its answer at once after the whole gold answer.
    """

    logprobs: tuple[float, ...]
    answer: tuple[int, ...] = ()
    ended: bool = True
    stops: bool = False


def prompt_findings(observed: Sequence[Observation], bos: int | None) -> list[Cause]:
    """What an endpoint does to prompts: cuts them, adds or leaves out the start token, or renders another template.

    Args:
        observed: Its replies.
        bos: The start token; None if the tokenizer has none.
    """
    return [finding for finding in (_cut(observed), _chat(observed, bos)) if finding is not None]


def _cut(observed: Sequence[Observation]) -> Cause | None:
    """The endpoint reads fewer tokens than were sent, and the same number of all longer requests."""
    cut = [(one.sent, one.counted) for one in observed if one.counted is not None and one.counted < one.sent - 1]
    cut += [
        (len(one.prompt), one.chat_counted)
        for one in observed
        if one.chat_counted is not None and one.chat_counted < len(one.prompt) - 1
    ]
    if not cut:
        return None
    kept, times = Counter(counted for _, counted in cut).most_common(1)[0]
    if times < len(cut) or (len(cut) == 1 and len(observed) > 1 and kept < min(len(one.prompt) for one in observed)):
        return None  # different numbers: another template, not a cut
    sentence = (
        f"the endpoint reads {kept} tokens of a request: {len(cut)} of {len(observed)} requests are longer (up to"
        f" {max(sent for sent, _ in cut)}) and lose the rest"
    )
    return Cause("context_cut", sentence, {"tokens_read": kept, "requests_cut": len(cut)})


def _chat(observed: Sequence[Observation], bos: int | None) -> Cause | None:
    """What the chat endpoint does to prompts that are not cut, by tokens if it tells them, else by their number."""
    shown = [(one.prompt, one.chat_prompt) for one in observed if one.chat_prompt is not None]
    different = [(own, chat) for own, chat in shown if own != chat]
    if different:
        key: CauseKey = next(
            (key for key, start in _starts(bos) if all(start(*pair) for pair in different)), "template"
        )
        evidence: dict[str, float | str] = {"prompts": len(shown), "different": len(different)}
        if key == "template":
            evidence["first_difference"] = first_difference(*different[0])
        return Cause(key, f"{_CHAT[key]}: {len(different)} of {len(shown)} prompts differ", evidence)
    shifts = [] if shown else [one.chat_counted - len(one.prompt) for one in observed if one.chat_counted is not None]
    only_longer_ones = len(set(shifts)) > 1 and max(shifts) <= 0 and 0 in shifts  # which are cut
    if not any(shifts) or only_longer_ones:
        return None
    by_one: dict[int, CauseKey] = (
        {1: "double_bos", -1: "missing_bos"} if bos is not None and len(set(shifts)) == 1 else {}
    )
    key = by_one.get(shifts[0], "template")
    evidence = {"prompts": len(shifts), "least_more_tokens": min(shifts), "most_more_tokens": max(shifts)}
    return Cause(key, f"{_CHAT[key]}, by the number of tokens that it counts", evidence)


def _starts(bos: int | None) -> list[tuple[CauseKey, Callable[[tuple[int, ...], tuple[int, ...]], bool]]]:
    """(cause, whether a prompt of ours and one of the endpoint differ by it) for faults of the start token."""
    if bos is None:
        return []
    return [
        ("double_bos", lambda own, chat: chat == (bos, *own)),
        ("missing_bos", lambda own, chat: own == (bos, *chat)),
    ]


def errors(observed: Sequence[Observation], predicted: Sequence[Prediction]) -> np.ndarray:
    """[items] How far a hypothesis is from the replies.

    Mean absolute difference of log-probabilities in nats per token; where the endpoint gives none, the share of the
    answer, from 0 to 1, that follows the first token in which the answers differ.
    """
    return np.array([_error(one, prediction) for one, prediction in zip(observed, predicted, strict=True)])


def _error(one: Observation, prediction: Prediction) -> float:
    if one.logprobs is not None:
        if len(one.logprobs) != len(prediction.logprobs):
            return math.inf
        return float(np.mean(np.abs(np.subtract(one.logprobs, prediction.logprobs)))) if one.logprobs else 0.0
    answer = one.answers[0] if one.answers else ()
    length = min(len(answer), len(prediction.answer)) or max(len(answer), len(prediction.answer))
    return 1.0 - first_difference(answer, prediction.answer) / length if length else 0.0


@dataclass(frozen=True)
class Fit(Generic[_Hypothesis]):
    """The hypothesis that fits best.

    Attributes:
        hypotheses: It, and those that the items cannot tell from it; empty if none explains the replies.
        error: Mean of `errors` under it.
        unexplained: Mean of `errors` under our weights as they are.
        is_different: Whether the replies differ from our weights by more than noise at all.
    """

    hypotheses: tuple[_Hypothesis, ...]
    error: float
    unexplained: float
    is_different: bool


def best_fit(wrong: Mapping[_Hypothesis, np.ndarray], reference: _Hypothesis, noise: float) -> Fit[_Hypothesis]:
    """The hypothesis under which our own weights predict an endpoint's replies.

    Args:
        wrong: `errors` by hypothesis, all over the same items.
        reference: The hypothesis without a fault.
        noise: What the engines' arithmetic explains of an error, in its unit.
    """
    means = {hypothesis: float(values.mean()) for hypothesis, values in wrong.items()}
    unexplained, allowed = means[reference], _NOISE_MARGIN * noise
    if unexplained <= allowed:
        return Fit((reference,), unexplained, unexplained, is_different=False)
    best = min(means, key=means.__getitem__)
    if best == reference or means[best] > max(allowed, _LEFT * unexplained):
        return Fit((), means[best], unexplained, is_different=True)
    alike = [other for other in wrong if other != best and not _is_worse(wrong[other], wrong[best], noise)]
    if reference in alike:
        return Fit((), means[best], unexplained, is_different=True)
    return Fit((best, *alike), means[best], unexplained, is_different=True)


def _is_worse(other: np.ndarray, best: np.ndarray, noise: float) -> bool:
    """Whether one hypothesis is further from the replies than another; paired over items, one-sided t."""
    with np.errstate(invalid="ignore"):
        differences = other - best
    if not np.isfinite(differences).all():
        return bool(other.mean() > best.mean())
    mean, deviation, count = differences.mean(), differences.std(ddof=1) if len(other) > 1 else 0.0, len(other)
    bound = mean - stats.t.ppf(_CONFIDENCE, max(count - 1, 1)) * deviation / math.sqrt(count)
    return bool(bound > 0 and mean > noise / 2)


def answer_findings(observed: Sequence[Observation], predicted: Sequence[Prediction]) -> list[Cause]:
    """What an endpoint does while it generates: samples instead of taking the argmax, or misses the end token.

    Args:
        observed: Replies of an endpoint whose log-probabilities and prompts are ours.
        predicted: What our weights give.
    """
    repeated = [one for one in observed if len(one.answers) > 1]
    changed = sum(one.answers[0] != one.answers[1] for one in repeated)
    results = []
    if changed > max(_MOST_REPEATS_DIFFER * len(repeated), 1):
        sentence = f"{changed} of {len(repeated)} answers change when the same greedy request is sent again: it samples"
        results.append(Cause("sampling", sentence, {"repeated": len(repeated), "changed": changed}))
    pairs = list(zip(observed, predicted, strict=True))
    past = [_goes_on(one, prediction) for one, prediction in pairs if _is_long_enough(one, prediction)]
    past += [not one.stops for one, prediction in pairs if prediction.stops and one.whole]
    if sum(past) > len(past) / 2:
        sentence = f"{sum(past)} of {len(past)} answers go on after the token that ends ours"
        results.append(Cause("end_token", sentence, {"answers": len(past), "past_the_end": sum(past)}))
    return results


def _is_long_enough(one: Observation, prediction: Prediction) -> bool:
    """Whether our answer ended by itself, after enough tokens to recognise it in the endpoint's."""
    return bool(one.answers) and prediction.ended and len(prediction.answer) >= _MIN_PREFIX


def _goes_on(one: Observation, prediction: Prediction) -> bool:
    """Whether the endpoint's answer begins as ours and goes on where ours ends."""
    length = len(prediction.answer)
    return len(one.answers[0]) > length and one.answers[0][:length] == prediction.answer
