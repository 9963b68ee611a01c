"""Tables on terminals of any width and in pipes: no number is cut or broken, and words say what colours do."""

import re
from pathlib import Path

import pytest

from harness.console import Styled, Terminal
from harness.runs.showing import show_candidate
from reports.document.reading import read_results
from tests.reports.page.curves import curve_results

QUICKSTART = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "quickstart" / "results.json"
COLUMNS = ("Metric", "base", "adapter", "Difference", "Outcome")
ROWS = [
    (
        "Accuracy after calibration ↑ (PubMedQA, synthetic items)",
        "1,234.5",
        "54.5 %",
        "-9.1 pp [-25.1, +6.9]",
        "? inconclusive",
    ),
    ("Perplexity ↓", "113.5", "45.95", "-67.54 [-78.29, -57.42]", "▲ better (unreliable: too few items)"),
]
NUMBERS = [cell for row in ROWS for cell in row[1:4]]


@pytest.fixture
def on_a_terminal(monkeypatch, capsys):
    """Print on a terminal of some width: (text without colours, text with them)."""

    def show(width, print_it):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm-256color")
        capsys.readouterr()
        print_it(Terminal())
        coloured = capsys.readouterr().out
        return re.sub(r"\x1b\[[0-9;]*m", "", coloured), coloured

    return show


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 200])
def test_no_number_is_cut_or_broken_at_any_width(on_a_terminal, width):
    text, _ = on_a_terminal(width, lambda terminal: terminal.table(COLUMNS, ROWS, left=(4,)))
    lines = text.splitlines()
    assert "…" not in text
    for number in NUMBERS:
        assert any(number in line for line in lines), number
    assert width == 30 or all(len(line.rstrip()) <= width for line in lines)  # lines of a row wrap by themselves
    words = " ".join(text.split())
    assert all(word in words for row in ROWS for cell in row for word in cell.split())


def test_a_terminal_that_is_too_narrow_for_columns_shows_rows_as_lines(on_a_terminal):
    text, _ = on_a_terminal(30, lambda terminal: terminal.table(COLUMNS, ROWS[1:]))
    assert text == (
        "Perplexity ↓\n  base: 113.5\n  adapter: 45.95\n  Difference: -67.54 [-78.29, -57.42]\n"
        "  Outcome: ▲ better (unreliable: too few items)\n"
    )


def test_texts_wrap_between_words_before_anything_else(on_a_terminal):
    text, _ = on_a_terminal(100, lambda terminal: terminal.table(COLUMNS, ROWS, left=(4,)))
    assert [line.split("  ")[0].strip() for line in text.splitlines()][1] != ROWS[0][0]
    assert sum("Accuracy" in line for line in text.splitlines()) == 1


def test_a_pipe_has_no_width(capsys):
    columns, row = [f"seed-{n}" for n in range(40)], [f"{n}.123 [{n}.001, {n}.999]" for n in range(40)]
    Terminal().table(columns, [row], left=True)
    heading, line = capsys.readouterr().out.splitlines()
    assert all(cell in line for cell in row)
    assert all(column in heading for column in columns)
    assert len(line) > 800


def test_headings_wrap_where_their_numbers_are_narrow(on_a_terminal):
    text, _ = on_a_terminal(24, lambda terminal: terminal.table(("a", "Items needed here", "n"), [("x", "7", "8")]))
    assert text.splitlines()[-1].split() == ["x", "7", "8"]
    assert "Items" in text.splitlines()[0]


def test_styled_cells_are_coloured_and_say_the_same_without(on_a_terminal, capsys):
    def show(terminal):
        terminal.table(("Metric", "Outcome"), [("Accuracy", Styled("▲ better", "green"))], left=True)

    text, coloured = on_a_terminal(80, show)
    assert "Accuracy   ▲ better" in text
    assert "\x1b[32m▲ better" in coloured


@pytest.mark.parametrize(
    ("width", "numbers"),
    [
        (40, ["-9.1 pp", "-67.54", "113.5", "45.95"]),
        (80, ["-9.1 pp", "-67.54", "113.5", "45.95"]),
        (99, ["43.9 %    34.8 %      -9.1 pp   66   ? inconclusive"]),
        (100, ["-9.1 pp [-25.1, +6.9]", "-67.54 [-78.29, -57.42]"]),
        (120, ["43.9 %    34.8 %     -9.1 pp [-25.1, +6.9]   66   ? inconclusive"]),
    ],
)
def test_the_quickstart_s_table_is_complete_at_any_width_and_has_intervals_where_there_is_room(
    on_a_terminal, width, numbers
):
    results = read_results(QUICKSTART)
    text, coloured = on_a_terminal(width, lambda terminal: show_candidate(results, "adapter", terminal))
    assert "…" not in text
    assert ("[-25.1, +6.9]" in text) == (width >= 100)
    for number in numbers:
        assert any(number in line for line in text.splitlines()), number
    for colour, outcome in (("32", "▲ better"), ("31", "▼ worse"), ("33", "? inconclusive")):
        assert f"\x1b[{colour}m" in coloured
        assert outcome in text


def test_many_models_in_a_pipe_have_a_block_each_with_whole_words(capsys):
    results = curve_results(rights=(50, 70, 50, 48, 45)).model_copy(update={"learning_curve": None})
    for model in results.models[1:]:
        show_candidate(results, model.name, Terminal())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 * 3
    assert lines[0].split() == ["Metric", "base", "adapter-step-20", "Difference", "n", "Outcome"]
    assert "▲ better" in lines[4]


def test_a_base_alone_has_a_table_of_its_scores(capsys):
    results = curve_results()
    alone = results.model_copy(update={"models": results.models[:1], "comparisons": []})
    show_candidate(alone, "base", Terminal())
    heading, first = capsys.readouterr().out.splitlines()[:2]
    assert heading.split() == ["Metric", "base", "n"]
    assert first.split("   ")[0].strip() == "Accuracy ↑"
    assert "40.0 % [30.9, 49.8]" in first


def test_progress_with_notes_has_a_line_for_each(capsys):
    with Terminal().progress("cells", 2, log=True) as advance:
        advance(0, "base: 440")
        advance(1, "first: 12.5")
        advance(1, "second: 11.5")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "  base: 440"
    assert re.fullmatch(r"  cells: 1/2, about \d+ s left, first: 12\.5", second)
    assert re.fullmatch(r"  cells: 2/2, \d+ s, second: 11\.5", third)


def test_progress_on_a_terminal_leaves_the_notes(on_a_terminal):
    def show(terminal):
        with terminal.progress("cells", 2, log=True) as advance:
            advance(1, "first: 12.5")
            advance(1, "second: 11.5")

    text, _ = on_a_terminal(80, show)
    assert re.search(r"  cells: 1/2, about \d+ s left, first: 12\.5\n", text)
    assert re.search(r"  cells: 2/2, \d+ s, second: 11\.5\n", text)
    assert "2/2" in text
