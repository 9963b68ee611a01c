"""Answers of engines in the answer store: looked up before anything is asked, kept one by one as they come."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.answers.answer_keys import answer_key
from harness.answers.answer_store import AnswerStore
from harness.engines.interface import NONE_KNOWN, Answer, Asked, Cost, Engine, GenerateAnswer, ScoreAnswer
from reports.errors import UserError
from training.home import medbench_home

LIMIT = "MEDBENCH_CACHE_GB"
_DEFAULT_GB = 4.0
SETUP = b"setup"  # what keys begin with that are no answer's
_FILE = "answers.sqlite"


def open_store() -> AnswerStore | None:
    """The user's store; None where `MEDBENCH_CACHE_GB` is 0, or medbench's folder cannot be written to.

    Raises:
        UserError: The variable is no number.
    """
    given = os.environ.get(LIMIT, str(_DEFAULT_GB))
    try:
        limit = float(given)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UserError(f"{given!r} is no size", where=LIMIT, fix="write a number of GB, or 0 to do without the store")
    folder = medbench_home() / "answers"
    if limit == 0 or not _is_writable(folder):
        return None
    return AnswerStore(folder / _FILE, int(limit * 1e9))


class StoredAnswers:
    """The store, for the models of one plan.

    Args:
        store: None keeps and finds nothing.
        keys: What a model's answers are kept under, by its name (`harness.answers.answer_keys.store_key`).
    """

    def __init__(self, store: AnswerStore | None, keys: Mapping[str, bytes]) -> None:
        self._store = store
        self._keys = dict(keys)

    def find(self, asked: Sequence[Asked]) -> dict[int, Answer]:
        """Answers given earlier, by the place of their question."""
        if self._store is None:
            return {}
        keys = [answer_key(self._keys[model], request) for model, request in asked]
        values = self._store.get(keys)
        found: dict[int, Answer] = {}
        for place, key in enumerate(keys):
            if key in values and (answer := _read(values[key])) is not None:
                found[place] = answer
        return found

    def keep(self, asked: Asked, answer: Answer) -> None:
        """Keep an answer."""
        if self._store is not None:
            self._store.put(answer_key(self._keys[asked[0]], asked[1]), _written(answer))

    def keeping(self, engine: Engine) -> KeepingEngine:
        """An engine whose answers are kept here as they come."""
        return KeepingEngine(engine, self)

    def find_setup(self) -> dict[str, Any]:
        """How the engine was set up that gave the answers, but for the time that took."""
        values = {} if self._store is None else self._store.get([self._setup_key])
        return {name: value for each in values.values() for name, value in json.loads(each).items()}

    def keep_setup(self, setup: Mapping[str, Any]) -> None:
        """Keep how the engine was set up."""
        lasting = {name: value for name, value in setup.items() if name != "start_seconds"}
        if self._store is not None and self.find_setup() != lasting:
            self._store.put(self._setup_key, json.dumps(lasting).encode())

    @property
    def _setup_key(self) -> bytes:
        return SETUP + hashlib.blake2b(b"".join(sorted(self._keys.values())), digest_size=20).digest()


class KeepingEngine:
    """An engine whose answers are kept as they come; see `harness.engines.interface.Engine`."""

    def __init__(self, engine: Engine, stored: StoredAnswers) -> None:
        self._engine = engine
        self._stored = stored
        self.name = engine.name
        self.tokenizer = engine.tokenizer
        self.max_length = engine.max_length
        self.setup = engine.setup

    def answer(self, asked: Sequence[Asked], known: Mapping[int, Answer] = NONE_KNOWN) -> Iterator[tuple[int, Answer]]:
        """Each answer once it is in the store."""
        for place, answer in self._engine.answer(asked, known):
            self._stored.keep(asked[place], answer)
            yield place, answer

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()


def _written(answer: Answer) -> bytes:
    cost = [answer.cost.seconds, answer.cost.latency, answer.cost.peak_memory]
    if isinstance(answer, ScoreAnswer):
        value: list[Any] = [cost, _packed(answer.logprobs), answer.greedy]
    else:
        value = [cost, answer.text, answer.tokens, answer.finish_reason]
    return json.dumps(value, separators=(",", ":")).encode()


def _read(value: bytes) -> Answer | None:
    """The answer; None where it is not in this version's form."""
    with contextlib.suppress(ValueError, TypeError):
        cost, *rest = json.loads(value)
        taken = replace(Cost(*cost), reused=True)
        if len(rest) == 2:  # noqa: PLR2004 - see `_written`
            return ScoreAnswer(_unpacked(rest[0]), bool(rest[1]), taken)
        text, tokens, reason = rest
        return GenerateAnswer(text, tuple(tokens), reason, taken)
    return None


def _packed(logprobs: array[float]) -> str:
    """An array of float32 as text: its bytes, little-endian, in base 64."""
    return base64.b64encode(np.asarray(logprobs, "<f4").tobytes()).decode()


def _unpacked(text: Any) -> array[float]:
    """The array; what is in an earlier form, a single number, raises a TypeError."""
    return array("f", np.frombuffer(base64.b64decode(text, validate=True), "<f4").tolist())


def _is_writable(folder: os.PathLike[str]) -> bool:
    try:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    except OSError:
        return False
    return os.access(folder, os.W_OK)
