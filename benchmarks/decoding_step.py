"""Milliseconds of a decoding step at fixed numbers of rows and tokens, replayed from a CUDA graph as scoring does.

python -m benchmarks.decoding_step OUT.json --model FOLDER [--device cuda]
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from reports.files import write_json

SHAPES = ((256, 128), (256, 300), (256, 1000), (64, 300), (8, 300))  # rows, tokens of context
_WARM_UP, _REPEATS = 5, 30  # steps; the first ones are not replayed yet


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    import torch
    from transformers import AutoModelForCausalLM

    from harness.engines.causal_model import CausalModel
    from harness.engines.packed_weights import pack
    from tasks.rendering import load_tokenizer

    place = {"": 0 if args.device == "cuda" else args.device}
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16, device_map=place).eval()
    pack(model)
    causal = CausalModel(model, load_tokenizer(args.model))
    with torch.inference_mode():
        times = [{"rows": rows, "tokens": tokens, **_milliseconds(causal, rows, tokens)} for rows, tokens in SHAPES]
    write_json(args.out, {"fused": causal.fused is not None, "steps": times})
    print(times)


def _milliseconds(causal: Any, rows: int, tokens: int) -> dict[str, float]:
    """Median and largest time of a step with its choice of tokens."""
    import torch

    from harness.engines.key_values import SlotKVCache
    from harness.engines.step_graphs import StepGraphs

    graphs = StepGraphs(causal)
    slots = SlotKVCache(rows, graphs.length(tokens))
    made = causal.states([(5,) * 4] * rows, keep=True)[1]
    slots.put(list(range(rows)), made)
    for store in slots.store:
        for states in store:
            states.normal_()
    inputs = torch.full((rows,), 5, device=causal.device)
    positions = torch.full((rows,), tokens - 1, device=causal.device)
    times = []
    for _ in range(_WARM_UP + _REPEATS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        graphs.logits(inputs, positions, slots, slots.tokens).float().argmax(-1)
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    counted = times[_WARM_UP:]
    return {"median_ms": round(statistics.median(counted), 3), "largest_ms": round(max(counted), 3)}


if __name__ == "__main__":
    main()
