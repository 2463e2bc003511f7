"""Shards: shares of a list of images, which machines score without knowing of each other.

Batches of images go in turn to shard 1, 2, … n: each image is encoded beside the same others as in
one run over all, and its score is the same to the last bit on the same kind of machine.
"""

from __future__ import annotations

import hashlib
import re
from itertools import chain
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import Field, model_validator

from vlmad.errors import InputError
from vlmad_documents.documents import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Item = TypeVar("Item")


class Shard(Document):
    """Which images of a longer list a run is about."""

    number: int = Field(ge=1)
    count: int = Field(ge=1)
    batch: int = Field(ge=1)
    """So many images that follow each other belong to one shard."""
    images: int = Field(ge=1)
    """In all shards together."""
    names_sha256: str
    """Of the names of all of them, as they were given."""

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        batches = -(-self.images // self.batch)
        if not self.number <= self.count <= batches:
            raise ValueError(f"shard {self.number}/{self.count} of {batches} batches")
        return self

    def __str__(self) -> str:
        return f"shard {self.number}/{self.count}"

    @property
    def whole(self) -> str:
        """What it is one of, in words."""
        images = f"{self.images} images in batches of {self.batch}"
        return f"{self.count} shards of {images} (list {self.names_sha256[:8]})"

    def places(self) -> list[int]:
        """Return the places of its images in the list of all, from 0."""
        starts = range((self.number - 1) * self.batch, self.images, self.count * self.batch)
        batches = (range(start, min(start + self.batch, self.images)) for start in starts)
        return list(chain.from_iterable(batches))

    def of_list(self, items: Sequence[Item]) -> list[Item]:
        """Return its items of what there is for each image."""
        return [items[place] for place in self.places()]


def read_shard(text: str, images: Sequence[Path], batch: int) -> Shard:
    """Read which shard of some images is meant, such as ``3/8``.

    Args:
        text: its number, from 1, and how many there are.
        images: all.
        batch: how many that follow each other stay together.

    Raises:
        InputError: it is of another form, or there cannot be so many.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard takes one of n shards, 1/n to n/n, such as 3/8, not {text}")
    batches = -(-len(images) // batch)
    if count > batches:
        raise InputError(
            f"{len(images)} images in batches of {batch} make at most {batches} shards, not "
            f"{count}; take fewer, or a smaller --batch-size"
        )
    names = digest_of_given(map(str, images))
    return Shard(number=number, count=count, batch=batch, images=len(images), names_sha256=names)


def digest_of_given(names: Iterable[str]) -> str:
    """Return the SHA-256 of the names of images as they were given."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()
