"""An adapter's own tokenizer may add tokens; it may not read or write other text than its base's."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from reports.errors import UserError
from tasks.same_reading import check_decoder, check_ids, check_own_reading, check_reading

TEXT = "Do statins help? Final answer: no"


@pytest.fixture
def base(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture
def changed(tiny_model, tmp_path):
    def change(**parts):
        shutil.copytree(tiny_model, tmp_path / "own", ignore=shutil.ignore_patterns("*.safetensors"))
        path = tmp_path / "own" / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | parts))
        return AutoTokenizer.from_pretrained(path.parent)

    return change


def replace(pattern, content):
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def test_new_and_renamed_special_tokens_are_read_alike(base, tiny_model):
    own = AutoTokenizer.from_pretrained(tiny_model)
    own.add_tokens(["<|im_start|>", "statins"])
    check_decoder(own, base)
    check_ids(own, base)
    check_reading(own, base, f"<|im_start|>user\n{TEXT}\u00df")


def test_a_normalizer_that_replaces_words_is_refused(base, changed):
    own = changed(normalizer=replace("statins help?", "statins help? It is yes."))
    check_reading(own, base, "Does rest help?")
    message = r"reads 'It is yes\. Final answer: no' where its base's reads 'Final .*\n.*adapter_tokenizer=base"
    with pytest.raises(UserError, match=message):
        check_reading(own, base, TEXT)


def test_a_whole_models_tokenizer_reads_the_text_as_it_stands(base, changed):
    for text in (TEXT, f"<|start|>user\n {TEXT}<|end|>\n\n", "naïve \ufb01bres\u200b, 5 µg", "日本 😀", ""):
        check_own_reading(base, text)
    lower = changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]})
    for text in (TEXT, "\uff26\uff55\uff4c\uff4c \ufb01bres"):
        check_own_reading(lower, text)


@pytest.mark.parametrize(
    "normalizer", [("help?", "help? It is yes."), ("answer: no", ""), ("Do ", "Why do "), ("no", "on"), (TEXT, "")]
)
def test_a_whole_models_tokenizer_that_reads_something_else_is_refused(changed, normalizer):
    own = changed(normalizer=replace(*normalizer))
    check_own_reading(own, "Is rest useful?")
    with pytest.raises(UserError, match=r"reads (?s:.*) where the text is (?s:.*)trained with"):
        check_own_reading(own, TEXT)


def test_characters_without_a_token_may_be_missing(tiny_model):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<unk>": 0, "Do": 1, "statins": 2, "help": 3}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    own = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    for text in ("Do statins help", "Do 日本 help", "日本 help", "Do 日本", "日本"):
        check_own_reading(own, text)


def test_a_tokenizer_that_drops_text_is_refused(base, changed):
    own = changed(normalizer=replace("answer: no", ""))
    with pytest.raises(UserError, match="where its base's reads"):
        check_reading(own, base, TEXT)


def test_words_that_stand_for_other_tokens_are_refused(base, changed, tiny_model):
    model = json.loads((tiny_model / "tokenizer.json").read_text())["model"]
    vocabulary = model["vocab"]
    first, second = [token for token in vocabulary if len(token) == 1 and token.isalpha()][:2]
    swapped = {**vocabulary, first: vocabulary[second], second: vocabulary[first]}
    with pytest.raises(UserError, match=f"gives '({first}|{second})' the id of '({first}|{second})' in its base's"):
        check_ids(changed(model={**model, "vocab": swapped}), base)


def test_a_decoder_that_rewrites_answers_is_refused(base, changed, tiny_model):
    decoder = json.loads((tiny_model / "tokenizer.json").read_text())["decoder"]
    own = changed(decoder={"type": "Sequence", "decoders": [decoder, replace("maybe", "yes")]})
    with pytest.raises(UserError, match=r"rewrites answers .*maybe"):
        check_decoder(own, base)
