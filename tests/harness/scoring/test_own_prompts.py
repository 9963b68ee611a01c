"""Adapters with a template of their own are prompted as their trainer would, and compared on the same items."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.api import ask
from reports.document.reading import read_results, read_samples
from tasks.data import DataSource, load_reasoning
from tasks.formats import get_format

pytestmark = pytest.mark.usefixtures("without_plots")

PERPLEXITY, GENERATION, PUBMEDQA = "medbench_perplexity", "medbench_generation", "medbench_pubmedqa"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
SHAPE = get_format("thinking-headings")


@pytest.fixture(scope="module")
def plain_base(tiny_model, tmp_path_factory):
    """A base without a chat template."""
    folder = tmp_path_factory.mktemp("plain") / "base"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").unlink()
    return folder


def lay_out(folder, tiny_run, layout):
    """An adapter as trainers save it.

    With the template in a file, as TRL, Unsloth and axolotl do, or in the tokenizer's configuration, as they did
    earlier; or the template alone.
    """
    shutil.copytree(tiny_run / "adapter", folder)
    (folder / "training_log.json").unlink()
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    if layout == "configuration":
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": TEMPLATE}))
        (folder / "chat_template.jinja").unlink()
    if layout == "template alone":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    return folder


def score(command, tiny_recipe, base, models, out, *settings, tasks=f"{PERPLEXITY},{GENERATION}"):
    words = [f"model.base={base}", "quantization.method=none", "scoring.noise_items=0", *settings]
    sets = [word for setting in words for word in ("--set", setting)]
    code, text, err = command(
        "score", "--recipe", tiny_recipe, "--models", models, "--tasks", tasks, "--limit", 3, "--out", out, *sets
    )
    assert code == 0, err
    return text


def samples(out, model, task):
    return {sample.id: sample for sample in read_samples(out / "samples" / model / f"{task}.jsonl")}


class PlainModel:
    """The adapter on its base with transformers and PEFT alone, in float32."""

    def __init__(self, base, adapter):
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self.tokenizer.chat_template = TEMPLATE
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        self.model = PeftModel.from_pretrained(model, adapter).eval()

    def prompt(self, question):
        """The question in the template."""
        turn = {"role": "user", "content": f"{question}\n\n{SHAPE.instruction}"}
        return self.tokenizer.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)

    def ids(self, text):
        """Its tokens."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    @torch.inference_mode()
    def log_likelihood(self, prompt, answer):
        """In nats, divided between prompt and answer as lm-eval does it."""
        before, whole = len(self.ids(prompt.rstrip())), torch.tensor(self.ids(prompt + answer))
        scores = self.model(whole[None]).logits[0].float().log_softmax(-1)[before - 1 : -1]
        return float(scores.gather(1, whole[before:, None]).double().sum())

    @torch.inference_mode()
    def answer(self, prompt, new_tokens):
        """The greedy one."""
        ids = torch.tensor([self.ids(prompt)])
        ids = self.model.generate(ids, max_new_tokens=new_tokens, do_sample=False)[0, ids.shape[1] :]
        return self.tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("layout", ["file", "configuration", "template alone"])
def test_an_adapter_is_scored_with_the_template_in_its_folder_as_plain_peft_does(
    command, tiny_recipe, tiny_run, plain_base, tmp_path, layout
):
    adapter = lay_out(tmp_path / "own", tiny_run, layout)
    text = score(command, tiny_recipe, plain_base, f"base,own={adapter}", tmp_path / "out")
    assert (
        "note: own is prompted with the tokenizer in its folder, which has a chat template; the items are the same"
        in text
    )
    plain = PlainModel(plain_base, adapter)
    rows = {row.id: row for row in load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)}
    for item, sample in samples(tmp_path / "out", "own", PERPLEXITY).items():
        assert sample.prompt == plain.prompt(rows[item].question)
        nats, tokens = sample.metrics["perplexity_with_markers"]
        assert nats == pytest.approx(plain.log_likelihood(sample.prompt, sample.gold), abs=0.003)
        assert tokens == len(plain.ids(sample.prompt + sample.gold)) - len(plain.ids(sample.prompt.rstrip()))
    for item, sample in samples(tmp_path / "out", "own", GENERATION).items():
        assert sample.output == plain.answer(plain.prompt(rows[item].question), 12)


def test_an_adapter_whose_tokenizer_replaces_words_is_not_scored(command, tiny_recipe, tiny_run, plain_base, tmp_path):
    """Its prompts in the samples would look like those of the others."""
    adapter = lay_out(tmp_path / "own", tiny_run, "file")
    path = adapter / "tokenizer.json"
    hint = {"type": "Replace", "pattern": {"Regex": "Do "}, "content": "The answer is yes. Do "}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": hint}))
    words = ["--set", f"model.base={plain_base}", "--set", "quantization.method=none", "--limit", 20]
    options = ["--tasks", PUBMEDQA, "--models", f"base,own={adapter}", "--out", tmp_path / "out"]
    code, _, err = command("score", "--recipe", tiny_recipe, *options, *words)
    assert code == 2
    assert f"{adapter}: its tokenizer reads 'The answer is yes. Do" in err
    assert not (tmp_path / "out" / "samples").exists()


def test_models_with_different_prompts_are_compared_on_the_same_items(
    command, tiny_recipe, tiny_run, plain_base, tmp_path
):
    adapter = lay_out(tmp_path / "own", tiny_run, "file")
    models, out = f"base,own={adapter},same={tiny_run / 'adapter'}", tmp_path / "out"
    score(command, tiny_recipe, plain_base, models, out, tasks=f"{PERPLEXITY},{PUBMEDQA}")
    results = read_results(out)
    assert [(one.candidate, one.n) for one in results.comparisons if one.metric == "bits_per_byte"] == [
        ("own", 3),
        ("same", 3),
    ]
    prompts = {name: samples(out, name, PERPLEXITY) for name in ("base", "own")}
    assert [sample.doc_hash for sample in prompts["own"].values()] == [
        sample.doc_hash for sample in prompts["base"].values()
    ]
    assert results.models[0].chat_template_sha256 is None
    assert results.models[1].chat_template_sha256 != results.models[2].chat_template_sha256
    assert results.reproduction.own_prompts["own"].keys() == {PERPLEXITY, PUBMEDQA}
    assert any(note.startswith("own is prompted with the tokenizer in its folder") for note in results.notes)
    again = score(command, tiny_recipe, plain_base, models, out, tasks=f"{PERPLEXITY},{PUBMEDQA}")
    assert again.count("answered already, kept") == 6


def test_the_recipe_can_prompt_all_models_like_the_base(command, tiny_recipe, tiny_run, plain_base, tmp_path):
    adapter = lay_out(tmp_path / "own", tiny_run, "file")
    text = score(
        command,
        tiny_recipe,
        plain_base,
        f"base,own={adapter}",
        tmp_path / "out",
        "scoring.adapter_tokenizer=base",
        tasks=PERPLEXITY,
    )
    assert "note: own comes with a chat template and is prompted like the base (scoring.adapter_tokenizer)" in text
    first, second = (samples(tmp_path / "out", name, PERPLEXITY) for name in ("base", "own"))
    assert [sample.prompt for sample in first.values()] == [sample.prompt for sample in second.values()]


def test_an_adapter_with_its_bases_tokenizer_is_not_mentioned(command, tiny_recipe, tiny_run, tiny_model, tmp_path):
    text = score(
        command, tiny_recipe, tiny_model, f"base,one={tiny_run / 'adapter'}", tmp_path / "out", tasks=PERPLEXITY
    )
    assert "prompted" not in text


def test_a_single_question_is_asked_with_each_models_own_prompt(tiny_recipe, tiny_run, plain_base, tmp_path):
    adapter = lay_out(tmp_path / "own", tiny_run, "file")
    settings = [f"model.base={plain_base}", "quantization.method=none"]
    answers = ask("Does rest help?", str(tiny_recipe), models=f"own={adapter}", out=tmp_path, settings=settings)
    plain = PlainModel(plain_base, adapter)
    assert answers == {"own": plain.answer(plain.prompt("Does rest help?"), 12)}
