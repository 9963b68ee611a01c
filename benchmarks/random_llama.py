"""Makes a Llama of 8B shape with random weights, so that memory and speed can be measured without a hub.

    python benchmarks/random_llama.py TOKENIZER-FOLDER OUT-FOLDER [--layers 32]

The shape is Llama-3.1-8B's; the words are those of the given tokenizer. Scores of such a model mean nothing.
"""

from __future__ import annotations

import argparse
import time


def main() -> None:
    """Make and save the model."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer")
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=32)
    args = parser.parse_args()
    started = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=args.layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.save_pretrained(args.out, max_shard_size="5GB")
    tokenizer.save_pretrained(args.out)
    print(f"{model.num_parameters():,} parameters in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
