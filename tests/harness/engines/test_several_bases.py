"""Models with several bases: one is in memory at a time, and nothing is loaded that has no missing response."""

import pytest

from harness.engines.interface import CAPABILITIES, ModelRequest, ScoreRequest
from harness.engines.several_bases import SeveralBases
from tests.harness.plugins import hash_response

GROUPS = (frozenset({"base", "adapter"}), frozenset({"full"}), frozenset({"other"}))


class Engines:
    """Makes engines that note when they are started, asked and closed."""

    def __init__(self, capabilities=CAPABILITIES):
        self.events = []
        self.capabilities = capabilities

    def start(self, models):
        """An engine for these models."""
        name = "+".join(sorted(models))
        self.events.append(f"start {name}")
        return Engine(name, self.events, self.capabilities)


class Engine:
    """Responds with hashes, last request first."""

    def __init__(self, name, events, capabilities):
        self.name, self.events, self.capabilities = name, events, capabilities
        self.setup = {"engine": "fake", "start_seconds": 1.5, "batch_rows": 4.0}

    def respond(self, requests):
        """One response after another."""
        self.events.append(f"{self.name} {len(requests)}")
        for index, (model, request) in reversed(list(enumerate(requests))):
            yield index, hash_response(model, request)

    def close(self):
        """Note it."""
        self.events.append(f"close {self.name}")


def requests(*models, start=0):
    return [ModelRequest(model, ScoreRequest((1, start + n), (2,))) for n in range(3) for model in models]


def several(engines, recorded=()):
    starts = {group: lambda group=group: engines.start(group) for group in GROUPS}
    return SeveralBases("fake", starts, dict.fromkeys(recorded, "recorded").get)


def test_each_request_gets_the_response_of_its_model():
    needed = requests("full", "base", "other", "adapter")
    responses = dict(several(Engines()).respond(needed))
    assert responses == {index: hash_response(*request) for index, request in enumerate(needed)}


def test_one_base_is_in_memory_at_a_time_and_the_last_one_goes_on():
    engines = Engines()
    engine = several(engines)
    list(engine.respond(requests("base", "full", "adapter")))
    list(engine.respond(requests("base", "full", start=10)))
    engine.close()
    assert engines.events == [
        *("start adapter+base", "adapter+base 6", "close adapter+base"),
        *("start full", "full 3"),
        "full 3",
        *("close full", "start adapter+base", "adapter+base 3", "close adapter+base"),
    ]
    assert engine.setup == {"engine": "fake", "bases": 3, "loads": 3, "start_seconds": 4.5, "batch_rows": 4.0}


def test_a_base_whose_responses_are_all_recorded_is_not_loaded():
    engines, needed = Engines(), requests("base", "full")
    done = [request for request in needed if request.model == "base"]
    responses = dict(several(engines, done).respond(needed))
    assert {needed[index].model for index in responses} == {"full"}
    assert engines.events == ["start full", "full 3"]


@pytest.mark.parametrize(("replays", "received"), [(False, 2), (True, 3)])
def test_recorded_responses_go_to_engines_that_replay_them(replays, received):
    engines = Engines(CAPABILITIES | {"replay"} if replays else CAPABILITIES)
    needed = requests("full")
    responses = dict(several(engines, needed[:1]).respond(needed))
    assert engines.events == ["start full", f"full {received}"]
    assert {index: responses[index] for index in (1, 2)} == {n: hash_response(*needed[n]) for n in (1, 2)}


def test_an_engine_that_does_not_start_leaves_nothing_in_memory():
    engines = Engines()

    def fail():
        raise MemoryError

    engine = SeveralBases("fake", {GROUPS[0]: lambda: engines.start(GROUPS[0]), GROUPS[1]: fail}, lambda _: None)
    with pytest.raises(MemoryError):
        list(engine.respond(requests("base", "full")))
    engine.close()
    assert engines.events == ["start adapter+base", "adapter+base 3", "close adapter+base"]
