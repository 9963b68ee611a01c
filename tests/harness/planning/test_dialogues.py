"""How each model is prompted and what ends its answers: what a plan finds out on a rendered turn, and what it says."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from harness.planning.dialogues import read_dialogues
from reports.errors import UserError
from tasks.rendering import load_tokenizer
from training.models.base_model import find_base
from training.models.model import Model
from training.recipes.recipe_file import load_recipe

TURN = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}END{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def models(tiny_recipe, tiny_model, tiny_run, tmp_path):
    """Read the dialogues of a changed base and of changed adapters on it; changes are functions of a tokenizer."""

    def save(folder, change):
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        change(tokenizer)
        tokenizer.save_pretrained(folder)
        if tokenizer.chat_template is None:
            (folder / "chat_template.jinja").unlink(missing_ok=True)

    def read(change=None, *settings, spoil=False, **adapters):
        folder = tmp_path / "base"
        if not folder.exists():
            shutil.copytree(tiny_model, folder)
        if change:
            save(folder, change)
        recipe = load_recipe(str(tiny_recipe), [f"model.base={folder}", *settings])
        base = find_base(recipe.model)
        others = []
        for name, own in adapters.items():
            shutil.copytree(tiny_run / "adapter", tmp_path / name)
            save(tmp_path / name, own)
            if spoil:
                (tmp_path / name / "tokenizer.json").write_text("{}")
            others.append(Model(name, "adapter", name, tmp_path / name, "0", base.tokenizer, name))
        load_tokenizer.cache_clear()
        return read_dialogues([base, *others], base, recipe)

    return read


def template(text):
    return lambda tokenizer: setattr(tokenizer, "chat_template", text)


def tokens(dialogue):
    return load_tokenizer(dialogue.tokenizer).convert_ids_to_tokens(sorted(dialogue.ends))


def test_a_model_whose_turns_end_with_its_end_token_needs_no_note(models):
    dialogues, notes = models()
    assert tokens(dialogues["base"]) == ["<|end|>"]
    assert notes == []


def test_the_token_that_ends_a_turn_ends_answers_too(models):
    dialogues, notes = models(template(TURN.replace("END", "<|start|>")))
    assert tokens(dialogues["base"]) == ["<|start|>", "<|end|>"]
    assert notes == [
        (
            "base: its chat template ends a turn with <|start|>, which is not among its end tokens (<|end|>); it ends"
            " answers too"
        )
    ]
    dialogues, notes = models(template(TURN.replace("END", "<|start|>")), "format.chat_template=never")
    assert tokens(dialogues["base"]) == ["<|end|>"]
    assert notes == []


def test_the_generation_settings_name_more_end_tokens(models, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "base")
    (tmp_path / "base" / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 0]}))
    dialogues, _ = models(template(TURN.replace("END", "<|start|>")))
    assert dialogues["base"].ends == {0, 1, 7}


def test_a_turn_may_end_with_a_text_that_is_no_token(models):
    dialogues, notes = models(template(TURN.replace("END", "</turn>")))
    assert dialogues["base"].stop == ("</turn>",)
    assert tokens(dialogues["base"]) == ["<|end|>"]
    assert "ends a turn with </turn>, for which the tokenizer has no token" in notes[0]


def test_an_adapter_keeps_its_own_end_token(models):
    def own(tokenizer):
        tokenizer.add_special_tokens({"eos_token": "<|start|>"})
        tokenizer.chat_template = TURN.replace("END", "<|start|>")

    dialogues, notes = models(None, own=own)
    assert tokens(dialogues["base"]) == ["<|end|>"]
    assert tokens(dialogues["own"]) == ["<|start|>", "<|end|>"]
    assert notes == [
        (
            "own is prompted with the tokenizer in its folder, which has another chat template and the end token"
            " <|start|> instead of <|end|>; the items are the same, and scoring.adapter_tokenizer=base prompts it like"
            " the base"
        )
    ]
    dialogues, notes = models(None, "scoring.adapter_tokenizer=base", other=own)
    assert dialogues["other"] == dialogues["base"]
    assert "other comes with another chat template and the end token" in notes[0]


def test_an_adapters_tokenizer_without_a_template_takes_the_bases(models):
    dialogues, notes = models(None, own=template(None))
    assert dialogues["own"] == dialogues["base"]
    assert notes == []
    dialogues, _ = models(None, pad=lambda tokenizer: tokenizer.add_tokens("<|pad|>") and template(None)(tokenizer))
    assert (
        load_tokenizer(dialogues["pad"].tokenizer).chat_template
        == load_tokenizer(dialogues["base"].tokenizer).chat_template
    )


def test_a_token_without_an_embedding_is_refused_where_it_is_used(models):
    with pytest.raises(
        UserError, match=r"base: token id 500 \(<think>\) is beyond the 500 rows of the model's embedding"
    ):
        models(lambda tokenizer: tokenizer.add_tokens(["<think>", "</think>"]), "format.name=think")
    _, notes = models()
    assert "its tokenizer has 2 tokens beyond the 500 rows of the embedding (<think>, </think>)" in notes[0]


def test_an_adapters_token_without_an_embedding_is_refused(models):
    def own(tokenizer):
        tokenizer.add_tokens("<|stop|>")
        tokenizer.chat_template = TURN.replace("END", "<|stop|>")

    with pytest.raises(UserError, match=r"own: token id 500 \(<\|stop\|>\) is beyond the 500 rows"):
        models(None, own=own)


def test_a_setting_that_no_template_reads_is_refused(models):
    setting = "format.chat_template_kwargs={enable_thinking: false}"
    with pytest.raises(
        UserError, match=r"format.chat_template_kwargs: the chat template does not read enable_thinking"
    ):
        models(None, setting)
    thinking = template("{% if enable_thinking is not false %}<think>{% endif %}" + TURN.replace("END", "<|end|>"))
    _, notes = models(None, setting, own=thinking)
    assert "base: its chat template does not read enable_thinking" in notes


def test_a_tokenizer_that_cannot_be_loaded_may_be_left_alone(models, tmp_path):
    def read(*settings):
        shutil.rmtree(tmp_path / "own", ignore_errors=True)
        return models(None, *settings, own=lambda tokenizer: tokenizer.save_pretrained(tmp_path / "own"), spoil=True)

    with pytest.raises(UserError, match=r"cannot load its tokenizer: .*\n.*or prompt it like its base: --set scoring"):
        read()
    dialogues, notes = read("scoring.adapter_tokenizer=base")
    assert dialogues["own"] == dialogues["base"]
    assert "own comes with a tokenizer that cannot be loaded and is prompted like the base" in notes[0]


def test_a_template_that_drops_the_reasoning_of_examples_is_named(models):
    """As Qwen3's does with the thinking of earlier turns."""
    drops = TURN.replace("END", "<|end|>").replace(
        "m.content", "m.content.split('</think>')[-1] if m.role == 'assistant' else m.content"
    )
    _, notes = models(template(drops), "format.name=think", "scoring.num_fewshot=2")
    assert notes == ["base: its chat template leaves the reasoning out of the examples (scoring.num_fewshot)"]


@pytest.mark.parametrize("text", ["{{ raise_exception('only tools') }}", "{% for", "{{ messages[7].x.y }}"])
def test_a_template_that_fails_is_the_models_fault(models, text):
    with pytest.raises(UserError, match=r"own: its chat template fails: .*\n.*scoring.adapter_tokenizer=base"):
        models(None, own=template(text))
