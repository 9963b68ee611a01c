"""Some hostile inputs of every kind; `benchmarks/fuzz.py` runs thousands."""

import pytest

from tests.fuzzing.bench import make_bench
from tests.fuzzing.targets import TARGETS, fuzz


@pytest.fixture(scope="module")
def bench(tmp_path_factory, tiny_recipe, tiny_model, tiny_run):
    return make_bench(tmp_path_factory.mktemp("fuzz") / "bench", tiny_recipe, tiny_model, tiny_run)


@pytest.mark.parametrize("kind", TARGETS)
def test_hostile_inputs_end_with_a_message_or_are_taken(bench, kind):
    fuzz(kind, bench, 12)
    assert sum(bench.codes[kind].values()) >= 8
