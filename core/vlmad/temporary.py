"""Numbers that are too many for the memory, in a temporary file that is gone with the process."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import torch

from vlmad.errors import OutputError

if TYPE_CHECKING:
    from torch import Tensor

    from vlmad.types import Features


class TemporaryTensors:
    """Tensors in a file without a name, each at its place in bytes.

    The file is read, not mapped: what lies in it takes no memory of the process.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="vlmad-", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # when nobody can read it any more

    def write(self, place: int, tensor: Tensor) -> int:
        """Write a tensor and return the place behind it.

        Raises:
            OutputError: the disk is full.
        """
        content = tensor.detach().cpu().contiguous().view(torch.uint8).numpy().reshape(-1)
        try:
            self._file.seek(place)
            left = content.data
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            where, reason = tempfile.gettempdir(), error.strerror or error
            raise OutputError(
                f"cannot write a temporary file in {where}: {reason}; the environment variable "
                "TMPDIR names another folder"
            ) from error
        return place + content.nbytes

    def read(self, place: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return what was written at a place."""
        tensor = torch.empty(tuple(shape), dtype=dtype)
        left = tensor.view(torch.uint8).numpy().reshape(-1).data
        self._file.seek(place)
        while left:
            left = left[self._file.readinto(left) :]
        return tensor


class StoredFeatures(Sequence["Features"]):
    """The features of images that one extractor made, on disk, read one by one."""

    def __init__(self) -> None:
        self._tensors = TemporaryTensors()
        self._like: Features | None = None
        self._places: list[tuple[int, int]] = []
        """Of each image where its tensors begin and how many pieces it has."""
        self._end = 0

    def __len__(self) -> int:
        return len(self._places)

    def append(self, features: Features) -> None:
        """Add the features of all pieces of an image."""
        if self._like is None:
            self._like = features[:0]
        self._places.append((self._end, len(features)))
        for tensor in features.tensors:
            self._end = self._tensors.write(self._end, tensor)

    @overload
    def __getitem__(self, index: int) -> Features: ...
    @overload
    def __getitem__(self, index: slice) -> list[Features]: ...
    def __getitem__(self, index: int | slice) -> Features | list[Features]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        place, count = self._places[index]
        assert self._like is not None
        tensors = []
        for like in self._like.tensors:
            tensor = self._tensors.read(place, (count, *like.shape[1:]), like.dtype)
            place += tensor.nbytes
            tensors.append(tensor.to(like.device))
        return self._like.with_tensors(tensors)
