"""Which model a server serves is known by its replies, also while it is busy."""

import pytest

from harness.engines.served.identity import ServedRecord
from reports.errors import UserError
from tasks.rendering import load_tokenizer
from tests.harness.engines.fake_server import FakeServer, Raw
from training.recipes.recipe import ServedSection


def test_a_busy_server_is_recognised_once_its_earlier_replies_are_seen_again(tiny_model, tmp_path, monkeypatch):
    """In 16 bits near ties depend on what else a server computes, here in its first prompt and then in its second."""
    notes: list[str] = []
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with FakeServer(load_tokenizer(str(tiny_model))).running() as server:

        def requests():
            return sum(path.endswith("completions") for path, _, _ in server.sent)

        def busy(*numbers):
            """Another text in the requests with these numbers, from now on."""
            first = requests()

            def change(_, reply):
                text = "a near tie" if requests() - first in numbers else reply["choices"][0]["text"]
                return {**reply, "choices": [{**reply["choices"][0], "text": text}]}

            server.change = change

        def replies():
            return ServedRecord(tmp_path / "served").recognise(server.url, "tuned", ServedSection(), notes.append)

        idle = replies()
        busy(1, 5)
        assert replies() == idle
        assert not notes
        assert waits == [0.5]
        busy(*range(1, 100))
        other = replies()
        assert other != idle
        assert waits == [0.5, 0.5, 1, 2, 4]
        assert len(notes) == 1
        assert "tuned" in notes[0]
        assert "requested again" in notes[0]
        assert replies() == other
        busy()
        assert replies() == idle
        assert len(notes) == 1
        server.instead = lambda path, _: Raw(400, b"{}") if path.endswith("completions") else None
        with pytest.raises(UserError, match="with status 400"):
            replies()
        session = ServedRecord(tmp_path / "served").session
        for damaged in ("broken", '{"session": "a", "replies": {"model": [["one"]]}}', '{"session": 3}', "[]"):
            (tmp_path / "served").write_text(damaged)
            assert len(ServedRecord(tmp_path / "served").session) == len(session)
        assert ServedRecord(tmp_path / "served").session != session
        assert replies() == ""  # by a server that never took the prompts
