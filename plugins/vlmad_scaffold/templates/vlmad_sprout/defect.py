"""The synthetic defect `sprout`."""

from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray
from vlmad_synthesis.synthetic import Defect


class SproutDefect(Defect):
    """A dark round spot.

    Args:
        radius: as a share of the image's shorter side.
    """

    def __init__(self, radius: Annotated[float, Gt(0), Le(1)] = 0.1) -> None:
        self.radius = radius

    def __call__(
        self, image: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Darken the spot, and say where it is."""
        height, width = image.shape[:2]
        rows, columns = np.ogrid[:height, :width]
        distances = np.hypot(rows - rng.integers(height), columns - rng.integers(width))
        region = distances <= self.radius * min(height, width)
        image[region] //= 2
        return image, region
