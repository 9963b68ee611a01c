"""Rating what a judge rated: the draw, the join with people's marks, and calibrated differences in the results."""

import csv
import io
import json

import pytest

from reports.document.reading import read_results
from reports.rating_sheet import ASPECTS
from tests.harness.judging.conftest import ITEMS, quality
from tests.harness.judging.fake_judge import FakeJudge, honest, judging_of, prefers


def fill(run, path, mark, *, skips=()):
    """Fill the exported sheet as a synthetic rater; `mark` makes an answer's mark from its key entry."""
    text = (run / "ratings" / "sheet.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    key = json.loads((run / "ratings" / "key.json").read_text())["codes"]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            entry = key[row["code"]]
            skipped = entry["item"] in skips
            writer.writerow(row | dict.fromkeys(ASPECTS, "" if skipped else mark(entry["model"], entry["item"])))
    return path


def person(model, item):
    """A person who sees the quality of an answer."""
    return quality(model, int(item.removeprefix("item "))) + 1


@pytest.fixture
def drawn(run, judged, command):
    """A judged run with a sheet for people: (run, what the key says of the draw)."""
    assert judged(honest)[0] == 0
    code, _, err = command("rate", "export", run, "--for-judge", "--items", 12)
    assert code == 0, err
    return run, json.loads((run / "ratings" / "key.json").read_text())


def test_items_are_drawn_alike_from_all_thirds_of_the_judges_differences(drawn):
    _, key = drawn
    draw = key["draw"]
    assert (draw["judge"], draw["rubric"]) == ("served", "five-aspects")
    assert len(draw["strata"]) == ITEMS
    rated = {entry["item"] for entry in key["codes"].values()}
    assert len(rated) == 12
    assert {entry["model"] for entry in key["codes"].values()} == {"base", "adapter"}
    of_rated = [draw["strata"][item] for item in rated]
    assert [of_rated.count(number) for number in range(3)] == [4, 4, 4]
    judged = {item: quality("adapter", n) - quality("base", n) for item in draw["strata"] for n in [int(item[5:])]}
    means = [[judged[item] for item, stratum in draw["strata"].items() if stratum == number] for number in range(3)]
    assert max(means[0]) <= min(means[1])
    assert max(means[1]) <= min(means[2])


def test_the_judge_that_rated_most_answers_makes_the_thirds(run, command, without_plots):
    def judge(name, verdict):
        with FakeJudge(verdict).running() as address:
            assert command("judge", run, "--judge", address.replace("served", name))[0] == 0

    judge("a-first", lambda _: "I would rather not say.")
    judge("b-second", honest)
    assert command("rate", "export", run, "--for-judge")[0] == 0
    draw = json.loads((run / "ratings" / "key.json").read_text())["draw"]
    assert draw["judge"] == "b-second"


def test_peoples_marks_calibrate_the_judge(drawn, command, tmp_path):
    run, _ = drawn
    code, printed, err = command("rate", "import", run, fill(run, tmp_path / "ada.csv", person))
    assert code == 0, err
    assert "Five aspects (1 to 5), judged by served, calibrated by people" in printed
    assert "adapter: Completeness" in printed
    by_metric = {one.metric: one for one in judging_of(run).calibration}
    assert set(by_metric) == set(ASPECTS)
    one = by_metric["completeness"]
    assert (one.rated, one.others, one.imputed, one.answers) == (12, ITEMS - 12, 0, 24)
    assert one.value == pytest.approx(1 / 3)  # one on the third where the judge sees it too, none on the others
    assert one.low < 1 / 3 < one.high
    assert 0 < one.kappa < 1  # one point apart everywhere
    assert one.kappa_low < one.kappa < one.kappa_high
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "Calibrated: the judge's error on the answers that people rated is taken out" in report
    assert "Uncalibrated" not in report
    code, _, err = command("run", "--out", run, "--again")
    assert code == 0, err
    assert read_results(run).judging[0].outdated == 2 * ITEMS  # the answers by hand are gone


def test_without_a_rating_in_a_third_nothing_is_calibrated(drawn, command, tmp_path):
    run, key = drawn
    skips = [item for item, stratum in key["draw"]["strata"].items() if stratum == 1]
    command("rate", "import", run, fill(run, tmp_path / "ada.csv", person, skips=skips))
    one = judging_of(run).calibration[0]
    assert (one.value, one.why, one.rated) == (None, "a stratum has no rated item", 8)
    assert "Uncalibrated" in (run / "report.md").read_text(encoding="utf-8")


def test_a_simple_random_sheet_calibrates_too(run, judged, command, tmp_path):
    judged(honest)
    assert command("rate", "export", run, "--items", 15)[0] == 0
    command("rate", "import", run, fill(run, tmp_path / "ada.csv", person))
    one = judging_of(run).calibration[0]
    assert (one.rated, one.others) == (15, 15)
    assert one.low < 1 / 3 < one.high
    assert one.high - one.low < one.human_high - one.human_low  # the judge sees the quality, one point lower
    assert one.weight > 0.3


def test_only_a_judge_of_the_sheets_aspects_can_be_calibrated(run, judged, command):
    judged(lambda _: prefers("tie"), "--rubric", "preference")
    code, _, err = command("rate", "export", run, "--for-judge")
    assert code == 2
    assert "no judge has rated answers of two models by the aspects of the sheet" in err


def test_more_items_are_drawn_beside_the_rated_ones_and_all_marks_count(drawn, command, tmp_path):
    run, first = drawn
    assert command("rate", "import", run, fill(run, tmp_path / "ada.csv", person))[0] == 0
    code, _, err = command("rate", "export", run, "--more", "--items", 6)
    assert code == 0, err
    key = json.loads((run / "ratings" / "key.json").read_text())
    assert key["draw"] == first["draw"]
    assert key["codes"].items() > first["codes"].items()
    assert len({entry["item"] for entry in key["codes"].values()}) == 18
    code, printed, err = command("rate", "import", run, fill(run, tmp_path / "ada.csv", person))
    assert code == 0, err
    assert "imported before and still counted: 24 answers rated by ada" in printed
    assert {one.rated for one in judging_of(run).calibration} == {18}
    assert read_results(run).ratings.answers == 36
    code, _, err = command("rate", "export", run, "--more", "--again")
    assert code == 2
    assert "more items are drawn as the earlier ones were" in err
    assert command("rate", "export", run, "--more", "--items", 99)[0] == 0
    code, _, err = command("rate", "export", run, "--more")
    assert "all items are on a sheet already" in err
