"""Making images ready while the model works on those before them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from vlmad.images import Source
    from vlmad.resizing import Resizing
    from vlmad.types import Preprocessing

AHEAD = 2
"""Chunks of images that are made ready before they are asked for."""
Pieces: TypeAlias = "list[Source]"
"""An image as the model gets it: itself, or the tiles that were cut from it."""
Given = TypeVar("Given")
Made = TypeVar("Made")


def load(
    sources: Iterable[Source], resizing: Resizing, wanted: Collection[Preprocessing], chunk: int
) -> Iterator[Pieces]:
    """Decode images in the background; yield the pieces of each with the wanted pixels ready.

    One that cannot be read is its own single piece, with `failure` set.
    """

    def prepare(some: list[Source]) -> list[Pieces]:
        return [_pieces(source, resizing, wanted) for source in some]

    for prepared in ahead(chunks(sources, chunk), prepare):
        yield from prepared


def batches(images: Iterable[Pieces], size: int | None) -> Iterator[list[Pieces]]:
    """Yield lists of images that have together at least `size` pieces; None is one of all.

    The pixels of each list are forgotten when the next is asked for.
    """
    for batch in _grouped(images, size):
        yield batch
        for piece in chain(*batch):
            piece.release()


def _grouped(images: Iterable[Pieces], size: int | None) -> Iterator[list[Pieces]]:
    batch: list[Pieces] = []
    for image in images:
        batch.append(image)
        if size is not None and sum(map(len, batch)) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def ahead(
    items: Iterable[Given],
    make: Callable[[Given], Made],
    ahead: int = AHEAD,
    workers: int = 1,
) -> Iterator[Made]:
    """Yield what `make` makes of each item, in order, made in other threads in advance.

    So many items as `ahead` are begun before they are asked for: it bounds the memory.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def chunks(items: Iterable[Given], size: int) -> Iterator[list[Given]]:
    """Yield lists of up to `size` items."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _pieces(source: Source, resizing: Resizing, wanted: Collection[Preprocessing]) -> Pieces:
    try:
        if source.prepared is not None:
            for each in wanted:
                source.pixels(each, resizing.of_each)
            return [source]
        image, pieces = source.open(), []
        for place in resizing.places(image.size):
            pieces.append(source.part(image, place))
            pieces[-1].make_ready(wanted, resizing.of_each, image.crop(place))
        if not pieces:
            source.make_ready(wanted, resizing.of_each, image)
        return pieces or [source]
    except InputError as error:
        if source.prepared is not None:
            raise  # a caller's mistake, not a bad file
        source.failure = str(error)
        return [source]
