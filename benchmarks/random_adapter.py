"""Makes a LoRA adapter of random weights on all linear layers of a base, to measure speed without training.

    python -m benchmarks.random_adapter BASE-FOLDER OUT-FOLDER [--seed 1] [--rank 16]

Its effect is small and means nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reports.files import write_json
from training.models.adapters import CONFIG, WEIGHTS
from training.models.architecture import architecture
from training.models.model import base_model

_SIZE = 0.01  # standard deviation of the factors; their product changes a weight by about a tenth of its own


def make_adapter(base: Path, out: Path, *, seed: int = 1, rank: int = 16) -> None:
    """Save an adapter in PEFT's format: every linear layer but the output layer, alpha twice the rank."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    weights = {}
    shapes = architecture(base_model(base, base.name, "")).linear
    targets = {name: shape for name, shape in shapes.items() if "lm_head" not in name}
    for name, (inputs, outputs) in targets.items():
        for part, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
            key = f"base_model.model.{name}.lora_{part}.weight"
            weights[key] = (_SIZE * torch.randn(shape, generator=generator)).to(torch.bfloat16)
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / WEIGHTS, metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.rpartition(".")[2] for name in targets}),
        "base_model_name_or_path": base.name,
        "inference_mode": True,
    }
    write_json(out / CONFIG, settings)


def main() -> None:
    """Make one adapter from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    args = parser.parse_args()
    make_adapter(args.base, args.out, seed=args.seed, rank=args.rank)


if __name__ == "__main__":
    main()
