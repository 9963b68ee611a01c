"""A real judge over HTTP: layers of SmolLM2 behind `transformers serve`, killed and resumed: plumbing, no verdict."""

import subprocess
import sys
import time

import httpx
import pytest
import yaml

from tests.conftest import first_layers
from tests.harness.engines.fake_server import FakeServer, Raw
from tests.harness.judging.fake_judge import judging_of
from tests.harness.judging.test_judging import RUBRIC

pytestmark = [pytest.mark.slow, pytest.mark.real_model]
for package in ("fastapi", "uvicorn", "openai"):
    pytest.importorskip(package, reason="needs transformers[serving]")
PORT = 8377
START_SECONDS = 180


@pytest.fixture
def real_server(tmp_path):
    """Address of `transformers serve`, and the name of its model."""
    model = str(first_layers(tmp_path / "judge", 6))
    words = ["serve", model, "--port", str(PORT), "--device", "cpu", "--dtype", "float32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "transformers.cli.transformers", *words], stderr=subprocess.DEVNULL
    )
    address, deadline = f"http://localhost:{PORT}", time.monotonic() + START_SECONDS
    try:
        while True:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            try:
                httpx.get(f"{address}/health", timeout=2).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield address, model
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(900)
def test_a_real_judge_is_killed_and_resumed_and_nothing_is_asked_twice(
    tiny_run_copy, real_server, command, without_plots, store, tmp_path
):
    address, model = real_server
    killed: list[subprocess.Popen] = []
    rubric = tmp_path / "own.yaml"
    short = {"instructions": 'Rate the answer with {"clarity": 1}, or a higher number up to 10.', "max_new_tokens": 12}
    rubric.write_text(yaml.safe_dump(RUBRIC | short | {"reason": False}), encoding="utf-8")

    def forward(path, request):
        """Hand a request to the real server; the fifth judgement meets nobody who waits for it."""
        if len(judged()) == 5 and killed[0].poll() is None:
            killed[0].kill()
            killed[0].wait()
            return Raw(503, b"{}")
        url = f"{address}{path}"
        response = httpx.post(url, json=request, timeout=200) if request else httpx.get(url, timeout=200)
        return Raw(response.status_code, response.content, {"content-type": "application/json"})

    def judged():
        return [sent for sent in proxy.scored() if "Rate the answer:" in str(sent.get("messages"))]

    with FakeServer(None, instead=forward).running() as proxy:
        words = ["judge", str(tiny_run_copy), "--judge", f"small={proxy.url}#{model}", "--rubric", str(rubric)]
        words += ["--set", "scoring.served.concurrency=1", "--set", "scoring.served.retries=0"]
        killed.append(subprocess.Popen([sys.executable, "-m", "medbench", *words], stdout=subprocess.DEVNULL))
        assert killed[0].wait() < 0
        assert len(judged()) == 5
        code, printed, err = command(*words)
        assert code == 0, err
        assert "8 requests to send, 4 replies are there already" in printed
        assert len(judged()) == 5 + 8
    prompts = [sent["messages"][-1]["content"] for sent in judged()]
    assert len(set(prompts)) == 12
    judging = judging_of(tiny_run_copy, "own")
    assert [(count.model, count.total, count.failed) for count in judging.replies] == [
        ("base", 6, 0),
        ("adapter", 6, 0),
    ]
    assert judging.prompt_tokens > 1000
    assert judging.judge.json_schema is False  # which this server ignores
