"""What a certain cause makes of the comparison on the run's items."""

import pytest

from harness.releases.causes import Inspection
from reports.document.verification import PromptsPart, VerificationParts
from training.exporting.causes import Cause


def parts(outcome):
    values = {"items": 30, "confidence": 0.9, "prompts": PromptsPart(), "reasons": ["as compared."]}
    document = VerificationParts(**values, outcome="inconclusive", items_needed=90)
    return document.model_copy(update={"outcome": outcome})


@pytest.mark.parametrize(
    ("key", "outcome", "expected"),
    [
        ("sampling", "equivalent", "different"),
        ("end_token", "equivalent", "different"),
        ("template", "inconclusive", "different"),
        ("missing_adapter", "inconclusive", "different"),
        ("wrong_adapter", "equivalent", "equivalent"),
        ("precision", "inconclusive", "inconclusive"),
        ("precision", "equivalent", "equivalent"),
        ("precision", "different", "different"),
    ],
)
def test_prompts_and_stopping_always_decide_and_another_model_where_items_are_too_few(key, outcome, expected):
    judged, causes = Inspection("server", [Cause(key, "the reason", {"items": 3})]).explain(parts(outcome), None)
    assert judged.outcome == expected
    is_overruled = outcome != expected
    assert judged.reasons == (["The reason."] if is_overruled else ["as compared."])
    assert judged.items_needed == (None if is_overruled else 90)
    assert [cause.key for cause in causes] == ([] if expected == "equivalent" else [key])


def test_a_difference_without_a_cause_says_that_it_is_not_identified():
    _, causes = Inspection("server").explain(parts("different"), None)
    assert [cause.key for cause in causes] == ["unidentified"]


def test_causes_are_in_their_order_from_prompt_to_answer():
    findings = [Cause(key, key, {}) for key in ("sampling", "precision", "missing_adapter", "template")]
    _, causes = Inspection("server", findings).explain(parts("different"), None)
    assert [cause.key for cause in causes] == ["template", "missing_adapter", "precision", "sampling"]
