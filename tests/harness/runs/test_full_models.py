"""Whole models in `--models`: scored beside base and adapters, each with its own weights, prompts and record."""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from harness.api import ask, report
from harness.engines.choice import choose_engine
from harness.engines.kinds import ENGINES
from harness.folder import RunFolder
from harness.planning.run_plan import make_plan
from harness.releases.exporting import export
from harness.releases.gating import gate
from reports.document.reading import read_results, read_samples
from reports.errors import UserError
from training.recipes.recipe_file import load_recipe

pytestmark = pytest.mark.usefixtures("without_plots")

PERPLEXITY, GENERATION, PUBMEDQA = "medbench_perplexity", "medbench_generation", "medbench_pubmedqa"
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|end|>{% endfor %}[assistant] "


@pytest.fixture(scope="module")
def merged(tiny_run, tmp_path_factory):
    """The run's adapter merged into its base, in float32."""
    folder = tmp_path_factory.mktemp("exports") / "merged"
    export(tiny_run, folder, dtype="float32", quiet=True)
    return folder


@pytest.fixture
def copy(merged, tmp_path):
    return shutil.copytree(merged, tmp_path / "copy")


@pytest.fixture
def score(command, tiny_recipe, tmp_path):
    def run(models, *settings, tasks=PERPLEXITY, out="run", code=0):
        sets = [word for setting in ("scoring.noise_items=0", *settings) for word in ("--set", setting)]
        words = ["--recipe", tiny_recipe, "--models", models, "--tasks", tasks, "--out", tmp_path / out, *sets]
        ended, said, err = command("score", *words)
        assert ended == code, err
        return err or said if code else tmp_path / out

    return run


@pytest.fixture
def plan(tiny_recipe, tmp_path):
    def make(models, *settings):
        return make_plan(load_recipe(str(tiny_recipe), settings), RunFolder(tmp_path), models, [PERPLEXITY])

    return make


def values(run):
    results = read_results(run)
    return {(score.model, score.task, score.metric): score.value for score in results.scores}


def texts(run, model, task=GENERATION):
    return [sample.output for sample in read_samples(run / "samples" / model / f"{task}.jsonl")]


def info(run, model):
    return next(one for one in read_results(run).models if one.name == model)


def test_a_merged_model_scores_like_its_adapter(score, merged, tiny_run):
    run = score(f"base,mine={tiny_run / 'adapter'},full={merged}", tasks=f"{PERPLEXITY},{PUBMEDQA},{GENERATION}")
    by_model = {
        model: {key[1:]: value for key, value in values(run).items() if key[0] == model}
        for model in ("base", "mine", "full")
    }
    assert by_model["full"] == pytest.approx(by_model["mine"], rel=1e-4, abs=1e-4)
    assert by_model["full"][PERPLEXITY, "perplexity"] != pytest.approx(
        by_model["base"][PERPLEXITY, "perplexity"], rel=0.01
    )
    assert texts(run, "full") == texts(run, "mine") != texts(run, "base")
    results = read_results(run)
    assert [(model.kind, model.training_data) for model in results.models] == [
        ("base", "unknown"),
        ("adapter", "known"),
        ("full", "known"),
    ]
    assert results.models[0].weights.startswith("NF4 with double quantisation")
    assert results.models[2].weights == "float32, not quantised"
    assert results.models[2].unrecorded_base == results.base.sha256
    assert results.engine["bases"] == results.engine["loads"] == 2
    report(run, quiet=True)
    assert re.search(r"\| *full *\|", (run / "report.md").read_text())


def test_models_of_other_sizes_are_scored_in_one_run(score, wide_model, tiny_model):
    run = score(
        f"base,wide={wide_model},own={tiny_model}", "quantization.method=none", tasks=f"{PERPLEXITY},{GENERATION}"
    )
    alone = score(
        "base", "quantization.method=none", f"model.base={wide_model}", tasks=f"{PERPLEXITY},{GENERATION}", out="alone"
    )
    here, there = values(run), values(alone)
    for (_, task, metric), value in there.items():
        assert here["wide", task, metric] == pytest.approx(value, rel=1e-6)
        assert here["own", task, metric] == pytest.approx(here["base", task, metric], rel=1e-6)
    assert texts(run, "wide") == texts(alone, "base") != texts(run, "base")


def test_the_base_is_not_needed_if_nothing_of_it_is_scored(score, merged, tiny_model, tmp_path):
    base = shutil.copytree(tiny_model, tmp_path / "without-weights")
    (base / "model.safetensors").unlink()
    run = score(f"full={merged},again={merged}", f"model.base={base}")
    results = read_results(run)
    assert (results.baseline, results.base) == ("full", None)
    assert values(run)["full", PERPLEXITY, "perplexity"] == values(run)["again", PERPLEXITY, "perplexity"]
    assert "no safetensors weights" in score("base", f"model.base={base}", out="other", code=2)


def test_a_whole_model_is_asked_like_the_others(tiny_recipe, merged, tmp_path):
    given = ask("Does rest help?", str(tiny_recipe), models=f"base,full={merged}", out=tmp_path, max_new_tokens=5)
    assert list(given) == ["base", "full"]
    assert given["base"] != given["full"]


def test_a_whole_model_has_its_own_prompts_and_end_tokens(score, copy):
    (copy / "chat_template.jinja").write_text(TEMPLATE)
    settings = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [1, 7]}))
    run = score(f"base,full={copy}")
    base, full = (
        next(iter(read_samples(run / "samples" / model / f"{PERPLEXITY}.jsonl"))) for model in ("base", "full")
    )
    assert full.prompt.startswith("[user] ")
    assert not base.prompt.startswith("[user] ")
    assert full.doc_hash == base.doc_hash
    assert len(info(run, "full").answer_ends) == len(info(run, "base").answer_ends) + 1
    assert any(
        "full is prompted with its own tokenizer, which has another chat template" in n for n in read_results(run).notes
    )


def test_a_tokenizer_that_only_divides_otherwise_is_a_models_own(plan, copy):
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:20]
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    planned = plan(f"base,full={copy}")
    assert planned.dialogues["full"].tokenizer == str(copy)
    assert "another way to divide text into tokens" in planned.warnings[0]


@pytest.mark.parametrize(("word", "read_as"), [("of ", "of course yes "), ("the ", "")])
def test_a_whole_model_whose_tokenizer_replaces_words_is_not_scored(score, copy, word, read_as):
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": word}, "content": read_as}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    said = score(f"base,full={copy}", code=2)
    assert "its tokenizer reads" in said
    assert str(copy) in said


def test_a_whole_model_whose_decoder_rewrites_answers_is_not_scored(plan, copy):
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    rewrite = {"type": "Replace", "pattern": {"String": "no"}, "content": "yes"}
    tokenizer["decoder"] = {"type": "Sequence", "decoders": [tokenizer["decoder"], rewrite]}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match=r"rewrites answers(?s:.*)fix: give the model with the tokenizer"):
        plan(f"base,full={copy}")


def test_rows_of_an_export_count_only_for_its_weights(plan, merged, copy, wide_model):
    assert plan(f"base,full={merged}").training_data("full") == "known"
    shutil.copy(wide_model / "config.json", copy)
    shutil.copy(wide_model / "model.safetensors", copy)
    other = plan(f"base,full={copy}")
    assert other.training_data("full") == "unknown"
    assert other.models[1].unrecorded_base == ""
    assert any("export.json does not record the hash of these weights" in warning for warning in other.warnings)
    (copy / "export.json").unlink()
    assert any("no export.json beside it records the rows" in warning for warning in plan(f"full={copy}").warnings)


def test_quantised_checkpoints_are_scored_as_they_are(plan, merged, score, copy):
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four_bit = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    AutoModelForCausalLM.from_pretrained(merged, quantization_config=four_bit).save_pretrained(copy)
    run = score(f"base,full={merged},quantised={copy}")
    assert info(run, "full").weights == "float32, not quantised"
    assert info(run, "quantised").weights == "NF4 by its checkpoint, dequantised once to float32"
    scored = values(run)
    assert scored["quantised", PERPLEXITY, "perplexity"] == pytest.approx(
        scored["full", PERPLEXITY, "perplexity"], rel=0.2
    )
    assert scored["quantised", PERPLEXITY, "perplexity"] != scored["full", PERPLEXITY, "perplexity"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pickled (pytorch_model.bin)"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 90), "not a safetensors file that can be read"),
        (lambda f: (f / "config.json").write_text(_config(f, transformers_weights="x.bin")), "it names other weights"),
        (lambda f: (f / "config.json").write_text(_config(f, num_hidden_layers=900)), "num_hidden_layers is 900"),
        (lambda f: (f / "config.json").write_text(_config(f, hidden_size=1 << 25)), "hidden_size is"),
        (lambda f: (f / "link").symlink_to("/etc/hostname"), "the link leads out of its folder"),
        (lambda f: [path.unlink() for path in f.glob("tokenizer*")], "tokenizer"),
        (shutil.rmtree, "there is no such"),
    ],
)
def test_a_whole_model_is_checked_like_a_base(score, copy, change, message):
    change(copy)
    said = score(f"base,full={copy}", code=2)
    assert message in said
    assert str(copy) in said
    assert "fix: " in said


def _config(folder, **settings):
    return json.dumps(json.loads((folder / "config.json").read_text()) | settings)


def test_a_kind_can_be_given(plan, merged, copy, tiny_run):
    shutil.copy(tiny_run / "adapter" / "adapter_config.json", copy)
    with pytest.raises(UserError, match=r"there is no adapter_model.safetensors in it"):
        plan(f"base,mine={copy}")
    with pytest.raises(UserError, match="contains an adapter too"):
        plan(f"base,mine=full:{copy}")
    with pytest.raises(UserError, match=r"it is a folder, not a GGUF file"):
        plan(f"base,mine=gguf:{merged}")
    with pytest.raises(UserError, match=r"there is no such file"):
        plan("base,mine=nowhere.gguf")
    with pytest.raises(UserError, match=r"there is no adapter_config.json in it"):
        plan(f"base,mine=adapter:{merged}")
    assert plan(f"base,mine=full:{merged}").models[1].kind == "full"


def test_models_on_this_machine_and_behind_servers_are_only_compared_where_that_is_allowed(plan, merged):
    models = f"base,full={merged},api=http://localhost:9/v1#tiny"
    with pytest.raises(UserError, match=r"api would answer from a server(?s:.*)--set scoring.across=true"):
        choose_engine(plan(models))
    mixed = plan(models, "scoring.across=true")
    choice = choose_engine(mixed)
    assert [choice.engine_of(part) for part in mixed.parts] == ["transformers", "transformers", "served"]
    assert [[model.name for model in part.models] for part in mixed.parts] == [["base"], ["full"], ["api"]]
    assert any("their differences are also those of two engines" in warning for warning in mixed.warnings)
    assert mixed.training_data("api") == "unknown"
    alone = plan("api=http://localhost:9/v1#tiny")
    assert choose_engine(alone).name == "served"
    with pytest.raises(UserError, match="models on this machine need another one"):
        choose_engine(plan("base", "scoring.engine=served"))


@pytest.fixture
def policy(tmp_path):
    rules: list[dict] = [{"rule": "complete"}, {"rule": "leakage"}, {"rule": "contamination"}]
    rules.append({"rule": "non_inferiority", "metric": f"{PERPLEXITY}/perplexity", "margin": 0.5, "relative": True})
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({"rules": rules}))
    return path


def test_the_gate_judges_a_whole_model_like_any_candidate(score, merged, copy, policy, tmp_path):
    run = score(f"base,full={merged}")
    judged = gate(run, policy=policy, candidate="full", out=tmp_path / "gate", quiet=True)
    by_rule = {rule.rule: rule for rule in judged.rules}
    assert by_rule["leakage"].verdict == "pass", by_rule["leakage"].reason
    assert judged.candidate.sha256 == info(run, "full").sha256
    other = score("base", out="baseline")
    judged = gate(run, policy=policy, candidate="full", baseline=f"{other}:base", out=tmp_path / "gate", quiet=True)
    by_rule = {rule.rule: rule for rule in judged.rules}
    assert by_rule["leakage"].verdict == "pass", by_rule["leakage"].reason
    assert "scored differently" not in by_rule["non_inferiority"].reason
    assert by_rule["non_inferiority"].n == 6
    bf16 = score("base", "scoring.dtype=bfloat16", out="bf16")
    judged = gate(run, policy=policy, candidate="full", baseline=f"{bf16}:base", out=tmp_path / "gate", quiet=True)
    assert "scoring.dtype" in next(rule.reason for rule in judged.rules if rule.rule == "non_inferiority")
    (copy / "export.json").unlink()
    run = score(f"base,full={copy}", out="unrecorded")
    judged = gate(run, policy=policy, candidate="full", out=tmp_path / "gate", quiet=True)
    assert "what full was trained on is unknown" in next(rule.reason for rule in judged.rules if rule.rule == "leakage")


def test_an_export_does_not_launder_what_its_base_was_trained_on(score, merged, policy, wide_model, tmp_path):
    """The export records the adapter's rows; those of an unknown base that it was merged into are not among them."""
    run = score(f"base,full={merged}")
    other = score("base", f"model.base={wide_model}", out="baseline")
    judged = gate(run, policy=policy, candidate="full", baseline=f"{other}:base", out=tmp_path / "gate", quiet=True)
    leakage = next(rule for rule in judged.rules if rule.rule == "leakage")
    assert leakage.verdict == "fail"
    assert "the base that it was merged into" in leakage.reason


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Numbers of answers by model that the engine gave, with a store of this test's own; it may stop after some."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    counts = SimpleNamespace(starts=[], answers={}, last=None)
    kind = ENGINES["transformers"]

    def start(config):
        counts.starts.append(config.plan.base.name)
        engine = kind.start(config)
        respond = engine.respond

        def counted(requests):
            for index, response in respond(requests):
                name = requests[index].model
                counts.answers[name] = counts.answers.get(name, 0) + 1
                yield index, response
                if sum(counts.answers.values()) == counts.last:
                    raise KeyboardInterrupt

        engine.respond = counted  # type: ignore[method-assign]
        return engine

    monkeypatch.setitem(ENGINES, "transformers", replace(kind, start=start))
    return counts


def test_what_is_answered_is_not_asked_again(score, given, merged, wide_model):
    first = values(score(f"base,full={merged}"))
    assert given.starts == ["base", "full"]
    given.starts.clear()
    assert values(score(f"full={merged},base", out="other")) == first
    assert given.starts == []
    more = values(score(f"base,full={merged},again={merged},wide={wide_model}"))
    assert given.starts == ["wide"]
    assert more.items() > first.items()


@pytest.mark.parametrize("last", [3, 14, 23])
def test_a_stopped_run_goes_on_where_it_stopped(score, given, merged, monkeypatch, tmp_path, last):
    models, tasks = f"base,full={merged}", f"{PERPLEXITY},{GENERATION}"
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "0")
    whole = score(models, tasks=tasks, out="whole")
    assert given.answers == {"base": 12, "full": 12}
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    given.answers, given.starts, given.last = {}, [], last
    score(models, tasks=tasks, code=130)
    assert sum(given.answers.values()) == last
    given.last, given.starts = None, []
    resumed = score(models, tasks=tasks)
    assert sum(given.answers.values()) in (24, 25)  # the one that was on its way when the run was stopped
    assert given.starts == (["base", "full"] if last < 12 else ["full"])
    assert values(resumed) == values(whole)
    assert texts(resumed, "full") == texts(whole, "full")
