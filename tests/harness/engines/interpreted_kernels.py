"""Compares decoding steps by Triton's interpreter with those by PyTorch's operations.

Rows are at the first token of their slot, at both sides of a block of 64 tokens, and in the third block.
"""

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from harness.engines.fused_decoder import FusedDecoder
from harness.engines.fused_kernels import TritonOperations
from harness.engines.key_values import SlotKVCache
from harness.engines.packed_weights import Products
from harness.engines.plain_operations import PlainOperations
from tests.harness.engines.test_fused_decoder import SIZES

MODELS = {
    "no bias": LlamaConfig(**SIZES),
    "norms of heads": Qwen3Config(**SIZES, head_dim=32),
    "bias": Qwen2Config(**SIZES),
}
ERRORS = {torch.float32: 1e-5, torch.float16: 2e-2}
POSITIONS = torch.tensor([0, 63, 64, 150])


def random_slots(decoder, dtype):
    width = decoder.layers[0].self_attn.head_dim
    slots = SlotKVCache(5, 160)
    generator = torch.Generator().manual_seed(1)
    for _ in decoder.layers:
        keys, values = (torch.randn(5, 2, 160, width, generator=generator).to(dtype) for _ in range(2))
        slots.store.append((keys, values))
    return slots


def compare(config, dtype, error):
    torch.manual_seed(0)
    decoder = AutoModelForCausalLM.from_config(config, dtype=dtype).eval().base_model
    sides = []
    for operations in (PlainOperations(), TritonOperations()):
        slots = random_slots(decoder, dtype)
        with torch.inference_mode():
            fused = FusedDecoder(decoder, Products(decoder), operations)
            states = fused.step(torch.tensor([3, 4, 5, 6]), POSITIONS, slots, 151)
            row_states = fused.rows(torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 11, 12]]), None)
        sides.append([states, row_states, *(part for layer in slots.store for part in layer)])
    for plain, kernel in zip(*sides, strict=True):
        torch.testing.assert_close(kernel, plain, atol=error, rtol=error)
    for (keys, _), (before, _) in zip(slots.store, random_slots(decoder, dtype).store, strict=True):
        changed = (keys != before).any(-1).any(1).nonzero().tolist()
        assert changed == [[row, int(position)] for row, position in enumerate(POSITIONS)]


if __name__ == "__main__":
    for config in MODELS.values():
        for dtype, error in ERRORS.items():
            compare(config, dtype, error)
