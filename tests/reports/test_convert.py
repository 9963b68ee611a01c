"""A run in the layouts of other tools: all of it, readable by them."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from reports.convert import convert
from reports.document.checksums import write_facts
from reports.document.reading import read_results


@pytest.mark.parametrize("layout", ["csv", "parquet"])
def test_scores_and_samples_are_tables_that_pandas_reads(tiny_run, tmp_path, layout):
    paths = convert(tiny_run, layout, tmp_path)
    read = pd.read_csv if layout == "csv" else pd.read_parquet
    scores, samples = (read(path) for path in paths)
    results = read_results(tiny_run)
    assert len(scores) == len(results.scores)
    assert scores["value"].tolist() == pytest.approx([each.value for each in results.scores])
    assert len(samples) == 2 * 3 * 6
    accuracy = samples[samples.task == "medbench_pubmedqa"].groupby("model")["metric.accuracy"].mean()
    expected = {each.model: each.value for each in results.scores if each.metric == "accuracy"}
    assert accuracy.to_dict() == pytest.approx(expected)


def test_samples_are_read_by_pandas_in_one_line(tiny_run):
    samples = pd.read_json(tiny_run / "samples" / "base" / "medbench_generation.jsonl", lines=True)
    assert len(samples) == 6


def test_lm_eval_s_layout_is_read_by_lm_eval_s_own_tools(tiny_run, tmp_path, command):
    code, out, _ = command("convert", tiny_run, "--to", "lm_eval", "--out", tmp_path)
    assert code == 0
    from lm_eval.utils import get_results_filenames, get_sample_results_filenames

    names = [str(path) for path in (tmp_path / "adapter").iterdir()]
    assert len(get_results_filenames(names)) == 1
    assert len(get_sample_results_filenames(names)) == 3
    value = json.loads(Path(get_results_filenames(names)[0]).read_text())
    accuracy = value["results"]["medbench_pubmedqa"]["accuracy,none"]
    path = next((tmp_path / "adapter").glob("samples_medbench_pubmedqa_*.jsonl"))
    assert str(path) in out
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    assert sum(each["accuracy"] for each in samples) / len(samples) == accuracy
    assert len(samples[0]["resps"]) == len(samples[0]["arguments"]) == 3


@pytest.mark.parametrize("layout", ["csv", "parquet", "lm_eval"])
def test_half_a_character_in_an_answer_stops_no_layout(tiny_run, tmp_path, layout):
    """JSON may hold half of a surrogate pair, as cut-off texts of others do; UTF-8 cannot."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    path = run / "samples" / "adapter" / "medbench_generation.jsonl"
    first, _, rest = path.read_text().partition("\n")
    path.write_text(json.dumps(json.loads(first) | {"output": "cut \ud83d", "prompt": "\ude00"}) + "\n" + rest)
    write_facts(path)
    written = convert(run, layout, tmp_path / "out")
    if layout == "lm_eval":
        assert any('"cut \\ud83d"' in each.read_text(encoding="utf-8") for each in written)
    else:
        samples = (pd.read_csv if layout == "csv" else pd.read_parquet)(written[1])
        assert "cut \ufffd" in samples["output"].tolist()


@pytest.mark.parametrize("layout", ["csv", "parquet"])
def test_a_broken_line_leaves_no_half_of_a_file(tiny_run, command, tmp_path, layout):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    with (run / "samples" / "adapter" / "medbench_generation.jsonl").open("a") as stream:
        stream.write('{"id": ')
    write_facts(run / "samples" / "adapter" / "medbench_generation.jsonl")
    code, _, _ = command("convert", run, "--to", layout, "--out", tmp_path / "out")
    assert code == 2
    assert not [path for path in (tmp_path / "out").rglob("*samples*") if path.is_file()]
