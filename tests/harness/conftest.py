"""What tests of the hub share: it replaced where its requests leave the process, or by two data sets of it."""

import httpx
import pytest

ARC = [
    {"question": f"Which is {n}?", "choices": {"text": ["a", "bb", "c"], "label": ["A", "B", "C"]}, "answerKey": "B"}
    for n in range(8)
]
GSM8K = [{"question": f"What is {n} and {n}?", "answer": f"{n} + {n} = {2 * n}\n#### {2 * n}"} for n in range(8)]


@pytest.fixture
def hub_settings(monkeypatch):
    """Change settings that huggingface_hub reads from the environment only when it is imported."""
    from huggingface_hub import constants

    def change(**settings):
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)

    return change


@pytest.fixture
def http_hub(monkeypatch, tmp_path, hub_settings):
    """The hub replaced by a function from a request to an answer; returns the requests that reached it."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    hub_settings(HF_HUB_OFFLINE=False, HF_HUB_CACHE=str(tmp_path / "cache"), HF_TOKEN_PATH=str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    requests = []

    def answer_with(answer):
        def handle(request):
            requests.append(request)
            return answer(request)

        set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(handle)))
        return requests

    yield answer_with
    set_client_factory(_http.default_client_factory)


@pytest.fixture
def hub(hub_data):
    """The hub, at the edge: two data sets and no other."""
    import datasets

    def load_dataset(path, name=None, **_):
        rows = {"allenai/ai2_arc": ARC, "openai/gsm8k": GSM8K, "gsm8k": GSM8K}[path]
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_list(rows) for split in ("train", "validation", "test")}
        )

    hub_data(load_dataset)
