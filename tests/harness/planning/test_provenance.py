"""What a model was trained on: recorded beside its weights, declared in the recipe, or unknown."""

import json
import shutil
from typing import Any

import pytest

from harness.folder import RunFolder
from harness.planning.run_plan import make_plan
from reports.errors import UserError
from reports.files import sha256_file, write_json
from tasks.data.source import SAMPLES
from tests.conftest import make_model
from training.exporting.export_log import ExportLog
from training.log import read_log
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection
from training.recipes.recipe_file import load_recipe

pytestmark = pytest.mark.usefixtures("without_plots")

TASK = "medbench_perplexity"
TRAINED = "data.reasoning.source=samples:reasoning_train"


@pytest.fixture
def plan(tiny_recipe, tmp_path):
    """A plan that asks rows of the built-in training samples, eight of which the tiny recipe draws."""

    def make(models, *settings, limit=96):
        recipe = load_recipe(str(tiny_recipe), [TRAINED, f"scoring.limit={limit}", *settings])
        return make_plan(recipe, RunFolder(tmp_path / "run"), models, [TASK])

    return make


@pytest.fixture
def adapter(tiny_run, tmp_path):
    return shutil.copytree(tiny_run / "adapter", tmp_path / "mine")


@pytest.fixture
def exported(tiny_run, tmp_path):
    """A model folder with the record of an export: one fine-tune, of the rows of the tiny run."""
    folder = make_model(tmp_path / "merged", seed=5)

    def record(**changes):
        log = read_log(tiny_run / "adapter")
        fields: dict[str, Any] = {
            "base": "tiny",
            "base_sha256": "0",
            "base_weights": "full",
            "weights": "float32",
            "adapter": "a",
        }
        fields |= {"adapter_sha256": "1", "dtype": "bfloat16", "files": 1, "weight_bytes": 1, "probes": 1}
        fields |= {"probe_tokens": 1, "max_logit_difference": 0, "mean_kl": 0, "same_top_token": 1, "tolerance_kl": 1}
        fields |= {"adapter_kl": 1, "notes": [], "versions": {}, "trained_on": [log.trained_on.model_dump()]}
        fields |= {"weights_sha256": find_base(ModelSection(base=str(folder))).sha256}
        write_json(folder / "export.json", ExportLog(**(fields | changes)).model_dump(mode="json"))
        return f"model.base={folder}"

    return record


def overlap(plan, name):
    return plan.overlap.affected(TASK, name) if plan.overlap else None


def test_the_log_names_the_weights_that_training_produced(tiny_run):
    log = read_log(tiny_run / "adapter")
    assert log.weights_sha256 == sha256_file(tiny_run / "adapter" / "adapter_model.safetensors")
    assert log.trained_on.recipe["data"]["train"]["source"] == "samples:reasoning_train"
    assert log.trained_on.data_sha256 == log.data_sha256


def test_an_adapters_rows_are_those_of_its_log(plan, adapter):
    (adapter / "recipe.yaml").unlink()
    made = plan(f"base,mine={adapter}")
    assert (overlap(made, "mine"), made.training_data("mine"), made.training_data("base")) == (6, "known", "unknown")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights_sha256": "0" * 64}, "training_log.json does not record the hash of these weights"),
        ({"weights_sha256": None}, "training_log.json does not record the hash of these weights"),
        ({"data_sha256": "0" * 64}, "its training data has changed since (samples:reasoning_train)"),
    ],
    ids=["other weights", "no hash", "other rows"],
)
def test_a_log_of_other_weights_or_rows_is_not_believed(plan, adapter, change, reason):
    log = json.loads((adapter / "training_log.json").read_text())
    write_json(adapter / "training_log.json", log | change)
    made = plan(f"base,mine={adapter}", limit=6)
    assert (made.overlap, made.training_data("mine"), made.models[1].unknown_rows) == (None, "unknown", reason)
    assert any("--set trained_on.mine=FILE" in warning for warning in made.warnings)


def test_an_export_is_a_base_with_the_rows_of_its_record(plan, exported):
    made = plan("base", exported())
    assert (overlap(made, "base"), made.training_data("base")) == (6, "known")
    assert plan("base", limit=6).overlap is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights_sha256": "0" * 64}, "export.json does not record the hash of these weights"),
        ({"trained_on": None}, "export.json says that the rows are unknown"),
    ],
)
def test_a_record_of_other_weights_makes_base_and_adapters_unknown(plan, exported, adapter, change, reason):
    """What is known of the adapter's own rows is compared all the same."""
    made = plan(f"base,mine={adapter}", exported(**change))
    assert made.base.unknown_rows == reason
    assert (overlap(made, "mine"), made.training_data("base"), made.training_data("mine")) == (6, "unknown", "unknown")


def test_the_rows_of_a_fine_tuned_base_count_for_its_adapters(plan, exported, adapter, tmp_path):
    """Clean rows on top of a base that was trained on the items do not hide those."""
    (adapter / "training_log.json").unlink()
    (tmp_path / "clean.jsonl").write_text('{"text": "An unrelated remark about the weather in May."}\n')
    declared = f"trained_on.mine={tmp_path / 'clean.jsonl'}"
    assert overlap(plan(f"base,mine={adapter}", declared), "mine") == 0
    made = plan(f"base,mine={adapter}", declared, exported())
    assert (overlap(made, "mine"), made.training_data("mine")) == (6, "declared")


def row(number):
    return json.loads(SAMPLES["samples:reasoning_train"].read_text(encoding="utf-8").splitlines()[number])


@pytest.mark.parametrize(
    "shape",
    [
        lambda question: {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "So."}]},
        lambda question: {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": "So."}]},
        lambda question: {"instruction": "Answer.", "input": question, "output": "So.", "id": "f" * 64},
    ],
    ids=["messages", "sharegpt", "alpaca"],
)
def test_declared_rows_of_any_shape_are_compared(plan, adapter, tmp_path, shape):
    (adapter / "training_log.json").unlink()
    path = tmp_path / "rows.jsonl"
    rows = [shape(row(number)["question"]) for number in (3, 8)] + [shape("Is this about anything?")]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    made = plan(f"base,mine={adapter}", f"trained_on.mine={path}")
    assert (overlap(made, "mine"), made.training_data("mine"), made.overlap.unsearched_rows) == (2, "declared", [])
    assert made.overlap.matches[0].row_source == "rows.jsonl, line 1"


def test_a_declaration_does_not_replace_a_record(plan, adapter, tmp_path):
    (tmp_path / "clean.jsonl").write_text('{"text": "An unrelated remark about the weather in May."}\n')
    made = plan(f"base,mine={adapter}", f"trained_on.mine={tmp_path / 'clean.jsonl'}")
    assert (overlap(made, "mine"), made.training_data("mine")) == (6, "known")


def test_a_declaration_that_no_model_reads_is_pointed_out_and_a_missing_file_is_an_error(plan, tmp_path):
    (tmp_path / "clean.jsonl").write_text('{"text": "An unrelated remark."}\n')
    settings = [f"trained_on.{name}={tmp_path / 'clean.jsonl'}" for name in ("adapter", "typo", "base")]
    warnings = " ".join(plan("base,adapter", *settings, limit=6).warnings)
    assert "trained_on names adapter, which is not a model from elsewhere" in warnings
    assert "trained_on names typo" in warnings
    assert "trained_on names base" not in warnings
    with pytest.raises(UserError, match="there is no such data file"):
        plan("base", "trained_on.base=missing.jsonl", limit=6)


def test_the_runs_own_adapter_has_the_weights_that_its_training_produced(plan, tiny_run, tmp_path):
    shutil.copytree(tiny_run / "adapter", tmp_path / "run" / "adapter")
    weights = tmp_path / "run" / "adapter" / "adapter_model.safetensors"
    assert plan("base,adapter", limit=6).to_train is None
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match="not those that its training produced"):
        plan("base,adapter", limit=6)
