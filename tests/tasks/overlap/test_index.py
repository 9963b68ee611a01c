"""Overlap of training rows and test items: planted copies are found, clean data stays clean."""

# ruff: noqa: RUF001 - full-width punctuation is meant

import json
import random
import time
import unicodedata
from pathlib import Path

import pytest

from tasks.data import DataSource, load_pubmedqa, load_reasoning
from tasks.overlap import Passage, TrainingIndex
from tasks.words import words

TRAIN = load_reasoning(DataSource(source="samples:reasoning_train"), seed=0)
HELD_OUT = load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)
PUBMEDQA = load_pubmedqa(DataSource(source="samples:pubmedqa"), seed=0)


def reasoning(rows):
    return [
        Passage(row.id, part, text)
        for row in rows
        for part, text in (("question", row.question), ("answer", f"{row.reasoning} {row.response}"))
    ]


def pubmedqa(items):
    return [
        Passage(item.id, part, text)
        for item in items
        for part, text in (("question", item.question), ("context", " ".join(item.contexts)))
    ]


def find(rows, items):
    return {found.item: found for found in TrainingIndex(rows).find(items)}


def reworded(text, generator):
    """The text with one word put in another's place."""
    parts = text.split()
    parts[generator.randrange(len(parts))] = "reportedly"
    return " ".join(parts)


def test_the_samples_are_clean():
    assert find(reasoning(TRAIN), reasoning(HELD_OUT)) == {}
    assert find(reasoning(TRAIN), pubmedqa(PUBMEDQA)) == {}


@pytest.mark.parametrize("seed", range(5))
def test_three_copied_and_two_reworded_questions_are_found_and_no_more(seed):
    generator = random.Random(seed)
    chosen = generator.sample(PUBMEDQA, 5)
    planted = [
        Passage(f"planted {item.id}", "question", item.question if n < 3 else reworded(item.question, generator))
        for n, item in enumerate(chosen)
    ]
    found = find(reasoning(TRAIN) + planted, pubmedqa(PUBMEDQA))
    assert {item: each.row for item, each in found.items()} == {each.id: f"planted {each.id}" for each in chosen}
    assert [found[each.id].kind for each in chosen] == ["exact"] * 3 + ["near"] * 2
    assert all(found[each.id].share == 1 for each in chosen[:3])


def test_a_question_is_the_same_whatever_its_case_punctuation_and_letters():
    found = find(
        [Passage("row", "question", "IS \uff21\uff23\uff34H (fasting) raised?")],
        [Passage("i", "question", "is acth fasting raised")],
    )
    assert found["i"].kind == "exact"


def test_an_abstract_inside_a_training_answer_is_found_by_its_runs_of_words():
    item = PUBMEDQA[3]
    row = Passage("row", "answer", f"As was written: {item.contexts[1]} So it is.")
    found = find([row], pubmedqa(PUBMEDQA))
    assert list(found) == [item.id]
    length = [len(words(text)) for text in item.contexts]
    assert (found[item.id].kind, found[item.id].part) == ("n-gram", "context")
    assert found[item.id].share == pytest.approx(length[1] / sum(length), abs=1e-4)


def test_a_short_question_inside_a_long_prompt_is_found():
    found = find(
        [Passage("row", "question", "Read this and say. Does zinc shorten the common cold in adults? Answer:")],
        [Passage("i", "question", "Does zinc shorten the common cold in adults?")],
    )
    assert (found["i"].kind, found["i"].share) == ("n-gram", 1.0)


def test_stock_phrases_are_no_overlap():
    phrase = "Which of the following is the most appropriate next step in the management of this patient?"
    rows = [Passage(str(n), "question", f"{row.question} {phrase}") for n, row in enumerate(TRAIN[:20])]
    items = [Passage(row.id, "question", f"{row.question} {phrase}") for row in HELD_OUT]
    assert [found for found in find(rows, items).values() if found.kind == "n-gram"] == []


def test_each_item_is_told_once_with_the_row_that_shares_most():
    question = HELD_OUT[0].question
    rows = [Passage("near", "question", reworded(question, random.Random(0))), Passage("same", "question", question)]
    found = find(rows, reasoning(HELD_OUT[:1]))
    assert (found[HELD_OUT[0].id].row, found[HELD_OUT[0].id].rows) == ("same", 2)


def test_empty_texts_match_nothing():
    assert find([Passage("row", "question", "...")], [Passage("i", "question", "?"), Passage("j", "context", "")]) == {}


def test_thousands_of_rows_take_seconds():
    generator = random.Random(0)
    vocabulary = [f"w{n}" for n in range(20_000)]

    def text(length):
        return " ".join(generator.choices(vocabulary, k=length))

    rows = [
        Passage(str(n), part, text(size)) for n in range(3000) for part, size in (("question", 40), ("answer", 300))
    ]
    items = [
        Passage(str(n), part, text(size)) for n in range(500) for part, size in (("question", 15), ("context", 200))
    ]
    started = time.process_time()
    assert find(rows, [*items, Passage("copy", "context", rows[1].text)]).keys() == {"copy"}
    assert time.process_time() - started < 10


def passages(part, *texts):
    return [Passage(f"{part} {n}", part, text) for n, text in enumerate(texts)]


def sentence(generator, count):
    """So many words of a made-up vocabulary."""
    return " ".join(f"w{generator.randrange(5000)}" for _ in range(count))


@pytest.mark.parametrize("part", ["context", "answer"])
@pytest.mark.parametrize("copies", [1, 12, 200])
def test_a_text_in_any_number_of_rows_is_found(part, copies):
    leaked = PUBMEDQA[3].contexts[0]
    rows = [Passage(f"row {n}", part, leaked) for n in range(copies)]
    overlap = find(rows, [Passage("i", part, leaked)])["i"]
    assert (overlap.kind, overlap.share, overlap.rows, overlap.row) == ("n-gram", 1.0, copies, "row 0")


@pytest.mark.parametrize("copies", [12, 200])
def test_a_context_in_rows_that_each_ask_something_else_is_found(copies):
    generator = random.Random(copies)
    leaked = sentence(generator, 60)
    rows = [
        Passage(f"row {n}", "question", f"Abstract: {leaked} Question: {sentence(generator, 12)}?")
        for n in range(copies)
    ]
    assert find(rows, [Passage("i", "context", leaked)])["i"].rows == copies
    # The same where the item asks of its context in one text.
    asks = Passage("i", "question", f"{leaked} {sentence(generator, 12)}?")
    overlap = find(rows, [asks])["i"]
    assert (overlap.kind, overlap.rows, overlap.share) == ("n-gram", copies, round(60 / 72, 4))


def test_every_item_that_shares_one_leaked_context_is_found():
    leaked = PUBMEDQA[5].contexts[0]
    items = [Passage(f"i{n}", "context", leaked) for n in range(11)]
    rows = [Passage("row", "reasoning", f"It is known that {leaked}")]
    assert find(rows, items).keys() == {f"i{n}" for n in range(11)}


@pytest.mark.parametrize(("texts", "is_stock"), [(10, False), (11, True)])
def test_a_phrase_of_more_than_ten_different_texts_is_stock(texts, is_stock):
    generator = random.Random(texts)
    phrase = sentence(generator, 14)
    rows = [
        Passage(f"row {n}", "answer", f"{sentence(generator, 40)} {phrase} {sentence(generator, 5)}")
        for n in range(texts)
    ]
    repeated = [Passage(f"again {n}", "answer", rows[0].text) for n in range(50)]  # equal texts count once
    item = Passage("i", "answer", f"{sentence(generator, 20)} {phrase} {sentence(generator, 9)}")
    overlaps = find([*rows, *repeated], [item])
    assert overlaps.keys() == (set() if is_stock else {"i"})
    if not is_stock:
        assert (overlaps["i"].share, overlaps["i"].rows) == (round(14 / 43, 4), texts + 50)


def test_a_phrase_of_many_items_and_few_rows_is_stock():
    generator = random.Random(3)
    phrase = sentence(generator, 14)
    items = [Passage(f"i{n}", "answer", f"{sentence(generator, 30)} {phrase}") for n in range(12)]
    assert find([Passage("row", "answer", f"{sentence(generator, 30)} {phrase}")], items) == {}


def test_a_stock_phrase_does_not_hide_what_else_is_shared():
    generator = random.Random(4)
    phrase, leaked = sentence(generator, 14), sentence(generator, 20)
    rows = [Passage(f"row {n}", "answer", f"{sentence(generator, 40)} {phrase}") for n in range(20)]
    rows.append(Passage("the row", "answer", f"{leaked} {sentence(generator, 30)} {phrase}"))
    (overlap,) = find(rows, [Passage("i", "answer", f"{leaked} {sentence(generator, 6)} {phrase}")]).values()
    assert (overlap.row, overlap.rows, overlap.share) == ("the row", 1, 0.5)


@pytest.mark.parametrize(("length", "shared", "is_reported"), [(65, 13, True), (66, 13, False), (40, 12, False)])
def test_runs_of_13_words_that_make_up_a_fifth_are_reported(length, shared, is_reported):
    generator = random.Random(length)
    text = sentence(generator, length).split()
    row = Passage("row", "answer", f"{sentence(generator, 30)} {' '.join(text[20 : 20 + shared])}")
    overlaps = find([row], [Passage("i", "context", " ".join(text))])
    assert overlaps.keys() == ({"i"} if is_reported else set())


@pytest.mark.parametrize(("length", "is_reported"), [(7, False), (8, True)])
def test_a_text_of_8_words_is_found_as_a_whole(length, is_reported):
    generator = random.Random(length)
    text = sentence(generator, length)
    row = Passage("row", "answer", f"{sentence(generator, 9)} {text} {sentence(generator, 9)}")
    assert find([row], [Passage("i", "answer", text)]).keys() == ({"i"} if is_reported else set())


CHINESE = (
    "该患者血钾降低，最可能由噻嗪类利尿剂引起，应复查电解质，口服补钾，并考虑改用保钾利尿剂。",
    "足底麻木提示周围神经病变，应做十克单丝检查和音叉振动觉检查，同时评估足背动脉搏动情况。",
    "妊娠期对甲状腺素的需要量增加，应口服左甲状腺素，每四周复查一次促甲状腺激素并调整剂量。",
    "老年人跌倒后髋部疼痛，首先考虑股骨颈骨折，应尽快拍摄髋关节正侧位片，必要时行磁共振检查。",
    "突发胸痛伴大汗，应立即描记心电图，检测肌钙蛋白，确诊后尽早行经皮冠状动脉介入治疗。",
    "儿童反复喘息，夜间加重，应行肺功能检查，确诊后规律吸入糖皮质激素，并教会家长使用储雾罐。",
)


def test_chinese_texts_of_one_style_share_nothing():
    rows, items = passages("answer", *CHINESE[:3]), passages("answer", *CHINESE[3:])
    assert find(rows, items) == {}
    assert find(passages("question", *CHINESE[:3]), passages("question", *CHINESE[3:])) == {}


@pytest.mark.parametrize(("characters", "is_reported"), [(19, False), (20, True)])
def test_a_run_of_20_chinese_characters_is_one_of_13_words(characters, is_reported):
    pure = "".join(words(CHINESE[0]))
    row = Passage("row", "answer", "".join(words(CHINESE[1])) + pure[5 : 5 + characters] + "".join(words(CHINESE[2])))
    overlaps = find([row], [Passage("i", "answer", pure)])
    assert overlaps.keys() == ({"i"} if is_reported else set())
    if is_reported:
        assert overlaps["i"].share == round(20 / len(pure), 4)


def test_a_chinese_sentence_copied_into_reasoning_is_found_with_both_texts():
    row = Passage("row", "reasoning", f"{CHINESE[1]}{CHINESE[4]}{CHINESE[2]}")
    (overlap,) = find([row], passages("answer", *CHINESE)[4:5]).values()
    assert (overlap.kind, overlap.part, overlap.row_part, overlap.share) == ("n-gram", "answer", "reasoning", 1.0)
    assert overlap.item_text == CHINESE[4]
    assert CHINESE[4] in overlap.row_text


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKD"])
def test_copies_are_exact_in_any_form_of_unicode_and_width(form):
    text = "Wird die Größe der Milz bei Sjögren-Syndrom überschätzt?"
    assert (
        find([Passage("row", "question", text)], [Passage("i", "question", unicodedata.normalize(form, text.upper()))])[
            "i"
        ].kind
        == "exact"
    )
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in "Is ACTH raised?")
    assert find([Passage("row", "question", wide)], [Passage("i", "question", "is acth raised")])["i"].kind == "exact"


def test_words_alike_but_for_a_comparison_sign_are_no_exact_match():
    row, item = Passage("row", "question", "Is a TSH < 5 normal?"), Passage("i", "question", "Is a TSH > 5 normal?")
    assert find([row], [item]) == {}
    both = [row, Passage("other", "question", "is a TSH>5 normal")]
    assert find(both, [item])["i"].row == "other"
    assert find(both, [Passage("i", "question", "is a TSH \uff1c 5 normal")])["i"].row == "row"


def test_long_questions_of_one_template_are_not_reported_for_their_common_words():
    template = (
        "In adults with {} and chronic kidney disease does adding metformin to standard care reduce deaths at a year?"
    )
    row, item = (Passage("x", "question", template.format(what)) for what in ("asthma", "psoriasis"))
    assert find([row], [item]) == {}
    as_context = Passage("x", "context", row.text)  # not a question of its own
    assert find([as_context], [item])["x"].kind == "n-gram"


def test_both_texts_are_cut_around_what_is_shared():
    generator = random.Random(9)
    leaked = sentence(generator, 13)
    before, after = sentence(generator, 200), sentence(generator, 40)
    row = Passage("row", "reasoning", f"{before}   {leaked}\n {after}")
    (overlap,) = find([row], [Passage("i", "answer", leaked)]).values()
    assert overlap.item_text == leaked
    assert leaked in overlap.row_text
    assert overlap.row_text.startswith("... ")
    assert overlap.row_text.endswith(" ...")
    assert len(overlap.row_text) == 240 + 8


def test_the_excerpt_of_a_row_is_cut_around_a_run_at_its_end():
    generator = random.Random(10)
    leaked = sentence(generator, 13)
    row = Passage("row", "reasoning", f"{sentence(generator, 200)} {leaked}")
    (overlap,) = find([row], [Passage("i", "answer", leaked)]).values()
    assert leaked[:60] in overlap.row_text  # words stay whole at its start, so it may end within the last one


def test_the_row_that_shares_most_is_named_with_its_part():
    question = HELD_OUT[0].question
    rows = [Passage("same text", "context", question), Passage("same question", "question", question)]
    overlap = find(rows, reasoning(HELD_OUT[:1]))[HELD_OUT[0].id]
    assert (overlap.row, overlap.row_part, overlap.rows) == ("same question", "question", 2)


def test_the_documented_speed_is_the_measured_one():
    root = Path(__file__).resolve().parents[3]
    measured = json.loads((root / "benchmarks/results/leakage_speed.json").read_text())
    result = measured["result"]
    words_of_a_row = result["words_of_rows"] / result["rows"]
    said = f"{result['rows']:,} rows of {words_of_a_row:.0f} words against {result['items']:,} items take"
    said += f" {result['processor_seconds']:.0f} s of one core and {result['peak_bytes'] / 1e9:.2f} GB"
    assert said in (root / "docs/leakage.md").read_text()
    assert (result["missed"], result["reported_decoys"], result["reported_others"]) == ([], [], [])
    assert result["processor_seconds"] < 60
    assert result["peak_bytes"] < 2e9
    assert measured["environment"]["dirty"] is False
