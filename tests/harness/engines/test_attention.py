"""Attention of scoring passes has the values of torch's own."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.engines.attention import attend

LENGTH, WIDTH = 150, 16


@pytest.mark.parametrize("scaling", [None, 0.4])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("new", "masked"), [(1, True), (5, True), (100, True), (LENGTH, False)])
def test_attention_is_that_of_torch(new, masked, groups, scaling):
    """One token, a few and several blocks, behind a context with gaps; or a whole text."""
    torch.manual_seed(0)
    key, value = (torch.randn(2, 2, LENGTH, WIDTH) for _ in range(2))
    query = torch.randn(2, 2 * groups, new, WIDTH)
    mask = torch.rand(2, 1, new, LENGTH) < 0.6
    mask[..., 0] = True
    keys, values = (states.repeat_interleave(groups, 1) for states in (key, value))
    wanted = scaled_dot_product_attention(
        query, keys, values, attn_mask=mask if masked else None, is_causal=not masked, scale=scaling
    )
    attended, weights = attend(torch.nn.Module(), query, key, value, mask if masked else None, scaling)
    torch.testing.assert_close(attended, wanted.transpose(1, 2))
    assert weights is None
