"""A graph as torch.export has it: a program of one image at the model's sizes.

Its files are unpickled when torch reads them, so that one from elsewhere can do anything. vlmad
writes them, and reads what it has just written; nothing else of it opens one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float, UInt8

    from vlmad.types import Preprocessing


def write_program(recorded: Any, metadata: Mapping[str, str], out: Path) -> None:
    """Write what torch recorded, and what the file says of itself as files in it.

    Constants that are parts of one tensor get memory of their own: torch warns that it may mix them
    up else.
    """
    for name, kept in recorded.constants.items():
        if isinstance(kept, torch.Tensor):
            recorded.constants[name] = kept.clone(memory_format=torch.contiguous_format)
    torch.export.save(recorded, out, extra_files=dict(metadata))


class WrittenProgram:
    """A program that was just written, read back; see `vlmad_export.sessions.Session`.

    Args:
        path: its file, which is unpickled.
        metadata: what it was given to say of itself.
        wanted: at which sizes it is given the image.
    """

    def __init__(
        self, path: Path, metadata: Mapping[str, str], wanted: Sequence[Preprocessing]
    ) -> None:
        self.metadata, self._wanted = metadata, wanted
        self._module = torch.export.load(path).module()

    def __call__(
        self, images: UInt8[np.ndarray, "b h w 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b y x"]]:
        """Return scores and maps."""
        with torch.inference_mode():
            found = [self._module(*self._levels(Image.fromarray(image))) for image in images]
        scores, maps = (torch.cat(each).numpy() for each in zip(*found, strict=True))
        return scores, maps

    def _levels(self, image: Image.Image) -> list[UInt8[torch.Tensor, "h w 3"]]:
        """Return an image at each size, resized by Pillow."""
        kinds = (Image.Resampling[each.interpolation.upper()] for each in self._wanted)
        sized = (
            image.resize(each.size[::-1], kind)
            for each, kind in zip(self._wanted, kinds, strict=True)
        )
        return [torch.from_numpy(np.array(each)) for each in sized]
