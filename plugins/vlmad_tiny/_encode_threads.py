"""Encoding a batch in several threads, a share of its images in each.

The embedded model consists of hundreds of small operations. Divided among the cores, each of
them ends when the slowest core does, and where something else runs too, such as the decoding of
the next images, that core is often busy with it. A thread that encodes a share of the images by
itself waits for nobody.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
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
    threads, setters = torch.get_num_threads(), _thread_setters()
    shares = list(chunks(batch.sources, -(-len(batch) // threads)))
    if len(shares) == 1 or not setters:
        return encode(batch)
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def limit() -> None:
        torch.get_num_threads()  # the first call sets a thread's number, and would do so later
        for setter in setters:
            setter(threads // len(shares))

    def encode_share(share: list[Source]) -> VisualFeatures:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return encode(ImageBatch(tuple(share), batch.resize))

    with ThreadPoolExecutor(len(shares), initializer=limit) as pool:
        return _joined(list(pool.map(encode_share, shares)))


@cache
def _thread_setters() -> list[Callable[[int], object]]:
    """Return what sets how many threads the calling thread's operations use, and no other's.

    `torch.set_num_threads` would do so for the whole process, for MKL at once and for threads
    that start later. Where torch's library has no such functions, there are no streams.
    """
    with suppress(OSError, AttributeError, StopIteration):
        path = next(Path(torch.__file__).parent.glob("lib/libtorch_cpu.*"))
        library = ctypes.CDLL(str(path))
        products = "MKL_Set_Num_Threads_Local"
        own = [getattr(library, products)] if torch.backends.mkl.is_available() else []
        return [library.omp_set_num_threads, *own]
    return []


def _joined(parts: Sequence[VisualFeatures]) -> VisualFeatures:
    first = parts[0]
    tensors = {r: torch.cat([part.tensors[r] for part in parts]) for r in first.tensors}
    return VisualFeatures(tensors, first.grid, first.image_size)
