"""`medbench verify` on files: the outcome, its causes, its files, and a rounding that is meant."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

import harness
from reports.document.verification import VERIFY_FILE
from reports.errors import UserError

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def merged(tiny_run, tmp_path_factory):
    """The tiny run's adapter in its base, in the dtype that it was scored in."""
    folder = tmp_path_factory.mktemp("exports") / "merged"
    harness.export(tiny_run, folder, dtype="float32", quiet=True)
    return folder


@pytest.fixture
def verify(tiny_run, tmp_path):
    def call(target, **settings):
        return harness.verify(tiny_run, str(target), out=tmp_path / "certificate", quiet=True, **settings)

    return call


def keys(document):
    return [cause.key for cause in document.causes]


def test_a_merged_model_answers_as_the_adapter_on_its_base(merged, verify, tmp_path):
    document = verify(merged)
    assert document.likelihoods.largest < 1e-5
    assert document.prompts.equal == document.prompts.items == 6 * 3
    assert all(part.reference == part.target for part in document.metrics)
    assert document.causes == []
    assert document.outcome == "inconclusive"  # of six items for each task
    assert json.loads((tmp_path / "certificate" / VERIFY_FILE).read_text())["outcome"] == "inconclusive"
    assert "12 items are too few" in (tmp_path / "certificate" / "verify.md").read_text()


@pytest.mark.slow
def test_sixteen_bits_explain_what_they_move_the_evaluated_model_by(merged, verify, tiny_run, command):
    assert verify(merged).explained == []  # in float32
    tasks = ["medbench_pubmedqa", "medbench_perplexity"]
    document = verify(merged, settings=["scoring.dtype=bfloat16"], tasks=tasks)
    (arithmetic,) = document.explained
    assert (arithmetic.kind, arithmetic.items) == ("arithmetic", 12)
    assert 1e-5 < arithmetic.nats_per_token < 0.02
    assert document.likelihoods.explained == pytest.approx(arithmetic.nats_per_token)
    of_base = verify(merged, model="base", settings=["scoring.dtype=bfloat16"], tasks=tasks).explained
    assert [part.kind for part in of_base] == ["arithmetic"]
    assert "in float32 instead of bfloat16" in of_base[0].description


def test_a_base_without_its_adapter_is_different(tiny_model, verify):
    document = verify(tiny_model)
    assert (document.outcome, keys(document)) == ("different", ["missing_adapter"])
    assert document.likelihoods.mean_size > 0.1


def test_a_certain_cause_decides_where_the_items_are_too_few(tiny_model, verify):
    document = verify(tiny_model, limit=1, tasks=["medbench_generation"])
    assert document.likelihoods is None
    assert (document.outcome, keys(document)) == ("different", ["missing_adapter"])
    assert document.reasons == [f"{document.causes[0].sentence[:1].upper()}{document.causes[0].sentence[1:]}."]


def test_another_adapter_is_named_by_the_hash_of_its_weights(tiny_run, verify, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "adapter_config.json").write_bytes((tiny_run / "adapter" / "adapter_config.json").read_bytes())
    weights = load_file(tiny_run / "adapter" / "adapter_model.safetensors")
    save_file({name: -weight for name, weight in weights.items()}, other / "adapter_model.safetensors")
    assert keys(verify(other)) == ["wrong_adapter"]


def test_an_adapter_with_another_alpha_is_named_by_its_configuration(tiny_run, verify, tmp_path):
    folder = shutil.copytree(tiny_run / "adapter", tmp_path / "half")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": config["lora_alpha"] / 2}))
    (folder / "training_log.json").unlink()
    document = verify(folder)
    assert (document.outcome, keys(document)) == ("different", ["adapter_scale"])
    alpha = config["lora_alpha"]
    assert f"lora_alpha {alpha / 2!r} instead of {float(alpha)!r}" in document.causes[0].sentence
    assert document.causes[0].sentence.endswith("so the adapter's change is there 0.5 times")
    same = shutil.copytree(tiny_run / "adapter", tmp_path / "same")
    (same / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "elsewhere/model"}))
    (same / "training_log.json").unlink()
    assert keys(verify(same)) == []


@pytest.mark.slow
def test_a_rounding_that_is_meant_explains_its_difference(tiny_run, verify, tmp_path):
    file = tmp_path / "deployed.gguf"
    harness.export(tiny_run, file, gguf="q4_0", quiet=True)
    document = verify(file)
    assert (document.outcome, keys(document)) == ("different", ["precision"])
    assert document.explained == []
    meant = verify(file, rounded_to="q4_0")
    (part,) = meant.explained
    assert (part.kind, part.items) == ("rounding", 18)
    assert meant.likelihoods.mean_size == document.likelihoods.mean_size > 0.02
    assert meant.likelihoods.explained == pytest.approx(meant.likelihoods.mean_size)
    assert meant.likelihoods.excess == pytest.approx(0)
    other = verify(file, rounded_to="q8_0")  # is not what the file has
    assert other.likelihoods.excess > 0.02
    assert keys(other) == ["precision"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"others": ["nowhere"]}, "--other: 'nowhere' names no adapter"),
        ({"others": ["previous=nowhere"]}, "nowhere"),
        ({"rounded_to": "q9"}, "no such type"),
        ({"model": "base", "rounded_to": "q8_0"}, "only an adapter can be merged and rounded"),
        ({"model": "nobody"}, "the run scored no model named 'nobody'"),
    ],
)
def test_what_cannot_be_used_is_one_message(verify, merged, settings, message):
    with pytest.raises(UserError, match=message):
        verify(merged, **settings)
