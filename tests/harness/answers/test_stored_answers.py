"""Responses in the answer store: read as they were written, to the last bit, and asked of an engine only once."""

import json
from array import array
from dataclasses import replace

import pytest

from harness.answers.answer_keys import answer_key
from harness.answers.answer_store import AnswerStore
from harness.answers.cached_engine import CachedEngine
from harness.answers.stored_answers import ResponseCache
from harness.engines.interface import (
    CAPABILITIES,
    Cost,
    GenerateRequest,
    GenerateResponse,
    ModelRequest,
    Response,
    ScoreRequest,
    ScoreResponse,
)

KEYS = {"base": b"base", "one": b"one"}


@pytest.fixture
def store(tmp_path):
    store = AnswerStore(tmp_path / "answers.sqlite", 10**9)
    yield store
    store.close()


def test_a_response_is_read_as_it_was_written_but_marked_as_reused(store):
    """Also its seconds: rounded twice, they would differ in the samples of a resumed run."""
    cost = Cost(0.00634996, 1 / 3, 1 << 30)
    responses: dict[ModelRequest, Response] = {
        ModelRequest("base", ScoreRequest((5, 6), (7, 8, 9))): ScoreResponse(
            array("f", [-1 / 3, -1e-9, float("-inf")]), greedy=True, cost=cost
        ),
        ModelRequest("one", GenerateRequest((5, 6), 9)): GenerateResponse("né\n", (8, 9), "stop", cost),
    }
    cache = ResponseCache(store, KEYS)
    for request, response in responses.items():
        cache.put(request, response)
    other = ModelRequest("base", ScoreRequest((5, 6), (8,)))
    reused = [replace(response, cost=replace(cost, reused=True)) for response in responses.values()]
    assert cache.load([*responses, other]) == dict(enumerate(reused))
    assert [cache.recorded(request) for request in (*responses, other)] == [*reused, None]
    assert ResponseCache(store, KEYS, reads=False).load(list(responses)) == {}
    assert ResponseCache(None, KEYS).load(list(responses)) == {}


@pytest.mark.parametrize("logprobs", [-2.5, "AAAA!AA==", "AAAA", None])
def test_log_probabilities_in_an_earlier_form_are_not_misread(store, logprobs):
    """Stores used to hold the sum as a number."""
    request = ModelRequest("base", ScoreRequest((5, 6), (7,)))
    store.put(answer_key(b"base", request.request), json.dumps([[0.1, 0.2, 3], logprobs, True]).encode())
    assert ResponseCache(store, KEYS).load([request]) == {}


class EchoEngine:
    """Responds with the prompt's first token, last request first; notes what it receives."""

    def __init__(self, capabilities=CAPABILITIES, recorded=lambda _: None):
        self.capabilities = capabilities
        self.setup = {"engine": "echo"}
        self.recorded = recorded
        self.received = []
        self.is_closed = False

    def respond(self, requests):
        """Skips requests with a recorded response."""
        self.received.append([request.request.prompt[0] for request in requests])
        for index in reversed(range(len(requests))):
            if self.recorded(requests[index]) is None:
                yield index, GenerateResponse(str(requests[index].request.prompt[0]), (1,), "stop", Cost(1.0, 1.0, 1))

    def close(self):
        """Notes that it was called."""
        self.is_closed = True


def texts(engine, requests):
    return {index: response.text for index, response in engine.respond(requests)}


@pytest.mark.parametrize("replays", [False, True], ids=["plain engine", "engine that replays"])
def test_an_engine_is_asked_only_for_what_is_missing(store, replays):
    requests = [ModelRequest("base", GenerateRequest((token,), 9)) for token in range(5)]
    first = CachedEngine(EchoEngine(), ResponseCache(store, KEYS))
    assert texts(first, [requests[1], requests[3]]) == {0: "1", 1: "3"}
    cache = ResponseCache(store, KEYS)
    echo = EchoEngine(CAPABILITIES | {"replay"}, cache.recorded) if replays else EchoEngine()
    engine = CachedEngine(echo, cache)
    assert texts(engine, requests) == {0: "0", 1: "1", 2: "2", 3: "3", 4: "4"}
    assert echo.received == [[0, 1, 2, 3, 4] if replays else [0, 2, 4]]
    assert texts(engine, requests) == {0: "0", 1: "1", 2: "2", 3: "3", 4: "4"}
    assert len(echo.received) == 1
    assert set(store.puts().values()) == {1}
    engine.close()
    assert echo.is_closed


def test_responses_before_an_interruption_are_in_the_store(store):
    requests = [ModelRequest("base", GenerateRequest((token,), 9)) for token in range(5)]
    responses = CachedEngine(EchoEngine(), ResponseCache(store, KEYS)).respond(requests)
    assert [next(responses)[0], next(responses)[0]] == [4, 3]
    assert set(ResponseCache(store, KEYS).load(requests)) == {3, 4}


class CountedReads(AnswerStore):
    """Counts the keys that it is asked for."""

    n_keys = 0

    def get(self, keys):
        """Counts them."""
        self.n_keys += len(keys)
        return super().get(keys)


def test_a_block_is_read_from_the_store_once(tmp_path):
    requests = [ModelRequest("base", GenerateRequest((token,), 9)) for token in range(5)]
    store = CountedReads(tmp_path / "answers.sqlite", 10**9)
    cache = ResponseCache(store, KEYS)
    assert texts(CachedEngine(EchoEngine(), cache), requests[:2]) == {0: "0", 1: "1"}
    assert (len(cache.load(requests)), store.n_keys) == (2, 2 + 5)
    assert len(cache.load(requests[1:])) == 1
    assert texts(CachedEngine(EchoEngine(), cache), requests) == {0: "0", 1: "1", 2: "2", 3: "3", 4: "4"}
    assert store.n_keys == 2 + 5
    assert (len(cache.load(requests)), store.n_keys) == (5, 2 + 5 + 5)
    store.close()
