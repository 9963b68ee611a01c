"""The engine for servers on a stand-in for one: right answers where it works, else one message or a note."""

import contextlib
import json
import threading
import time

import httpx
import pytest

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import GenerateRequest, ModelRequest, PerplexityRequest, ScoreRequest
from harness.engines.served.client import ServedClient, server_facts
from harness.engines.served.served_engine import ServedEngine
from reports.errors import MachineError, UserError
from tasks.rendering import load_tokenizer
from tests.harness.engines.fake_server import END, EVERYTHING, FakeServer, Raw, hashed, logprob, next_token
from training.recipes.recipe import ServedSection

KEY = "planted-key-that-nobody-may-see"
CONTEXT = (4, 5, 6, 7, 11, 12, 4, 7, 5, 6, 12, 11)  # signs that no tokenizer joins: #$%&*+
LABELS = [ModelRequest("one", ScoreRequest(CONTEXT, (token,))) for token in (30, 31, 32)]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(str(tiny_model))


@pytest.fixture
def served(tokenizer):
    """Start a server with these properties, and an engine on some of its models."""
    with contextlib.ExitStack() as stack:

        def start(names=None, requests=(), settings=None, *, strict=True, **properties):
            server = stack.enter_context(FakeServer(tokenizer, **properties).running())
            names = names or {"one": "tuned"}
            section = ServedSection(**{"retries": 1, "timeout": 5, **(settings or {})})
            engine = ServedEngine(
                {name: (server.url, model) for name, model in names.items()},
                tokenizer,
                ends=dict.fromkeys(names, AnswerEnd(tokenizer, [END])),
                settings=section,
                requests=requests,
                strict=strict,
            )
            stack.callback(engine.close)
            return server, engine

        yield start


def ask(engine, requests):
    responses = dict(engine.respond(requests))
    return [responses[index] for index in range(len(requests))]


def wanted(model, context, continuation):
    row = (*context, *continuation)
    return [logprob(model, row[:place], row[place]) for place in range(len(context), len(row))]


def is_greedy(model, context, continuation):
    row = (*context, *continuation)
    return all(row[place] == next_token(model, row[:place]) for place in range(len(context), len(row)))


def greedy(model, prompt, limit):
    tokens: list[int] = []
    while len(tokens) < limit and END not in tokens:
        tokens.append(next_token(model, (*prompt, *tokens)))
    return tuple(tokens)


def mixed():
    argmax = next_token("tuned", CONTEXT)
    return [
        *LABELS,
        ModelRequest("one", ScoreRequest(CONTEXT, (argmax,))),
        ModelRequest("one", ScoreRequest(CONTEXT, (33, 6, 35))),
        ModelRequest("one", PerplexityRequest(CONTEXT * 3, 0)),
        ModelRequest("one", GenerateRequest(CONTEXT, 30)),
    ]


FORMS = {
    "vLLM": (EVERYTHING, "token ids", "prompt_logprobs"),
    "echo of token ids": (EVERYTHING - {"prompt_logprobs", "logprob_token_ids"}, "token ids", "echo"),
    "echo of texts": (frozenset({"text", "echo", "logprobs"}), "text", "echo"),
    "texts with their log-probabilities": (frozenset({"text", "extras", "prompt_logprobs"}), "text", "prompt_logprobs"),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_kind_of_server_gives_the_models_own_log_probabilities_and_answers(served, form):
    can, prompts, ways = FORMS[form]
    _, engine = served(can=can, requests=mixed())
    assert (engine.setup["prompts"], engine.setup["log_likelihoods"]) == (prompts, ways)
    assert engine.setup["max_model_len"] == 256
    assert "note" not in engine.setup
    answers = ask(engine, mixed())
    for (_, request), response in zip(mixed()[:-1], answers[:-1], strict=True):
        if isinstance(request, ScoreRequest):
            row = request.context, request.continuation
        else:
            row = (request.start,), request.tokens
        assert list(response.logprobs) == pytest.approx(wanted("tuned", *row), abs=1e-6)
        assert response.greedy == is_greedy("tuned", *row)
    tokens = greedy("tuned", CONTEXT, 30)
    assert answers[-1].text == engine_text(engine, tokens)
    assert answers[-1].finish_reason == ("stop" if tokens[-1] == END else "length")
    if "extras" in can:
        assert answers[-1].tokens == tokens


def engine_text(engine, tokens):
    model = engine.models["one"]
    return model.tokenizer.decode([token for token in tokens if token != END])


def test_choices_of_one_token_share_a_request(served):
    server, engine = served()
    before = len(server.scored())
    ask(engine, LABELS)
    assert [request["logprob_token_ids"] for request in server.scored()[before:]] == [[30, 31, 32]]


def test_single_tokens_are_scored_where_only_the_most_likely_are_listed(served):
    _, engine = served(can=frozenset({"token ids", "logprobs"}))
    assert [response.logprob for response in ask(engine, LABELS)] == pytest.approx(
        [wanted("tuned", CONTEXT, (token,))[0] for token in (30, 31, 32)], abs=1e-6
    )
    with pytest.raises(UserError, match=r"is not among the [0-9]+ tokens whose log-probabilities it gives"):
        ask(engine, [ModelRequest("one", ScoreRequest(CONTEXT, (20,)))])
    with pytest.raises(UserError, match="cannot score a choice of 2 tokens: its server gives log-probabilities of one"):
        ask(engine, [ModelRequest("one", ScoreRequest(CONTEXT, (30, 31)))])


def test_stop_strings_end_answers(served):
    tokens = greedy("tuned", CONTEXT, 8)
    for can in (EVERYTHING, frozenset({"text"})):
        _, engine = served(can=can)
        words = engine_text(engine, tokens)
        stop = words[len(words) // 2 :][:2]
        (response,) = ask(engine, [ModelRequest("one", GenerateRequest(CONTEXT, 30, (stop,)))])
        assert response.text == words.split(stop)[0]
        assert response.finish_reason == "stop"


def test_requests_ask_for_greedy_answers_without_the_models_own_settings(served):
    server, engine = served()
    ask(engine, [ModelRequest("one", GenerateRequest(CONTEXT, 7, ("\n",), seed=3))])
    request = server.scored()[-1]
    assert request["prompt"] == list(CONTEXT)
    wanted_settings = {"temperature": 0, "max_tokens": 7, "stop": ["\n"], "seed": 3, "repetition_penalty": 1.0}
    wanted_settings |= {"stop_token_ids": [END], "skip_special_tokens": False, "add_special_tokens": False}
    assert wanted_settings.items() <= request.items()


def test_chat_gets_the_messages_that_our_template_made_the_prompt_of(served, tokenizer):
    turns = [("user", "Is it?"), ("assistant", "No."), ("user", "And now?\nTruly?")]
    messages = [{"role": role, "content": content} for role, content in turns]
    prompt = tuple(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
    server, engine = served(can=frozenset({"chat"}))
    assert engine.setup["prompts"] == "chat"
    assert "note" not in engine.setup
    (response,) = ask(engine, [ModelRequest("one", GenerateRequest(prompt, 12))])
    assert server.scored()[-1]["messages"] == messages
    assert response.text == engine_text(engine, greedy("tuned", prompt, 12))


@pytest.mark.parametrize(
    ("can", "why"),
    [
        (frozenset({"chat"}), "it only takes chat messages"),
        (frozenset({"token ids"}), "the server's reply holds no log-probabilities of the prompt"),
    ],
)
def test_a_server_without_log_probabilities_names_the_tasks_in_words(served, can, why):
    with pytest.raises(UserError) as caught:
        served(can=can, requests=LABELS)
    assert f"log-likelihoods of one cannot be scored: {why}" in caught.value.what
    assert "--tasks medbench_pubmedqa_cot,medbench_pubmedqa_question_cot,medbench_generation" in caught.value.fix
    _, engine = served(can=can)
    assert "log_likelihoods" not in engine.capabilities
    with pytest.raises(UserError, match="log-likelihoods of one cannot be scored"):
        ask(engine, LABELS)
    assert ask(engine, mixed()[-1:])[0].finish_reason == "stop"


def first_score(change):
    """Change the log-probabilities in replies."""

    def changed(request, reply):
        choice = reply["choices"][0]
        if "prompt_logprobs" in choice:
            choice["prompt_logprobs"] = change(choice["prompt_logprobs"])
        return reply

    return changed


BROKEN = {
    "fewer": (lambda entries: entries[:-1], "tokens for a prompt of"),
    "null": (lambda entries: [None] * len(entries), "gives log-probabilities of other tokens than those of the prompt"),
    "above": (lambda entries: [entry and {key: {"logprob": 3} for key in entry} for entry in entries], "is above 0"),
    "texts": (lambda entries: [entry and {key: {"logprob": "x"} for key in entry} for entry in entries], "lacks a log"),
    "NaN": (
        lambda entries: [entry and {key: {"logprob": float("nan")} for key in entry} for entry in entries],
        "its log-probabilities are no finite numbers",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_log_probabilities_are_named_at_the_start(served, kind):
    change, message = BROKEN[kind]
    with pytest.raises(UserError) as caught:
        served(can=frozenset({"token ids", "prompt_logprobs"}), change=first_score(change), requests=LABELS)
    assert "log-likelihoods of one cannot be scored" in caught.value.what
    assert message in caught.value.what


def test_log_probabilities_that_break_later_are_an_error_and_nan_is_the_models(served):
    broken = {"by": lambda entries: entries}
    change = first_score(lambda entries: broken["by"](entries))  # noqa: PLW0108 - it changes
    _, engine = served(can=frozenset({"token ids", "prompt_logprobs"}), change=change)
    broken["by"] = BROKEN["NaN"][0]
    assert not ask(engine, LABELS)[0].is_finite
    broken["by"] = BROKEN["fewer"][0]
    with pytest.raises(UserError, match="gives log-probabilities of 12 tokens for a prompt of 13"):
        ask(engine, LABELS)


@pytest.mark.slow
def test_a_hanging_server_is_given_up_after_two_time_limits(served):
    hangs = {"on": False}

    def instead(path, request):
        if hangs["on"]:
            time.sleep(1.5)

    _, engine = served(instead=instead, settings={"timeout": 1, "retries": 5})
    hangs["on"] = True
    started = time.monotonic()
    with pytest.raises(MachineError, match="did not answer within 1 s, also after 1 retry") as caught:
        ask(engine, LABELS[:1])
    assert "scoring.served.timeout" in caught.value.fix
    assert time.monotonic() - started < 6


def failing(status, times, headers=(), data=b'{"error": {"message": "busy"}}'):
    """Fail the next requests for completions, once it is switched on."""
    state = {"left": 0}

    def instead(path, request):
        if path.endswith("completions") and state["left"]:
            state["left"] -= 1
            return Raw(status, data, dict(headers))
        return None

    return instead, lambda: state.update(left=times)


def test_a_busy_server_is_asked_again_when_it_says(served):
    instead, fail = failing(429, 1, {"retry-after": "1"})
    server, engine = served(instead=instead)
    fail()
    before, started = len(server.scored()), time.monotonic()
    assert ask(engine, LABELS)[0].logprob == pytest.approx(wanted("tuned", CONTEXT, (30,))[0], abs=1e-6)
    assert len(server.scored()) - before == 2
    assert 1 <= time.monotonic() - started < 3


def test_a_server_that_stays_busy_is_given_time(served):
    instead, fail = failing(429, 9)
    _, engine = served(instead=instead)
    fail()
    with pytest.raises(MachineError, match=r"fix: wait, lower scoring.served.concurrency or raise scoring.served.retr"):
        ask(engine, LABELS)


def test_a_server_that_asks_for_a_very_long_wait_is_an_error_at_once(served):
    instead, fail = failing(429, 9, {"retry-after": "4000"})
    _, engine = served(instead=instead)
    fail()
    with pytest.raises(MachineError, match="completions with status 429: busy"):
        ask(engine, LABELS)


@pytest.mark.parametrize(
    "raw", [(500, b"oops"), (200, b'{"choices": [{"text": "cut o'), (200, b"[" * 100_000)], ids=["500", "cut", "deep"]
)
def test_a_failure_is_retried_and_named_if_it_stays(served, raw):
    status, data = raw
    for times in (1, 9):
        instead, fail = failing(status, times, data=data)
        server, engine = served(instead=instead)
        fail()
        before = len(server.scored())
        if times == 1:
            assert ask(engine, LABELS)[1].logprob == pytest.approx(wanted("tuned", CONTEXT, (31,))[0], abs=1e-6)
        else:
            message = "status 500: oops" if status == 500 else "is no JSON, or is cut off"
            with pytest.raises(MachineError, match=f"{message}, also after 1 retry"):
                ask(engine, LABELS)
        assert len(server.scored()) - before == 2


def test_what_a_server_answered_before_it_fails_is_not_lost(served):
    """All answers are yielded before the error, as is what is under way when it occurs."""
    server, engine = served(settings={"retries": 0, "concurrency": 4})
    requests = [ModelRequest("one", GenerateRequest((*CONTEXT, number), 3)) for number in range(40, 60)]
    lock, count = threading.Lock(), iter(range(100))

    def fail_at_tenth(path, request):
        with lock:
            number = next(count)
        return Raw(500, b"broken") if number == 9 else time.sleep(0.05)

    server.instead = fail_at_tenth
    before, answered = len(server.scored()), []
    with pytest.raises(MachineError, match="broken"):
        answered.extend(engine.respond(requests))
    sent = len(server.scored()) - before
    assert len(answered) == sent - 1
    assert 10 <= sent <= 13
    assert all(response.tokens == greedy("tuned", requests[index].request.prompt, 3) for index, response in answered)


def test_a_huge_reply_is_not_read(served):
    server, engine = served(settings={"retries": 0})
    server.instead = lambda path, request: Raw(200, b" " * (40 << 20))
    with pytest.raises(UserError, match="larger than 32 MB"):
        ask(engine, LABELS)


def test_a_reply_without_end_is_given_up():
    def drops():
        while True:
            time.sleep(0.05)
            yield b" "

    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=drops()))
    client = ServedClient("http://localhost:1/v1", ServedSection(timeout=0.5, retries=3), answer)
    with pytest.raises(MachineError, match=r"did not finish its reply within 0.5 s, also after 1 retry"):
        client.post("completions", {})


def test_no_server_and_an_unknown_model_are_named(served, tokenizer):
    settings = ServedSection(retries=1, timeout=5)
    with pytest.raises(MachineError, match=r"no server answers: .*refused, also after 1 retry"):
        server_facts("http://127.0.0.1:9/v1", "base", settings)
    with pytest.raises(UserError, match="the server has no model 'tune'; it lists: base, tuned") as caught:
        served(names={"one": "tune"})
    assert caught.value.fix == "did you mean tuned?"


def test_another_model_in_the_reply_is_an_error_and_another_name_a_note(served):
    with pytest.raises(UserError, match="answered 'tuned' with another of its models: 'base'"):
        served(change=lambda request, reply: {**reply, "model": "base"})
    _, engine = served(change=lambda request, reply: {**reply, "model": "tuned-2026"})
    assert engine.setup["note"] == "one: its replies name another model: 'tuned-2026'"


def test_a_server_without_a_list_of_models_is_asked_for_the_model(served):
    """As `transformers serve` on a local folder: an empty list or a failure, texts only, no further settings."""
    for listed in (Raw(500, b"Internal Server Error"), Raw(200, b'{"data": []}'), Raw(404, b"")):
        _, engine = served(
            instead=lambda path, _, listed=listed: listed if path == "/v1/models" else None,
            can=frozenset({"text"}),
            settings={"retries": 0},
        )
        assert engine.facts["one"] == {"id": "tuned", "listed": "no", "version": "1.2.3"}
        assert "one: its server does not list its models, so it may answer with any" in engine.setup["note"]
        (response,) = ask(engine, [ModelRequest("one", GenerateRequest(CONTEXT, 5))])
        assert response.text == engine_text(engine, greedy("tuned", CONTEXT, 5))
    with pytest.raises(UserError, match="The model `other` does not exist"):
        served(names={"one": "other"}, instead=lambda path, _: Raw(404, b"") if path == "/v1/models" else None)


def test_prompts_that_are_not_read_as_sent_are_errors_or_notes(served):
    longest = [ModelRequest("one", GenerateRequest(tuple(range(30, 130)), 4))]
    faults = {
        "adds a token, probably a second beginning-of-text token": {"adds": (0,)},
        "applies a template of its own": {"adds": (0, 50, 51)},
        "cuts prompts": {"context": 60},
    }
    for message, fault in faults.items():
        with pytest.raises(UserError, match=message):
            served(requests=longest, **fault)
        _, engine = served(strict=False, **fault)
        assert ("one: it read" in str(engine.setup.get("note"))) == ("adds" in fault)
        assert ask(engine, longest)[0].text
        assert len(ask(engine, LABELS)[0].logprobs) == 1


def test_a_server_that_begins_texts_itself_gets_them_without_their_first_token(served, tokenizer):
    server, engine = served(can=frozenset({"text", "echo", "logprobs"}), adds=(0,))
    requests = [ModelRequest("one", ScoreRequest((0, *CONTEXT), (30, 31)))]
    assert list(ask(engine, requests)[0].logprobs) == pytest.approx(wanted("tuned", (0, *CONTEXT), (30, 31)), abs=1e-6)
    assert server.scored()[-1]["prompt"] == tokenizer.decode([*CONTEXT, 30, 31])


@pytest.mark.slow
def test_an_ignored_adapter_is_noted_beside_its_base_and_alone(served):
    for names in ({"base": "base", "one": "tuned"}, {"one": "tuned"}):
        for can in (EVERYTHING, frozenset({"chat"})):
            _, engine = served(names=names, ignores_names=True, can=can)
            note = "one: answers exactly like base: the server ignores the name 'tuned', or the adapter changes nothing"
            assert note in engine.setup["note"]
            _, engine = served(names=names, can=can)
            assert "answers exactly like" not in str(engine.setup.get("note"))


def test_an_ignored_temperature_is_noted(served):
    counter = iter(range(10_000))

    def warm(request, reply):
        if request.get("max_tokens", 0) > 1:
            reply["choices"][0]["token_ids"][0] = 40 + hashed(next(counter)) % 50
        return reply

    _, engine = served(change=warm)
    assert engine.setup["note"].startswith("one: it answers the same prompt differently at temperature 0")


def test_requests_longer_than_the_servers_context_are_counted_and_fitted(served):
    prompt = tuple(40 + number % 60 for number in range(300))
    requests = [ModelRequest("one", GenerateRequest(prompt, 20)), *LABELS]
    server, engine = served(requests=requests)
    assert "one: 1 of 4 requests are longer than the server's context of 256 tokens" in engine.setup["note"]
    (response,) = ask(engine, requests[:1])
    assert server.scored()[-1]["prompt"] == list(prompt[-236:])
    assert response.tokens == greedy("tuned", prompt[-236:], 20)
    _, engine = served(requests=None)
    ask(engine, requests)
    assert "one: 1 of 4 requests are longer than" in engine.setup["note"]
    _, engine = served(requests=requests, settings={"context": 64})
    assert engine.setup["max_model_len"] == 64


def test_facts_are_what_the_server_reports_and_nothing_that_changes(served):
    server, engine = served(names={"one": "tuned", "base": "base"})
    own = {"id": "tuned", "root": "adapter", "parent": "base", "version": "1.2.3", "max_model_len": "256"}
    assert server_facts(server.url + "/", "tuned") == own == engine.facts["one"]
    assert server_facts(server.url, "base") == {
        "id": "base",
        "root": "folder",
        "max_model_len": "256",
        "version": "1.2.3",
    }


def test_the_key_comes_from_the_environment_and_is_shown_nowhere(served, monkeypatch):
    monkeypatch.setenv("LAB_SECRET", KEY)
    server, _ = served(settings={"api_key_env": "LAB_SECRET"})
    assert all(headers["authorization"] == f"Bearer {KEY}" for _, _, headers in server.sent)
    assert KEY not in json.dumps([(path, request) for path, request, _ in server.sent])
    for status in (401, 500):
        raw = Raw(status, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode())
        with pytest.raises(UserError) as caught:
            served(settings={"api_key_env": "LAB_SECRET", "retries": 0}, instead=lambda *_, raw=raw: raw)
        assert KEY not in str(caught.value)
        assert "bad key [secret]" in str(caught.value)
    with pytest.raises(UserError, match="the environment variable LAB_OTHER is not set"):
        served(settings={"api_key_env": "LAB_OTHER"})


def test_a_key_in_a_servers_answer_is_cut_out(served, monkeypatch):
    monkeypatch.setenv("LAB_SECRET", KEY)
    reply = {"choices": [{"text": f"Bearer {KEY}, and"}]}
    instead, fail = failing(200, 1, data=json.dumps(reply).encode())
    server, _ = served(settings={"api_key_env": "LAB_SECRET"}, instead=instead)
    fail()
    client = ServedClient(server.url, ServedSection(api_key_env="LAB_SECRET"))
    assert client.post("completions", {}) == {"choices": [{"text": "Bearer [secret], and"}]}
    client.close()


@pytest.mark.parametrize(
    "url",
    ["http://me:secret-word@host/v1", "http://host/v1?key=secret-word", "file:///etc/passwd", "host/v1", "http://[/v1"],
)
def test_addresses_with_credentials_or_none_are_rejected_unshown(url):
    with pytest.raises(UserError) as caught:
        server_facts(url, "base")
    assert "secret-word" not in str(caught.value)
    assert "environment variable" in caught.value.fix


def test_openais_own_key_is_sent_encrypted_or_to_this_machine_only(served, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    sent: list[httpx.Headers] = []

    def answer(request):
        sent.append(request.headers)
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    for url in ("http://elsewhere/v1", "https://elsewhere/v1", "http://localhost:1/v1"):
        ServedClient(url, ServedSection(), httpx.MockTransport(answer)).get("models")
    assert ["authorization" in headers for headers in sent] == [False, True, True]


def test_a_chat_servers_own_template_is_noted(served):
    plain = [ModelRequest("one", GenerateRequest(CONTEXT, 5))]
    _, engine = served(can=frozenset({"chat"}), adds=(50,) * 30, requests=plain)
    assert "one: its own chat template makes prompts 30 tokens longer than ours" in engine.setup["note"]
    assert (
        "one: 1 of 1 prompts are no messages of our chat template, and get the server's around them"
        in (engine.setup["note"])
    )
