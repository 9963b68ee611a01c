"""Mutation testing: runs mutmut on statistics, gate, metrics, engines and training, and counts surviving mutants.

    python -m benchmarks.mutation reports/comparison/multiplicity.py      # one module; none named: all of them
    python -m benchmarks.mutation --sample 20 reports/comparison/outcome.py
    python -m benchmarks.mutation --sample 10 --out benchmarks/results/mutation.json harness/engines/rows.py

`benchmarks/mutants.toml` names the tests of each module and lists the equivalent mutants with the reason. mutmut runs
in a copy of the tree, changes one expression inside a function at a time (constants outside functions are left alone),
and runs the tests that call this function in a forked process. Ends with exit code 1 if a module is below 90 %, or
85 % in `harness` and `training`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutmut.configuration import reset_config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import get_mutant_name

from benchmarks.evidence import environment
from reports.files import write_json
from reports.version import __version__

ROOT = Path(__file__).parents[1]
REQUIRED = {"reports": 0.9, "tasks": 0.9, "training": 0.85, "harness": 0.85}  # by folder
_SETTINGS = """
[tool.mutmut]
source_paths = ["reports", "tasks", "training", "harness", "medbench", "benchmarks"]
only_mutate = [{module}]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = {arguments}
also_copy = ["docs", "examples", "README.md"]
timeout_constant = {constant} # seconds
timeout_multiplier = 4.0 # of this and the time of the tests
# Workers fork from a process that has run no test, so that no result of a cached function hides a mutant.
process_isolation = "forkserver"
"""

_IMPORTED = ("transformers.models.llama.modeling_llama", "peft", "trl", "datasets", "lm_eval.evaluator")

Change = tuple[str, str]  # the line as it is and as the mutant has it, both without the indent


@dataclass
class ModuleResult:
    """What became of the mutants of one module; `survived` are neither killed nor listed as equivalent."""

    module: str
    killed: int = 0
    timeout: int = 0
    equivalent: int = 0
    survived: list[Change] = field(default_factory=list)
    generated: int = 0

    @property
    def mutants(self) -> int:
        """How many were tested."""
        return self.killed + self.timeout + self.equivalent + len(self.survived)

    @property
    def passes(self) -> bool:
        """Whether its tests kill enough of them."""
        return self.rate >= REQUIRED[self.module.split("/", 1)[0]]

    @property
    def rate(self) -> float:
        """Share of the tested mutants that are killed, run into the time limit, or are equivalent."""
        return 1 - len(self.survived) / self.mutants if self.mutants else 0.0


def load_settings() -> tuple[dict[str, list[str]], dict[str, set[Change]]]:
    """The tests of each module, and the equivalent mutants of each."""
    value = _settings()
    equivalent: dict[str, set[Change]] = {module: set() for module in value["tests"]}
    for entry in value.get("equivalent", []):
        equivalent[entry["module"]].add((entry["line"], entry["mutant"]))
    return value["tests"], equivalent


def _settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "benchmarks/mutants.toml").read_text(encoding="utf-8"))


def _pytest_arguments(*, uses_models: bool) -> list[str]:
    """Arguments that leave slow tests out, and import what makes a model before the workers fork."""
    arguments = ["-n", "0", "-p", "no:cacheprovider", "-k", f"not ({' or '.join(_settings()['slow'])})"]
    if uses_models:
        # Else mutants run out of time over the imports.
        arguments += [word for module in _IMPORTED for word in ("-p", module)]
    return arguments


def _use_models(tests: Iterable[str]) -> bool:
    folders = ("tests/harness/", "tests/training/")
    return any(test.startswith(folders) or "tiny_model" in (ROOT / test).read_text(encoding="utf-8") for test in tests)


def copy_tree(folder: Path) -> None:
    """Copy the tracked and new files, with their uncommitted changes."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")  # noqa: S603
    for name in names:
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def run_module(
    module: str,
    tests: Sequence[str],
    equivalent: Iterable[Change],
    *,
    sample: int = 0,
    seed: int = 1,
    workers: int = 1,
) -> ModuleResult:
    """Run mutmut on one module.

    Args:
        module: Path of the module in the tree.
        tests: Test files.
        equivalent: Changes that no test can notice.
        sample: How many mutants to draw, 0 for all.
        seed: Seed of the draw.
        workers: Processes that run tests at the same time.

    Raises:
        SystemExit: The tests fail without any mutant, or mutmut stopped early.
    """
    with tempfile.TemporaryDirectory(prefix="medbench-mutation-") as name:
        folder = Path(name)
        copy_tree(folder)
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as settings:
            uses_models = _use_models(tests)
            values = {
                "module": module,
                "tests": list(tests),
                "arguments": _pytest_arguments(uses_models=uses_models),
                "constant": 5.0 if uses_models else 1.0,  # the first computation of a process takes longer
            }
            settings.write(_SETTINGS.format(**{key: json.dumps(value) for key, value in values.items()}))
        with contextlib.chdir(folder):
            reset_config()
            names = mutate_file_contents(module, Path(module).read_text(encoding="utf-8")).mutant_names
            mutants = [get_mutant_name(Path(module), mutant) for mutant in names]
            drawn = random.Random(seed).sample(mutants, min(sample or len(mutants), len(mutants)))  # noqa: S311
            environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # the copy is imported
            command = [
                sys.executable,
                "-m",
                "mutmut",
                "run",
                "--max-children",
                str(workers),
                *(drawn if sample else []),
            ]
            done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)  # noqa: S603
            if done.returncode:
                raise SystemExit(f"{module}: mutmut stopped\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
            return _count(module, drawn, set(equivalent), len(mutants))


def _count(module: str, drawn: Iterable[str], equivalent: set[Change], generated: int) -> ModuleResult:
    codes = json.loads(Path(f"mutants/{module}.meta").read_text(encoding="utf-8"))["exit_code_by_key"]
    result = ModuleResult(module, generated=generated)
    for mutant in drawn:
        status = status_by_exit_code[codes[mutant]]
        if status in ("killed", "timeout"):
            setattr(result, status, getattr(result, status) + 1)
            continue
        change = changed_lines(get_diff_for_mutant(mutant, path=module))
        if status == "survived" and change in equivalent:
            result.equivalent += 1
        else:
            result.survived.append(change)
    return result


def changed_lines(diff: str) -> Change:
    """The removed and the added text of a unified diff, each in one line."""
    lines = diff.splitlines()[2:]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return before, after


def _print(result: ModuleResult) -> None:
    print(
        f"{result.module}: {result.mutants} of {result.generated} mutants, {result.killed} killed,",
        f"{result.timeout} timeout, {result.equivalent} equivalent, {len(result.survived)} survived: {result.rate:.1%}",
        flush=True,
    )
    for line, mutant in result.survived:
        print(f"  - {line}\n  + {mutant}", flush=True)


def _merge(out: Path, result: ModuleResult, facts: dict[str, Any], drawn: str) -> None:
    """Replace the module's entry in the committed file; `environment` is that of the latest run."""
    value: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"modules": {}}
    value |= {"medbench": __version__, "environment": facts}
    value["modules"][result.module] = {
        "mutants": result.mutants,
        "killed": result.killed,
        "timeout": result.timeout,
        "equivalent": result.equivalent,
        "survived": len(result.survived),
        "survivors": [list(change) for change in result.survived],
        "generated": result.generated,
        "command": f"python -m benchmarks.mutation {drawn}{result.module}",
        "commit": facts["git_commit"],
    }
    value["modules"] = dict(sorted(value["modules"].items()))
    write_json(out, value)


def main() -> None:
    """Test the modules named, print the survivors, and fail where too many survive."""
    tests, equivalent = load_settings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="path, such as reports/comparison/outcome.py")
    parser.add_argument("--sample", type=int, default=0, help="mutants to draw from each module (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the draw (default: 1)")
    parser.add_argument("--workers", type=int, default=1, help="processes that run tests (default: 1)")
    parser.add_argument("--out", type=Path, help="update the modules' results in this JSON file")
    options = parser.parse_args()
    unlisted = [module for module in options.modules if module not in tests]
    if unlisted:
        parser.error(f"no tests in benchmarks/mutants.toml for {unlisted}")
    facts = environment(allow_dirty=not options.out)
    passed = True
    for module in options.modules or list(tests):
        drawn = {"sample": options.sample, "seed": options.seed, "workers": options.workers}
        result = run_module(module, tests[module], equivalent[module], **drawn)
        _print(result)
        passed = passed and result.passes
        if options.out:
            words = f"--sample {options.sample} --seed {options.seed} " if options.sample else ""
            _merge(options.out, result, facts, words)
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
