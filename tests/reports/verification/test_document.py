"""The certificate as a file: written with a checksum, and rejected once it was changed or contradicts itself."""

import json

import pytest
from pydantic import ValidationError

from reports.certificate import markdown, summary
from reports.document.verification import Cause, read_verification, write_verification
from reports.errors import UserError
from tests.reports.verification.deployments import document, equal_parts


def test_a_certificate_is_read_as_it_was_written(tmp_path):
    certificate = document(equal_parts(), [Cause(key="precision", sentence="q4_0", evidence={"share": 0.1})])
    write_verification(tmp_path / "verify.json", certificate)
    again = read_verification(tmp_path / "verify.json")
    assert again.model_copy(update={"checksum": ""}) == certificate


@pytest.mark.parametrize(
    "change", [{"items": 9}, {"schema_version": "2.0"}, {"checksum": ""}, {"x": 1}, {"confidence": None}]
)
def test_a_changed_certificate_is_rejected(tmp_path, change):
    path = tmp_path / "verify.json"
    write_verification(path, document(equal_parts()))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=r"changed|version|not a certificate"):
        read_verification(path)


@pytest.mark.parametrize("part", [{"prompts": {"items": 2, "equal": 1}}, {"metrics": [], "likelihoods": None}])
def test_an_equivalent_certificate_has_only_equivalent_parts(part):
    value = document(equal_parts()).model_dump() | part
    with pytest.raises(ValidationError, match="a part of it is not"):
        type(document(equal_parts())).model_validate(value)


def test_the_certificate_in_one_sentence_and_as_a_page():
    certificate = document(equal_parts())
    text = summary(certificate)
    assert text.startswith("Deployed as q8_0 GGUF: equivalent to the evaluated adapter on 500 items (accuracy ")
    assert text.endswith(" nats per token)")
    page = markdown(certificate)
    assert page.startswith("## medbench verify: equivalent\n\nDeployed as q8_0 GGUF")
    assert "| quiz: Accuracy |" in page
