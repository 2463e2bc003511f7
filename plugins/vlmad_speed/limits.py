"""What the machine can do at best: matrix products and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, WIDTH = 2048, 1024
"""Of the products that are timed: many tokens by the matrices of a middling transformer."""
COPIED = 256 * 2**20
"""Bytes of the copy that is timed, more than any cache holds."""
TRIALS = 7


@dataclass(frozen=True, slots=True)
class Limits:
    """The best that was seen in some trials."""

    float32: float
    """Of matrix products, in 10^9 floating-point operations a second."""
    bfloat16: float | None
    """Likewise; None where bfloat16 is not computed natively."""
    memory: float
    """Of copying, in 10^9 bytes read and written a second."""

    def of(self, precision: str) -> float:
        """Return the limit of products in a precision."""
        return self.bfloat16 if precision == "bfloat16" and self.bfloat16 else self.float32

    def as_table(self) -> dict[str, float | None]:
        """Return the limits by name and unit."""
        return {
            "float32_gflops": self.float32,
            "bfloat16_gflops": self.bfloat16,
            "memory_gbytes": self.memory,
        }


def measure_limits(device: torch.device, native_bfloat16: bool) -> Limits:
    """Time matrix products and a copy of memory.

    Args:
        device: where.
        native_bfloat16: whether to time products of bfloat16 too.
    """
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    copying = best_seconds(lambda: target.copy_(source), device)
    return Limits(
        _products(torch.float32, device),
        _products(torch.bfloat16, device) if native_bfloat16 else None,
        2 * COPIED / copying / 1e9,
    )


def _products(dtype: torch.dtype, device: torch.device) -> float:
    tokens = torch.ones(ROWS, WIDTH, dtype=dtype, device=device)
    weights = torch.ones(4 * WIDTH, WIDTH, dtype=dtype, device=device)
    seconds = best_seconds(lambda: torch.nn.functional.linear(tokens, weights), device)
    return 2 * ROWS * weights.numel() / seconds / 1e9


def best_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of some trials, the first not counted."""
    return min([seconds_of(work, device) for _ in range(1 + TRIALS)][1:])


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time one call, to the end of what it started on a GPU."""
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
