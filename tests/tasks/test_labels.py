"""Labels of generated answers: phrasings with their right label, the symmetry of yes and no, and scores of labels."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from tasks.formats import FORMATS, get_format
from tasks.labels import accuracy, extract_label, label_of, macro_f1

# (response, label) as base, chat and reasoning models write them.
PHRASINGS = [
    # The label first.
    ("No.", "no"),
    ("yes", "yes"),
    ("Maybe.", "maybe"),
    ("NO", "no"),
    ("Yes!", "yes"),
    ("\n\n no\n", "no"),
    ("No, the two arms did not differ in survival.", "no"),
    ("No because survival was equal in both arms.", "no"),
    ("Yes because survival was longer in one arm.", "yes"),
    ("No based on the abstract, since both arms fared alike.", "no"),
    ("No it does not shorten the stay.", "no"),
    ("Yes in adults over sixty.", "yes"),
    ("No for most patients.", "no"),
    ("Maybe, as the trial was small and the answer is yes only for men.", "maybe"),
    ("No\n\nExplanation: the answer is yes in rats alone.", "no"),
    ("Yes. In conclusion, no serious harm was seen.", "yes"),
    ("Yes, no serious harm was seen.", "yes"),
    ("Yes (no effect on blood pressure).", "yes"),
    ("Yes \u2014 the effect lasted a year.", "yes"),
    ("Probably yes.", "yes"),
    ("Therefore, no.", "no"),
    ("Yes, yes, it does.", "yes"),
    ("no no no no", "no"),
    # Markdown, lists, tags, JSON, LaTeX.
    ("**No**", "no"),
    ("**Answer:** Yes", "yes"),
    ("## Answer\nmaybe", "maybe"),
    ("> *no*", "no"),
    ("- yes", "yes"),
    ("(no)", "no"),
    ("\u201cYes\u201d", "yes"),
    ("B) no", "no"),
    ("Option A: yes", "yes"),
    ("<answer>no</answer>", "no"),
    ('{"reason": "two small trials", "final_decision": "maybe"}', "maybe"),
    ('{"answer": "no", "because": "the answer is yes in rats only"}', "no"),
    ("Answer: <no>", "no"),
    ("Final decision: no. The answer is yes in rats only.", "no"),
    (r"$\boxed{\text{no}}$", "no"),
    (r"The arms differed, so \(\boxed{\mathrm{Yes}}\).", "yes"),
    # The label stated later.
    ("The trial was small. Final answer: no", "no"),
    ("The answer is no because the interval covers zero.", "no"),
    ("The answer is: (A) yes", "yes"),
    ("Based on the abstract, the answer is most likely no.", "no"),
    ("The evidence points one way, so the answer's yes.", "yes"),
    ("I would say no.", "no"),
    ("At first the answer is yes. After adjustment, the answer is no.", "no"),
    ('The answer to "does rest help?" is maybe.', "maybe"),
    ("No difference was seen, so the answer is no.", "no"),
    ("Mortality fell in three of four trials. Overall, yes.", "yes"),
    ("Answer with yes, no or maybe: no", "no"),
    ("Yes or no? No.", "no"),
    ("The answer is not no, but yes.", "yes"),
    # No label.
    ("", None),
    ("No adverse events were reported.", None),
    ("No significant difference was found between groups.", None),
    ("There is no evidence for it.", None),
    ("The answer cannot be yes.", None),
    ("It is not yes.", None),
    ("The answer is neither yes nor no.", None),
    ("Yes and no.", None),
    ("Yes, no, maybe.", None),
    ("Yes, but no.", None),
    ("It is not yes and no.", None),
    ("yes/no/maybe", None),
    ("yes no yes no", None),
    ("Maybe yes.", None),
    ("There is not enough data to say yes.", None),
    ("It would be wrong to answer yes.", None),
    ("It is unclear whether the answer is yes.", None),
    ("I don't think the answer is yes.", None),
    ("Is it yes?", None),
    ("Some trials say yes, others say no.", None),
    ("I am sorry, but I cannot give medical advice.", None),
    ("The drug lowered blood pressure in most", None),
    ("No-show rates fell.", None),
    ("No in vitro data exist.", None),
    ("It is uncertain; possibly.", None),
    ("Oui, c'est efficace.", None),
    ("\u662f", None),
]


def swapped(text):
    """The text with every yes as no and every no as yes, in the same case."""
    words = {"yes": "no", "no": "yes", "Yes": "No", "No": "Yes", "YES": "NO", "NO": "YES"}
    return re.sub(r"\b(?:yes|no)\b", lambda match: words.get(match[0], match[0]), text, flags=re.IGNORECASE)


def test_there_are_phrasings_enough():
    assert len({text for text, _ in PHRASINGS}) == len(PHRASINGS) >= 60


@pytest.mark.parametrize(("response", "label"), PHRASINGS)
@pytest.mark.parametrize("name", FORMATS)
def test_phrasings_have_their_label_in_every_format_and_without_one(name, response, label):
    assert label_of(response) == label
    assert extract_label(response, name) == label
    assert extract_label(get_format(name).completion("It could be yes, or no.", response), name) == label


@pytest.mark.parametrize("text", [text for text, _ in PHRASINGS])
def test_swapping_yes_and_no_in_a_phrasing_swaps_its_label(text):
    assert swapped(swapped(text)) == text
    label = label_of(text)
    assert label_of(swapped(text)) == {"yes": "no", "no": "yes"}.get(label, label)


PIECES = ["yes", "no", "Yes", "No", "NO", "maybe", "the answer is", "Answer:", "I would say", "not", "cannot be", "and"]
PIECES += ["or", "but", "because", "in", "vitro", "adverse events", "whether", "neither", "nor", "Therefore", "likely"]
PIECES += [",", ".", ":", "?", "/", "\n", "(", ")", "**", "-", '"', "\\boxed{", "}", "<answer>", "A)", "the", "is"]


@given(st.lists(st.sampled_from(PIECES), max_size=9), st.sampled_from([" ", ""]))
@example(["the answer is", "no", "."], " ")
def test_swapping_yes_and_no_in_any_text_swaps_its_label(pieces, joint):
    text = joint.join(pieces)
    label = label_of(text)
    assert label_of(swapped(text)) == {"yes": "no", "no": "yes"}.get(label, label)


@pytest.mark.parametrize("adverb", ["therefore", "clearly", "probably", "likely", "most likely", "very likely", "a"])
@pytest.mark.parametrize("verb", ["is", "was", "would be", "should be", "must be", "seems to be", "appears to be"])
def test_an_answer_may_be_stated_in_many_ways(verb, adverb):
    assert label_of(f"Some say yes, others say no. My answer {verb} {adverb} no since both arms fared alike.") == "no"


@pytest.mark.parametrize("noun", ["answer", "conclusion", "decision", "verdict", "response", "label", "prediction"])
@pytest.mark.parametrize("joint", [":", " is", " =", " \u2013", "\uff1a", "\n\n", ": **", " \u2192"])
def test_an_answer_may_be_named_in_many_ways(noun, joint):
    assert label_of(f"Some say yes, others say maybe. Final {noun}{joint} no") == "no"


@pytest.mark.parametrize(
    "denial", ["is not", "isn't", "is not simply", "can never be", "is something other than", "cannot be"]
)
def test_a_denied_label_is_none(denial):
    assert label_of(f"The result {denial} yes.") is None
    assert label_of(f"The result {denial} yes. It depends, so: maybe.") == "maybe"


@pytest.mark.parametrize(
    "doubt", ["whether", "if", "whether or not", "unless", "I am not sure that", "That does not mean"]
)
def test_a_supposed_answer_is_none(doubt):
    assert label_of(f"We asked {doubt} the answer is yes.") is None
    assert label_of(f"We asked {doubt} the answer is yes. The answer is maybe.") == "maybe"


def test_reasoning_that_never_ends_has_no_label():
    assert extract_label("## Thinking\n\nThe answer is yes.", "thinking-headings") is None
    assert extract_label("<think>The answer is yes.", "alpaca") is None


def test_labels_equal_the_official_script_on_fully_labelled_predictions():
    """That script takes scikit-learn's accuracy and macro average of label texts."""
    gold = ["yes", "yes", "no", "maybe", "maybe", "no", "yes"]
    predicted = ["yes", "no", "no", "yes", "maybe", "no", "maybe"]
    assert macro_f1(gold, predicted) == pytest.approx(f1_score(gold, predicted, average="macro"), rel=1e-12)
    assert accuracy(gold, predicted) == accuracy_score(gold, predicted)


def test_an_unparsed_answer_is_one_miss_and_no_class():
    gold = ["yes"] * 276 + ["no"] * 169 + ["maybe"] * 55
    assert macro_f1(gold, gold) == 1.0
    assert macro_f1(gold, ["none", *gold[1:]]) == pytest.approx((2 * 275 / 551 + 2) / 3, rel=1e-12)
    assert round(macro_f1(gold, ["none", *gold[1:]]), 4) == 0.9994
    assert macro_f1(gold, ["perhaps", *gold[1:]]) == macro_f1(gold, ["none", *gold[1:]])
    assert macro_f1(gold, ["yes"] * 500) == pytest.approx(2 * 276 / 776 / 3)
    assert accuracy(gold, ["none", *gold[1:]]) == 0.998


def test_the_classes_of_macro_f1_are_those_of_gold():
    assert macro_f1(["yes", "no"], ["yes", "maybe"]) == 0.5
    assert macro_f1(["yes", "no"], ["yes", "maybe"], labels=["yes", "maybe"]) == 1.0
    for gold, labels in (([], None), (["yes"], ["no"])):
        with pytest.raises(ValueError, match="at least one gold label"):
            macro_f1(gold, gold, labels)
    with pytest.raises(ValueError, match="at least one item"):
        accuracy([], [])
    for score in (accuracy, macro_f1):
        with pytest.raises(ValueError, match="argument 2 is shorter"):
            score(["yes", "no"], ["yes"])


@given(st.lists(st.tuples(*[st.sampled_from(["yes", "no", "maybe"])] * 2), min_size=1, max_size=40), st.data())
def test_one_other_answer_moves_a_score_by_little(pairs, data):
    gold, predicted = ([pair[place] for pair in pairs] for place in (0, 1))
    place = data.draw(st.integers(0, len(gold) - 1))
    changed = [*predicted[:place], data.draw(st.sampled_from(["yes", "no", "maybe", "none"])), *predicted[place + 1 :]]
    smallest = min(gold.count(label) for label in set(gold))
    assert abs(accuracy(gold, predicted) - accuracy(gold, changed)) <= 1 / len(gold) + 1e-12
    assert abs(macro_f1(gold, predicted) - macro_f1(gold, changed)) <= 2 / (len(set(gold)) * smallest) + 1e-12
