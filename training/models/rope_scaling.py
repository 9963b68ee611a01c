"""Llama 3.1's change of rotary frequencies, as the settings of transformers and as the tensor of factors in GGUF."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

TENSOR = "rope_freqs.weight"
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def frequency_factors(rope: dict[str, Any], head_dim: int) -> np.ndarray:
    """Factor by which each rotary wavelength is stretched, float32 [head_dim / 2].

    Args:
        rope: `rope_parameters` of a configuration, of type `llama3`.
        head_dim: Width of a head.
    """
    import numpy as np

    factor, context = rope["factor"], rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    wavelengths = 2 * math.pi * rope["rope_theta"] ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    smooth = np.clip((context / wavelengths - low) / (high - low), 0, 1)
    factors: np.ndarray = (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
    return factors


def llama3_parameters(factors: np.ndarray, theta: float, head_dim: int) -> dict[str, Any] | None:
    """`rope_parameters` with these factors, or None if they are not those of Llama 3.1 and later."""
    import numpy as np

    rope = {"rope_type": "llama3", "rope_theta": theta, "factor": float(factors.max()), **_LLAMA3}
    expected = frequency_factors(rope, head_dim)
    fits = expected.shape == factors.shape and np.allclose(expected, factors, rtol=1e-5)
    return rope if fits else None
