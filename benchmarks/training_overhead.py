"""Times training with medbench against a bare TRL script on the same rows, side by side.

    python -m benchmarks.training_overhead OUT.json [--base FOLDER] [--rows FILE.jsonl] [--steps 30] [--rounds 2]
        [--sides bare bare32 ours] [--set KEY=VALUE ...]

All sides train the same tokenised rows in the same order with the same settings, each in a process of its own. They
take turns, one step each, so that a machine whose speed changes is as fast for all of them; each round starts them
anew. `bare` is TRL as it comes, which holds a QLoRA adapter in bfloat16; `bare32` is the same script with the adapter
in float32, as medbench holds it: its losses are medbench's. Steps are not equally long, so the ratio is of the same
step on both sides: the median over steps and rounds, the first three steps left out. The second of those is profiled:
how many operations PyTorch was asked for, which no busy machine changes.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.environment import describe
from reports.files import write_json
from training.backends.job import as_dataset
from training.encoding import encode_rows
from training.finetune import finetune
from training.models.base_model import find_base
from training.models.device import pick_device
from training.recipes.recipe import Recipe
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

_WARM_UP = 3
MOST = 1.03  # ratio that we allow ourselves


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe that both sides train."""
    settings = [
        f"trainer.max_steps={args.steps}",
        "trainer.epochs=null",
        "trainer.backend=trl",
        "trainer.batch_size=2",
        "trainer.gradient_accumulation=4",
        f"trainer.save_steps={10 * args.steps}",
        "lora.dropout=0.0",
    ]
    if args.rows:
        settings += [f"data.train={{source: {args.rows}}}", "trainer.max_length=2048"]
    if args.base:
        settings.append(f"model.base={args.base}")
    return load_recipe("quickstart", [*settings, *args.set])


class Steps:
    """What each step takes, from one's turn to its end, and how many operations the second one is.

    Operations that call others count, too.
    """

    def __init__(self, connection: Connection) -> None:
        self.operations = 0
        self._connection = connection
        self._profile: Any = None
        self._started = time.perf_counter()

    def ended(self) -> None:
        """Tell that a step has ended, and wait for the next turn."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._started
        if self._profile is not None:
            self._profile.stop()
            averages = self._profile.key_averages()
            self.operations = sum(each.count for each in averages if each.key.startswith("aten::"))
            self._profile = None
        self._connection.send(seconds)
        self._connection.recv()
        if not self.operations:
            self._profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
            self._profile.start()
        self._started = time.perf_counter()


def ours(recipe: Recipe, out: Path, steps: Steps) -> list[dict[str, Any]]:
    """Train with medbench."""
    seen = 0

    def progress(done: int, _total: int, _note: str) -> None:
        nonlocal seen
        if done > seen:
            seen = done
            steps.ended()

    log = finetune(recipe, find_base(recipe.model), training_rows(recipe), out / "adapter", progress)
    return log.losses


def bare(recipe: Recipe, out: Path, steps: Steps, *, in_float32: bool = False) -> list[dict[str, Any]]:
    """Train with a script as one would write it: transformers, PEFT and TRL, nothing of ours but the tokenised rows."""
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.ended()

    base = find_base(recipe.model)
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    rows = training_rows(recipe).train
    encoded = encode_rows(tokenizer, recipe, rows)
    device = pick_device()
    dtype = getattr(torch, device.default_dtype("auto"))
    set_seed(recipe.seed)
    model = AutoModelForCausalLM.from_pretrained(
        base.folder,
        dtype=dtype,
        device_map={"": device.place},
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        ),
    )
    for module in model.modules():  # bitsandbytes' kernel for CPUs with AVX512-BF16 is many times slower here
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=as_dataset(encoded),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=recipe.lora.r,
            lora_alpha=recipe.lora.alpha,
            target_modules=recipe.lora.target_modules,
        ),
        callbacks=[Clock()],
        args=SFTConfig(
            output_dir=str(out),
            max_steps=recipe.trainer.max_steps or 1,
            per_device_train_batch_size=recipe.trainer.batch_size,
            gradient_accumulation_steps=recipe.trainer.gradient_accumulation,
            learning_rate=recipe.trainer.learning_rate,
            lr_scheduler_type=recipe.trainer.schedule,
            warmup_steps=recipe.trainer.warmup_steps or 0,
            seed=recipe.training_seed,
            data_seed=recipe.training_seed,
            optim=recipe.trainer.optimizer,
            gradient_checkpointing=bool(recipe.trainer.gradient_checkpointing),
            bf16=dtype == torch.bfloat16,
            use_cpu=device.type == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
    )
    for parameter in trainer.model.parameters() if in_float32 else ():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    trainer.train()
    return list(trainer.state.log_history)


SIDES: dict[str, Callable[[Recipe, Path, Steps], list[dict[str, Any]]]] = {
    "bare": bare,
    "bare32": functools.partial(bare, in_float32=True),
    "ours": ours,
}


def side(name: str, args: argparse.Namespace, connection: Connection) -> None:
    """Train on one side, in a process of its own."""
    steps = Steps(connection)
    with tempfile.TemporaryDirectory() as folder:
        losses = SIDES[name](recipe_of(args), Path(folder), steps)
    connection.send({"losses": [each["loss"] for each in losses if "loss" in each], "operations": steps.operations})


def one_round(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Train on all sides, which take turns: of each its seconds a step, losses, and operations of a step."""
    spawn = multiprocessing.get_context("spawn")
    connections: dict[str, Connection] = {}
    for name in args.sides:
        connections[name], theirs = spawn.Pipe()
        spawn.Process(target=side, args=(name, args, theirs), daemon=True).start()
        theirs.close()  # so that the end of a process that fails is seen here
    seconds: dict[str, list[float]] = {name: [connection.recv()] for name, connection in connections.items()}
    for step in range(1, args.steps):
        first = step % len(args.sides)
        for name in (*args.sides[first:], *args.sides[:first]):
            connections[name].send("next")
            seconds[name].append(connections[name].recv())
    found = {}
    for name, connection in connections.items():
        connection.send("next")
        found[name] = {**connection.recv(), "seconds": seconds[name][_WARM_UP:]}
    return found


def ratios(ours_: list[list[float]], theirs: list[list[float]]) -> dict[str, float]:
    """How much longer the same steps take: the median, and the quartiles that say how far it can be trusted."""
    each = sorted(a / b for mine, other in zip(ours_, theirs, strict=True) for a, b in zip(mine, other, strict=True))
    low, middle, high = statistics.quantiles(each, n=4)
    return {"median": round(middle, 4), "lower quartile": round(low, 4), "upper quartile": round(high, 4)}


def _shown(args: argparse.Namespace) -> list[str]:
    """The options without the folders of this machine."""
    words = ["--rows", args.rows.name] if args.rows else []
    words += ["--base", args.base.name] if args.base else []
    words += ["--sides", *args.sides] if args.sides != list(SIDES) else []
    words += [word for each in args.set for word in ("--set", each)]
    return [*words, "--steps", str(args.steps), "--rounds", str(args.rounds)]


def summary(args: argparse.Namespace, rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """What the rounds so far say, with all their seconds."""
    seconds = {name: [each[name]["seconds"] for each in rounds] for name in args.sides}
    return {
        "command": " ".join(["python -m benchmarks.training_overhead OUT.json", *_shown(args)]),
        "base": args.base.name if args.base else "smollm2-135m-instruct",
        "rounds": len(rounds),
        "median_seconds_a_step": {
            name: round(statistics.median(itertools.chain(*each)), 4) for name, each in seconds.items()
        },
        "ratio": {name: ratios(seconds["ours"], each) for name, each in seconds.items() if name != "ours"},
        "allowed": MOST,
        "operations_of_a_step": {name: found["operations"] for name, found in rounds[-1].items()},
        "seconds": seconds,
        "losses": {name: found["losses"] for name, found in rounds[-1].items()},
        "environment": describe(pick_device()),
    }


def main() -> None:
    """Run all sides in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=Path, help="reasoning rows; the synthetic samples if not given")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--base", type=Path, help="a model folder; the quickstart's if not given")
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(SIDES), help="ours and what it is held against"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe")
    args = parser.parse_args()
    if args.steps < _WARM_UP + 2:
        parser.error(f"--steps: at least {_WARM_UP + 2}")
    rounds: list[dict[str, dict[str, Any]]] = []
    for _ in range(args.rounds):
        rounds.append(one_round(args))
        result = summary(args, rounds)
        write_json(args.out, result)  # after each round, so that the end of a lent machine loses one only
        shown = ("rounds", "median_seconds_a_step", "ratio", "operations_of_a_step")
        print(json.dumps({key: result[key] for key in shown}), flush=True)


if __name__ == "__main__":
    main()
