"""The reference is written from the code: every key and option has a meaning, and the values that it may have."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from benchmarks import reference


def rows(markdown):
    return [line for line in markdown.splitlines() if line.startswith("| `")]


def test_everything_has_a_meaning():
    for tables, least in ((reference.commands(), 120), (reference.recipe_keys(), 80), (reference.policy_keys(), 30)):
        assert len(rows(tables)) >= least
        assert [row for row in rows(tables) if row.endswith("|  |")] == []


def test_rows_say_what_the_code_does():
    assert "| `--redact FOLDER` |  | Write a copy of the run without questions and answers. |" in reference.commands()
    assert "| `lora.r` | number | `16` | Rank. |" in reference.recipe_keys()
    assert "| `scoring.served.retries` | number | `5` |" in reference.recipe_keys()
    policy = reference.policy_keys()
    assert policy.count("| `metric` | text | required |") == 2  # of every rule about a metric, and of must_pass
    assert "| `of` | `training`, `scoring` | `training` | Which of the two. |" in policy


def test_values_are_named_in_words():
    class Section(BaseModel):
        """A section."""

    for annotation, words in {
        int | None: "number, `null`",
        Annotated[str, Field(min_length=1)]: "text",
        Literal["a", True]: "`a`, `true`",
        bool | Literal["auto"]: "`true`, `false`, `auto`",
        list[str]: "list of text",
        dict[str, int]: "mapping",
        Section: "mapping",
    }.items():
        assert reference.values(annotation) == words


def test_inherited_keys_keep_their_meaning():
    class First(BaseModel):
        """A section.

        Attributes:
            one: Of the first,
                in two lines.
            two: Of the first.
        """

    class Second(First):
        """Another.

        Attributes:
            two: Of the second.
        """

    assert reference.descriptions(Second) == {"one": "Of the first, in two lines.", "two": "Of the second."}
