"""Own multiple-choice questions: columns and answers of any usual shape, and rows that cannot be scored."""

import json

import pytest

from reports.errors import UserError
from tasks.data.questions import load_questions
from tasks.data.source import QuestionSource


@pytest.fixture
def load(tmp_path):
    """The questions in a file of this text, as (question, options, gold) unless `whole`; invented, as all rows here."""

    def read(text, name="mine.csv", *, whole=False, **settings):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        loaded = load_questions(QuestionSource(source=str(path), **settings), seed=1)
        return loaded if whole else [(row.question, row.options, row.gold) for row in loaded.rows]

    return read


DRUGS = ("aspirin", "heparin", "warfarin")
WHICH = ("Which?", DRUGS, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "Question,A,B,C,Answer\nWhich?,aspirin,heparin,warfarin,B\n"),
        ("a.csv", "Question;Option A;Option B;Option C;Correct Answer\nWhich?;aspirin;heparin;warfarin;(b)\n"),
        ("a.tsv", "stem\topa\topb\topc\tcop\nWhich?\taspirin\theparin\twarfarin\theparin\n"),
        ("a.csv", "prompt,choice1,choice2,choice3,label\nWhich?,aspirin,heparin,warfarin,B. Heparin\n"),
        ("a.csv", 'question,options,answer\nWhich?,"[""aspirin"", ""heparin"", ""warfarin""]",B)\n'),
        ("a.jsonl", [{"input": "Which?", "options": DRUGS, "gold": " HEPARIN "}]),
        (
            "a.json",
            {"data": [{"question": "Which?", "options": dict(zip("ABC", DRUGS, strict=True)), "answer_idx": "B"}]},
        ),
        ("a.json", [{"question": "Which?", "choices": {"text": DRUGS, "label": ["A", "B", "C"]}, "answerKey": "B"}]),
        ("a.json", [{"question": "Which?", "options": ["A. aspirin", "B. heparin", "C. warfarin"], "answer": "B"}]),
        (
            "a.json",
            [
                {
                    "question": "Which?",
                    "options": [{"key": k, "value": v} for k, v in zip("ABC", DRUGS, strict=True)],
                    "answer": ["B"],
                }
            ],
        ),
    ],
)
def test_usual_columns_and_answers_need_no_mapping(load, name, text):
    assert load(text, name) == [WHICH]


def test_other_columns_are_mapped(load):
    text = "Frage,x,y,z,Lösung,Fach\nWhich?,aspirin,heparin,warfarin,B,blood\n"
    columns = {"question": "Frage", "options": "x|y|z", "answer": "Lösung", "subject": "Fach"}
    loaded = load(text, whole=True, columns=columns)
    assert [(row.question, row.options, row.gold, row.subject) for row in loaded.rows] == [(*WHICH, "blood")]
    with pytest.raises(UserError, match="there is no column for question and answer") as caught:
        load(text, "other.csv")
    assert "--columns 'question=NAME,answer=NAME,options=A|B|C|D'" in caught.value.fix
    with pytest.raises(UserError, match="there is no column w"):
        load(text, columns={"question": "Frage", "options": "x|w", "answer": "Lösung"})
    with pytest.raises(UserError, match="the column mapping names reasoning"):
        load(text, columns={"question": "Frage", "reasoning": "Fach"})


def numbered(*answers):
    rows = [f"Question {number}?,a,b,c,{answer}" for number, answer in enumerate(answers)]
    return "\n".join(["question,opa,opb,opc,cop", *rows, ""])


@pytest.mark.parametrize(
    ("answers", "golds", "described"),
    [
        ((1, 2, 0), [1, 2, 0], "answers: numbers from 0"),
        ((1, 2, 3), [0, 1, 2], "answers: numbers from 1"),
        (("a", "B", "(c)"), [0, 1, 2], "answers: letters"),
    ],
)
def test_all_rows_together_decide_how_answers_are_read(load, answers, golds, described):
    loaded = load(numbered(*answers), whole=True)
    assert [row.gold for row in loaded.rows] == golds
    assert loaded.account.decisions == [described]
    assert described in loaded.account.summary()


def test_numbers_that_may_start_at_0_or_1_are_not_guessed(load):
    with pytest.raises(
        UserError, match=r"numbers from 0 or numbers from 1, which gives different options: 1 .*line 2"
    ) as caught:
        load(numbered(1, 2, 1))
    assert "--set data.questions.answers=from-0 or --set data.questions.answers=from-1" in caught.value.fix
    assert [gold for *_, gold in load(numbered(1, 2, 1), answers="from-1")] == [0, 1, 0]
    assert [gold for *_, gold in load(numbered(1, 2, 1), answers="from-0")] == [1, 2, 1]
    with pytest.raises(UserError, match=r"start neither at 0 nor at 1: 0 .*line 2.* and 3, as many as .*line 3"):
        load(numbered(0, 3))


def test_a_letter_that_is_another_options_text_is_read_as_the_other_rows_are(load):
    blood = {"question": "Which group?", "options": ["O", "A", "B", "AB"], "answer": "B"}
    other = {"question": "Which?", "options": DRUGS}
    assert load([blood, other | {"answer": "A"}], "a.json")[0][2] == 1
    assert load([blood, other | {"answer": "aspirin"}], "a.json")[0][2] == 2
    with pytest.raises(UserError, match="letters or texts of the options, which gives different options: B"):
        load([blood], "a.json")


BROKEN = [
    {"question": "Fine?", "options": ["yes", "no"], "answer": "A"},
    {"question": "Two?", "options": ["x", "y", "z"], "answer": "A, C"},
    {"question": "None?", "options": ["x", "y"], "answer": "both"},
    {"question": "One option?", "options": ["x"], "answer": "A"},
    {"question": "A gap?", "options": ["x", "", "y"], "answer": "A"},
    {"question": "Twins?", "options": ["x", "X "], "answer": "A"},
    {"question": " ", "options": ["x", "y"], "answer": "A"},
    {"question": "No answer?", "options": ["x", "y"], "answer": None},
    {"question": "Both?", "options": ["x", "y"], "answer": "A"},
    {"question": "Both?", "options": ["y", "x"], "answer": "A"},
    {"question": "Fine?", "options": ["no", "yes"], "answer": "B"},
]


def test_broken_rows_are_named_all_together(load):
    with pytest.raises(UserError) as caught:
        load(BROKEN, "a.json")
    assert caught.value.what == (
        "9 of the 11 rows cannot be used: there are two correct answers (row 2); the answer is not among the options"
        " (row 3); there are fewer than 2 options (row 4); an option is empty and a later one is not (row 5); two"
        " options are the same (row 6); the question is empty (row 7); there is no answer (row 8); the same question"
        " and options have another answer in another row (row 9; row 10)"
    )
    assert caught.value.fix.endswith("(--set data.questions.unusable_rows=drop)")


def test_broken_rows_that_are_left_out_are_counted_and_so_are_duplicates(load):
    loaded = load(BROKEN, "a.json", whole=True, unusable_rows="drop")
    assert [(row.question, row.options, row.gold) for row in loaded.rows] == [("Fine?", ("yes", "no"), 0)]
    account = loaded.account
    assert (account.read, sum(account.unusable.values()), account.duplicates, account.used) == (11, 9, 1, 1)
    assert account.remarks("data.questions")[0] == "1 of 11 rows repeat earlier ones and are left out"


def test_two_answer_columns_that_name_different_options_are_a_fault(load):
    rows = [
        {"question": f"{n}?", "options": ["aspirin", "heparin"], "answer": "Heparin", "answer_idx": "AB"[n > 0]}
        for n in range(4)
    ]
    with pytest.raises(UserError, match="row 1: columns answer_idx and answer name different options"):
        load(rows, "a.json")
    assert [gold for _, _, gold in load(rows[1:], "a.json")] == [1, 1, 1]
    assert len(load([row | {"answer": "A drug"} for row in rows], "a.json")) == 4  # a text that is no option


@pytest.mark.parametrize("missing", ["NaN", "#N/A", "<NA>", " nan "])
def test_what_spreadsheets_and_pandas_write_for_no_value_is_none(load, missing):
    text = f"question,A,B,C,answer\nOne?,a,b,{missing},A\nTwo?,a,b,c,{missing}\n"
    with pytest.raises(UserError, match="line 3: there is no answer"):
        load(text)
    assert load(text, unusable_rows="drop") == [("One?", ("a", "b"), 0)]


def test_of_many_rows_with_one_fault_the_first_are_named(load):
    rows = [{"question": f"{n}?", "options": ["x", "y"], "answer": "A" if n else "x, y, z"} for n in range(10)]
    with pytest.raises(UserError, match=r"5 of the 15 rows .* \(row 1; row 11; row 12 and 2 more\)"):
        load(
            [*rows, *(rows[0] | {"question": f"Odd {n}?"} for n in range(4)), rows[1] | {"question": "Last?"}], "a.json"
        )


def test_the_number_of_options_may_vary_and_has_a_limit(load):
    text = "question,A,B,C,D,answer\nOne?,a,b,,,A\nTwo?,a,b,c,d,D\n"
    assert [len(options) for _, options, _ in load(text)] == [2, 4]
    many = [{"question": "Many?", "options": [str(n) * 3 for n in range(27)], "answer": "A"}]
    with pytest.raises(UserError, match="there are more than 26 options"):
        load(many, "a.json")


def test_letters_that_belong_to_an_option_stay(load):
    options = ["A. fumigatus", "A. niger", "Candida"]
    assert load([{"question": "Which?", "options": options, "answer": "A. niger"}], "a.json") == [
        ("Which?", tuple(options), 1)
    ]


def test_options_that_speak_of_others_are_reported(load):
    loaded = load("question,A,B,answer\nOne?,a,All of the above,B\n", whole=True)
    assert loaded.account.decisions[1] == "options kept in order where one speaks of others, as in all of the above: 1"
