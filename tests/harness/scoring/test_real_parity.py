"""Our numbers on real data are those of the official script, lm-eval, rouge_score and a float64 reference.

Skipped unless MEDBENCH_REAL_DATA names a folder with `pubmedqa/` and `medical_o1/`; see `benchmarks/real_parity.py`,
whose output with a real model is in `benchmarks/results/real_parity.json`.
"""

import json
import os
from pathlib import Path

import pytest

from benchmarks.real_parity import check
from tasks.data import DataSource, load_reasoning
from tasks.overlap import Passage, TrainingIndex
from tests.conftest import make_model

DATA = os.environ.get("MEDBENCH_REAL_DATA")
HINT = "set MEDBENCH_REAL_DATA to a folder with pubmedqa/ and medical_o1/"
pytestmark = pytest.mark.skipif(DATA is None, reason=HINT)
WINDOW = 8192  # long enough for real abstracts and reasoning in the tiny model's small tokens


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    model = make_model(tmp_path_factory.mktemp("models") / "wide-window")
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        value = json.loads((model / name).read_text(encoding="utf-8"))
        (model / name).write_text(json.dumps(value | {key: WINDOW}), encoding="utf-8")
    work = tmp_path_factory.mktemp("real")
    return check(Path(DATA), str(model), work, limit=60, settings=["scoring.max_new_tokens=24"])["checks"]


@pytest.mark.parametrize("name", ["official_script", "lm_eval_multiple_choice", "rouge_score", "float64_perplexity"])
def test_our_numbers_are_theirs(found, name):
    assert found[name]["holds"], found[name]
    assert found[name]["items"] > 4


def test_real_training_rows_and_test_items_do_not_overlap():
    train, test = (
        [
            Passage(row.id, part, text)
            for row in load_reasoning(DataSource(source=f"{DATA}/medical_o1/{name}_data.jsonl"), seed=0)
            for part, text in (("question", row.question), ("answer", f"{row.reasoning} {row.response}"))
        ]
        for name in ("train", "test")
    )
    assert TrainingIndex(train).find(test) == []
