"""Makes a model of a known shape with random weights, so that memory and speed can be measured without a hub.

    python benchmarks/random_shape.py TOKENIZER-FOLDER OUT-FOLDER [--shape SHAPE] [--four-bit]

The shapes are those of the public configurations, but for `tiny` and the like, and `narrow`, which has many layers and
hardly anything to compute in them, so that its time is that of starting operations; those that name a number of layers
have only so many. The tokenizer is the given one. Scores of such a model mean nothing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    "llama-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "llama-3b": {
        "vocab_size": 128256,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    },
    "tiny": {
        "vocab_size": 49152,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "mistral-7b": {
        "vocab_size": 32768,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
SHAPES["narrow"] = SHAPES["tiny"] | {"num_hidden_layers": 30}
SHAPES["qwen-7b-12-layers"] = {
    "family": "Qwen2",
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 12,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
SHAPES["gemma2-9b-12-layers"] = {
    "family": "Gemma2",
    "vocab_size": 256000,
    "hidden_size": 3584,
    "intermediate_size": 14336,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
}
SHAPES["qwen-tiny"] = SHAPES["tiny"] | {"family": "Qwen2"}
SHAPES["gemma2-tiny"] = SHAPES["tiny"] | {"family": "Gemma2", "head_dim": 16, "sliding_window": 64}


def make(tokenizer_folder: str, out: Path, shape: str, *, four_bit: bool = False) -> None:
    """Save a random model of that shape; with `four_bit`, as a checkpoint that is quantised to NF4 already."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    settings = SHAPES[shape] | {"vocab_size": max(SHAPES[shape]["vocab_size"], len(tokenizer))}
    family = settings.pop("family", "Llama")
    config = getattr(transformers, f"{family}Config")(
        **settings,
        max_position_embeddings=8192,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    finally:
        torch.set_default_dtype(default)
    print(f"{shape}: {model.num_parameters():,} parameters")
    model.save_pretrained(out, max_shard_size="5GB")
    del model
    if four_bit:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
        small = AutoModelForCausalLM.from_pretrained(
            out, quantization_config=quantization, dtype=torch.bfloat16, device_map={"": 0}
        )
        for path in out.glob("*.safetensors*"):
            path.unlink()
        small.save_pretrained(out)
        del small
    tokenizer.save_pretrained(out)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    """Make one model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer")
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="llama-8b")
    parser.add_argument("--four-bit", action="store_true")
    args = parser.parse_args()
    started = time.perf_counter()
    make(args.tokenizer, args.out, args.shape, four_bit=args.four_bit)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
