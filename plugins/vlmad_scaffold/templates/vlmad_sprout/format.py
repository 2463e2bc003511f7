"""The format of image files `sprout`."""

from io import StringIO
from typing import Any

import numpy as np
from vlmad.errors import InputError
from vlmad_formats.reading import Reading
from vlmad_formats.rendering import Rendered
from vlmad_formats.stored_values import ImageFacts, Raster

HEADER = b"# sprout\n"


class SproutFormat(Rendered):
    """Grey values of 8 bits as text, a row of the image on each line, below a first line."""

    endings = (".sprout",)

    def recognises(self, content: Any) -> bool:
        """Tell by the first line; an image in memory is none."""
        return isinstance(content, bytes) and content.startswith(HEADER)

    def facts(self, content: bytes, reading: Reading) -> ImageFacts:
        """Return its size."""
        return self.raster(content, reading).facts

    def raster(self, content: bytes, reading: Reading) -> Raster:
        """Return its values."""
        values = np.loadtxt(StringIO(content.decode("ascii")), ndmin=2)
        if values.min() < 0 or values.max() > 255:
            raise InputError("values are 0 to 255")
        height, width = values.shape
        return Raster(values.astype(np.uint8)[..., None], ImageFacts((width, height)))
