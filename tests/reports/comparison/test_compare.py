"""What the runs found stays with their models under the names of the comparison."""

import shutil

from reports.comparison.compare import compare_runs
from reports.document.evidence import OverlapMatch
from reports.document.reading import read_results
from reports.files import write_json


def test_items_that_only_some_models_were_trained_on_stay_marked(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "other")
    results = read_results(run)
    names = {"task": "medbench_pubmedqa", "item": "1", "row": "r", "role": "train", "kind": "exact", "part": "question"}
    match = OverlapMatch(**names, share=1.0, rows=1, models=["adapter"])
    check = results.overlap.model_copy(update={"matches": [match], "models": ["adapter"]})
    write_json(run / "results.json", results.model_copy(update={"overlap": check}).model_dump(mode="json"))
    found = compare_runs([run], tmp_path / "out")
    assert found.overlap.affected("medbench_pubmedqa", "other") == 1
    assert "Trained on test items" in " ".join(found.verdict)
