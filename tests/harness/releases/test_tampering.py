"""The gate judges nothing more favourably after an edit of a run, a baseline or a policy."""

import pytest

from tests.fuzzing.tampering import KINDS, POLICY, judge, prepare, tamper


@pytest.fixture(scope="module")
def tampering(tmp_path_factory, tiny_model):
    return prepare(tmp_path_factory.mktemp("tampering"), tiny_model)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_edit_makes_a_verdict_more_favourable(tampering, kind):
    for seed in range(15):
        tamper(tampering, kind, seed)
    assert tampering.deceived == []
    assert sum(count for (name, _), count in tampering.codes.items() if name == kind) == 15


@pytest.mark.slow
def test_the_candidate_fails_what_a_run_can_fail(tampering):
    code, severities = judge(tampering.root)
    assert code == 1
    failed = {name.partition(":")[0] for name, severity in severities.items() if severity}
    assert failed == {rule["rule"].replace("_", " ") for rule in POLICY["rules"]} - {"complete", "contamination"}
