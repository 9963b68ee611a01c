"""Trains SmolLM2-135M on one GPU, on two with DDP and on two with FSDP, and compares; needs two GPUs.

    python -m benchmarks.gpu_processes OUT.json ROWS.jsonl [--steps 20]
    python -m benchmarks.gpu_processes OUT.json ROWS.jsonl --steps 3 --only one ddp imitated   # on a CPU

All have the same rows in the same order and the same effective batch, so their losses are the same but for the order in
which numbers are added. `imitated` is FSDP over two processes of a CPU with what CUDA does to weights, see
`tests/training/sharded.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.environment import describe
from reports.files import read_json, write_json, write_text
from training.models.device import pick_device

_FSDP = """\
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
num_machines: 1
num_processes: 2
mixed_precision: bf16
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_reshard_after_forward: true
  fsdp_cpu_ram_efficient_loading: false
"""
_LAUNCHERS = {
    "one": ["-m", "harness"],
    "ddp": ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "harness"],
    "imitated": ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "tests.training.sharded"],
    "fsdp": ["-m", "accelerate.commands.launch", "--config_file", "FSDP", "-m", "harness"],
}


def train(name: str, rows: Path, steps: int, work: Path) -> dict[str, Any]:
    """Train with one launcher: the training log, or how it failed."""
    write_text(work / "fsdp.yaml", _FSDP)
    settings = [
        f"data.train={{source: {rows}}}",
        "trainer.backend=trl",
        "trainer.epochs=null",
        f"trainer.max_steps={steps}",
        "trainer.batch_size=2",
        "trainer.gradient_accumulation=4",
        "trainer.max_length=2048",
        "lora.dropout=0.0",
    ]
    words = [str(work / "fsdp.yaml") if word == "FSDP" else word for word in _LAUNCHERS[name]]
    words += ["train", "--out", str(work / name), *(word for each in settings for word in ("--set", each))]
    done = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        return {"failed": done.returncode, "last_words": done.stderr[-3000:]}
    log = read_json(work / name / "adapter" / "training_log.json")
    return {key: log[key] for key in log if key not in ("settings", "fingerprint", "dropped_rows")}


def compare(logs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How far the losses of several processes are from those of one."""
    losses = {
        name: [each["loss"] for each in log["losses"] if "loss" in each]
        for name, log in logs.items()
        if "losses" in log
    }
    return {
        name: {
            "mean_loss": round(sum(each) / len(each), 5),
            "largest_difference_of_a_step": round(max(abs(a - b) for a, b in zip(each, losses["one"], strict=True)), 5),
            "seconds_per_step": logs[name]["seconds_per_step"],
            "peak_allocated_gib": round(logs[name]["memory"]["peak_allocated_bytes"] / 2**30, 3),
            "before_allocated_gib": round(logs[name]["memory"]["before_allocated_bytes"] / 2**30, 3),
        }
        for name, each in losses.items()
    }


def main() -> None:
    """Train with each launcher and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", choices=_LAUNCHERS, nargs="+", default=["one", "ddp", "fsdp"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        logs = {name: train(name, args.rows, args.steps, Path(folder)) for name in args.only}
    only = " ".join(args.only)
    result = {
        "command": f"python -m benchmarks.gpu_processes OUT.json ROWS.jsonl --steps {args.steps} --only {only}",
        "compared": compare(logs),
        "logs": logs,
        "environment": describe(pick_device()),
    }
    write_json(args.out, result)
    print(
        json.dumps(
            {"compared": result["compared"], "failed": {n: g["failed"] for n, g in logs.items() if "failed" in g}}
        )
    )


if __name__ == "__main__":
    main()
