"""Hostile inputs of every kind, and what each is given to: `fuzz` draws them and runs the command on each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from reports.document.checksums import write_facts
from reports.names import is_plain_name
from tests.fuzzing.bench import Bench, TooSlowError
from tests.fuzzing.drawing import JUNK, TEXT, changed, damaged, places


def recipes(data: st.DataObject, bench: Bench) -> None:
    """Recipes with other values, keys and types, and files that are none."""
    value = yaml.safe_load(bench.recipe.read_text())
    junk = st.deferred(lambda: JUNK)
    text = data.draw(
        changed(value, junk).map(_yaml)
        | changed(value, junk).flatmap(lambda once: changed(once, junk) if once else st.just(once)).map(_yaml)
        | damaged(bench.recipe.read_bytes())
    )
    if _names_foreign_tasks(
        text
    ):  # lm-eval takes longer than that to read the 14,000 files with the names of its tasks
        return
    path = bench.root / "fuzzed.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    bench.call("recipes", "plan", path)


def _names_foreign_tasks(text: str | bytes) -> bool:
    from tasks.catalog import METRICS

    try:
        value = yaml.safe_load(text)
        asked = value["scoring"]["tasks"]
    except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError):
        return False
    return any(is_plain_name(str(each)) and each not in METRICS for each in asked if isinstance(asked, list))


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, allow_unicode=True)


def settings_given(data: st.DataObject, bench: Bench) -> None:
    """Values of `--set`."""
    value = yaml.safe_load(bench.recipe.read_text())
    keys = [".".join(map(str, place)) for place in places(value)]
    key = data.draw(st.sampled_from(keys) | st.text(alphabet="abc.[]", max_size=8))
    text = data.draw(JUNK.map(lambda each: yaml.safe_dump(each, default_flow_style=True)) | TEXT)
    word = f"{key}={text}".replace("\0", "").encode("utf-8", "replace").decode()
    bench.call("settings", "plan", bench.recipe, "--set", word)


ROW = {"question": "Why is it so?", "complex_cot": "Because.\nSo.", "response": "It is so.", "id": "r1", "kind": "x"}
ITEM = {
    "QUESTION": "Does it?",
    "CONTEXTS": ["One.", "Two."],
    "LABELS": ["A"],
    "final_decision": "yes",
    "LONG_ANSWER": "Y",
}


def rows(data: st.DataObject, bench: Bench) -> None:
    """Data rows as JSON, JSONL, CSV and Parquet."""
    kind = data.draw(st.sampled_from(["json", "jsonl", "csv", "parquet", "items", "ids"]))
    several = [{**ROW, "id": str(number), "question": f"{ROW['question']} {number}"} for number in range(12)]
    change = data.draw(st.booleans())
    value: Any = data.draw(changed(several)) if change else several
    path = bench.root / f"fuzzed.{'json' if kind in ('items', 'ids') else kind}"
    key = "data.train.source"
    if kind == "items":
        key, value = "data.pubmedqa.source", {str(number): ITEM for number in range(12)}
        value = data.draw(changed(value)) if change else value
    if kind == "ids":
        key, value = "data.train.ids", data.draw(JUNK)
    if kind == "csv":
        whole = "question,complex_cot,response\n" + "".join(f"Why {n}?,so,{n}\n" for n in range(12))
        path.write_bytes(data.draw(damaged(whole.encode())))
    elif kind == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(several), path)
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    else:
        dumped = (
            [json.dumps(each) for each in value] if kind == "jsonl" and isinstance(value, list) else [json.dumps(value)]
        )
        whole_bytes = "\n".join(dumped).encode()
        path.write_bytes(whole_bytes if change else data.draw(damaged(whole_bytes)))
    bench.call("rows", "plan", bench.recipe, "--set", f"{key}={path}")


def _adapter(bench: Bench) -> Path:
    folder = bench.root / "fuzzed-adapter"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bench.run / "adapter", folder)
    (folder / "recipe.yaml").unlink()
    return folder


def _ask(kind: str, bench: Bench, folder: Path) -> None:
    models = f"base,mine={folder}"
    bench.call(kind, "ask", "Why?", "--recipe", bench.recipe, "--models", models, "--max-new-tokens", 2)


PEFT_KEYS = st.sampled_from(
    [
        *("layer_replication", "megatron_config", "megatron_core", "target_parameters", "use_bdlora", "auto_mapping"),
        *("trainable_token_indices", "rank_pattern", "alpha_pattern", "layers_pattern", "exclude_modules"),
        *("modules_to_save", "loftq_config"),
    ]
)


def adapter_configs(data: st.DataObject, bench: Bench) -> None:
    """Configurations of adapters."""
    folder = _adapter(bench)
    path = folder / "adapter_config.json"
    value = json.loads(path.read_text())
    how = data.draw(st.sampled_from(["value", "key", "bytes"]))
    if how == "bytes":
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    else:
        value = data.draw(changed(value)) if how == "value" else value | {data.draw(PEFT_KEYS): data.draw(JUNK)}
        path.write_text(json.dumps(value))
    _ask("adapter configs", bench, folder)


def headers(data: st.DataObject, bench: Bench) -> None:
    """Headers of an adapter's or a base's safetensors."""
    of_base = data.draw(st.booleans())
    folder = bench.root / "fuzzed-base" if of_base else _adapter(bench)
    if of_base:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bench.model, folder)
    path = folder / ("model.safetensors" if of_base else "adapter_model.safetensors")
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, rest = whole[8 : 8 + length], whole[8 + length :]
    how = data.draw(st.sampled_from(["value", "bytes", "length", "cut"]))
    if how == "value":
        value = json.loads(header)
        name = data.draw(st.sampled_from(sorted(value)))
        small = st.integers(-2, 2**40) | st.sampled_from([2**63, 2**64, 10**30]) | TEXT
        odd = st.lists(small, max_size=3) | small | JUNK
        value |= {name: data.draw(changed(value[name], odd))} if name != "__metadata__" else {name: data.draw(JUNK)}
        header = json.dumps(value).encode()
        whole = len(header).to_bytes(8, "little") + header + rest
    elif how == "bytes":
        header = data.draw(damaged(header))
        whole = len(header).to_bytes(8, "little") + header + rest
    elif how == "length":
        whole = data.draw(st.integers(0, 2**64 - 1) | st.integers(0, 4000)).to_bytes(8, "little") + header + rest
    else:
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    path.write_bytes(whole)
    if of_base:
        words = ("ask", "Why?", "--recipe", bench.recipe, "--models", "base", "--max-new-tokens", 1)
        bench.call("headers", *words, "--set", f"model.base={folder}")
    else:
        _ask("headers", bench, folder)


def base_configs(data: st.DataObject, bench: Bench) -> None:
    """A base's other files: configuration, tokenizer, generation settings, index."""
    folder = bench.root / "fuzzed-base"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bench.model, folder)
    path = folder / data.draw(
        st.sampled_from(["config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json"])
    )
    if data.draw(st.booleans()):
        path.write_text(json.dumps(data.draw(changed(json.loads(path.read_text())))))
    else:
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    words = ("ask", "Why?", "--recipe", bench.recipe, "--models", "base", "--max-new-tokens", 1)
    bench.call("base configs", *words, "--set", f"model.base={folder}")


def results(data: st.DataObject, bench: Bench) -> None:
    """Results and samples, read by every command that takes a finished run."""
    run = bench.fresh_run()
    path = run / data.draw(
        st.sampled_from(["results.json", "results.json", "samples/adapter/medbench_generation.jsonl"])
    )
    whole = path.read_text()
    first, line, rest = (whole, "", "") if path.suffix == ".json" else whole.partition("\n")
    if data.draw(st.integers(0, 3)):
        path.write_text(json.dumps(data.draw(changed(json.loads(first)))) + line + rest)
    else:
        path.write_bytes(data.draw(damaged(whole.encode())))
    if path.suffix == ".jsonl":
        write_facts(path)
    command = data.draw(
        st.sampled_from(["report", "readme", "convert", "lm_eval", "diff", "compare", "rate", "gate", "push"])
    )
    if command == "readme":
        (run / "README.md").write_text("<!-- medbench:results . -->\n<!-- medbench:end -->\n")
    words: dict[str, tuple[object, ...]] = {
        "report": ("report", run),
        "readme": ("readme", run / "README.md"),
        "convert": ("convert", run, "--to", "csv"),
        "lm_eval": ("convert", run, "--to", "lm_eval"),
        "diff": ("diff", bench.run, run),
        "compare": ("compare", bench.run, run, "--out", run / "compared"),
        "rate": ("rate", "export", run, "--items", 2),
        "gate": ("gate", run),
        "push": ("push", run, "owner/name"),
    }
    bench.call("results", *words[command], codes={"diff": (0, 1, 2), "gate": (0, 1, 2, 3)}.get(command, (0, 2)))


POLICY = {
    "version": 1,
    "inconclusive": "pass",
    "power": 0.8,
    "rules": [
        {"rule": "complete", "name": "whole"},
        {"rule": "bound", "metric": "medbench_perplexity/perplexity", "max": 1e6, "confidence": 0.9},
        {"rule": "change", "metric": "*/*", "min": -1e9, "where": {"class": ["yes", "no"]}, "ids": ["1"]},
        {"rule": "non_inferiority", "metric": "a/b", "margin": 0.1, "relative": False},
        {"rule": "must_pass", "metric": "a/b", "ids": ["1"], "at_least": 0},
        {"rule": "throughput", "min_tokens_per_second": 1.0, "of": "scoring"},
        {"rule": "leakage", "max_items": 0},
    ],
}


def policies(data: st.DataObject, bench: Bench) -> None:
    """Policies of the gate."""
    run = bench.out if (bench.out / "results.json").is_file() else bench.fresh_run()
    path = bench.root / "fuzzed-gate.yaml"
    text = data.draw(
        changed(POLICY).map(_yaml).map(lambda each: each.encode("utf-8", "surrogatepass"))
        | damaged(_yaml(POLICY).encode())
    )
    path.write_bytes(text)
    bench.call("policies", "gate", run, "--policy", path, codes=(0, 1, 2, 3))


TARGETS: dict[str, Callable[[st.DataObject, Bench], None]] = {
    "recipes": recipes,
    "settings": settings_given,
    "rows": rows,
    "adapter configs": adapter_configs,
    "headers": headers,
    "base configs": base_configs,
    "results": results,
    "policies": policies,
}


def fuzz(name: str, bench: Bench, examples: int, *, seed: int | None = None, failed: list[str] | None = None) -> None:
    """Draw so many inputs of a kind and run the command on each.

    Args:
        name: Of the target.
        bench: What they are run on.
        examples: How many.
        seed: Of other inputs than the ones that every run draws.
        failed: Where to note what breaks a promise; without it the first fails.
    """

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=seed is None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def once(data: st.DataObject) -> None:
        try:
            TARGETS[name](data, bench)
        except (AssertionError, TooSlowError) as error:
            told = f"{name}: {type(error).__name__} {error}"[:1500]
            if failed is None:
                raise AssertionError(told) from None
            failed.append(told)

    (once if seed is None else seeded(seed)(once))()
