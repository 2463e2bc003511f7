"""Images that lie on no disk of this machine, such as in a bucket: their names, and their coming.

Such a name has a scheme, ``s3://bucket/key``, and means the same wherever a command is given. What
a source of the scheme makes of it is a path that is read like a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vlmad.loading import ahead
from vlmad_run.kinds import finder_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AT_ONCE = 16
"""Images that are fetched at the same time."""
LOOKED_AT = 64
"""Of many such images so many are looked at before any is scored."""


@runtime_checkable
class NamesImages(Protocol):
    """A source whose images are no files of this machine."""

    def image(self, name: str) -> Path:
        """Return the image of a name, without asking whether it is there."""


@runtime_checkable
class Fetched(Protocol):
    """An image that is fetched before it is read."""

    def fetch(self) -> None:
        """Keep its content for who reads it next; what fails fails again when it is read."""


def image_at(name: str, folder: str = "") -> Path:
    """Return the image of a name; one of a scheme that nothing installed knows is no file."""
    finder = finder_for(name)
    return finder.image(name) if isinstance(finder, NamesImages) else Path(folder, name)


def a_few_of(images: Sequence[Path]) -> Sequence[Path]:
    """Return images, of those of elsewhere up to `LOOKED_AT` that are spread over all."""
    if not any(isinstance(image, Fetched) for image in images):
        return images
    return images[:: max(1, -(-len(images) // LOOKED_AT))]


def fetched(images: Sequence[Path]) -> Sequence[Path]:
    """Return images, those of elsewhere so that some are fetched in advance of who goes through."""
    return _FetchedAhead(images) if any(isinstance(each, Fetched) for each in images) else images


class _FetchedAhead(tuple[Path, ...]):
    """Images of which some are fetched in advance while one goes through them."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Path]:
        return ahead(super().__iter__(), _fetch, AT_ONCE, AT_ONCE)


def _fetch(image: Path) -> Path:
    if isinstance(image, Fetched):
        image.fetch()
    return image
