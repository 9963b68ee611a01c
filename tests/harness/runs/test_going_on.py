"""Runs that were interrupted go on where they stopped, and what is answered once is not asked again."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.crash_proof import Bench, answered, lasting
from harness.engines.kinds import ENGINES
from reports.document.reading import read_results

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of this test's own; its home folder."""
    home = tmp_path / "home"
    monkeypatch.setenv("MEDBENCH_HOME", str(home))
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    return home


@pytest.fixture
def asked(monkeypatch):
    """Number of answers that the engine gave, by call; a test may have it fail after some."""
    counts = SimpleNamespace(given=[], after=lambda _: None)
    kind = ENGINES["transformers"]

    def start(config):
        engine = kind.start(config)
        respond = engine.respond

        def counted(*args):
            counts.given.append(0)
            for response in respond(*args):
                counts.given[-1] += 1
                yield response
                counts.after(counts.given[-1])

        engine.respond = counted  # type: ignore[method-assign]
        return engine

    monkeypatch.setitem(ENGINES, "transformers", replace(kind, start=start))
    return counts


def stop_after(count, error):
    def check(given):
        if given == count:
            raise error

    return check


@pytest.mark.parametrize("at", [20, 47])
def test_a_run_killed_while_it_answers_goes_on_and_ends_as_if_nothing_had_been(
    store, asked, tiny_recipe, tiny_run, tmp_path, command, at
):
    out = tmp_path / "run"
    asked.after = stop_after(at, KeyboardInterrupt())
    shutil.copytree(tiny_run / "adapter", out / "adapter")
    code, _, _ = command("run", "--recipe", tiny_recipe, "--out", out)
    assert code == 130
    assert answered(store) == {1: at}
    asked.after = lambda _: None
    code, printed, err = command("run", "--recipe", tiny_recipe, "--out", out)
    assert code == 0, err
    assert f"{at} of 60 answers are in the store, {60 - at} are asked" in printed
    assert asked.given[:2] == [at, 60 - at]
    assert set(answered(store)) == {1}
    assert lasting(out) == lasting(tiny_run)
    costs = read_results(out).costs
    partly = [each.reused_answers for each in costs if not each.reused]
    assert sum(partly) == {20: 2, 47: 17}[at]
    assert all((each.reused_seconds > 0) == bool(each.reused or each.reused_answers) for each in costs)


def test_another_folder_asks_nothing_and_again_asks_everything(store, asked, tiny_recipe, tiny_run, tmp_path, command):
    words = ("run", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", "--out")
    assert command(*words, tmp_path / "one")[0] == 0
    first = list(asked.given)
    assert first[0] == 60
    code, printed, err = command(*words, tmp_path / "two")
    assert code == 0, err
    assert asked.given == first
    assert "60 of 60 answers are in the store, 0 are asked" in printed
    results = read_results(tmp_path / "two")
    assert all(cost.reused and cost.seconds == cost.reused_seconds for cost in results.costs)
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert two["scores"] == one["scores"]
    assert two["engine"].items() <= one["engine"].items()
    assert two["engine"]["batch_tokens"] == one["engine"]["batch_tokens"]
    assert command(*words, tmp_path / "two", "--again")[0] == 0
    assert asked.given == 2 * first


@pytest.mark.parametrize("change", ["lora_alpha", "base config"])
def test_a_changed_model_gets_no_answers_of_the_other(
    store, asked, tiny_recipe, tiny_run, tiny_model, tmp_path, command, change
):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(tiny_model, base)
    shutil.copytree(tiny_run / "adapter", adapter)
    words = ["run", "--recipe", tiny_recipe, "--models", f"base,mine={adapter}", "--set", f"model.base={base}"]
    words += ["--set", "scoring.noise_items=0", "--tasks", "medbench_perplexity", "--out", tmp_path / "run"]
    assert command(*words)[0] == 0
    file, key = {
        "lora_alpha": (adapter / "adapter_config.json", "lora_alpha"),
        "base config": (base / "config.json", "rms_norm_eps"),
    }[change]
    file.write_text(json.dumps({**json.loads(file.read_text()), key: 1e-3}))
    assert command(*words)[0] == 0
    assert asked.given == ([12, 6] if change == "lora_alpha" else [12, 12])


def test_a_check_of_noise_takes_no_answers_of_what_it_checks(store, asked, tiny_recipe, tiny_run, tmp_path, command):
    """The same batches as the check's own would let it find its questions in the store."""
    settings = ["--set", "scoring.batch_tokens=512", "--set", "scoring.batch_rows=3", "--set", "scoring.noise_items=6"]
    words = ("run", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", *settings)
    assert command(*words, "--out", tmp_path / "run")[0] == 0
    assert len(asked.given) == 1 + 4  # of the run, and of the check's rounds
    assert all(asked.given)


def test_a_device_that_is_lost_is_told_and_everything_answered_kept(
    store, asked, tiny_recipe, tiny_run, tmp_path, command
):
    words = ("run", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", "--out", tmp_path / "run")
    asked.after = stop_after(30, torch.AcceleratorError("CUDA error: unspecified launch failure"))
    code, _, err = command(*words)
    assert code == 2
    assert "the device failed" in err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert answered(store) == {1: 30}
    asked.after = lambda _: None
    assert command(*words)[0] == 0
    assert asked.given[1] == 30


def test_a_full_disk_while_training_keeps_the_checkpoints(store, tiny_recipe, tiny_run, tmp_path, command, monkeypatch):
    import safetensors.torch

    save = safetensors.torch.save_file

    def full(tensors, filename, *args, **kwargs):
        if "checkpoint-3" in str(filename):
            raise safetensors.SafetensorError(
                "Error while serializing: I/O error: No space left on device (os error 28)"
            )
        return save(tensors, filename, *args, **kwargs)

    monkeypatch.setattr("peft.peft_model.safe_save_file", full)
    words = ("train", "--recipe", tiny_recipe, "--out", tmp_path / "run", "--set", "trainer.save_steps=1")
    code, _, err = command(*words)
    assert code == 2
    assert "the disk cannot be written to" in err
    monkeypatch.undo()
    code, printed, err = command(*words)
    assert code == 0, err
    assert "resuming from step 2" in printed
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (tiny_run / name).read_bytes()


def test_a_full_disk_while_results_are_written_loses_nothing(store, asked, tiny_recipe, tmp_path, command, full_disk):
    words = ("run", "--recipe", tiny_recipe, "--models", "base", "--tasks", "medbench_perplexity", "--out")
    with full_disk("results.json"):
        code, _, err = command(*words, tmp_path / "run")
    assert code == 2
    assert "results.json: cannot write the file (No space left on device)" in err
    assert not list((tmp_path / "run").rglob("*.part"))
    before = list(asked.given)
    assert command(*words, tmp_path / "run")[0] == 0
    assert asked.given == before


def test_figures_never_stand_beside_samples_of_other_items(store, tiny_recipe, tmp_path, command, full_disk):
    words = ["run", "--recipe", tiny_recipe, "--models", "base", "--tasks", "medbench_perplexity"]
    words += ["--set", "scoring.noise_items=0", "--out", tmp_path]
    assert command(*words)[0] == 0
    scores = read_results(tmp_path).scores
    samples = (tmp_path / "samples" / "base" / "medbench_perplexity.jsonl").read_text()
    with full_disk("medbench_perplexity.json."):
        others = "data.reasoning={source: 'samples:reasoning_heldout', start: 6}"
        code, _, err = command(*words, "--set", others)
        assert (code, "No space left" in err) == (2, True)
    assert (tmp_path / "samples" / "base" / "medbench_perplexity.jsonl").read_text() != samples
    assert command(*words)[0] == 0
    assert read_results(tmp_path).scores == scores
    assert (tmp_path / "samples" / "base" / "medbench_perplexity.jsonl").read_text() == samples


@pytest.mark.slow
def test_a_real_run_is_stopped_by_signals_one_after_another_and_ends_the_same(tiny_recipe, tiny_run, tmp_path):
    """The shorter version of `benchmarks.crash_proof`; each signal comes in the middle of a stage."""
    bench = Bench(tmp_path, ["--recipe", str(tiny_recipe)])
    folder = tmp_path / "folder"
    for number, stage, code in (
        (signal.SIGTERM, "train", 143),
        (signal.SIGINT, "answer", 130),
        (signal.SIGKILL, "answer", -signal.SIGKILL),
    ):
        run = bench.start(folder)
        assert run.wait_for(stage, 0.7)
        found, said = run.end(number)
        assert found == code, said
        assert "Traceback" not in said
        if number is not signal.SIGKILL:
            last = said.strip().splitlines()[-1]
            assert last.startswith(f"stopped by {number.name}; what is done is kept, go on with: medbench run --recipe")
    found, said = bench.start(folder).end()
    assert found == 0, said
    assert lasting(folder / "run") == lasting(tiny_run)
    assert set(answered(folder / "home")) == {1}
    assert not list(folder.rglob("*.part"))


def test_what_a_killed_process_was_writing_is_tidied_up(tmp_path):
    from harness.folder import RunFolder

    (tmp_path / "samples").mkdir()
    part = tmp_path / "samples" / ".some.jsonl.abc.part"
    part.write_text("half")
    with RunFolder(tmp_path).lock():
        assert not part.exists()


def test_processes_of_one_run_make_its_folder_at_once(tmp_path, monkeypatch):
    from harness.folder import RunFolder

    touch = Path.touch

    def touched_and_removed_by_another(path):
        touch(path)
        path.unlink()

    monkeypatch.setattr(Path, "touch", touched_and_removed_by_another)
    RunFolder(tmp_path / "run").make()
    assert not list((tmp_path / "run").iterdir())


def test_the_cache_commands_say_and_clear_what_is_kept(store, tiny_recipe, tmp_path, command):
    words = ("run", "--recipe", tiny_recipe, "--models", "base", "--tasks", "medbench_perplexity")
    assert command(*words, "--out", tmp_path / "run")[0] == 0
    code, out, _ = command("cache", "info")
    assert code == 0
    assert str(store / "answers" / "answers.sqlite") in out.replace("\n", "")
    assert "of at most 1,000 MB" in out
    entries = int(out.split(" entries")[0].split()[-1])
    assert entries == answered(store).total() + 1  # how the engine was set up
    code, out, _ = command("cache", "clear")
    assert code == 0
    assert f"{entries} entries removed" in out
    assert "0 entries" in command("cache", "info")[1]


def test_the_cache_commands_say_that_a_damaged_store_was_set_aside(store, command):
    path = store / "answers" / "answers.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database " * 100)
    code, out, _ = command("cache", "info")
    assert (code, "0 entries" in out) == (0, True)
    assert "the answer store was damaged or of another version; set aside as answers.sqlite.damaged-1" in out
    _, out, _ = command("cache", "info")
    assert "set aside" not in out
    assert "damaged files beside it: 1, 0.0 MB, removed by `medbench cache clear`" in out
    assert command("cache", "clear")[0] == 0
    assert list(path.parent.glob("*.damaged-*")) == []


@pytest.mark.parametrize(("value", "code"), [("0", 0), ("much", 2), ("-1", 2)])
def test_the_store_can_be_done_without(store, monkeypatch, command, value, code):
    monkeypatch.setenv("MEDBENCH_CACHE_GB", value)
    found, out, err = command("cache", "info")
    assert found == code
    assert ("there is no answer store" in out) == (code == 0)
    assert ("is no size" in err) == (code == 2)
