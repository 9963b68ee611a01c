"""What differs in prompts and end tokens between the evaluation and a folder, each fault planted in a copy."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from tasks.chat import ChatSettings
from tasks.formats import get_format
from tasks.rendering import load_tokenizer
from training.exporting.prompting_causes import find_prompting_causes

QUESTIONS = ["Does rest help?", "Which dose of ibuprofen is safe for adults?"]
OTHER_TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def causes(tiny_model, tmp_path):
    """Causes in a copy of the tiny model's folder whose files a function changes."""

    def find(change=None, reference=None, chat=None):
        folder = shutil.copytree(tiny_model, tmp_path / "target", dirs_exist_ok=True)
        (folder / "generation_config.json").write_text('{"eos_token_id": 1}')
        if change:
            change(folder)
        load_tokenizer.cache_clear()
        listed = find_prompting_causes(
            str(reference or tiny_model), folder, QUESTIONS, get_format("thinking-headings"), chat or ChatSettings()
        )
        return {cause.key: cause for cause in listed}

    return find


def retokenize(**settings):
    def change(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for name, value in settings.items():
            setattr(tokenizer, name, value)
        tokenizer.save_pretrained(folder)

    return change


def add_start(folder):
    """Let the tokenizer put its start token before every text."""
    path = folder / "tokenizer.json"
    value = json.loads(path.read_text())
    special = {"<|start|>": {"id": "<|start|>", "ids": [0], "tokens": ["<|start|>"]}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    value["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|start|>", "type_id": 0}}, text],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": special,
    }
    path.write_text(json.dumps(value))


def test_a_copy_has_no_causes(causes):
    assert causes() == {}


def test_another_template_is_named_with_the_first_character_that_differs(causes):
    cause = causes(retokenize(chat_template=OTHER_TEMPLATE))["template"]
    assert (cause.evidence["item"], cause.evidence["character"]) == (0, 0)
    assert cause.evidence["actual"].startswith("[user]")


def test_a_template_that_is_missing_or_fails_is_a_cause_not_an_error(causes, tmp_path):
    assert "no chat template" in causes(lambda folder: (folder / "chat_template.jinja").unlink())["template"].sentence
    failing = causes(retokenize(chat_template="{{ raise_exception('no') }}"))["template"]
    assert "sample question 1" in failing.sentence


def test_a_start_token_from_template_and_tokenizer_is_a_double_one(causes):
    by_key = causes(add_start)
    assert [*by_key] == ["double_bos"]
    assert (by_key["double_bos"].evidence["expected"], by_key["double_bos"].evidence["actual"]) == (1, 2)


def test_two_start_tokens_in_both_are_no_difference(causes, tiny_model, tmp_path):
    """As with Llama 3, whose template writes the token that its tokenizer adds; every program sees to it."""
    reference = shutil.copytree(tiny_model, tmp_path / "reference")
    add_start(reference)
    assert causes(add_start, reference) == {}


def test_a_start_token_that_only_the_evaluation_adds_is_missing(causes, tiny_model, tmp_path):
    plain = ChatSettings("never")
    reference = shutil.copytree(tiny_model, tmp_path / "reference")
    add_start(reference)
    assert [*causes(None, reference, plain)] == ["missing_bos"]
    assert [*causes(add_start, None, plain)] == ["double_bos"]


def test_other_ids_of_the_same_text_are_the_tokenizers(causes):
    def swap(folder):
        path = folder / "tokenizer.json"
        value = json.loads(path.read_text())
        vocabulary = value["model"]["vocab"]
        vocabulary["o"], vocabulary["e"] = vocabulary["e"], vocabulary["o"]
        path.write_text(json.dumps(value))

    by_key = causes(swap)
    assert [*by_key] == ["tokenizer"]
    assert by_key["tokenizer"].evidence["expected"] != by_key["tokenizer"].evidence["actual"]


@pytest.mark.parametrize("settings", ["{}", '{"eos_token_id": 7}', '{"eos_token_id": [7, 9]}'])
def test_end_tokens_without_the_templates_are_named(causes, settings):
    by_key = causes(lambda folder: (folder / "generation_config.json").write_text(settings))
    assert [*by_key] == ["end_token"]
    given = {"{}": "none", '{"eos_token_id": 7}': "7", '{"eos_token_id": [7, 9]}': "7, 9"}[settings]
    expected = {"expected": "<|end|>", "generation_settings": given, "tokenizer": "<|end|>"}
    assert by_key["end_token"].evidence == expected
    start = "answers end with <|end|>, which is not among the end tokens of the generation settings ("
    assert by_key["end_token"].sentence.startswith(start)
    assert by_key["end_token"].sentence.endswith("): answers go on to the limit")


def test_another_end_token_of_the_tokenizer_is_named(causes):
    by_key = causes(retokenize(eos_token="<|start|>"))
    assert [*by_key] == ["end_token"]
    assert by_key["end_token"].sentence == "the tokenizer's end token is <|start|> instead of <|end|>"
    expected = {"expected": "<|end|>", "generation_settings": "1", "tokenizer": "<|start|>"}
    assert by_key["end_token"].evidence == expected


def test_two_faults_are_both_named(causes):
    def spoil(folder):
        retokenize(chat_template=OTHER_TEMPLATE)(folder)
        (folder / "generation_config.json").write_text("{}")

    assert [*causes(spoil)] == ["template", "end_token"]
