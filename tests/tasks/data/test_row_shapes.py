"""Rows in the shapes that people bring, each read into the rows of a table written by hand."""

import json

import pytest

from reports.errors import UserError
from tasks.data import DataSource, load_rows
from tasks.formats import get_format

THOUGHT = "<think>\nFew events.\n</think>\n\nNo."
HEADED = "## Thinking\n\nFew events.\n\n## Final Response\n\nNo."
ASKED = {"role": "user", "content": "Rest?"}
SAID = {"role": "assistant", "content": "No."}
CALM = {"role": "system", "content": "Be calm."}
MORE = [{"role": "user", "content": "Ice?"}, {"role": "assistant", "content": "Yes."}]
SYSTEM = ("system", "Be calm.", "")
TURNS = [("user", "Rest?", ""), ("assistant", "No.", "")]

# name: (row, settings of the source, kind, question, reasoning, response, turns before the question)
SHAPES = {
    "question and response": ({"question": "Rest?", "response": "No."}, {}, "question-answer", "Rest?", "", "No.", []),
    "question and answer": ({"Question": "Rest?", "Answer": "No."}, {}, "question-answer", "Rest?", "", "No.", []),
    "prompt and completion": ({"prompt": "Rest?", "completion": "No."}, {}, "question-answer", "Rest?", "", "No.", []),
    "input and output": ({"input": "Rest?", "output": "No."}, {}, "question-answer", "Rest?", "", "No.", []),
    "other columns beside": (
        {"question": "Rest?", "answer": "No.", "text": "Rest? No.", "system": "joints"},
        {},
        "question-answer",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "blanks around texts": (
        {"question": " Rest?\n", "answer": "\tNo. "},
        {},
        "question-answer",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "mapped columns": (
        {"Frage": "Rest?", "Weil": "Few events.", "Antwort": "No."},
        {"columns": {"question": "Frage", "reasoning": "Weil", "answer": "Antwort"}},
        "reasoning",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "mapped context and system prompt": (
        {"question": "Rest?", "passage": "An abstract.", "answer": "No.", "prompt": "Be calm."},
        {"columns": {"input": "passage", "system": "prompt"}},
        "question-answer",
        "Rest?\n\nAn abstract.",
        "",
        "No.",
        [SYSTEM],
    ),
    "reasoning": (
        {"Question": "Rest?", "Complex_CoT": "Few events.", "Response": "No."},
        {},
        "reasoning",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "rationale": (
        {"question": "Rest?", "rationale": "Few events.", "answer": "No."},
        {},
        "reasoning",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "reasoning that is empty": (
        {"question": "Rest?", "reasoning": None, "answer": "No."},
        {},
        "reasoning",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "reasoning in tags": (
        {"question": "Rest?", "answer": THOUGHT},
        {},
        "question-answer",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "reasoning whose tag the prompt opened": (
        {"question": "Rest?", "answer": "Few events.</think>No."},
        {},
        "question-answer",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "reasoning under headings": (
        {"question": "Rest?", "answer": HEADED},
        {},
        "question-answer",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "reasoning in a column that is not wanted": (
        {"question": "Rest?", "reasoning": "Few events.", "answer": "No."},
        {"kind": "question-answer"},
        "question-answer",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "tags that are not closed": (
        {"question": "Rest?", "answer": "<think>No."},
        {},
        "question-answer",
        "Rest?",
        "",
        "<think>No.",
        [],
    ),
    "alpaca": (
        {"instruction": "Answer.", "input": "Rest?", "output": "No.", "text": "Answer. Rest? No."},
        {},
        "alpaca",
        "Answer.\n\nRest?",
        "",
        "No.",
        [],
    ),
    "alpaca without input": (
        {"instruction": "Rest?", "input": "", "output": "No."},
        {},
        "alpaca",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "alpaca with system prompt and history": (
        {"instruction": "Ice?", "output": "Yes.", "system": "Be calm.", "history": [["Rest?", "No."]]},
        {},
        "alpaca",
        "Ice?",
        "",
        "Yes.",
        [SYSTEM, *TURNS],
    ),
    "instruction, context and response": (
        {"instruction": "Rest?", "context": "An abstract.", "response": "No."},
        {},
        "alpaca",
        "Rest?\n\nAn abstract.",
        "",
        "No.",
        [],
    ),
    "messages": ({"messages": [ASKED, SAID]}, {}, "conversations", "Rest?", "", "No.", []),
    "messages beside a prompt": (
        {"prompt": "Rest?", "messages": [CALM, ASKED, SAID]},
        {},
        "conversations",
        "Rest?",
        "",
        "No.",
        [SYSTEM],
    ),
    "messages of several turns": (
        {"messages": [CALM, ASKED, SAID, *MORE]},
        {},
        "conversations",
        "Ice?",
        "",
        "Yes.",
        [SYSTEM, *TURNS],
    ),
    "messages with reasoning": (
        {"messages": [ASKED, {"role": "assistant", "content": "No.", "reasoning_content": "Few events."}]},
        {},
        "conversations",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "messages of parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Rest?"}]}, SAID]},
        {},
        "conversations",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "messages as JSON text": ({"messages": json.dumps([ASKED, SAID])}, {}, "conversations", "Rest?", "", "No.", []),
    "messages as an object of lists": (
        {"messages": {"role": ["user", "assistant"], "content": ["Rest?", "No."]}},
        {},
        "conversations",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "ShareGPT": (
        {
            "conversations": [
                {"from": "human", "value": "Rest?"},
                {"from": "gpt", "value": "No."},
                {"from": "human", "value": "Ice?"},
                {"from": "gpt", "value": THOUGHT},
            ],
            "system": "Be calm.",
        },
        {},
        "conversations",
        "Ice?",
        "Few events.",
        "No.",
        [SYSTEM, *TURNS],
    ),
    "a mapped column of turns": (
        {"talk": [ASKED, SAID]},
        {"columns": {"messages": "talk"}},
        "conversations",
        "Rest?",
        "",
        "No.",
        [],
    ),
    "a prompt of turns and its completion": (
        {"prompt": [CALM, ASKED], "completion": [SAID]},
        {},
        "question-answer",
        "Rest?",
        "",
        "No.",
        [SYSTEM],
    ),
    "a prompt of turns and its completion as text": (
        {"prompt": [ASKED], "completion": THOUGHT},
        {},
        "question-answer",
        "Rest?",
        "Few events.",
        "No.",
        [],
    ),
    "a text beside a question": (
        {"question": "Rest?", "answer": "No.", "abstract": "Rest helps few."},
        {"columns": {"text": "abstract"}},
        "text",
        "",
        "",
        "Rest helps few.",
        [],
    ),
    "plain text": ({"text": "Rest helps few."}, {}, "text", "", "", "Rest helps few.", []),
    "a text in another column": (
        {"abstract": "Rest helps few."},
        {"columns": {"text": "abstract"}},
        "text",
        "",
        "",
        "Rest helps few.",
        [],
    ),
}


def load(path, answer_format=None, **settings):
    source = DataSource(source=str(path), **settings)
    return load_rows(source, seed=0, answer_format=answer_format and get_format(answer_format))


@pytest.mark.parametrize(
    ("row", "settings", "kind", "question", "reasoning", "response", "history"), SHAPES.values(), ids=SHAPES
)
def test_a_shape_is_read_into_the_rows_of_the_table(
    write_rows, row, settings, kind, question, reasoning, response, history
):
    loaded = load(write_rows(row), **settings)
    (found,) = loaded.rows
    assert loaded.account.kind == kind
    assert (found.question, found.reasoning, found.response) == (question, reasoning, response)
    assert [tuple(turn) for turn in found.history] == history


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        (
            {"frage": "Rest?", "antwort": "No."},
            {},
            r"no column for question and response; the columns are frage, antwort",
        ),
        ({"question": "Rest?", "answers": "No."}, {}, r"no column for response; .*\n.*did you mean answers\?"),
        ({f"c{number}": "" for number in range(30)}, {}, "c11 and 18 more"),
        ({"question": "Rest?", "answer": "No."}, {"columns": {"question": "Qestion"}}, "there is no column Qestion"),
        ({"question": "Rest?", "answer": "No."}, {"columns": {"topic": "answer"}}, "the column mapping names topic"),
        ({"prompt": "Rest?", "chosen": "No.", "rejected": "Yes."}, {}, r"preference pairs .*\n.*{response: chosen}"),
        ({"question": "Rest?", "final_decision": "no"}, {}, r"PubMedQA items\n.*set kind: pubmedqa"),
        ({"question": "Rest?", "answer": "No."}, {"kind": "text"}, "no column for text"),
        ({"text": "Rest?", "answer": "No."}, {}, "no column for question"),
        ({"talk": "Rest?"}, {"columns": {"messages": "talk"}}, "there is no list of turns"),
        ({"messages": str([ASKED, SAID])}, {}, r"Python's notation of a list.*to_json"),
        ({"messages": [SAID]}, {}, "the first turn has the role assistant, not user"),
        ({"messages": [ASKED]}, {}, "does not end with an assistant turn"),
        (
            {"messages": [ASKED, SAID, ASKED, ASKED, SAID]},
            {},
            "the turn after one of the role user has the role user, not assistant",
        ),
        ({"messages": [ASKED, SAID, CALM, *MORE]}, {}, "the turn after one of the role assistant has the role system"),
        ({"messages": [ASKED, {"role": "assistant", "content": " "}]}, {}, "a turn of the role assistant is empty"),
        ({"messages": [ASKED, SAID | {"tool_calls": [{}]}]}, {}, "a turn calls a tool"),
        ({"messages": [ASKED, {"role": "tool", "content": "7"}, SAID]}, {}, "the role 'tool'"),
        ({"messages": [ASKED, SAID | {"weight": 0}]}, {}, "a turn is excluded from training"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}, SAID]}, {}, "a part of type image"),
        ({"instruction": "Ice?", "output": "Yes.", "history": [["Rest?"]]}, {}, "history is not a list of"),
    ],
)
def test_rows_of_no_shape_are_refused_with_the_way_out(write_rows, row, settings, message):
    with pytest.raises(UserError, match=message):
        load(write_rows(row), **settings)


def test_unusable_rows_are_all_named_and_can_be_left_out(write_rows):
    rows = [{"question": "Rest?", "answer": text} for text in ("No.", "", "Yes.", None, 3, " ")]
    path = write_rows(*rows)
    with pytest.raises(UserError) as caught:
        load(path)
    assert "4 of the 6 rows cannot be used: column response should hold a text, found nothing (line 2; line 4)" in str(
        caught.value
    )
    assert "found 3 (line 5)" in str(caught.value)
    assert "unusable_rows: drop" in caught.value.fix
    loaded = load(path, unusable_rows="drop")
    assert [row.response for row in loaded.rows] == ["No.", "Yes."]
    assert (loaded.account.read, sum(loaded.account.unusable.values())) == (6, 4)
    with pytest.raises(UserError, match="2 of the 2 rows cannot be used"):
        load(write_rows(*rows[3:5]), unusable_rows="drop")


def test_rows_without_reasoning_are_unusable_only_in_a_format_with_reasoning(write_rows):
    rows = [
        {"question": f"{n}?", "reasoning": text, "answer": "No."} for n, text in enumerate(("Few.", None, "", "All."))
    ]
    path = write_rows(*rows)
    with pytest.raises(
        UserError, match=r"2 of the 4 rows cannot be used: no reasoning, .*think asks for \(line 2; line 3\)"
    ):
        load(path, "think")
    assert len(load(path, "think", unusable_rows="drop").rows) == 2
    assert len(load(path, "plain").rows) == 4
    with pytest.raises(UserError, match="the rows have no reasoning, which the format think asks for") as caught:
        load(write_rows({"question": "Rest?", "answer": "No.", "why": "Few."}), "think", unusable_rows="drop")
    for way in ("--set format.name=plain", "columns: {reasoning: NAME}; columns that are not read: why", "<think>"):
        assert way in caught.value.fix


def test_rows_that_repeat_others_are_counted_and_kept_on_request(write_rows):
    path = write_rows(*({"question": question, "answer": "No."} for question in ("A?", "B?", "A?", "A?")))
    source = DataSource(source=str(path))
    once, kept = (load_rows(source, seed=0, keep_duplicates=keep) for keep in (False, True))
    assert [row.question for row in once.rows] == ["A?", "B?"]
    assert [row.question for row in kept.rows] == ["A?", "B?", "A?", "A?"]
    assert once.account.duplicates == kept.account.duplicates == 2
    assert "2 duplicates removed" in once.account.summary()
    assert "2 duplicates kept" in kept.account.summary()


def test_gold_answers_none_of_which_keeps_the_format_are_an_error_where_they_are_left_out(write_rows):
    path = write_rows({"question": "Rest?", "reasoning": "<think>Few.</think>", "answer": "No."})
    with pytest.raises(UserError, match=r"all gold answers violate the answer format: duplicate: </think> \(1\)"):
        load(path, "think", format_violations="drop")


def test_pubmedqa_rows_that_violate_the_format_are_left_out_before_rows_are_drawn(write_rows):
    conclusions = ("Rest helps.", "<think>Few.</think>", "Ice cools.", "<think>Few.</think>")
    rows = [
        {"question": f"{n}?", "context": ["Some."], "final_decision": "no", "long_answer": text}
        for n, text in enumerate(conclusions)
    ]
    loaded = load(write_rows(*rows), "plain", kind="pubmedqa", format_violations="drop", rows=2)
    assert [row.response for row in loaded.rows] == ["No. Rest helps.", "No. Ice cools."]
    assert (loaded.account.violating, loaded.account.drops_violating) == (2, True)


def test_files_of_several_shapes_in_one_source_are_refused(write_rows):
    path = write_rows({"messages": [ASKED, SAID]}, {"question": "Rest?", "answer": "No."})
    with pytest.raises(UserError, match="there is no column messages; found question, answer") as caught:
        load(path)
    assert "give all rows of the source the same columns" in caught.value.fix


def test_cells_that_are_no_text_are_one_reason(write_rows):
    with pytest.raises(UserError, match="2 of the 2 rows cannot be used: column text should hold a text, found a list"):
        load(write_rows({"text": ["Rest."]}, {"text": ["Ice."]}))


def test_an_empty_system_turn_is_none(write_rows):
    (row,) = load(write_rows({"messages": [CALM | {"content": " "}, ASKED, SAID]})).rows
    assert row.history == ()


def test_a_column_that_only_some_rows_have_is_read(write_rows):
    rows = [{"question": "Rest?", "answer": "No."}, {"question": "Ice?", "rationale": "It cools.", "answer": "Yes."}]
    assert [row.reasoning for row in load(write_rows(*rows)).rows] == ["", "It cools."]
