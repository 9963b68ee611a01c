"""Which tokens of a gold answer are text and which are markers, for all formats and kinds of tokenizers."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tasks.formats import FORMATS, get_format
from tasks.rendering import encode, scored_tokens

CORPUS = [
    "Because of this.\n\nThen ## Final",
    "the answer is so.\n\n</think>\n\nYes.\n",
    "Größe 👍🏽 血清 é\n\n### Answer\n\n",
]
PROMPT = "Why 👍?\n\nAnswer.\n\n"
PIECES = st.sampled_from(["Because", " ", ".", "\n", "\n\n", "👍🏽", "血清", "## Final", "think>", "é"])
SOME_TEXT = st.lists(PIECES, min_size=1, max_size=9).map("".join).filter(str.strip)


def make_tokenizer(*, trim):
    """Byte-level, with line breaks joined to a full stop before them as in Llama 3; a start token comes first."""
    tokenizer = Tokenizer(models.BPE())
    lines = pre_tokenizers.Split(Regex(r"[^\s\p{L}]+\n*| ?\p{L}+|\n+|\s+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [lines, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 9, trainer)
    start = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=trim), start])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


TOKENIZERS = {"all characters": make_tokenizer(trim=False), "no white space": make_tokenizer(trim=True)}


@given(SOME_TEXT, SOME_TEXT, st.sampled_from(sorted(FORMATS)))
def test_spans_are_the_texts_of_the_completion(reasoning, response, name):
    shape = get_format(name)
    whole = shape.completion(reasoning, response)
    texts = [reasoning.strip()] * shape.has_reasoning + [response.strip()]
    assert [whole[start:end] for start, end in shape.text_spans(reasoning, response)] == texts


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_part_has_no_span(name):
    shape = get_format(name)
    whole = shape.completion(" ", "So.")
    assert [whole[start:end] for start, end in shape.text_spans(" ", "So.")] == ["So."]
    whole = shape.completion("Why", "")
    assert [whole[start:end] for start, end in shape.text_spans("Why", "")] == ["Why"] * shape.has_reasoning


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(SOME_TEXT, SOME_TEXT, st.sampled_from(sorted(FORMATS)), st.sampled_from([PROMPT, f"<s>{PROMPT}"]))
def test_the_tokens_of_a_span_hold_all_of_its_text_and_no_marker(kind, reasoning, response, name, prompt):
    tokenizer, shape = TOKENIZERS[kind], get_format(name)
    gold, spans = shape.completion(reasoning, response), shape.text_spans(reasoning, response)
    count, ranges = scored_tokens(tokenizer, prompt, gold, spans)
    scored = encode(tokenizer, prompt + gold)[-count:]
    for (start, end), (first, last) in zip(spans, ranges, strict=True):
        before, text, after = tokenizer.decode(scored[first:last]).partition(gold[start:end])
        assert text == gold[start:end]
        assert before.strip() == after.strip() == ""
        for inner in (scored[first + 1 : last], scored[first : last - 1]):
            assert text not in tokenizer.decode(inner)


def test_a_full_stop_with_the_line_breaks_after_it_belongs_to_the_text():
    tokenizer, shape = TOKENIZERS["all characters"], get_format("thinking-headings")
    gold, spans = shape.completion("Because.", "So."), shape.text_spans("Because.", "So.")
    count, ranges = scored_tokens(tokenizer, PROMPT, gold, spans)
    scored = encode(tokenizer, PROMPT + gold)[-count:]
    texts = [[tokenizer.decode(token) for token in scored[first:last]] for first, last in ranges]
    assert texts == [["Because", ".\n\n"], ["S", "o", "."]]


def stub(*tokens, fast=True):
    """A tokenizer that divides `q ` + an answer into tokens with these places, the first of which is the prompt's."""
    whole = SimpleNamespace(input_ids=list(range(len(tokens))), offset_mapping=list(tokens))
    prompt = SimpleNamespace(input_ids=[0])

    class Stub:
        is_fast = fast
        bos_token = eos_token_id = None

        def __call__(self, text, **_):
            return prompt if text == "q" else whole

    return Stub()


@pytest.mark.parametrize(
    ("tokens", "spans", "wanted"),
    [
        (((0, 1), (2, 4), (4, 6)), [(0, 2), (2, 4)], [[0, 1], [1, 2]]),
        (((0, 1), (2, 5), (5, 6)), [(0, 2)], [[0, 1]]),  # the end of the text and one character more
        (((0, 1), (2, 4), (4, 6)), [(1, 2), (2, 4)], [[0, 1], [1, 2]]),
        (((0, 1), (2, 6)), [(0, 2), (3, 4)], [[0, 1]]),  # one token of both counts once
        (((0, 1), (2, 3), (2, 3), (2, 3), (3, 6)), [(0, 1)], [[0, 3]]),  # one character of three tokens
        (((0, 1), (2, 3), (5, 6)), [(0, 3)], [[0, 2]]),  # white space in no token is that of the next
        (((0, 1), (2, 3), (6, 6)), [(1, 4)], [[1, 2]]),
        (((0, 1), (2, 4), (4, 6)), [(2, 2)], []),
        (((0, 1), (2, 4), (0, 0)), [(0, 2)], [[0, 1]]),  # an end token
        (((0, 1), (2, 4)), [], []),
    ],
)
def test_tokens_belong_to_spans_by_their_characters(tokens, spans, wanted):
    assert scored_tokens(stub(*tokens), "q ", "answer", spans) == (len(tokens) - 1, wanted)


def test_a_tokenizer_without_places_has_no_tokens_of_text():
    assert scored_tokens(stub((0, 1), (2, 4), fast=False), "q ", "answer", [(0, 2)]) == (1, None)
