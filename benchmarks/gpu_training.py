"""Times training of the 8B shape in 4 bits on real rows: TRL as it comes, each of our speed-ups, and Unsloth.

    python -m benchmarks.gpu_training OUT-FOLDER BASE-FOLDER ROWS.jsonl [--steps 24] [--variants trl,unsloth]
    python -m benchmarks.gpu_training OUT-FOLDER --table    # what the files in it say, as Markdown

The base is one that `benchmarks.random_shape` makes (16 GB, made here if there is none), the recipe
`deepseek-r1-llama-8b`. All variants train the same rows in the same order, the same rows in each step, one after
another on one GPU, each in a process of its own; the seconds of a step are the median after the first three. OUT-FOLDER
gets a JSON file for each variant, and torch's profile and trace of a step for those that end with `+profile`. One that
fails or takes too long does not stop the others.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environment import describe
from reports.files import read_json, write_json
from training.backends import sft, trl_backend, unsloth_backend
from training.backends.checkpointing import Skips, checkpoint_layers
from training.backends.fused_layers import fuse_layers
from training.backends.fused_lora import fuse_lora
from training.backends.job import Job
from training.finetune import finetune
from training.models.base_model import find_base
from training.models.device import pick_device
from training.models.model import Model
from training.models.quickstart_model import quickstart_model
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

_WARM_UP = 3
_SECONDS = 300  # for one variant at most; Unsloth's start alone takes two minutes on a slow host
_PROFILE = "+profile"
_PADDED, _PACKED = "trainer.packing=false", "trainer.packing=true"
_WHOLE_STEP = ("trainer.batch_size=8", "trainer.gradient_accumulation=1")  # the same rows, in one sequence if packed
_UNSLOTH_DEFAULTS = (
    "env",
    "-u",
    "UNSLOTH_DISABLE_AUTO_PADDING_FREE",
    sys.executable,
    "-P",
    "-m",
    "benchmarks.unsloth_defaults",
)
Speedup = Callable[[Any, Job], None]


def compute_again(trainer: Any, job: Job) -> None:  # noqa: ARG001 - a speed-up's signature
    """Checkpointed layers compute all their products again, in this process."""
    Skips.outputs = lambda self, layer, run, gradients: run()  # type: ignore[method-assign] # noqa: ARG005


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        settings: Settings of the recipe.
        speedups: Those of the TRL backend.
        command: Command of the Unsloth backend's process; None for the TRL backend.
        steps: Steps at most.
    """

    settings: tuple[str, ...] = (_PACKED,)
    speedups: tuple[Speedup, ...] = trl_backend.SPEEDUPS
    command: Sequence[str] | None = None
    steps: int | None = None


VARIANTS = {
    "trl-as-it-comes": Variant((_PADDED,), (), steps=12),
    "trl": Variant(),
    "unsloth": Variant((_PADDED,), command=unsloth_backend.COMMAND),
    "unsloth-defaults": Variant((_PADDED,), command=_UNSLOTH_DEFAULTS),
    "packing": Variant(speedups=()),
    "packing-lora": Variant(speedups=(fuse_lora,)),
    "packing-checkpoints": Variant(speedups=(checkpoint_layers,)),
    "packing-lora-checkpoints": Variant(speedups=(fuse_lora, checkpoint_layers)),
    "all-but-loss": Variant(speedups=(fuse_lora, fuse_layers, checkpoint_layers)),
    "whole-product": Variant(speedups=(*trl_backend.SPEEDUPS, compute_again)),
    "whole-step": Variant((_PACKED, *_WHOLE_STEP)),
    "padded-all": Variant((_PADDED,)),
    "padded-lora": Variant((_PADDED,), (fuse_lora,), steps=7),
    "padded-checkpoints": Variant((_PADDED,), (checkpoint_layers,), steps=7),
    "padded-layers": Variant((_PADDED,), (fuse_layers,), steps=7),
    "unsloth-whole-step": Variant((_PADDED, *_WHOLE_STEP), command=_UNSLOTH_DEFAULTS),
}
FIRST = "trl-as-it-comes+profile,trl+profile,unsloth,unsloth-defaults,packing,packing-lora,packing-lora-checkpoints"
FIRST += ",all-but-loss,whole-step"


def profiled(make: Callable[..., Any], step: int, path: Path) -> Callable[..., Any]:
    """Trainers whose step of that number is profiled: sums by time on the GPU and the processor, and each operation."""

    def profiling(*arguments: Any, **further: Any) -> Any:
        from torch.profiler import ProfilerActivity, profile
        from transformers import TrainerCallback

        trainer = make(*arguments, **further)
        profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])

        class Profiling(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
                if state.global_step == step - 1:
                    profiler.start()
                elif state.global_step == step:
                    profiler.stop()
                    averages = profiler.key_averages()
                    tables = [
                        averages.table(sort_by=column, row_limit=40, max_name_column_width=70)
                        for column in ("self_cuda_time_total", "self_cpu_time_total")
                    ]
                    path.write_text("\n".join(tables), encoding="utf-8")
                    profiler.export_chrome_trace(str(path.with_suffix(".json.gz")))

        trainer.add_callback(Profiling())
        return trainer

    return profiling


def measure(name: str, base: Model, rows: Path, steps: int, out: Path) -> dict[str, Any]:
    """Train one variant in this process (Unsloth in its own): what its log says, and the seconds of each step."""
    variant, device = VARIANTS[name.removesuffix(_PROFILE)], pick_device()
    count = min(steps, variant.steps or steps) + name.endswith(_PROFILE)
    settings = [
        f"model.base={base.folder}",
        f"data.train={{source: {rows}}}",
        "data.reasoning={source: 'samples:reasoning_heldout'}",
        "data.reasoning_rows=null",
        "data.pubmedqa={source: 'samples:pubmedqa'}",
        f"trainer.max_steps={count}",
        "trainer.schedule=constant",  # so that fewer steps are the first of more
        f"trainer.backend={'trl' if variant.command is None else 'unsloth'}",
        *variant.settings,
    ]
    ends: list[float] = []

    def progress(step: int, total: int, note: str) -> None:
        if note or not step:
            print(f"  {note}" if not step else f"  {step}/{total} {note}", flush=True)
        else:
            device.synchronize()
            ends.append(time.perf_counter())

    make = sft.make_trainer
    if name.endswith(_PROFILE):
        make = profiled(make, count, out / f"{name.removesuffix(_PROFILE)}.profile.txt")
    backend: Any = functools.partial(trl_backend.train, make=make, speedups=variant.speedups)
    if variant.command is not None:
        backend = functools.partial(unsloth_backend.train, command=variant.command)
    recipe = load_recipe("deepseek-r1-llama-8b", settings)
    with tempfile.TemporaryDirectory() as folder:
        log = finetune(recipe, base, training_rows(recipe), Path(folder) / "adapter", progress, backend)
    seconds = [end - start for start, end in itertools.pairwise(ends)]
    if name.endswith(_PROFILE):
        seconds.pop()
    per_step = statistics.median(seconds[_WARM_UP - 1 :])
    return {
        "variant": name.removesuffix(_PROFILE),
        "environment": describe(device),
        "settings": list(variant.settings),
        "speedups": [speedup.__name__ for speedup in variant.speedups] if variant.command is None else [],
        "seconds_per_step": round(per_step, 4),
        "seconds_of_steps": [round(value, 4) for value in seconds],
        "tokens_per_second": round(log.tokens_per_second * log.seconds_per_step / per_step, 1),
        "peak_allocated_gib": round(log.memory.peak_allocated_bytes / 2**30, 3),
        "losses": [record["loss"] for record in log.losses if "loss" in record],
        "gradient_norms": [record["grad_norm"] for record in log.losses if "grad_norm" in record],
        "log": log.model_dump(mode="json", exclude={"settings", "fingerprint", "losses", "sources"}),
    }


def measure_here(name: str, folder: Path, rows: Path, steps: int, out: Path) -> None:
    """Measure a variant in this process, which ends if it takes too long."""
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    path = out / f"{name.removesuffix(_PROFILE)}.json"
    write_json(path, {"variant": path.stem, "failed": "the process ended"})  # unless something else is written
    try:
        base = find_base(load_recipe("deepseek-r1-llama-8b", [f"model.base={folder}"]).model)
        result = measure(name, base, rows, steps, out)
    except Exception as error:  # noqa: BLE001 - written down
        traceback.print_exc()
        result = {"variant": path.stem, "failed": f"{type(error).__name__}: {error}"[:2000]}
    write_json(path, result)
    keys = ("seconds_per_step", "tokens_per_second", "peak_allocated_gib", "losses", "failed")
    print({key: result[key] for key in keys if key in result}, flush=True)
    faulthandler.cancel_dump_traceback_later()


def table(out: Path) -> str:
    """The measurements of a folder as a Markdown table, with the mean loss against that of TRL as it comes."""
    results = {path.stem: read_json(path) for path in sorted(out.glob("*.json"))}
    lines = [
        "| variant | s a step | real tokens/s | peak, GiB | above the loaded model, GiB | mean loss | against TRL |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    expected = results.get("trl-as-it-comes", {}).get("losses", [])
    for name in [name for name in VARIANTS if name in results]:
        result = results[name]
        if "failed" in result:
            lines.append(f"| {name} | failed: {result['failed'][:80]} | | | | | |")
            continue
        losses = result["losses"][: len(expected) or None]  # a profiled step is one more
        mean, memory = statistics.mean(losses), result["log"]["memory"]
        off = mean / statistics.mean(expected[: len(losses)]) - 1 if expected else 0.0
        cells = (
            f"`{name}`",
            f"{result['seconds_per_step']:.2f}",
            f"{result['tokens_per_second']:,.0f}",
            f"{result['peak_allocated_gib']:.2f}",
            f"{(memory['peak_allocated_bytes'] - memory['before_allocated_bytes']) / 2**30:.2f}",
            f"{mean:.4f}",
            f"{100 * off:+.3f} % over {len(losses)} steps",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the variants, and write down what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("base", type=Path, nargs="?")
    parser.add_argument("rows", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--variants", default=FIRST)
    parser.add_argument("--table", action="store_true", help="only print what the folder's files say")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    names = args.variants.split(",")
    if args.here:
        measure_here(args.variants, args.base, args.rows, args.steps, args.out)
        return
    if not args.table:
        args.out.mkdir(parents=True, exist_ok=True)
        for path in args.out.glob("*.json"):
            path.unlink()
        if not (args.base / "config.json").is_file():
            make = [sys.executable, "-m", "benchmarks.random_shape", str(quickstart_model()), str(args.base)]
            subprocess.run(make, check=True)  # noqa: S603
        for name in names:
            started = time.perf_counter()
            words = [str(args.out), str(args.base), str(args.rows), "--steps", str(args.steps), "--here"]
            command = [sys.executable, "-m", "benchmarks.gpu_training", *words, "--variants", name]
            print(name, flush=True)
            subprocess.run(command, check=False)  # noqa: S603
            print(f"  {time.perf_counter() - started:.0f} s in all", flush=True)
    print(table(args.out))


if __name__ == "__main__":
    main()
