"""Edits of a finished run and of a stored baseline, and whether the gate then judges the candidate more favourably.

The candidate fails every rule of `POLICY` that a run can fail, so each rule shows an edit that it falls for.
"""

import copy
import json
import os
import random
import shutil
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import tiny_recipe_value
from tests.harness.scripted_engine import SCRIPT, install_scripted_engine, labels, question, write_items, write_script

ITEMS = 60
SEVERITY = {"pass": 0, "inconclusive": 1, "fail": 2}
ACCURACY = "medbench_pubmedqa/accuracy"
POLICY: dict[str, Any] = {
    "version": 1,
    "rules": [
        {"rule": "complete"},
        {"rule": "leakage", "max_items": 0},
        {"rule": "contamination", "max_items": 0},
        {"rule": "no_regression", "metric": "*/*"},
        {"rule": "non_inferiority", "metric": ACCURACY, "margin": 0.01},
        {"rule": "non_inferiority", "metric": ACCURACY, "where": {"class": "no"}, "margin": 0.05},
        {"rule": "superiority", "metric": ACCURACY},
        {"rule": "change", "metric": "*/*", "min": 0},
        {"rule": "bound", "metric": ACCURACY, "min": 0.9},
        {"rule": "must_pass", "metric": ACCURACY, "ids": [str(n) for n in range(10)], "at_least": 1},
        {"rule": "peak_memory", "max_gib": 0.001},
        {"rule": "throughput", "of": "scoring", "min_tokens_per_second": 1e9},
        {"rule": "adapter_size", "max_mib": 0.001},
        {"rule": "truncated", "max_share": 0},
    ],
}


@dataclass
class Tampering:
    """A run, its baseline, the verdicts on them as they are, and what came of the edits.

    Attributes:
        root: Folder with `run`, `baselines` and `policy.yaml`.
        intact: Severity by rule.
        codes: Number of edits by kind and exit code.
        deceived: Edits after which a rule was judged more favourably.
    """

    root: Path
    intact: dict[str, int]
    codes: Counter = field(default_factory=Counter)
    deceived: list[str] = field(default_factory=list)


def judge(root: Path) -> tuple[int, dict[str, int]]:
    """Exit code of the gate on `root/run` and the severity of each rule; none if it refuses to judge or all fail."""
    from harness.releases.gating import gate
    from reports.errors import UserError

    given = {"policy": root / "policy.yaml", "baseline": "released", "store": root / "baselines", "out": root / "out"}
    try:
        report = gate(root / "run", **given, quiet=True)
    except UserError:
        return 2, {}
    except Exception:  # noqa: BLE001 - the command ends with 4 on whatever it does not foresee
        return 4, {}
    severities = {rule.name: SEVERITY[rule.verdict] for rule in report.rules}
    return report.exit_code, {} if min(severities.values()) == SEVERITY["fail"] else severities


def prepare(root: Path, model: Path) -> Tampering:
    """Train and score a good release and a bad candidate that was trained on test items."""
    import harness
    from harness.releases.baselines import set_baseline
    from harness.releases.gating import read_run

    install_scripted_engine(root / "plugins")
    sys.path.insert(0, str(root / "plugins"))
    os.environ[SCRIPT] = str(root / "script.json")
    write_items(root / "items.json", ITEMS)
    leaked = [{"question": question(n), "complex_cot": f"{n} was.", "response": "It was tried."} for n in range(12)]
    (root / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in leaked))
    recipe = tiny_recipe_value(model)
    recipe["data"]["pubmedqa"] = {"source": str(root / "items.json")}
    recipe["scoring"] = {
        "engine": "scripted",
        "tasks": ["medbench_pubmedqa", "medbench_perplexity", "medbench_generation"],
    }
    for name, correct in (("good", 0.9), ("run", 0.4)):
        write_script(root / "script.json", labels(ITEMS, 0.5), labels(ITEMS, correct))
        recipe["seed"] += 1
        if name == "run":
            recipe["data"]["train"] = {"source": str(root / "train.jsonl")}
        (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        harness.run(str(root / "recipe.yaml"), out=root / name, quiet=True)
    set_baseline(read_run(root / "good", "adapter"), root / "baselines", "released")
    (root / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    code, intact = judge(root)
    if code != 1:
        raise AssertionError(f"the intact run ended with {code}")
    return Tampering(root, intact)


def leaves(value, above=()):
    """(path, value) of every value in nested mappings and lists, inner ones included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*above, key), below
        yield from leaves(below, (*above, key))


def other_values(value, strings):
    """Values of the same type that a schema may accept, and null."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [0, 1, -value, value * 2, value / 2, value + 1, 10**9, int(value), None]
    if isinstance(value, str):
        return ["", *strings, None]
    return [[] if isinstance(value, list) else {}, None]


def edit_json(value, draw):
    """Change, remove, repeat or swap one thing in a JSON value; what was done, in words."""
    paths = list(leaves(value))
    path, old = draw.choice(paths)
    inside = value
    for key in path[:-1]:
        inside = inside[key]
    key, how = path[-1], draw.choice(("change", "change", "change", "remove", "repeat", "swap"))
    name = ".".join(map(str, path))
    if how == "remove":
        del inside[key]
    elif isinstance(inside, list) and how == "repeat":
        inside.append(copy.deepcopy(inside[key]))
    elif isinstance(inside, list) and how == "swap":
        inside[key], inside[0] = inside[0], inside[key]
    else:
        strings = sorted({text for _, text in paths if isinstance(text, str) and len(text) < 40})
        inside[key] = draw.choice(other_values(old, draw.sample(strings, min(3, len(strings)))))
        return f"{name} {str(old)[:40]!r} -> {str(inside[key])[:40]!r}"
    return f"{how} {name}"


def edit_results(run, draw):
    """One edit of results.json."""
    path = run / "results.json"
    value = json.loads(path.read_text())
    done = edit_json(value, draw)
    path.write_text(json.dumps(value))
    return done


def edit_samples(run, draw):
    """One edit of a line of a file of samples, of the lines as a whole, or of the file."""
    path = draw.choice(sorted((run / "samples").rglob("*.jsonl")))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    how = draw.choice(("edit", "edit", "edit", "remove", "repeat", "of another", "delete"))
    done = f"{path.parent.name}/{path.name}: {how}"
    if how == "edit":
        done += " " + edit_json(rows[draw.randrange(len(rows))], draw)
    elif how == "remove":
        del rows[draw.randrange(len(rows))]
    elif how == "repeat":
        rows.append(draw.choice(rows))
    elif how == "of another":
        other = next(other for other in path.parent.parent.glob(f"*/{path.name}") if other != path)
        rows = [json.loads(line) | {"model": rows[0]["model"]} for line in other.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if how == "delete":
        path.unlink()
    return done


def edit_logs(run, draw):
    """One edit of another JSON file of the run, such as a training log or what was recorded beside samples."""
    path = draw.choice(sorted(path for path in run.rglob("*.json") if path.name != "results.json"))
    value = json.loads(path.read_text())
    if not list(leaves(value)):
        return "nothing"
    done = edit_json(value, draw)
    path.write_text(json.dumps(value))
    return f"{path.relative_to(run)}: {done}"


def damage_bytes(folder, draw):
    """Another byte, a cut or some more bytes in a file."""
    path = draw.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size))
    whole = bytearray(path.read_bytes())
    place, how = draw.randrange(len(whole)), draw.choice(("bit", "cut", "insert"))
    if how == "bit":
        whole[place] ^= 1 << draw.randrange(8)
    else:
        whole[place:] = b"" if how == "cut" else bytes(draw.randrange(256) for _ in range(3)) + whole[place:]
    path.write_bytes(bytes(whole))
    return f"{path.relative_to(folder)}: {how} at {place}"


def edit_baseline(run, draw):
    """An edit of a file of the stored baseline."""
    folder = run.parent / "baselines" / "released"
    if draw.random() < 0.5:
        return damage_bytes(folder, draw)
    path = draw.choice(sorted(folder.rglob("*.json")))
    value = json.loads(path.read_text())
    done = edit_json(value, draw)
    path.write_text(json.dumps(value))
    return f"{path.relative_to(folder)}: {done}"


def misspell_policy(run, draw):
    """A key of the policy with another letter, or a value of another type; the rule then has another name and fails."""
    path = run.parent / "policy.yaml"
    value = yaml.safe_load(path.read_text())
    rule = draw.choice(value["rules"])
    key = draw.choice(sorted(rule))
    if draw.random() < 0.5:
        name = key.replace(draw.choice(key), draw.choice("xyz_"))
        rule[name] = rule.pop(key)
        done = f"{key} -> {name}"
    else:
        rule[key] = draw.choice(([rule[key]], {"value": rule[key]}, f"{rule[key]}!", None))
        done = f"{key}: {rule[key]!r}"
    path.write_text(yaml.safe_dump(value))
    return done


SEMANTIC = {"results": edit_results, "samples": edit_samples, "logs": edit_logs}
KINDS = {**SEMANTIC, "bytes": damage_bytes, "baseline": edit_baseline, "policy": misspell_policy}


def tamper(tampering: Tampering, kind: str, seed: int) -> None:
    """Make one edit in a copy of run, baseline and policy, and gate it; note if a rule is judged more favourably."""
    stage = tampering.root / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    for name in ("run", "baselines"):
        shutil.copytree(tampering.root / name, stage / name)
    shutil.copyfile(tampering.root / "policy.yaml", stage / "policy.yaml")
    edit = KINDS[kind](stage / "run", random.Random(seed))
    code, severities = judge(stage)
    tampering.codes[kind, code] += 1
    better = [rule for rule, severity in tampering.intact.items() if severities.get(rule, 0) < severity]
    if code not in (1, 2) or (kind != "policy" and severities and better):
        tampering.deceived.append(f"{kind} {seed}, {edit}: exit code {code}, {', '.join(better)}")
