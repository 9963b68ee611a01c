"""Prompts: one rendering for training and scoring, through the model's chat template where it has one."""

import copy
import json
import shutil

import pytest

from reports.errors import UserError
from tasks.formats import FORMATS
from tasks.rendering import encode, encode_all, load_tokenizer, render_prompt, scored_tokens

SHAPE = FORMATS["think"]


def test_the_chat_template_is_used_where_the_model_has_one(tiny_model):
    prompt = render_prompt(load_tokenizer(str(tiny_model)), SHAPE, " Why? ")
    assert prompt == f"<|start|>user\nWhy?\n\n{SHAPE.instruction}<|end|>\n<|start|>assistant\n"


def test_plain_text_is_used_where_the_template_is_not_wanted(tiny_model):
    plain = f"Why?\n\n{SHAPE.instruction}\n\n"
    assert render_prompt(load_tokenizer(str(tiny_model)), SHAPE, "Why?", "never") == plain
    assert render_prompt(None, SHAPE, "Why?") == plain


def test_a_template_that_opens_the_reasoning_itself_leaves_that_to_the_answer():
    class R1:
        chat_template = "yes"

        def apply_chat_template(self, messages, **_):
            return f"<User>{messages[0]['content']}<Assistant><think>\n"

    assert render_prompt(R1(), SHAPE, "Why?") == f"<User>{SHAPE.user_turn('Why?')}<Assistant>"
    other = FORMATS["alpaca"]
    assert render_prompt(R1(), other, "Why?") == f"<User>{other.user_turn('Why?')}<Assistant><think>\n"


def test_a_template_that_tells_the_date_makes_the_same_prompt_every_day(tiny_model, monkeypatch):
    tokenizer = copy.deepcopy(load_tokenizer(str(tiny_model)))
    told = "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    for template in (told + "Today: {{ date_string }}", "Today: {{ strftime_now('%d %b %Y') }}"):
        tokenizer.chat_template = template + " {{ messages[0].content }}"
        assert render_prompt(tokenizer, SHAPE, "Why?") == f"Today: 26 Jul 2024 {SHAPE.user_turn('Why?')}"


def test_the_start_token_appears_once(tiny_model):
    tokenizer = load_tokenizer(str(tiny_model))
    ids = encode(tokenizer, render_prompt(tokenizer, SHAPE, "Why?"))
    assert ids[0] == tokenizer.bos_token_id
    assert ids[1] != tokenizer.bos_token_id


@pytest.mark.parametrize("adds", ["", "<bos>", "<bos> and </eos>"])
def test_texts_that_are_encoded_together_have_the_tokens_that_each_has_alone(tiny_model, adds):
    from tokenizers.processors import TemplateProcessing

    tokenizer = copy.deepcopy(load_tokenizer(str(tiny_model)))
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    if adds:
        single = f"{bos} $A {eos}" if "eos" in adds else f"{bos} $A"
        tokens = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (bos, eos)]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=tokens)
    texts = ["Why?", "", f"{bos}user Why?", f" {bos}", f"No.{eos}", "Why?", "émigré \n\n\t!", "a" * 3000]
    assert encode_all(tokenizer, iter(texts)) == {text: encode(tokenizer, text) for text in texts}
    assert encode_all(tokenizer, []) == {}


def test_requests_made_together_are_those_made_one_by_one(tiny_model):
    from lm_eval.api.instance import Instance

    from harness.scoring.lm import RequestMaker

    tokenizer = load_tokenizer(str(tiny_model))
    pairs = [("Which sign?\n", end) for end in (" A", " B", "", "  C")] + [("", "All."), ("Why? ", "No")]
    instances = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    together = RequestMaker(tokenizer, seed=0).loglikelihood(instances, disable_tqdm=True)
    alone = [RequestMaker(tokenizer, seed=0).loglikelihood([instance], disable_tqdm=True)[0] for instance in instances]
    assert together == alone
    joint = encode(tokenizer, "Which sign?\n A")
    assert (*together[0].context, *together[0].continuation) == tuple(joint)


def test_scored_tokens_are_counted_as_lm_eval_divides_them(tiny_model):
    from lm_eval.api.instance import Instance

    from harness.scoring.lm import RequestMaker

    tokenizer = load_tokenizer(str(tiny_model))
    lm = RequestMaker(tokenizer, seed=0)
    prompt = render_prompt(tokenizer, SHAPE, "Why?")
    answer = SHAPE.completion("because", "so")
    (request,) = lm.loglikelihood([Instance("loglikelihood", {}, (prompt, answer), 0)])
    count, _ = scored_tokens(tokenizer, prompt, answer, [])
    assert count == len(request.continuation)


ENDLESS = {"Regex": "(?:[b-y ]+[b-y ]*)+[!?]$"}


def spoiled(tiny_model, folder, **parts):
    """The tiny model with other parts in its tokenizer."""
    shutil.copytree(tiny_model, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | parts))
    return load_tokenizer(str(folder))


def test_a_tokenizer_that_panics_is_named(tiny_model, tmp_path, capfd):
    """A panic in the Rust library is no `Exception`, and would print its own lines, which may quote the file."""
    split = {"type": "Split", "pattern": ENDLESS, "behavior": "Isolated", "invert": False}
    tokenizer = spoiled(tiny_model, tmp_path / "encode", pre_tokenizer=split)
    with pytest.raises(UserError, match=r"encode: its tokenizer fails: .*Regex"):
        encode(tokenizer, "word " * 20 + ".")
    replace = {"type": "Replace", "pattern": ENDLESS, "content": ""}
    tokenizer = spoiled(
        tiny_model, tmp_path / "decode", decoder={"type": "Sequence", "decoders": [{"type": "Fuse"}, replace]}
    )
    ids = encode(tokenizer, "word" * 20 + ".")
    with pytest.raises(UserError, match=r"decode: its tokenizer fails: .*Regex"):
        tokenizer.decode(ids)
    assert capfd.readouterr().err == ""


def test_a_folder_without_a_tokenizer_says_what_to_copy(tiny_model, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(tiny_model / "config.json", folder)
    with pytest.raises(
        UserError, match=r"the folder has no tokenizer.json: .*\n  fix: copy tokenizer.json and"
    ) as caught:
        load_tokenizer(str(folder))
    assert caught.value.where == str(folder)


def test_a_chat_template_that_fails_is_named(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    for template in (
        "{{ raise_exception('no') }}",
        "{{ messages[7]['x'] }}",
        "{% for",
        "{{ 1 / 0 }}",
        "{{ [].x.y }}",
        "{{ 'a' * 10**15 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ 'a' * 2_000_000 }}",
    ):
        (tmp_path / "model" / "chat_template.jinja").write_text(template)
        load_tokenizer.cache_clear()
        with pytest.raises(
            UserError,
            match=r"model: its chat template (fails: .*\n.*format.chat_template=never|turns .* into 2,000,000)",
        ):
            render_prompt(load_tokenizer(str(tmp_path / "model")), SHAPE, "Why?")


def test_a_guarded_tokenizer_is_saved_as_what_it_is(tiny_model, tmp_path):
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path)
    before, after = (json.loads((folder / "tokenizer_config.json").read_text()) for folder in (tiny_model, tmp_path))
    assert after["tokenizer_class"] == before["tokenizer_class"]
    assert encode(load_tokenizer(str(tmp_path)), "Why?") == encode(load_tokenizer(str(tiny_model)), "Why?")
