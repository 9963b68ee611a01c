"""Every number in the pages is that of a committed file (measured_numbers.py) or reviewed (reviewed_numbers.py)."""

import json
import re
from typing import NamedTuple

import pytest

from tests.evidence_values import RESULTS, Values, load
from tests.measured_numbers import MEASURED
from tests.pages import PAGES, ROOT, name_of, text_of
from tests.reviewed_numbers import EVERYWHERE, REVIEWED

UNIT = r"(?:\s?%|\s?(?:pp|ms|s|min|h|seconds?|minutes?|hours?|[KMGT]i?B|kB|tokens|times|x|points?|nats?)\b)"
NUMBER = re.compile(
    rf"(?<![\w.])(?<![A-Za-z]-)(?:\d+(?:[.,]\d+)*{UNIT}|(?:\d+(?:[.,]\d+)+|\d\d+)(?![\w-]|\sbits?\b))"
    r"|\b(?:half an?|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty) (?:second|minute|hour)s?\b"
)
YEAR = re.compile(r"(?:19|20)\d\d")
DROPPED = (
    (re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL), ""),  # code
    (
        re.compile(
            r"<!-- (medbench|speed|families|suites|metrics|commands|recipe|policy):.*?<!-- \1:end -->", re.DOTALL
        ),
        "",
    ),  # generated, and checked by CI
    (re.compile(r"\]\([^)]*\)"), "]"),  # where links lead
)
TO_BE_RE_RUN = "will be re-run:"  # the rest of the paragraph names the files


class Entry(NamedTuple):
    """An entry of MEASURED, with the page and the evidence that it stands below."""

    page: str
    evidence: str
    text: str
    values: Values

    def filled(self):
        """The text with the values of the evidence, on one line."""
        return " ".join(self.text.format(*self.values(load(self.evidence))).split())


ENTRIES = [
    Entry(page, evidence, text, values)
    for page, files in MEASURED.items()
    for evidence, entries in files.items()
    for text, values in entries
]


def prose(markdown):
    """A page's text on one line, without blocks of code, generated blocks and targets of links."""
    for pattern, replacement in DROPPED:
        markdown = pattern.sub(replacement, markdown)
    return " ".join(markdown.split())


def spans(pattern, text):
    return [range(*match.span()) for match in re.finditer(pattern, text)]


def unproven(text, page):
    """Numbers in a text of a page that neither an entry covers nor inline code."""
    proven = [entry.filled() for entry in ENTRIES if entry.page == page]
    proven += [*REVIEWED[EVERYWHERE], *REVIEWED.get(page, {})]
    patterns = [r"`[^`]*`", *map(re.escape, proven)]
    covered = {place for pattern in patterns for span in spans(pattern, text) for place in span}
    numbers = [text[span.start : span.stop] for span in spans(NUMBER, text) if not covered.issuperset(span)]
    return [number for number in numbers if not YEAR.fullmatch(number)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_number_of_a_page_is_measured_or_reviewed(page):
    """If not: add it to `measured_numbers.py` with its evidence, or write the sentence without it."""
    assert unproven(prose(text_of(page)), name_of(page)) == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.page}: {entry.text[:40]}")
def test_measured_numbers_are_those_of_the_evidence(entry):
    assert entry.filled() in prose(text_of(ROOT / entry.page))
    assert unproven(re.sub(r"{[^}]*}", "§", entry.text), entry.page) == [], "a number that is no value of the evidence"


def test_no_reviewed_text_has_left_its_page():
    pages = {name_of(page): prose(text_of(page)) for page in PAGES}
    pages[EVERYWHERE] = " ".join(pages.values())
    assert [(page, text) for page, texts in REVIEWED.items() for text in texts if text not in pages[page]] == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("vLLM took 69 s, then 7 GiB and 0.07 nats.", ["69 s", "7 GiB", "0.07 nats"]),
        ("143 (base) and 1,680 tokens a second, 3-5 %, 2x faster", ["143", "1,680 tokens", "5 %", "2x"]),
        ("in about five minutes, half a second", ["five minutes", "half a second"]),
        ("version 2, exit code 1, 4-bit weights in 16 bits, SmolLM2-135M, H200, macro-F1, Holm 1979, `--limit 50`", []),
    ],
)
def test_what_looks_measured(text, numbers):
    assert unproven(text, "no page") == numbers


@pytest.mark.parametrize(("right", "wrong"), [("12,517 tokens", "7,800 tokens"), ("vLLM 12,162", "vLLM 69 s")])
def test_a_number_that_is_not_the_files_is_noticed(right, wrong):
    page = prose(text_of(ROOT / "docs" / "scoring.md"))
    assert right in page
    assert {wrong.removeprefix("vLLM ")} <= set(unproven(page.replace(right, wrong), "docs/scoring.md"))


def evidence(page):
    """The JSON files that a page cites, by name or in its entries; a folder or a report stands for those in it."""
    cited = set(re.findall(r"benchmarks/results/([\w./-]*\w)", text_of(page)))
    cited |= MEASURED.get(name_of(page), {}).keys()
    paths = {RESULTS / name for name in cited}
    folders = {path.parent if path.suffix == ".md" else path for path in paths if path.suffix not in (".json", ".html")}
    return {path for path in paths if path.suffix == ".json"} | {file for one in folders for file in one.glob("*.json")}


def clean_commit(path):
    commit = json.loads(path.read_text(encoding="utf-8")).get("environment", {}).get("git_commit")
    return bool(re.fullmatch(r"[0-9a-f]{12}", commit or ""))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_evidence_records_a_clean_commit_or_the_page_says_that_it_will_be_re_run(page):
    _, _, notes = text_of(page).partition(TO_BE_RE_RUN)
    names = re.findall(r"`(?:benchmarks/results/)?([^`]+)`", notes.split("\n\n")[0])
    named = {path for name in names for path in RESULTS.glob(name)}
    assert named == {path for path in evidence(page) if not clean_commit(path)}
