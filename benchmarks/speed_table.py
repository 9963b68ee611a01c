"""Writes the table of docs/speed.md from the committed measurements, or checks that it is theirs.

python -m benchmarks.speed_table [--check]
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.page_tables import GeneratedTables, marks, write_or_check
from reports.files import read_json

_HERE = Path(__file__).resolve().parent
_ENGINES = {  # of the GPU: the stages of a steady round, of a first start and of a later one
    "transformers engine": ("ours", "ours", "restart"),
    "vLLM engine": ("warm", "vllm", "warm"),
}
PAGE = _HERE.parent / "docs" / "speed.md"


def table() -> str:
    """The table as Markdown."""
    cpu = read_json(_HERE / "results" / "cpu_speed.json")
    ratios = gpu_ratios()
    lines = [
        "| measured | against | times faster |",
        "|---|---|---:|",
        *_row("base and one adapter, whole process", "stock lm-eval, two runs", cpu["ratios"]["end to end"]),
        *_row("each further adapter", "stock lm-eval, one more run", cpu["ratios"]["further adapter"]),
        *_row("generation", "one prompt at a time", cpu["ratios"]["generation, against one prompt at a time"]),
    ]
    for title, engine in ratios.items():
        for batch, measured in engine.items():
            for what, times in measured.items():
                lines += _row(f"{title}, {what}", f"stock lm-eval, four runs, {batch}", times, gpu=True)
    return "\n".join(lines) + "\n"


def gpu_ratios() -> dict[str, dict[str, dict[str, float]]]:
    """How many times faster than stock lm-eval the engines are on a GPU, by engine, stock's batch and what is timed."""
    ratios = read_json(_HERE / "results" / "gpu" / "speed.json")["ratios"]
    return {
        title: {
            batch: {
                "steady": ratios[steady][f"steady, against stock {batch}"],
                "its first start counted": ratios[first][f"whole process, against stock {batch}"],
                "a later start counted": ratios[later][f"whole process, against stock {batch}"],
            }
            for batch in ("at batch 8", "at its best batch")
        }
        for title, (steady, first, later) in _ENGINES.items()
    }


def _row(what: str, against: str, ratio: float, *, gpu: bool = False) -> list[str]:
    where = "H200, 8B shape" if gpu else "2 CPU cores, 135M"
    return [f"| {where}: {what} | {against} | {ratio:.3g} |"]


def main() -> None:
    """Write the table, or check it."""
    tables = [GeneratedTables(PAGE, marks("speed", "speed_table"), table())]
    write_or_check(__doc__, "python -m benchmarks.speed_table", tables)


if __name__ == "__main__":
    main()
