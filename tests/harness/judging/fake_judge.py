"""A judge behind a real HTTP server of this machine, whose replies are those of a function."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from reports.document.reading import read_results
from tests.harness.engines.fake_server import FakeServer, Raw

ASPECTS = ("medical_accuracy", "completeness", "clinical_relevance", "fluency", "safety_and_caution")
PROBE = "Name a fruit."


def answers_of(prompt: str) -> list[str]:
    """The answers that a prompt shows, in their order."""
    return [
        text for _, _, text in re.findall(r"Answer( [AB])?:\n\[begin (\w+)\]\n(.*?)\n\[end \2\]", prompt, re.DOTALL)
    ]


def scores(value: int, **others: int) -> str:
    """A reply that gives all aspects a value, but for some."""
    return json.dumps({"reason": "As it is.", **dict.fromkeys(ASPECTS, value), **others})


def prefers(letter):
    """A reply that prefers an answer."""
    return json.dumps({"reason": "As it is.", "preferred": letter})


def completion(text, *, refusal=None):
    """The body of a chat completion."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    body = {"model": "judge", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    return Raw(200, json.dumps(body).encode(), {"content-type": "application/json"})


def seen_quality(text):
    """The quality that an answer of `conftest.answer` shows."""
    return int(re.findall(r"Quality (\d)", text)[0])


def honest(prompt):
    """Rates what the answer shows, and its language by something else."""
    (text,) = answers_of(prompt)
    return scores(seen_quality(text), fluency=5 - len(text) // 6 % 2)


def judging_of(run, rubric="five-aspects"):
    """A run's judged answers by a rubric."""
    return next(one for one in read_results(run).judging if one.rubric == rubric)


class FakeJudge:
    """Counts what it is asked and replies with a function of the prompt.

    Args:
        verdict: Makes the reply, a text or a whole HTTP answer, of a prompt.
        schema: Whether it `applies`, `ignores` or `refuses` JSON schemas.
    """

    def __init__(self, verdict: Callable[[str], Any], schema: str = "applies") -> None:
        self.verdict, self.schema = verdict, schema
        self.asked: Counter[str] = Counter()
        self.requests: list[dict] = []

    def reply(self, path, request):
        """The HTTP answer to a request, or None for the server's own."""
        if not path.endswith("completions"):
            return None
        if "messages" not in request:  # of the probe that recognises its weights
            return completion("the same as ever")
        if "response_format" in request and self.schema == "refuses":
            return Raw(400, b'{"error": {"message": "response_format is not supported"}}')
        prompt = request["messages"][-1]["content"]
        if prompt == PROBE:
            is_kept = "response_format" in request and self.schema == "applies"
            return completion('{"medbench": true}' if is_kept else "An apple.")
        self.asked[prompt] += 1
        self.requests.append(request)
        said = self.verdict(prompt)
        return said if isinstance(said, Raw) else completion(said)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve until the block ends; gives the address for `--judge`."""
        server = FakeServer(None, models=({"id": "judge", "root": "weights"},), instead=self.reply)
        with server.running():
            yield f"served={server.url}#judge"
