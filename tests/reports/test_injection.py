"""Every text of a results document and its samples is hostile, and all outputs keep the structure of harmless ones.

The fields are derived from the schemas (`tests/reports/documents.py`), so that future ones are covered too.
"""

import itertools
import logging
import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from harness.console import printable
from harness.logs import log_to
from reports import certificate as certificates
from reports.gate.comment import comment
from reports.gate.junit import junit_xml
from reports.gate.outcome import GateReport
from reports.gate.policy import DEFAULT
from reports.gate.render import github_annotations
from reports.page.render import render
from reports.readmes.blocks import BLOCKS
from reports.readmes.readme import update
from reports.text import code_span, fenced, plain_markdown
from tests.reports.documents import NAMES, certificate, example, write_document

EVERYTHING = (
    "</style></script></title></textarea>--><script>document.title='PW'+'NED'</script><img src=http://localhost:9/i"
    " onerror=alert(2)>\"'><svg onload=\"document.title='PW'+'NED'\"><iframe src=http://localhost:9/f></iframe><style>"
    "*{background:url(http://localhost:9/c)}</style><base href=http://localhost:9/><a href='javascript:alert(4)'>x</a>"
    "\n\n# H\n\n<!-- medbench:end -->\n<!-- medbench:results . -->\n| a | b |\n|---|---|\n![i](http://localhost:9/m)"
    " [l](javascript:alert(5)) [r][1]\n[1]: http://localhost:9/r\n```\n~~~\n<details>\n@octo-org {{ 7 * 7 }} {% raw %}"
    " `code` **b** __i__ ~~s~~ $x$ &lt;\n::error::forged\n##[stop-commands]x\r\n\x1b[31m\x9b2J\x00\x07\x08\udfff\ud800"
    "\ufffe\u202egnol \\"
)
LINES = [  # each begins a block of Markdown where it begins a line
    *(
        "# heading",
        "> quote",
        "- item",
        "+ item",
        "* item",
        "1. item",
        "2) item",
        "    code",
        "\tcode",
        "```",
        "~~~~ x",
    ),
    *("---", "***", "___", "===", "- - -", "| a | b |", "|-|-|", "[x]: http://localhost:9/r", "[x]", "[ ] task"),
    *("<!-- medbench:end -->", "<!-- medbench:results . -->", "<details>", "</details>", "<?x", "<!DOCTYPE x>", "<"),
    *("<http://localhost:9/a>", "![i](http://localhost:9/m)", "[l](http://localhost:9/l)", "[l][x]", "&#96;&#96;&#96;"),
    *("`", "``", "*", "**x**", "_x_", "__x__", "a__b__", "~x~", "$$x$$", "\\", "\\|", "\\\\|", "|", "]", "](x)", "!"),
    *("@octo-org", "::error::forged", "##[group]x", "\n", "\n\n# x", "\r# x", "\x0b# x", "\x85# x", "\u2028# x", " "),
    *("\x00", "\x1b]0;x\x07", "\x9b2J", "\ud800", "\udc00\ud800", "\ufffe", "\u202egnol", "=1+1", "{{ 7 * 7 }}"),
]
LONG = "long " * 20_000
HOSTILE_NAMES = {
    "base": "m `x` [a](b) _c_ @octo",
    "model": "##[error]x __y__ $z$ ~~z~~ [m][n]",
    "task": "# t {{ 1 }} &amp;",
}


def harmless(field):
    return f"plain {field}"


def every_line_in_turn(first):
    """A text of `LINES` for each field, another one with another `first`."""
    texts = itertools.cycle([*LINES[first:], *LINES[:first]])
    given: dict[str, str] = {}

    def text(field):
        if field not in given:  # other fields keep their texts where a field is used more often
            given[field] = next(texts) + f" {field}" * field.startswith("key")
        return given[field]

    return text


HOSTILE = {
    "everything": lambda field: f"{EVERYTHING} {field}",
    "long": lambda field: f"{field} {LONG}",
    **{f"lines from {first}": every_line_in_turn(first) for first in (0, 23, 46)},
}
KINDS = [kind if kind == "everything" else pytest.param(kind, marks=pytest.mark.slow) for kind in HOSTILE]


class Structure(HTMLParser):
    """The tags of a page, without what is in plots, and the number of cells in each row of its tables."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.in_plot = [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        """Note a tag and the names of its attributes, none of which may run a script."""
        self.in_plot = self.in_plot or tag == "svg"
        if not self.in_plot:
            self.tags.append((tag, *sorted(name for name, _ in attributes)))
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_endtag(self, tag):
        """Note the end of an element."""
        if not self.in_plot:
            self.tags.append(f"/{tag}")
        self.in_plot = self.in_plot and tag != "svg"

    def handle_comment(self, data):
        """Note that there is a comment, such as a marker."""
        self.tags.append("comment")


def structure(text):
    """The tags that a CommonMark renderer with GitHub's tables makes of a text."""
    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    return Structure(rendered).tags


def write_all_blocks(run):
    """A Markdown file with every README block of a run, and a template that prints texts."""
    file = run / "README.md"
    (run / "mine.md.j2").write_text(
        "{% macro named(model) %}*{{ model.name }}*{% endmacro %}\n- {{ results.name }}\n\n{{ results.notes[0] }}\n\n"
        "{% for model in results.models %}{{ named(model) }} {% endfor %}\n\n{{ blocks.results(results) }}\n"
    )
    names = [*BLOCKS, "template"]
    marked = [f"<!-- medbench:{name} .{' file=mine.md.j2' * (name == 'template')} -->" for name in names]
    file.write_text("".join(f"{marker}\n<!-- medbench:end -->\n\nbetween\n" for marker in marked))
    update(file)
    assert update(file) == ""  # so each block still ends where it ended
    return file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Makes all texts of a run folder, once for each kind of payload: (folder, report.md, report.html, README.md)."""
    made = {}

    def make(kind):
        if kind not in made:
            text, names = (harmless, NAMES) if kind == "harmless" else (HOSTILE[kind], HOSTILE_NAMES)
            run = write_document(tmp_path_factory.mktemp("document") / "run", text, names)
            pages = [path.read_text(encoding="utf-8") for path in render(run)]
            made[kind] = (run, *pages, write_all_blocks(run))
        return made[kind]

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_pages_and_readme_blocks_keep_their_structure(outputs, kind):
    _, markdown_page, page, readme = outputs("harmless")
    _, hostile_markdown, hostile_page, hostile_readme = outputs(kind)
    assert Structure(hostile_page).tags == Structure(page).tags
    assert structure(hostile_markdown) == structure(markdown_page)
    assert structure(hostile_readme) == structure(readme)
    for text in (hostile_markdown, hostile_page, hostile_readme):
        assert not any(char in text for char in "\x00\x07\x1b\x9b\r\ufffe")
        assert len(text) < 2_500_000


ANNOTATION = re.compile("::(error|warning|notice) title=medbench gate%3A ")


def gate_report(text, names):
    """A gate report with a rule of each verdict."""
    value = example(GateReport, text, names) | {"policy": DEFAULT.model_dump()}
    (rule,) = value["rules"]
    value["rules"] = [rule | {"verdict": verdict} for verdict in ("fail", "inconclusive", "pass")]
    return GateReport.model_validate(value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_gate_reports_keep_their_structure(kind):
    report, hostile = gate_report(harmless, NAMES), gate_report(HOSTILE[kind], HOSTILE_NAMES)
    assert structure(comment(hostile)) == structure(comment(report))
    assert re.findall(r"##\[|^\s*::|[\u202a-\u202e\u2066-\u2069]", comment(hostile), re.MULTILINE) == []
    tags = [[(part.tag, [*part.attrib]) for part in ET.fromstring(junit_xml(it)).iter()] for it in (hostile, report)]
    assert tags[0] == tags[1]
    for line in github_annotations(hostile):
        assert ANNOTATION.match(line)
        assert line.count("::") == 2 + line.partition(" title=")[2].partition("::")[2].count("::")
        assert printable(line) == line
    comment(hostile).encode()
    junit_xml(hostile).encode()


@pytest.mark.parametrize("kind", HOSTILE)
def test_certificates_keep_their_structure(kind):
    hostile = certificates.markdown(certificate(HOSTILE[kind], HOSTILE_NAMES))
    assert structure(hostile) == structure(certificates.markdown(certificate(harmless, NAMES)))
    assert re.findall(r"##\[|^\s*::", hostile, re.MULTILINE) == []
    hostile.encode()


PLACES = ["{}", "- {}", "1. {}\n", "### {}", "> {}", "a\n{}\nb", "**a {}**", "{}:\n\nb"]


@pytest.mark.parametrize("text", [*filter(str.strip, LINES), EVERYTHING])
def test_a_text_never_becomes_markup(text):
    plain, code, block = (escape(text) for escape in (plain_markdown, code_span, fenced))
    for place in [*PLACES, "| {} | b |\n|---|---|\n| {} | b |"]:
        assert structure(place.replace("{}", plain)) == structure(place.replace("{}", "x"))
    for place in PLACES:
        assert structure(place.replace("{}", code)) == structure(place.replace("{}", "`x`"))
    assert structure(f"a\n\n{block}\n\n- b") == structure("a\n\n```text\nx\n```\n\n- b")


def test_numbers_and_names_stay_as_they_are():
    for text in (
        "-10.6 pp [-22.4, +1.8]",
        "< 0.001",
        "adamw_torch",
        "pass@1",
        "[1, 2] of 3",
        "5 % (n = 3)",
        "#3",
        "1.5",
    ):
        assert plain_markdown(text) == text.replace("[1,", "\\[1,")


def no_control(text):
    """Whether nothing in a text steers a terminal or GitHub's runner but medbench's own annotations."""
    lines = [line for line in text.splitlines() if not ANNOTATION.match(line)]
    steers = re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]|##\\[", text)
    return steers is None and not any(line.lstrip().startswith("::") for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_the_terminal_shows_text_and_every_command_ends_as_it_must(
    outputs, command, without_plots, monkeypatch, tmp_path, kind
):
    run, other = (shutil.copytree(outputs(name)[0], tmp_path / name.replace(" ", "-")) for name in (kind, "harmless"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.chdir(tmp_path)
    for expected, *words in (
        (0, "report", run),
        (1, "gate", run),
        (1, "--log-json", "gate", run),
        (1, "diff", run, other),
        (0, "compare", run, other, "--out", "comparison"),
        (0, "readme", run / "README.md", "--check"),
        (0, "baseline", "set", run, "--name", "x"),
        (0, "convert", run, "--to", "csv"),
        (0, "convert", run, "--to", "lm_eval"),
        (2, "rate", "export", run, "--task", HOSTILE["everything"]("")),
    ):
        code, out, err = command(*words)
        assert (code, bool(err)) == (expected, expected == 2), (words, err)
        assert no_control(out), words
        assert no_control(err), words
    assert structure((tmp_path / "comparison" / "report.md").read_text(encoding="utf-8"))


def test_a_log_has_one_entry_for_each_message(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's would pass lone surrogates on to pytest-xdist
    log_to(tmp_path / "run.log")
    texts = [EVERYTHING, *LINES]
    for text in texts:
        logging.getLogger("transformers").warning("%s", text)
    log_to(None)
    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    entry = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ WARNING transformers:\d+: ")
    assert sum(bool(entry.match(line)) for line in text.splitlines()) == len(texts)
    assert all(entry.match(line) or line.startswith("    ") for line in text.split("\n")[:-1])
    assert no_control(text)
