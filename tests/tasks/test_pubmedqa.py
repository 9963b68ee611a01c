"""PubMedQA: the official formula, labels found in generated answers, prompts of the four settings, reference lines."""

import json
import math

import pytest
from sklearn.metrics import accuracy_score, f1_score

from reports.document.schema import Sample
from tasks import catalog
from tasks.answers import GeneratedText
from tasks.choice_metrics import accuracy_calibrated, ece
from tasks.data import DataSource, load_pubmedqa
from tasks.data.rows import LABELS
from tasks.data.selection import describe_selection, official_test_ids, read_ids
from tasks.data.source import OFFICIAL_TEST, SAMPLES
from tasks.pubmedqa import (
    abstract_cot_dataset,
    abstract_dataset,
    generated_results,
    likelihood_results,
    macro_f1,
    official_script_macro_f1,
    prediction,
    question_cot_dataset,
    question_dataset,
)
from tasks.references import label, references

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


DOC = {"format": "think", "gold": 0, "prompt": "Does rest help?"}


def test_a_generated_answer_counts_by_the_label_of_its_final_response():
    right = generated_results(DOC, ["<think>The answer is no.</think>Yes because they recovered."])
    assert right == {"accuracy": 1.0, "macro_f1": (0, 0), "answered": 1.0}
    wrong = generated_results(DOC, ["<think>The answer is yes.</think>No.\n\nQuestion: Is tea safe?\nAnswer: yes"])
    assert wrong == {"accuracy": 0.0, "macro_f1": (0, 1), "answered": 1.0}


def test_an_answer_that_never_came_to_its_response_is_wrong():
    none = {"accuracy": 0.0, "macro_f1": (0, 3), "answered": 0.0}
    assert generated_results(DOC, ["<think>The answer is yes."]) == none
    assert generated_results(DOC | {"prompt": "Does rest help?<think>\n"}, ["The answer is yes."]) == none


@pytest.mark.parametrize(("reason", "ended"), [("stop", 1.0), ("length", 0.0)])
def test_an_answer_that_says_why_it_ended_counts_as_ended_by_itself_or_not(reason, ended):
    answer = GeneratedText("Yes.", prompt_tokens=1, output_tokens=9, finish_reason=reason, seconds=0.1)
    assert generated_results(DOC, [answer])["ended"] == ended


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
def six_items(tmp_path):
    """A file with a column that PubMedQA does not have."""
    row = {"CONTEXTS": ["Rest was compared.", "Most slept."], "final_decision": "no", "ward": "B2"}
    path = tmp_path / "own.json"
    path.write_text(json.dumps({f"item {n}": {"QUESTION": f"Does rest {n} help?", **row} for n in range(6)}))
    return path


def test_a_document_holds_all_that_scoring_and_reports_read(six_items):
    first = abstract_dataset(pubmedqa=str(six_items))["test"][0]
    assert first == {
        "id": "item 0",
        "question": "Does rest 0 help?",
        "context": "Rest was compared.\nMost slept.",
        "prompt": "Abstract: Rest was compared.\nMost slept.\nQuestion: Does rest 0 help?\nAnswer:",
        "gold": 1,
        "label": "no",
        "fields": '{"ward": "B2"}',
        "format": "thinking-headings",
    }
    for make in (abstract_cot_dataset, question_cot_dataset):
        assert make(pubmedqa=str(six_items), format="think")["test"][0]["format"] == "think"


def test_the_seed_draws_the_items(six_items):
    source = {"source": str(six_items), "rows": 3}
    for seed in (1, 2):
        drawn = [row["id"] for row in question_dataset(pubmedqa=source, seed=seed)["test"]]
        assert drawn == [item.id for item in load_pubmedqa(DataSource(**source), seed=seed)]


@pytest.mark.parametrize(
    ("value", "label"), [((0, 1), "no"), ((0, 2), "maybe"), ((0, 3), "none"), (None, "none"), (1.0, "none")]
)
def test_the_prediction_is_the_second_label_of_the_pair(value, label):
    sample = Sample(
        id="a", doc_hash="a", model="m", task="t", prompt="", output="", gold="", metrics={"macro_f1": value}
    )
    assert prediction(sample) == label


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
