"""Reading images.

Everything that is read is hostile until decoded: whatever a file holds, the outcome is an
RGB image or an `InputError` with the reason.
"""

from __future__ import annotations

import copy
import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from vlmad.errors import InputError
from vlmad.files import read_bounded
from vlmad.resizing import frame, join_maps, look, part_of, resample, restore_map
from vlmad.types import FileStatus, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from vlmad.resizing import Box, Fixture, Placement
    from vlmad.types import Preprocessing, Resize

Content: TypeAlias = "bytes | Image.Image"
"""Of a file, or an image in memory, which the format `memory` takes for one."""
MOST_BYTES = 1 << 30
"""A larger file is refused before it is read."""


class Source:
    """One image, or a part of one: a file, an array, a PIL image, or pixels already prepared.

    Args:
        name: what messages and results call it.
        content: a file, an image, or normalised pixels (3, h, w).
        whole: the image that this one is a part of, and the part's place in its pixels.
        reading: what formats are told of how to read a file; None leaves it to them.
    """

    def __init__(
        self,
        name: str,
        content: Path | Image.Image | Tensor,
        whole: tuple[Source, Box] | None = None,
        reading: Any = None,
    ) -> None:
        self.name, self.content, self.whole = name, content, whole
        self.reading = reading
        self.notes: tuple[str, ...] = ()
        """What a user should know of how it was read, known once it was opened."""
        self.sha256: str | None = None
        """Of the file's bytes, known once it was opened."""
        self.status: FileStatus | None = None
        """Of the file as it was before it was read, known once that was tried."""
        self.failure: str | None = None
        """Why it could not be read, known once that was tried."""
        self._size: tuple[int, int] | None = None
        self.view = View()
        """How its image is turned or mirrored once it is decoded and placed."""
        self.fixture: Fixture | None = None
        """What finds where its image lies, and brings it to where it should."""
        self.placement: Placement | None = None
        """What the fixture found, known once it was opened."""
        self._rendered: dict[tuple[Preprocessing, Resize], Tensor] = {}

    @property
    def path(self) -> Path | None:
        """The file it is read from, if it is one."""
        return self.content if isinstance(self.content, Path) else None

    @property
    def original(self) -> Source:
        """The image that this is a part of, or itself."""
        return self if self.whole is None else self.whole[0]

    @property
    def prepared(self) -> Tensor | None:
        """Normalised pixels (3, h, w) that need no preprocessing, if it was given such."""
        return None if isinstance(self.content, Path | Image.Image) else self.content

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the original, upright, in the frame of its fixture if it has one."""
        if self.prepared is not None:
            return self.prepared.shape[-1], self.prepared.shape[-2]
        if self._size is None:
            self.open()
        assert self._size is not None
        return self._size

    def open(self) -> Image.Image:
        """Return the decoded image, upright, as RGB, where its fixture wants it.

        Raises:
            InputError: it is no image, damaged, unreadable or absurdly large.
        """
        if self.whole is not None:
            parent, box = self.whole
            image = parent.open().crop(box)
        else:
            image = self.decoded()
            if self.fixture is not None:
                self.placement = self.fixture.place(image)
                self.notes += self.placement.notes
                image = self.placement.to_frame(image)
        image = look(image, self.view)
        self._size = image.size
        return image

    def decoded(self) -> Image.Image:
        """Return the image as `open` does, but as it lies in its file."""
        if isinstance(self.content, Path):
            with suppress(OSError, ValueError):  # reading it says what is wrong
                status = self.content.stat()
                self.status = FileStatus(status.st_size, status.st_mtime_ns)
            content = read_file(self.content)
            self.sha256 = hashlib.sha256(content).hexdigest()
            image, facts = read_image(self.content, content, self.reading)
        elif isinstance(self.content, Image.Image):
            image, facts = read_image(Path(self.name), self.content, self.reading)
        else:
            raise InputError(f"{self.name}: prepared pixels have no image to open or crop")
        self.notes = facts.notes
        return image

    def seen(self, view: View) -> Source:
        """Return the same image, turned or mirrored once it is decoded and placed."""
        other = copy.copy(self)
        other.view, other._size, other._rendered = view, None, {}
        other.name = f"{self.name} ({view})" if str(view) else self.name
        return other

    def placed(self, fixture: Fixture | None) -> Source:
        """Return the same image, brought to where a fixture wants it once it is decoded."""
        other = copy.copy(self)
        other.fixture, other._size, other._rendered = fixture, None, {}
        return other

    def part(self, image: Image.Image, box: Box) -> Source:
        """Return a part of this image, of which `image` is the decoded whole."""
        part = Source(self.name, self.content, (self, box), self.reading)
        part.sha256 = self.sha256
        return part

    def make_ready(
        self, wanted: Iterable[Preprocessing], resize: Resize, image: Image.Image | None = None
    ) -> None:
        """Keep the normalised pixels for each preprocessing until `release`.

        Args:
            wanted: for which models or levels.
            resize: how the image becomes their squares.
            image: the decoded image, if it is at hand.

        Raises:
            InputError: it cannot be read.
        """
        if self.prepared is None:
            image = image or self.open()
            self._size = image.size
            for each in wanted:
                place = frame(image.size, each.size, resize)
                self._rendered[each, resize] = resample(image, place, each)

    def pixels(self, preprocessing: Preprocessing, resize: Resize) -> Float[Tensor, "3 h w"]:
        """Return the normalised pixels at the model's size; they are kept until `release`.

        Raises:
            InputError: it cannot be read, or prepared pixels have another size.
        """
        if self.prepared is not None:
            shape, expected = tuple(self.prepared.shape), (3, *preprocessing.size)
            if shape != expected:
                problem = f"prepared pixels have shape {shape}, the model takes {expected}"
                raise InputError(f"{self.name}: {problem}")
            return self.prepared.float()
        if (preprocessing, resize) not in self._rendered:
            self.make_ready([preprocessing], resize)
        return self._rendered[preprocessing, resize]

    def crops(
        self, boxes: Float[Tensor, "t 4"], preprocessing: Preprocessing, resize: Resize
    ) -> Float[Tensor, "t 3 h w"]:
        """Return crops of the original at the model's size; see `vlmad.ImageBatch.crops`."""
        import torch

        image = self.open()
        whole = frame(image.size, preprocessing.size, resize)
        places = [part_of(whole, box) for box in boxes.tolist()]
        return torch.stack([resample(image, place, preprocessing) for place in places])

    def release(self) -> None:
        """Forget the pixels that were made ready."""
        self._rendered = {}


def restore_whole(
    pieces: Sequence[Source], maps: Float[Tensor, "b h w"], resize: Resize
) -> Float[np.ndarray, "H W"]:
    """Bring the maps of an image's pieces to size and place of the original, and join them."""
    pairs, original = zip(pieces, maps, strict=True), pieces[0].original
    restored = [restore_map(image, piece.size, resize) for piece, image in pairs]
    places = [piece.whole[1] for piece in pieces if piece.whole]
    whole = join_maps(original.size, places, restored) if places else restored[0]
    return whole if original.placement is None else original.placement.to_image(whole)


def as_source(item: Any, index: int = 0, reading: Any = None) -> Source:
    """Wrap a path, PIL image, uint8 array or prepared pixel tensor; a source stays as it is.

    What has no name is known to messages by its `index`.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(item, Source):
        return item
    if isinstance(item, str | Path):
        return Source(str(item), item if isinstance(item, Path) else Path(item), reading=reading)
    name = f"image {index}"
    if isinstance(item, Image.Image):
        return Source(getattr(item, "filename", "") or name, item, reading=reading)
    if isinstance(item, np.ndarray):
        return Source(name, _from_array(item, name))
    if type(item).__module__.split(".")[0] == "torch" and getattr(item, "ndim", 0) == 3:
        return Source(name, item)
    raise InputError(
        f"{name} is a {type(item).__name__}; give paths, PIL images, uint8 arrays (h, w, 3), "
        "or float tensors (3, h, w) of normalised pixels"
    )


def _from_array(array: UInt8[np.ndarray, "h w *c"], name: str) -> Image.Image:
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits or array.size == 0:
        raise InputError(
            f"{name} is an array of {array.dtype} and shape {array.shape}; "
            "give uint8 and (h, w), (h, w, 3) or (h, w, 4)"
        )
    return Image.fromarray(array)


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file of bounded size.

    Raises:
        InputError: it is missing, unreadable, a device or pipe, or too large.
    """
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # which may say why it cannot be read at all
            raise InputError(f"{path}: is a folder, not an image")
        return read_bounded(path, MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def decode(path: Path, content: bytes | None = None, reading: Any = None) -> Image.Image:
    """Read a file, or its bytes if they are at hand, as an upright RGB image.

    Raises:
        InputError: the file cannot be read or is no usable image.
    """
    return read_image(path, content, reading)[0]


def read_image(
    path: Path, content: Content | None = None, reading: Any = None
) -> tuple[Image.Image, Any]:
    """Read a file as `decode` does, or an image in memory, and say what its format tells of it."""
    image, told = read_by_format(path, content, lambda f, data: f.image(data, reading))
    return image, told


def read_by_format(path: Path, content: Content | None, read: Callable[[Any, Any], Any]) -> Any:
    """Return what `read` makes of a file's format and content; see `decode`."""
    content = read_file(path) if content is None else content
    try:
        return read(_format_of(content), content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged image: {why}") from error


@cache
def formats() -> tuple[Any, ...]:
    """Return all formats, those that come with vlmad first.

    They are a kind that a plugin brings; the first that recognises the bytes of a file reads it.
    """
    from vlmad.registry import installed

    return tuple(each.resolve()() for each in installed().of_kind("format"))


def _format_of(content: Content) -> Any:
    found = next((each for each in formats() if each.recognises(content)), None)
    if found is None:
        raise InputError("not an image of a known format" if content else "the file is empty")
    return found
