"""Measures fixed limits of numerical noise, which runs show where they do not measure their own.

    python -m benchmarks.numerical_noise --work FOLDER

SmolLM2-135M is scored on this CPU in bfloat16, in float32, and in float32 in other batches, on the synthetic samples
and on short invented variants of them. The limits for CUDA are derived from `benchmarks/results/gpu/agreement.json`,
which compares transformers and vLLM in bfloat16 with float32 on an H200; no GPU is needed. Output:
`reports/comparison/noise_limits.json`, which is part of the package.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.environment import describe
from reports.comparison.noise import flips, model_noise
from reports.comparison.noise_limits import LIMITS_FILE
from reports.document.evidence import FixedLimit, FixedNoise
from reports.document.reading import read_results, read_samples, samples_path
from reports.files import read_json, write_json
from tasks.data.source import SAMPLES
from training.models.device import device_of

if TYPE_CHECKING:
    from reports.document.schema import Sample

MODEL = "SmolLM2-135M"
AGREEMENT = Path("benchmarks/results/gpu/agreement.json")
CHOICES, TEXTS, GENERATED = "medbench_pubmedqa", "medbench_perplexity", "medbench_generation"
VARIANTS = 434  # with the 66 samples 500 items
_DRUGS = ("aspirin", "metformin", "lisinopril", "warfarin", "atorvastatin", "ibuprofen", "prednisone", "omeprazole")
_ENDS = ("mortality", "length of stay", "pain scores", "readmission", "blood pressure", "infection", "bleeding")
_PATIENTS = ("older adults", "children", "pregnant women", "smokers", "patients on dialysis", "surgical patients")
_CHANGES = ("lowered", "raised", "did not change")
_LABELS = ("yes", "no", "maybe")
ARMS: dict[str, dict[str, Any]] = {
    "bfloat16": {"dtype": "bfloat16"},
    "float32": {"dtype": "float32"},
    "other batches": {"dtype": "float32", "batch_tokens": 512, "batch_rows": 3},
}


def items() -> dict[str, dict[str, Any]]:
    """The synthetic samples and short invented variants, in PubMedQA's form."""
    rows: dict[str, dict[str, Any]] = json.loads(SAMPLES["samples:pubmedqa"].read_text(encoding="utf-8"))
    combinations = itertools.product(_DRUGS, _ENDS, _PATIENTS, _CHANGES)
    for number, (drug, end, patients, change) in enumerate(itertools.islice(combinations, 0, 2 * VARIANTS, 2)):
        rows[f"variant-{number}"] = {
            "QUESTION": f"Does {drug} reduce {end} in {patients}?",
            "CONTEXTS": [f"In a trial of {100 + 7 * number} {patients}, {drug} {change} {end}."],
            "final_decision": _LABELS[_CHANGES.index(change)],
        }
    return rows


def measure(work: Path) -> dict[str, Path]:
    """Score in each arithmetic; the run folders by arm. Arms that `work` holds already are kept."""
    work.mkdir(parents=True, exist_ok=True)
    source = work / "items.json"
    source.write_text(json.dumps(items()), encoding="utf-8")
    folders = {}
    for arm, scoring in ARMS.items():
        folders[arm] = work / arm.replace(" ", "-")
        settings = [f"data.pubmedqa.source={source}", "scoring.noise_items=0", "scoring.max_new_tokens=48"]
        settings += ["scoring.limits={medbench_generation: 24}"]
        settings += [f"scoring.{key}={value}" for key, value in scoring.items()]
        started = time.perf_counter()
        harness.run(
            "quickstart",
            models="base",
            tasks=[CHOICES, TEXTS, GENERATED],
            out=folders[arm],
            settings=settings,
            quiet=True,
        )
        print(f"{arm}: {time.perf_counter() - started:.0f} s")
    return folders


def limits(first: Path, again: Path) -> list[FixedLimit]:
    """Limits from two runs on the same items in two arithmetics."""
    metrics = {key: metric for key, (_, metric) in read_results(first).metrics().items()}

    def samples(folder: Path, task: str) -> list[Sample]:
        return list(read_samples(samples_path(folder, "base", task)))

    rows = [_outputs("choices", *(samples(folder, CHOICES) for folder in (first, again)))]
    pair = (samples(first, TEXTS), samples(again, TEXTS))
    noise = model_noise(metrics[TEXTS, "perplexity"], pair)
    (score,) = [row.value for row in read_results(first).scores if (row.task, row.metric) == (TEXTS, "perplexity")]
    if noise is not None and noise.shift.low is not None and noise.shift.high is not None and score:
        rows.append(
            FixedLimit(
                measure="perplexity",
                model=MODEL,
                items=noise.shift.items,
                shift=noise.shift.value / score,
                limit=max(abs(noise.shift.low), abs(noise.shift.high)) / score,
            )
        )
    return [*rows, _outputs("generated answers", *(samples(folder, GENERATED) for folder in (first, again)))]


def _outputs(measure: str, first: list[Sample], again: list[Sample]) -> FixedLimit:
    """The limit of how many outputs differ."""
    outputs = {row.id: row.output for row in again}
    return _flip_limit(measure, sum(outputs[row.id] != row.output for row in first), len(first))


def _flip_limit(measure: str, changed: int, count: int) -> FixedLimit:
    return FixedLimit(measure=measure, model=MODEL, items=count, changed=changed, limit=flips(changed, count).limit)


def cuda_noise(agreement: dict[str, Any]) -> list[FixedNoise]:
    """Limits on CUDA by engine: those of the model that differs most from float32."""
    models = [value for value in agreement.values() if isinstance(value, dict) and "transformers and float32" in value]

    def most(engine: str, key: str) -> tuple[int, int]:
        counts = [tuple(map(int, model[f"{engine} and float32"][key].split("/"))) for model in models]
        return max((items - equal, items) for equal, items in counts)

    return [
        FixedNoise(
            dtype="bfloat16",
            device="cuda",
            engine=engine,
            compared_with="float32",
            hardware=agreement["environment"]["gpu"],
            source=AGREEMENT.as_posix(),
            limits=[
                _flip_limit("choices", *most(engine, "choices_equal")),
                _flip_limit("generated answers", *most(engine, "generations_equal")),
            ],
        )
        for engine in ("transformers", "vllm")
    ]


def cpu_noise(folders: dict[str, Path], hardware: str) -> list[FixedNoise]:
    """Limits on this CPU: bfloat16 against float32, and float32 against float32 in other batches."""
    pairs = {"bfloat16": ("float32", "bfloat16", "float32"), "float32": ("other batches", "float32", "other batches")}
    return [
        FixedNoise(
            dtype=dtype,
            device="cpu",
            engine="transformers",
            compared_with="float32" if other == "float32" else "float32 in other batches",
            hardware=hardware,
            source="benchmarks/numerical_noise.py",
            limits=limits(folders[first], folders[again]),
        )
        for dtype, (other, first, again) in pairs.items()
    ]


def main() -> None:
    """Measure, derive, and write the package data."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    args = parser.parse_args()
    environment = describe(device_of("cpu"))
    noises = [*cpu_noise(measure(args.work), environment["cpu"]), *cuda_noise(read_json(AGREEMENT))]
    value = {
        "command": "python -m benchmarks.numerical_noise --work FOLDER",
        "environment": environment,
        "limits": [noise.model_dump(mode="json") for noise in noises],
    }
    write_json(LIMITS_FILE, value)


if __name__ == "__main__":
    main()
