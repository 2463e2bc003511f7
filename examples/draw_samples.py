"""Draw the sample images: products, good and defective, with exact masks.

    python examples/draw_samples.py

The same seed gives the same files. The layout is MVTec AD's: `train/good`, `test/good`,
`test/<defect>` and `ground_truth/<defect>/<name>_mask.png`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from drawing import brushed_metal, circuit, cloth, fasteners, placed_fasteners, tile
from drawing.surface import mask_image, photograph

PRODUCTS: tuple[ModuleType, ...] = (brushed_metal, circuit, cloth, fasteners, tile)
OTHERS: tuple[ModuleType, ...] = (placed_fasteners,)
"""Products that are drawn only by name."""
TRAIN, GOOD, DEFECTIVE = 4, 3, 2
"""How many images there are of each product, for references and tests, and of each defect."""


def name_of(product: ModuleType) -> str:
    """Return the name of a product, which is that of its module."""
    return product.__name__.rpartition(".")[2]


def pieces(product: ModuleType, times: int = 1) -> Iterator[tuple[str, str | None, int]]:
    """Yield the folder, the defect and the number of each image of a product."""
    yield from (("train/good", None, number) for number in range(TRAIN * times))
    yield from (("test/good", None, number) for number in range(GOOD * times))
    for defect in product.DEFECTS:
        yield from ((f"test/{defect}", defect, number) for number in range(DEFECTIVE * times))


def draw_piece(product: ModuleType, index: int, out: Path, seed: int, times: int = 1) -> None:
    """Draw one image of a product and its mask, by a generator of its own."""
    name = name_of(product)
    folder, defect, number = list(pieces(product, times))[index]
    rng = np.random.default_rng([seed, *name.encode(), index])
    image, mask = product.draw(rng, defect)
    path = out / name / folder / f"{number:03d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    photograph(rng, image).save(path, optimize=True)
    if defect:
        path = out / name / "ground_truth" / defect / f"{number:03d}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        mask_image(mask).save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "samples")
    parser.add_argument("--seed", type=int, default=0)
    by_name = {name_of(product): product for product in (*PRODUCTS, *OTHERS)}
    usual = [*map(name_of, PRODUCTS)]
    parser.add_argument("--product", nargs="*", choices=by_name, default=usual)
    parser.add_argument("--times", type=int, default=1, help="as many images of each kind")
    arguments = parser.parse_args()
    for each in map(by_name.__getitem__, arguments.product):
        for piece in range(len(list(pieces(each, arguments.times)))):
            draw_piece(each, piece, arguments.out, arguments.seed, arguments.times)
