"""A run with `scoring.slices` whose adapter is worse in one speciality, which the report names and the gate blocks."""

import json

import pytest
import yaml

import harness
from reports.errors import UserError
from tests.harness.scripted_engine import SCRIPT, gold, install_scripted_engine, write_items, write_script

ITEMS, SPECIALITIES = 320, ("heart", "lung", "eye", "skin", "bone", "blood", "brain", "gut")
BAD = "eye"


def speciality(number):
    return SPECIALITIES[number % len(SPECIALITIES)]


@pytest.fixture
def sliced_run(tiny_run, tiny_recipe, tmp_path, monkeypatch, without_plots):
    """Runs with a scripted engine; items have a speciality, all but the last five a year, and none a journal."""
    monkeypatch.chdir(tmp_path)
    install_scripted_engine(tmp_path / "plugins")
    monkeypatch.syspath_prepend(tmp_path / "plugins")
    monkeypatch.setenv(SCRIPT, str(tmp_path / "script.json"))
    write_items(tmp_path / "items.json", ITEMS)
    items = json.loads((tmp_path / "items.json").read_text())
    for name, item in items.items():
        item |= {"speciality": speciality(int(name)), "journal": ""}
        if int(name) < ITEMS - 5:
            item["year"] = 1990 + int(name) // 20
    (tmp_path / "items.json").write_text(json.dumps(items))
    wrong = {"yes": "no", "no": "maybe", "maybe": "yes"}
    right = [gold(number) for number in range(ITEMS)]
    base = [wrong[label] if number % 7 == 0 else label for number, label in enumerate(right)]
    bad = [wrong[label] if speciality(n) == BAD and n % 3 == 0 else base[n] for n, label in enumerate(right)]
    write_script(tmp_path / "script.json", base, bad)
    recipe = yaml.safe_load(tiny_recipe.read_text())
    recipe["data"]["pubmedqa"] = {"source": "items.json"}
    recipe["scoring"] = {"engine": "scripted", "tasks": ["medbench_pubmedqa"], "noise_items": 0}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))

    def run(slices, *settings):
        models = f"base,tuned={tiny_run / 'adapter'}"
        settings = (f"scoring.slices=[{slices}]", *settings)
        return harness.run("recipe.yaml", models=models, out="run", settings=settings, quiet=True)

    return run


def test_the_bad_speciality_is_named_and_blocked(sliced_run, tmp_path, command):
    results = sliced_run("speciality, year, length, class")
    assert {(one.metric, one.column, one.value) for one in results.worst_slices} == {
        ("accuracy", "speciality", BAD),
        ("macro_f1", "speciality", BAD),
    }
    worst = results.worst_slices[0]
    assert (worst.n, worst.difference, worst.high < 0) == (40, pytest.approx(-11 / 40), True)
    by = {one.column: {part.value: part.n for part in one.slices} for one in results.slices}
    assert by["speciality"] == dict.fromkeys(SPECIALITIES, 40)
    assert by["year"][None] == 5
    assert sum(by["year"].values()) == ITEMS
    assert by["class"] == {"no": 128, "yes": 128, "maybe": 64}
    assert len(by["length"]) == 3  # names of one, two and three digits
    report = (tmp_path / "run/report.md").read_text()
    page = (tmp_path / "run/report.html").read_text()
    for text in (report, page):
        assert f"Worst slice: tuned is worse in Accuracy on the 40 items with speciality {BAD}" in text
        assert f"speciality: {BAD}" in text
    assert "no value (5)" in report

    policy = tmp_path / "gate.yaml"
    rule = {"rule": "no_bad_slice", "metric": "*/accuracy", "by": ["speciality", "year"]}
    policy.write_text(yaml.safe_dump({"version": 1, "rules": [rule]}))
    code, *_ = command("gate", "run", "--policy", policy)
    (judged,) = json.loads((tmp_path / "run/gate.json").read_text())["rules"]
    assert (code, judged["verdict"], judged["slice"]) == (1, "fail", f"speciality {BAD}")
    assert command("baseline", "set", "run", "--model", "base", "--name", "stored")[0] == 0
    code, _, error = command("gate", "run", "--policy", policy, "--candidate", "tuned", "--baseline", "stored")
    assert code == 1, error
    policy.write_text(yaml.safe_dump({"version": 1, "rules": [rule | {"margin": 0.5}]}))
    assert command("gate", "run", "--policy", policy)[0] == 0


def test_other_slices_need_no_new_answers(sliced_run, tmp_path):
    assert sliced_run("").slices == []
    samples = tmp_path / "run/samples/tuned/medbench_pubmedqa.jsonl"
    before = samples.stat().st_mtime_ns
    assert [one.value for one in sliced_run("speciality").worst_slices] == [BAD, BAD]
    assert samples.stat().st_mtime_ns == before


def test_a_task_without_the_column_has_no_slices_by_it(sliced_run):
    tasks = "scoring.tasks=[medbench_pubmedqa, medbench_perplexity]"
    results = sliced_run("speciality", tasks)
    assert [(one.task, one.missing) for one in results.slices] == [
        ("medbench_pubmedqa", ""),
        ("medbench_perplexity", "no item has a value of speciality"),
    ]


@pytest.mark.parametrize("name", ["specialty", "journal"])
def test_a_column_that_no_task_has_is_an_error_before_the_run(sliced_run, tmp_path, name):
    with pytest.raises(UserError) as caught:
        sliced_run(f"year, {name}")
    assert caught.value.what == f"no item of medbench_pubmedqa has a value of {name}"
    assert caught.value.where == "scoring.slices"
    assert "The columns are speciality, year, class, length" in caught.value.fix
    assert ("did you mean speciality?" in caught.value.fix) == (name == "specialty")
    assert not (tmp_path / "run/samples").exists()
