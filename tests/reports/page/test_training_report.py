"""What a report says of training: the tables, full fine-tuning marked as computed, and the plot of the losses."""

import shutil
from xml.etree import ElementTree as ET

import pytest
from matplotlib import rc_context

from reports import training_tables
from reports.document.reading import read_results
from reports.document.schema import MemoryUse
from reports.files import write_json
from reports.page import plots
from reports.page.render import render

GIB = 2**30
LOSSES = [
    *({"step": step, "loss": 3.0 - step / 10} for step in range(1, 11)),
    *({"step": step, "eval_loss": loss} for step, loss in ((2, 2.9), (4, 2.5), (6, 2.4), (8, 2.6), (10, 2.7))),
]
ON_A_CARD = {
    "device": "Some GPU",
    "batch_size": 1,
    "gradient_accumulation": 2,
    "seconds_per_step": 2.5,
    "tokens_per_second": 6543.2,
    "memory": MemoryUse(
        device_total_bytes=16 * GIB,
        before_allocated_bytes=5 * GIB,
        before_reserved_bytes=6 * GIB,
        peak_allocated_bytes=7 * GIB,
        peak_reserved_bytes=8 * GIB,
        after_allocated_bytes=5 * GIB,
        after_reserved_bytes=8 * GIB,
    ),
    "estimated_memory": {"base weights": 5 * GIB, "adapter": GIB, "optimizer": 2 * GIB},
    "full_finetuning_memory": {"base weights": 15 * GIB, "adapter": 0, "optimizer": 60 * GIB},
    "losses": LOSSES,
}
SINCE = {"processes", "dtype", "attention", "batch_size", "gradient_accumulation", "seconds_per_step"}
SINCE |= {"tokens_per_second", "memory", "estimated_memory", "full_finetuning_memory"}


@pytest.fixture
def results(tiny_run):
    """Results with a training as given, else as of a GPU."""

    def make(**change):
        found = read_results(tiny_run)
        return found.model_copy(update={"training": found.training.model_copy(update=ON_A_CARD | change)})

    return make


def cells(table):
    return {row[0]: row[1:] for row in table.rows}


def test_the_training_table_says_what_was_trained_how_and_how_fast(results):
    table = cells(training_tables.training_table(results()))
    assert table["Backend and device"] == ("trl, Some GPU, float32, sdpa_by_row attention",)
    assert table["Base"] == ("tiny, 4-bit NF4 with double quantisation",)
    assert table["Adapter"][0].startswith("LoRA r 4, alpha 8, dropout 0, on q_proj, ")
    assert table["Optimisation"] == ("adamw_torch, learning rate 0.01, linear schedule, rows of up to 512 tokens",)
    assert table["Parameters"][0].startswith("8,192 of ")
    assert table["Batch as used"] == ("1 x 2, 2 rows per step; the recipe's 2 x 1 did not fit into memory",)
    assert table["Seconds per step"] == ("2.50",)
    assert table["Tokens per second"] == ("6,543, without padding",)
    assert table["First and last loss"] == ("2.900 -> 2.000",)
    assert table["Lowest validation loss"] == ("2.400 at step 6",)


def test_the_batch_counts_all_devices_and_says_when_memory_made_it_smaller(results):
    for change, text in (
        ({"batch_size": 2, "gradient_accumulation": 1}, "2 x 1, 2 rows per step"),
        ({"batch_size": 2, "gradient_accumulation": 1, "processes": 4}, "2 x 1 on each of 4 devices, 8 rows per step"),
        ({}, "1 x 2, 2 rows per step; the recipe's 2 x 1 did not fit into memory"),
    ):
        assert cells(training_tables.training_table(results(**change)))["Batch as used"] == (text,)


def test_memory_is_told_before_at_the_peak_and_after_with_what_training_took(results):
    table = training_tables.memory_table(results())
    assert table.columns == ("Memory", "Allocated", "Reserved")
    assert cells(table) == {
        "Before the first step": ("5.00 GiB", "6.00 GiB"),
        "Peak during training": ("7.00 GiB", "8.00 GiB"),
        "After": ("5.00 GiB", "8.00 GiB"),
        "Used by training itself (peak minus before)": ("2.00 GiB", "2.00 GiB"),
        "Peak as a share of the card, 16.00 GiB": ("43.8 %", "50.0 %"),
    }


def test_on_a_cpu_memory_is_one_column_of_what_was_resident(results):
    table = training_tables.memory_table(results(device="cpu"))
    assert table.columns == ("Memory", "Resident")
    assert "Peak as a share of the machine's memory, 16.00 GiB" in cells(table)


def test_full_finetuning_is_marked_as_computed_and_stands_beside_the_measured_peak(results):
    table = training_tables.full_finetuning_table(results())
    assert table.columns == ("Component", "QLoRA, computed", "Full fine-tuning, computed")
    assert cells(table) == {
        "Base weights": ("5.00 GiB", "15.00 GiB"),
        "Adapter": ("1.00 GiB", "0.00 GiB"),
        "Optimizer": ("2.00 GiB", "60.00 GiB"),
        "Total, computed": ("8.00 GiB", "75.00 GiB"),
        "Peak, measured (allocated)": ("7.00 GiB", "not run"),
        "Computed compared with measured": ("+14 %", ""),
    }
    # A GPU's estimate and a CPU's whole process are no two figures of one thing.
    assert "Computed compared with measured" not in cells(training_tables.full_finetuning_table(results(device="cpu")))


def test_the_losses_at_a_few_steps_have_the_lowest_among_them(results):
    table = training_tables.losses_table(results())
    assert [row[0] for row in table.rows] == ["1", "2", "4", "6", "8", "10"]
    assert table.rows[2] == ("4", "2.650", "2.500")
    assert table.rows[3] == ("6", "2.450", "2.400 (lowest)")
    many = [{"step": step, "loss": 1.0} for step in range(1, 1001)] + [
        {"step": step, "eval_loss": 1.5 if step == 170 else 2.0} for step in range(10, 1001, 10)
    ]
    steps = [row[0] for row in training_tables.losses_table(results(losses=many)).rows]
    assert len(steps) == 9
    assert {"1", "170", "1000"} <= set(steps)
    assert training_tables.losses_table(results(losses=LOSSES[:3])).columns[1:] == (
        "Training loss (mean since the previous row)",
    )


def test_the_picture_has_words_for_those_who_do_not_see_it_and_the_page_s_colours(results):
    found = plots.losses_plot(results())
    root = ET.fromstring(found.svg)
    assert (root.tag, root.get("role")) == ("svg", "img")
    names = {each.get("id"): each for each in root.iter() if each.get("id")}
    assert names[root.get("aria-labelledby")].text == "Training and validation loss by step"
    assert names[root.get("aria-describedby")].text == found.alternative
    assert "training loss goes from 2.900 at step 1 to 2.000 at step 10" in found.alternative
    assert "its lowest is 2.400 at step 6" in found.alternative
    assert all(name.startswith("losses-") for name in names)
    assert {"training", "validation", "step"} <= {each.text for each in root.iter("text")}
    assert not list(root.iter("style"))
    for outside in ("http", "xlink", "xmlns", "DejaVu", "#000"):
        assert outside not in found.svg
    for colour in ("currentColor", "var(--series-1,", "var(--series-2,", "var(--line,"):
        assert colour in found.svg


def test_the_same_losses_give_the_same_plot_and_many_no_larger_one(results, tmp_path):
    before = plots.losses_plot(results()).svg
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\n")
    with rc_context(fname=tmp_path / "matplotlibrc"):
        assert plots.losses_plot(results()).svg == before
    many = [{"step": step, "loss": 1 + step % 7} for step in range(1, 20_001)]
    found = plots.losses_plot(results(losses=many))
    assert len(found.svg) < 30_000
    assert "means over 400 equal intervals" in found.title


@pytest.mark.parametrize("losses", [[], [{"step": 3, "loss": 1.0}], [{"step": 3, "eval_loss": 1.0}]])
def test_few_or_no_losses_and_results_of_earlier_versions_make_a_report(tiny_run, results, tmp_path, losses):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    value = results(losses=losses).model_dump(mode="json")
    value["training"] = {name: each for name, each in value["training"].items() if name not in SINCE}
    write_json(run / "results.json", value)
    for path in render(run):
        text = path.read_text(encoding="utf-8")
        assert "Seconds per step" in text
        assert "Memory during training" not in text
        assert ("Training loss (mean" in text) == bool(losses)
        assert ('id="losses-title"' in text) == (bool(losses) and path.suffix == ".html")


def test_both_reports_hold_the_whole_training_section(tiny_run, results, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    write_json(run / "results.json", results().model_dump(mode="json"))
    for path in render(run):
        text = path.read_text(encoding="utf-8").replace("&#39;", "'")
        for words in (
            "Tokens per second",
            "Memory during training",
            "Peak during training",
            "Full fine-tuning, computed",
            training_tables.COMPUTED,
            training_tables.MEASURED,
            "2.400 (lowest)",
        ):
            assert words in text, words


def test_a_run_measures_all_that_its_report_shows(tiny_run):
    training = read_results(tiny_run).training
    use = training.memory
    assert 0 < use.before_allocated_bytes <= use.peak_allocated_bytes < use.device_total_bytes
    assert training.tokens_per_second > 0
    text = (tiny_run / "report.md").read_text(encoding="utf-8")
    for words in ("Peak during training", "Full fine-tuning, computed", "Tokens per second", "Lowest validation loss"):
        assert words in text


def test_a_run_without_training_has_no_training_section(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    write_json(run / "results.json", read_results(run).model_copy(update={"training": None}).model_dump(mode="json"))
    for path in render(run):
        assert "Training" not in path.read_text(encoding="utf-8")
