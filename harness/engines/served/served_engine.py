"""The engine for models behind OpenAI-compatible servers: requests over HTTP, a few at once, nothing loaded here."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import (
    CAPABILITIES,
    Capability,
    Cost,
    GenerateRequest,
    GenerateResponse,
    ModelRequest,
    PerplexityRequest,
    Request,
    Response,
)
from harness.engines.rows import PartScore, ScoringBatch, Tokens
from harness.engines.served.client import ServedClient, list_models, server_facts
from harness.engines.served.probes import answer_alike, check_greedy, with_dialect, with_log_likelihoods
from harness.engines.served.prompts import chat_messages
from harness.engines.served.served_model import ServedModel
from harness.engines.served.workers import run_jobs
from harness.engines.windows import fit_to_context
from reports.numbers import join_words
from tasks.catalog import GENERATION, PUBMEDQA_COT, PUBMEDQA_QUESTION_COT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.recipes.recipe import ServedSection

_MOST_TOKEN_IDS = 128  # vLLM's limit of `logprob_token_ids`
_UNBOUNDED = 1 << 20  # tokens; of a context that neither server nor tokenizer gives


class ServedEngine:
    """Responds with models of servers; see `harness.engines.interface.Engine`.

    Args:
        models: Address of the server and name there, by the model's name in the run.
        tokenizer: The models' tokenizer.
        ends: Recognises the end of an answer, by model.
        settings: `scoring.served` of the recipe.
        requests: All requests that will follow: those that cannot be answered are an error at the start, those that are
            cut are in its note. Without them both are found when they are asked.
        strict: Whether it is an error if a server read other prompts than it was sent, rather than a note.

    Attributes:
        models: The models, asked in the dialects of their servers.
        facts: What the servers report, by model; see `server_facts`.
        notes: What the probes noticed, as in `setup["note"]`.

    Raises:
        UserError: A server cannot be reached, lacks a model or misunderstands requests.
    """

    def __init__(
        self,
        models: Mapping[str, tuple[str, str]],
        tokenizer: PreTrainedTokenizerBase,
        *,
        ends: Mapping[str, AnswerEnd],
        settings: ServedSection,
        requests: Iterable[ModelRequest] | None = None,
        strict: bool = True,
    ) -> None:
        started = time.perf_counter()
        self._settings = settings
        self.facts = {name: server_facts(url, served, settings) for name, (url, served) in models.items()}
        self._clients = {url: ServedClient(url, settings) for url in {url for url, _ in models.values()}}
        self.models: dict[str, ServedModel] = {}
        self._no_scores: dict[str, str] = {}
        self.notes: list[str] = []
        for name, (url, served) in models.items():
            model = ServedModel(name, served, self._clients[url], tokenizer, ends[name], strict=strict)
            self.models[name] = self._probe(model)
        self._compare()
        self.max_length = {name: self._window(name, tokenizer) - 1 for name in models}
        self.capabilities: frozenset[Capability] = CAPABILITIES - ({"log_likelihoods"} if self._no_scores else set())
        dialects = [model.dialect for model in self.models.values()]
        ways = {dialect.whole or ("logprobs" if dialect.next_ids or dialect.top else "none") for dialect in dialects}
        self.setup: dict[str, str | float] = {
            "engine": "served",
            "prompts": join_words(sorted({dialect.prompts for dialect in dialects})),
            "log_likelihoods": join_words(sorted(ways)),
            "concurrency": settings.concurrency,
            "max_model_len": min(self.max_length.values()) + 1,
        }
        self._is_checked = requests is not None
        self._check(requests or ())
        self.setup["start_seconds"] = round(time.perf_counter() - started, 3)

    def respond(self, requests: Sequence[ModelRequest]) -> Iterator[tuple[int, Response]]:
        """Responses of all models in the order in which their servers complete them."""
        self._check_scores(requests)
        if not self._is_checked:
            self._check(requests)
        jobs: list[_Job] = []
        for name in dict.fromkeys(request.model for request in requests):
            own = [(index, request) for index, (model, request) in enumerate(requests) if model == name]
            scored = [(index, request) for index, request in own if not isinstance(request, GenerateRequest)]
            batch = ScoringBatch([request for _, request in scored], self.max_length[name])
            indices = [index for index, _ in scored]
            jobs += [_ScoreJob(self.models[name], *row, batch, indices) for row in self._rows(name, batch)]
            jobs += [
                _GenerateJob(self.models[name], index, request, *fit_to_context(request, self.max_length[name] + 1))
                for index, request in own
                if isinstance(request, GenerateRequest)
            ]

        def give_up() -> None:
            for client in self._clients.values():
                client.end()

        last = time.perf_counter()
        for job, (result, latency) in run_jobs(jobs, _timed, self._settings.concurrency, give_up):
            now = time.perf_counter()
            yield from job.responses(result, Cost(now - last, latency, 0))
            last = now

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def _probe(self, model: ServedModel) -> ServedModel:
        names = list_models(model.client)
        own = names.get(model.served_name, {})
        same = {name for name, card in names.items() if "root" in card and card == own}
        model = replace(model, others=frozenset(names) - same - {model.served_name})
        model, notes = with_dialect(model)
        if not names:
            notes.append("its server does not list its models, so it may answer with any")
        model, why = with_log_likelihoods(model)
        if why:
            self._no_scores[model.name] = why
        self.notes += [f"{model.name}: {note}" for note in (*notes, *check_greedy(model))]
        return model

    def _compare(self) -> None:
        """Note models that answer like another of the run on the same server, or like the adapter's parent there."""
        models = list(self.models.values())
        for number, model in enumerate(models):
            others = [other for other in models[:number] if other.client is model.client]
            others = [other for other in others if other.served_name != model.served_name]
            parent = self.facts[model.name].get("parent", "")
            if parent in model.others and parent not in {other.served_name for other in models}:
                rest = model.others - {parent} | {model.served_name}
                others.append(replace(model, name=parent, served_name=parent, others=rest))
            for other in others:
                if answer_alike(other, model):
                    what = f"answers exactly like {other.name}: the server ignores the name {model.served_name!r}"
                    self.notes.append(f"{model.name}: {what}, or the adapter changes nothing")
                    break

    def _window(self, name: str, tokenizer: PreTrainedTokenizerBase) -> int:
        """Tokens of a model's context."""
        reported = self.facts[name].get("max_model_len", "")
        windows = [int(reported)] if reported.isdecimal() and int(reported) > 1 else []
        windows += [self._settings.context] if self._settings.context else []
        if not windows:
            self.notes.append(f"{name}: the server does not report its context; scoring.served.context sets it")
            windows = [int(min(tokenizer.model_max_length, _UNBOUNDED))]
        return min(windows)

    def _check(self, requests: Iterable[ModelRequest]) -> None:
        """Note requests that are longer than a server's context, and send the longest that is not."""
        count: dict[str, int] = dict.fromkeys(self.models, 0)
        longer, others = dict(count), dict(count)
        longest: dict[str, Tokens] = dict.fromkeys(self.models, ())
        for name, request in requests:
            self._check_scores([ModelRequest(name, request)])
            tokens, limit = _tokens(request), self.max_length[name] + 1
            count[name] += 1
            if isinstance(request, GenerateRequest):
                prompt, _ = fit_to_context(request, limit)
                longer[name] += len(prompt) < len(tokens)
                model = self.models[name]
                others[name] += model.dialect.prompts == "chat" and chat_messages(model.tokenizer, prompt) is None
            else:
                prompt = tokens[: limit - 1]
                longer[name] += len(tokens) >= limit
            longest[name] = max(longest[name], prompt, key=len)
        for name, model in self.models.items():
            if longer[name]:
                what = f"{longer[name]} of {count[name]} requests are longer than the server's context"
                cut = "prompts lose their start, texts are scored in windows"
                self.notes.append(f"{name}: {what} of {self.max_length[name] + 1} tokens ({cut})")
            if others[name]:
                what = f"{others[name]} of {count[name]} prompts are no messages of our chat template"
                self.notes.append(f"{name}: {what}, and get the server's around them")
            if longest[name] and model.dialect.prompts != "text":
                model.ask(longest[name], {model.dialect.limit: 1, "temperature": 0})
        if self.notes:
            self.setup["note"] = "; ".join(self.notes)

    def _check_scores(self, requests: Iterable[ModelRequest]) -> None:
        for name, request in requests:
            if name in self._no_scores and not isinstance(request, GenerateRequest):
                model, words = self.models[name], (PUBMEDQA_COT, PUBMEDQA_QUESTION_COT, GENERATION)
                raise model.error(
                    f"log-likelihoods of {name} cannot be scored: {self._no_scores[name]}",
                    f"choose tasks that are answered in words (--tasks {','.join(words)}), or a server that gives"
                    " log-probabilities of prompts, such as vLLM",
                )

    def _rows(self, name: str, batch: ScoringBatch) -> Iterator[tuple[Tokens, int, list[tuple[int, Tokens]]]]:
        """(prompt, number of tokens to score at its end or 0 for the next one, parts) of each HTTP request."""
        model = self.models[name]
        for row in batch.rows:
            if row.scored == 1 and (model.dialect.next_ids or not model.dialect.whole):
                for start in range(0, len(row.targets), _MOST_TOKEN_IDS):
                    yield row.tokens, 0, row.targets[start : start + _MOST_TOKEN_IDS]
            elif model.dialect.whole:
                for target in row.targets:
                    yield (*row.tokens, target[1][-1]), row.scored, [target]
            else:
                what = f"{name} cannot score a choice of {row.scored} tokens: its server gives log-probabilities of one"
                raise model.error(what, "choose tasks that are answered in words, or a server such as vLLM")


@dataclass(frozen=True)
class _ScoreJob:
    """A prompt whose last tokens, or whose possible next tokens, are scored."""

    model: ServedModel
    prompt: Tokens
    count: int
    targets: Sequence[tuple[int, Tokens]]
    batch: ScoringBatch
    indices: Sequence[int]

    def run(self) -> list[PartScore]:
        free = Cost(0, 0, 0)
        if self.count:
            scores = self.model.score(self.prompt, self.count)
            ((part, _),) = self.targets
            logprobs = array("f", (score.logprob for score in scores))
            return [PartScore(part, logprobs, all(score.is_argmax for score in scores), free)]
        listed = self.model.score_next(self.prompt, {token for _, (token,) in self.targets})
        parts = []
        for part, (token,) in self.targets:
            if token not in listed:
                text = self.model.tokenizer.decode([token])
                what = f"the choice {text!r} is not among the {len(listed)} tokens whose log-probabilities it gives"
                raise self.model.error(what, "choose tasks that are answered in words, or a server such as vLLM")
            parts.append(PartScore(part, array("f", [listed[token].logprob]), listed[token].is_argmax, free))
        return parts

    def responses(self, result: Any, cost: Cost) -> Iterator[tuple[int, Response]]:
        own = replace(cost, seconds=cost.seconds / len(result))
        for score in result:
            if (completed := self.batch.complete(replace(score, cost=own))) is not None:
                yield self.indices[completed[0]], completed[1]


@dataclass(frozen=True)
class _GenerateJob:
    """A prompt to continue by at most `limit` tokens."""

    model: ServedModel
    index: int
    request: GenerateRequest
    prompt: Tokens
    limit: int

    def run(self) -> GenerateResponse:
        text, tokens, reason = self.model.generate(self.request, self.prompt, self.limit)
        return GenerateResponse(text, tokens, reason, Cost(0, 0, 0))

    def responses(self, result: Any, cost: Cost) -> Iterator[tuple[int, Response]]:
        yield self.index, replace(result, cost=cost)


_Job = _ScoreJob | _GenerateJob


def _timed(job: _Job) -> tuple[list[PartScore] | GenerateResponse, float]:
    started = time.perf_counter()
    return job.run(), time.perf_counter() - started


def _tokens(request: Request) -> Tokens:
    if isinstance(request, GenerateRequest):
        return request.prompt
    if isinstance(request, PerplexityRequest):
        return (request.start, *request.tokens)
    return (*request.context, *request.continuation)
