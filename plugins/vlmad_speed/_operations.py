"""Counting the floating-point operations of matrix products."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def count_operations(work: Callable[[], object]) -> float:
    """Return how many operations the matrix products of `work` need, attention's among them."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # what it runs in one piece is not counted
    try:
        with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=_of_cpu()) as counter:
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return float(counter.get_total_flops())


def _of_cpu() -> dict[Any, Any]:
    """Return what torch's counter does not know of a processor's operators."""
    known: dict[Any, Any] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _of_attention
    }
    if torch.backends.mkldnn.is_available():
        known[torch.ops.mkldnn._linear_pointwise] = _of_product
    return known


def _of_product(tokens: Sequence[int], matrix: Sequence[int], *_: object, **__: object) -> int:
    return 2 * prod(tokens[:-1]) * prod(matrix)


def _of_attention(
    q: Sequence[int], k: Sequence[int], *_: object, attn_mask: object = None, **__: object
) -> int:
    """Count both products, but none under a mask: nearly all of that one is thrown away."""
    return 4 * prod(q) * k[-2] if attn_mask is None else 0
