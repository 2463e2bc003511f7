"""Time the parts of a block in bfloat16, to see what keeps encoding from the limit of products.

    python examples/speed/block_parts.py --threads 2

Milliseconds of ViT-B-16-plus-240's widths for 2,048 tokens, and what its four products would take
at the rate of `vlmad bench-speed`'s limit. Processor time, so that other programs disturb less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

TOKENS, WIDTH, HEADS, TURNS = 2048, 896, 14, 15
PRODUCTS = {
    "into attention": (WIDTH, 3 * WIDTH),
    "out of attention": (WIDTH, WIDTH),
    "into feed-forward": (WIDTH, 4 * WIDTH),
    "out of feed-forward": (4 * WIDTH, WIDTH),
}


def milliseconds(work: Callable[[], object], threads: int) -> float:
    """Return the least that some calls took, of each thread."""
    taken = []
    for _ in range(TURNS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return 1000 * min(taken) / threads


def numbers(*shape: int) -> torch.Tensor:
    """Return numbers in bfloat16."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).bfloat16()


def attention(images: int, tokens: int) -> Callable[[], object]:
    """Return torch's attention over so many images, or windows, of so many tokens."""
    heads = numbers(images, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    return lambda: F.scaled_dot_product_attention(*heads)


def parts() -> dict[str, Callable[[], object]]:
    """Return what is timed, by its name."""
    found: dict[str, Callable[[], object]] = {}
    for name, (before, after) in PRODUCTS.items():
        tokens, weights, bias = numbers(TOKENS, before), numbers(after, before), numbers(after)
        arranged = torch.ops.mkldnn._reorder_linear_weight(weights, TOKENS)
        found[f"{name}, plain"] = partial(F.linear, tokens, weights, bias)
        found[f"{name}, arranged"] = partial(
            torch.ops.mkldnn._linear_pointwise, tokens, arranged, bias, "none", [], "none"
        )
    inner, stream = numbers(TOKENS, 4 * WIDTH), torch.ones(TOKENS, WIDTH)
    added = numbers(TOKENS, WIDTH)
    norm = torch.nn.LayerNorm(WIDTH)
    found["exact GELU"] = lambda: F.gelu(inner)
    found["a norm of the stream, as bfloat16"] = lambda: norm(stream).bfloat16()
    found["an addition to the stream"] = lambda: stream + added
    found["attention, windows of 5 tokens"] = attention(TOKENS // 5, 5)
    found["attention, images of 226 tokens"] = attention(TOKENS // 226, 226)
    return found


def main() -> None:
    """Print the time of each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    with torch.inference_mode():
        tokens, weights = numbers(TOKENS, 1024), numbers(4096, 1024)
        unit = milliseconds(lambda: F.linear(tokens, weights), threads) / (1024 * 4096)
        whole = unit * sum(before * after for before, after in PRODUCTS.values())
        print(f"{whole:6.2f}  all four products at the limit")
        for name, work in parts().items():
            print(f"{milliseconds(work, threads):6.2f}  {name}")


if __name__ == "__main__":
    main()
