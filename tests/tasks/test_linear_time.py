"""What looks at model output takes a time that grows with its length alone: no answer can stall a run."""

import functools
import time

import pytest

from harness.releases.local_paths import shorten_paths
from reports.text import fenced, plain_markdown
from tasks.formats import FORMATS
from tasks.labels import extract_label
from tasks.text_metrics import copies_prompt, distinct_trigrams
from tasks.words import words

LENGTH = 20_000
PIECES = [
    *(
        "answer ",
        "answer is ",
        "answer is whether ",
        "cannot be ",
        "yes and ",
        "yes, ",
        "maybe ",
        "\\boxed{",
        "Question:\n",
        "Question 1",
        "> ",
        "**Thinking ",
        "yes ",
        "no ",
        "yes,",
        "yes or ",
        "a",
        " ",
        "\n",
        "\t",
        "*",
        "`",
        "&a",
        "_",
        "a_",
        "](",
        "\\",
    ),
    *(
        "\u0301\u0327",
        "血",
        "## Thinking ",
        "<think>",
        "</think>",
        "/home/a ",
    ),
]
STARTS = [
    "",
    "answer is yes",
    "yes",
    "yes,",
    "no",
    "see ",
    "&",
    "## Thinking",
    "**Final Response",
]
HOSTILE = [start + piece * (LENGTH // len(piece)) + end for start in STARTS for piece in PIECES for end in ("", "x")]
LOOKS = {
    **{f"label, {name}": functools.partial(extract_label, format_name=name) for name in FORMATS},
    "words": words,
    "ngrams": distinct_trigrams,
    "copies": lambda text: copies_prompt(text, text),
    "markdown": plain_markdown,
    "fence": fenced,
    "paths": lambda text: shorten_paths(text, ".md"),
}


@pytest.mark.parametrize("look", ["label, thinking-headings", "label, think", "label, alpaca", *list(LOOKS)[5:]])
def test_hostile_answers_take_no_longer_than_others(look):
    slowest = 0.0
    for text in HOSTILE[:: 1 if look == "label, thinking-headings" else 7]:
        started = time.process_time()
        LOOKS[look](text)
        slowest = max(slowest, time.process_time() - started)
    assert slowest < 0.5  # the pattern that was quadratic took 7 s
