"""PubMedQA: the official formula, labels found in generated answers, prompts of the four settings, reference lines."""

import json
import math

import pytest
from sklearn.metrics import accuracy_score, f1_score

from tasks import catalog
from tasks.data import DataSource, load_pubmedqa
from tasks.data.rows import LABELS
from tasks.data.selection import describe_selection, official_test_ids, read_ids
from tasks.data.source import OFFICIAL_TEST, SAMPLES
from tasks.formats import FORMATS, get_format
from tasks.pubmedqa import (
    abstract_cot_dataset,
    abstract_dataset,
    accuracy_calibrated,
    ece,
    extract_label,
    generated_results,
    likelihood_results,
    macro_f1,
    official_script_macro_f1,
    question_cot_dataset,
    question_dataset,
)
from tasks.references import label, references

HEADINGS = get_format("thinking-headings")
OFFICIAL = sorted(read_ids(OFFICIAL_TEST))


def test_macro_f1_is_the_official_scripts_on_fully_labelled_predictions():
    """That script takes scikit-learn's macro average of label texts, whatever texts there are."""
    pairs = [(0, 0), (0, 1), (1, 1), (2, 0), (2, 2), (1, 1), (0, 2)]
    gold, predicted = ([LABELS[pair[place]] for pair in pairs] for place in (0, 1))
    expected = f1_score(gold, predicted, average="macro")
    assert macro_f1(pairs) == pytest.approx(expected)
    assert official_script_macro_f1(pairs) == pytest.approx(expected)


def test_an_answer_without_a_label_is_a_miss_and_to_the_official_script_a_class():
    pairs = [(0, 0), (1, 1), (2, 2), (0, 3)]
    assert macro_f1(pairs) == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert official_script_macro_f1(pairs) == pytest.approx((2 / 3 + 1 + 1 + 0) / 4)
    nearly = [(0, 0)] * 275 + [(1, 1)] * 169 + [(2, 2)] * 55 + [(0, 3)]
    assert macro_f1(nearly) == pytest.approx(0.9994, abs=5e-5)
    assert official_script_macro_f1(nearly) == pytest.approx(0.7495, abs=5e-5)


def test_the_most_likely_label_counts_with_its_probability():
    results = likelihood_results({"gold": 2}, [(-3.0, False), (-2.0, False), (-1.0, True)])
    assert (results["accuracy"], results["macro_f1"]) == (1.0, (2, 2))
    shares = [0.0900306, 0.2447285, 0.6652410]
    assert results["ece"] == (pytest.approx(shares[2]), 1.0)
    assert results["brier"] == pytest.approx(shares[0] ** 2 + shares[1] ** 2 + (1 - shares[2]) ** 2)
    assert results["log_score"] == pytest.approx(-math.log(shares[2]))
    assert results["accuracy_calibrated"] == (2.0, -3.0, -2.0, -1.0)
    wrong = likelihood_results({"gold": 0}, [(-3.0, False), (-2.0, False), (-1.0, True)])
    assert wrong["log_score"] == pytest.approx(-math.log(shares[0]))
    assert (wrong["accuracy"], wrong["macro_f1"]) == (0.0, (0, 2))
    unlikely = likelihood_results({"gold": 0}, [(-9000.0, False), (-9001.0, False), (-9002.0, False)])
    assert unlikely["brier"] == pytest.approx((1 - shares[2]) ** 2 + shares[1] ** 2 + shares[0] ** 2)
    assert unlikely["log_score"] == pytest.approx(-math.log(shares[2]))


def test_accuracy_after_batch_calibration_is_that_of_probabilities_over_their_means():
    values = [(0.0, -1.0, -1.2), (1.0, -1.0, -1.1)]  # alone, both would get the first label
    assert accuracy_calibrated(values) == 1.0
    assert accuracy_calibrated([(1.0, *values[0][1:]), values[1]]) == 0.5


def test_ece_of_sure_and_wrong_answers_is_their_confidence():
    assert ece([(0.9, 0.0), (0.9, 0.0)]) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("response", "wanted"),
    [
        ("Yes.", "yes"),
        ("**No**, it does not.", "no"),
        ("maybe", "maybe"),
        ("No it did not help.", "no"),
        ("The answer is: no.", "no"),
        ("The evidence is mixed. Final answer: **maybe**", "maybe"),
        ("At first the answer is yes. On reflection the answer is no", "no"),
        ("The trial found a benefit, so yes.", "yes"),
        ("Conclusion: Yes, it does.", "yes"),
        ("No evidence of harm was seen.", None),
        ("There is no benefit", None),
        ("yes, no or maybe", None),
        ("yes/no/maybe", None),
        ("Answer: yes, no or maybe?", None),
        ("Some say yes, others say no.", None),
        ("Maybe.\n\nIn short: yes.", "maybe"),
        ("", None),
        ("The drug works.", None),
        ("Yes. The trial supports this conclusion. No adverse events were seen.", "yes"),
        ("Yes. In conclusion, no adverse events were seen and the drug works.", "yes"),
        ("Yes, the drug works. Conclusion: No serious harm was found.", "yes"),
        ("Maybe. The abstract does not settle the answer. No long-term data were given.", "maybe"),
        ("The answer is not yes.", None),
        ("Answer: No. It would be wrong to answer yes.", "no"),
        ("Final answer:\n\nYes", "yes"),
        (r"The final answer is $\boxed{yes}$.", "yes"),
        (r"\boxed{\text{No}}", "no"),
        ("<answer>maybe</answer>", "maybe"),
        ("<think>Is the answer no? Wait.</think>\n\nYes.", "yes"),
        ("<think>The answer is no.", None),
    ],
)
def test_labels_are_found_in_final_responses_or_not_at_all(response, wanted):
    assert extract_label(HEADINGS.completion("It could be yes, or no.", response), HEADINGS) == wanted
    assert extract_label(response, HEADINGS) == wanted


def test_an_answer_that_never_came_to_its_response_has_no_label():
    assert extract_label("## Thinking\n\nThe answer is yes.", HEADINGS) is None
    found = generated_results({"format": "think", "gold": 0}, ["<think>The answer is yes."])
    assert found == {"accuracy": 0.0, "macro_f1": (0, 3), "answered": 0.0}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_its_label(name):
    shape = get_format(name)
    assert extract_label(shape.completion("The answer is no.", "Yes, it does."), shape) == "yes"


def test_the_four_settings_ask_what_their_names_say(tiny_model):
    item = load_pubmedqa(DataSource(source="samples:pubmedqa"), seed=0)[0]
    settings = {"format": "think", "tokenizer": str(tiny_model)}
    prompts = {
        make: make(seed=0, **settings)["test"][0]["prompt"]
        for make in (abstract_dataset, question_dataset, abstract_cot_dataset, question_cot_dataset)
    }
    assert all(item.question in prompt for prompt in prompts.values())
    with_abstract = [item.contexts[0] in prompt for prompt in prompts.values()]
    assert with_abstract == [True, False, True, False]
    assert prompts[question_dataset] == f"Question: {item.question}\nAnswer:"
    assert "yes, no or maybe" in prompts[question_cot_dataset]
    assert "<think>" in prompts[question_cot_dataset]


@pytest.fixture
def whole_file(tmp_path):
    """A file that holds all official test ids and two more, with the official shares of labels."""
    item = next(iter(json.loads(SAMPLES["samples:pubmedqa"].read_text(encoding="utf-8")).values()))
    answers = ["yes"] * 276 + ["no"] * 169 + ["maybe"] * 55
    rows = {key: item | {"QUESTION": f"Is {key}?", "final_decision": answers[n]} for n, key in enumerate(OFFICIAL)}
    path = tmp_path / "pqal.json"
    path.write_text(json.dumps({"other 1": item, **rows, "other 2": item}))
    return DataSource(source=str(path))


def test_the_official_test_ids_are_taken_where_a_file_holds_them_all(whole_file):
    source = official_test_ids(whole_file)
    assert describe_selection(source) == "official test ids"
    assert len(load_pubmedqa(source, seed=0)) == 500
    assert official_test_ids(whole_file.model_copy(update={"ids": ["other 1"]})).ids == ["other 1"]


def test_tables_name_the_items_and_hold_scores_against_the_majority_and_a_human(whole_file):
    documents = list(abstract_dataset(pubmedqa=whole_file.source)["test"])
    assert label(catalog.PUBMEDQA, documents, whole_file) == "PubMedQA, official 500 test ids"
    assert label(catalog.PUBMEDQA_COT, documents[:50], whole_file).endswith(
        "generated, 50 of the official 500 test ids"
    )
    majority, human = references(catalog.PUBMEDQA, documents)
    gold = [row["label"] for row in documents]
    assert majority.title == "always yes"
    assert majority.values["accuracy"] == accuracy_score(gold, ["yes"] * 500) == 0.552
    assert majority.values["macro_f1"] == pytest.approx(f1_score(gold, ["yes"] * 500, average="macro", zero_division=0))
    assert human.values["accuracy"] == 0.78
    assert len(references(catalog.PUBMEDQA, documents[:50])) == 1
    assert len(references(catalog.PUBMEDQA_QUESTION, documents)) == 1
    assert references(catalog.GENERATION, documents) == []
