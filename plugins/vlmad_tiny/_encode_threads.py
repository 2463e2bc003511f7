"""Encoding a batch in several threads, a share of its images in each.

The embedded model consists of hundreds of small operations. Divided among the cores, each of
them ends when the slowest core does, and where something else runs too, such as the decoding of
the next images, that core is often busy with it. A thread that encodes a share of the images by
itself waits for nobody.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from vlmad import ImageBatch, VisualFeatures
from vlmad.loading import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad.images import Source


def encode_in_streams(
    encode: Callable[[ImageBatch], VisualFeatures], batch: ImageBatch
) -> VisualFeatures:
    """Return what `encode` makes of a batch; it is called by as many threads as torch may use."""
    threads = torch.get_num_threads()
    shares = list(chunks(batch.sources, -(-len(batch) // threads)))
    if len(shares) == 1:
        return encode(batch)
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def encode_share(share: list[Source]) -> VisualFeatures:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return encode(ImageBatch(tuple(share), batch.resize))

    with ThreadPoolExecutor(
        len(shares), initializer=torch.set_num_threads, initargs=(threads // len(shares),)
    ) as pool:
        try:
            encoded = list(pool.map(encode_share, shares))
        finally:
            torch.set_num_threads(threads)  # or threads that start later would begin with theirs
    return _joined(encoded)


def _joined(parts: Sequence[VisualFeatures]) -> VisualFeatures:
    first = parts[0]
    tensors = {r: torch.cat([part.tensors[r] for part in parts]) for r in first.tensors}
    return VisualFeatures(tensors, first.grid, first.image_size)
