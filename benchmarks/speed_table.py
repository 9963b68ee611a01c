"""Writes the table of docs/speed.md from the committed measurements, or checks that it is theirs.

python -m benchmarks.speed_table [--check]
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.page_tables import GeneratedTables, marks, write_or_check
from reports.files import read_json

_HERE = Path(__file__).resolve().parent
_GPU = {"ours": "speed.json", "vllm": "speed_vllm.json"}  # each with the runs of stock lm-eval on the same host
PAGE = _HERE.parent / "docs" / "speed.md"


def table() -> str:
    """The table as Markdown."""
    cpu = read_json(_HERE / "results" / "cpu_speed.json")
    ratios = gpu_ratios()
    one, other = "at batch 8", "at its best batch"
    lines = [
        "| measured | against | times faster |",
        "|---|---|---:|",
        *_row("base and one adapter, whole process", "stock lm-eval, two runs", cpu["ratios"]["end to end"]),
        *_row("each further adapter", "stock lm-eval, one more run", cpu["ratios"]["further adapter"]),
        *_row("generation", "one prompt at a time", cpu["ratios"]["generation, against one prompt at a time"]),
    ]
    for name, title in (("ours", "transformers engine"), ("vllm", "vLLM engine")):
        for batch in (one, other):
            against = f"stock lm-eval, four runs, {batch}"
            lines += _row(f"{title}, steady", against, ratios[name][f"steady, against stock {batch}"], gpu=True)
            lines += _row(
                f"{title}, its start counted", against, ratios[name][f"whole process, against stock {batch}"], gpu=True
            )
    return "\n".join(lines) + "\n"


def gpu_ratios() -> dict[str, dict[str, float]]:
    """How many times faster than stock lm-eval on the same host the engines are on a GPU."""
    return {name: read_json(_HERE / "results" / "gpu" / file)["ratios"][name] for name, file in _GPU.items()}


def _row(what: str, against: str, ratio: float, *, gpu: bool = False) -> list[str]:
    where = "H200, 8B shape" if gpu else "2 CPU cores, 135M"
    return [f"| {where}: {what} | {against} | {ratio:.3g} |"]


def main() -> None:
    """Write the table, or check it."""
    tables = [GeneratedTables(PAGE, marks("speed", "speed_table"), table())]
    write_or_check(__doc__, "python -m benchmarks.speed_table", tables)


if __name__ == "__main__":
    main()
