"""Resizing in an ONNX graph as Pillow does it: weighted means along rows, rounded, then columns.

A weight is the kernel's at the distance from the middle of the pixel that comes out, in units of
the larger of both pixels; where it leaves the image, the others share its weight. An output pixel
depends on few input pixels, so that the products are of blocks of both. Pillow 13 takes columns
first of images that are much taller than wide, which gives other last levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vlmad_export._nodes import Nodes

BLOCK = 16
"""Output pixels that are computed by one product."""
SUPPORT = {"bicubic": 2.0, "bilinear": 1.0}
"""Pixels to either side that a kernel reaches."""


def resized(made: Nodes, image: str, size: tuple[int, int], interpolation: str) -> str:
    """Add nodes that bring images (b, 3, h, w) of uint8 to a size; return the name of the result.

    Args:
        made: the graph.
        image: the name of the images.
        size: height and width of the result, which is uint8 too.
        interpolation: Pillow's bicubic or bilinear, both with antialias.
    """
    shape = made("Shape", image)
    height, width = (made("Slice", shape, *map(made.whole, ([n], [n + 1], [0]))) for n in (2, 3))
    narrow = _along(made, image, width, 3, size[1], interpolation)
    return _along(made, narrow, height, 2, size[0], interpolation)


def _along(made: Nodes, image: str, length: str, axis: int, wanted: int, kernel: str) -> str:
    blocks = -(-wanted // BLOCK)
    starts, count, weights = _weights(made, length, wanted, blocks, kernel)
    pieces = []
    for number in range(blocks):
        start = made("Gather", starts, made.whole([number]), axis=0)
        part = made("Slice", image, start, made("Add", start, count), made.whole([axis]))
        part = made("Cast", part, to=1)  # float32
        own = made("Gather", weights, made.whole(number), axis=0)  # out n
        if axis == 3:
            pieces.append(made("MatMul", part, made("Transpose", own, perm=[1, 0])))
        else:
            pieces.append(made("MatMul", own, part))
    joined = made("Concat", *pieces, axis=axis)
    if blocks * BLOCK > wanted:
        joined = made("Slice", joined, *map(made.whole, ([0], [wanted], [axis])))
    up = made("Floor", made("Add", joined, made.constant(np.float32(0.5))))
    limits = (made.constant(np.float32(0)), made.constant(np.float32(255)))
    return made("Cast", made("Clip", up, *limits), to=2)  # uint8


def _weights(
    made: Nodes, length: str, wanted: int, blocks: int, kernel: str
) -> tuple[str, str, str]:
    """Return the first input pixel of each block, how many it has, and (blocks, out, n) weights."""
    double = made("Cast", length, to=11)
    scale = made("Div", double, made.constant(np.array([wanted], np.float64)))
    wide = made("Max", scale, made.constant(np.array([1.0])))
    reach = made("Mul", wide, made.constant(np.array([SUPPORT[kernel]])))
    places = np.minimum(np.arange(blocks * BLOCK), wanted - 1).astype(np.float64) + 0.5
    middles = made("Mul", made.constant(places.reshape(blocks, BLOCK)), scale)
    first = made("Slice", middles, *map(made.whole, ([0], [1], [1])))  # blocks 1
    first = made("Floor", made("Sub", first, reach))
    spread = made("Mul", scale, made.constant(np.array([float(BLOCK - 1)])))
    most = made("Add", made("Add", spread, made("Mul", reach, made.constant(np.array([2.0])))),
                made.constant(np.array([2.0])))  # fmt: skip
    count = made("Min", made("Cast", made("Ceil", most), to=7), length)
    last = made("Sub", length, count)
    starts = made("Reshape", made("Cast", first, to=7), made.whole([blocks]))
    starts = made("Max", made("Min", starts, last), made.whole([0]))
    single = made("Squeeze", count, made.whole([0]))
    inner = made("Range", made.whole(0), single, made.whole(1))
    pixels = made("Add", made("Unsqueeze", starts, made.whole([1])), inner)  # blocks n
    pixels = made("Add", made("Cast", pixels, to=11), made.constant(np.array([0.5])))
    apart = made("Sub", made("Unsqueeze", pixels, made.whole([1])),
                 made("Unsqueeze", middles, made.whole([2])))  # fmt: skip
    weights = KERNELS[kernel](made, made("Abs", made("Div", apart, wide)))
    whole = made("ReduceSum", weights, made.whole([2]), keepdims=1)
    return starts, count, made("Cast", made("Div", weights, whole), to=1)


def _number(made: Nodes, value: float) -> str:
    return made.constant(np.float64(value))


def _cubic(made: Nodes, away: str) -> str:
    """Return Keys' kernel with a = -0.5: 1.5 x³ - 2.5 x² + 1, then -0.5 x³ + 2.5 x² - 4 x + 2."""
    near = made("Add", made("Mul", away, _number(made, 1.5)), _number(made, -2.5))
    near = made("Add", made("Mul", made("Mul", near, away), away), _number(made, 1.0))
    far = made("Add", made("Mul", away, _number(made, -0.5)), _number(made, 2.5))
    far = made("Add", made("Mul", far, away), _number(made, -4.0))
    far = made("Add", made("Mul", far, away), _number(made, 2.0))
    far = made("Where", made("Less", away, _number(made, 2.0)), far, _number(made, 0.0))
    return made("Where", made("Less", away, _number(made, 1.0)), near, far)


def _linear(made: Nodes, away: str) -> str:
    return made("Max", made("Sub", _number(made, 1.0), away), _number(made, 0.0))


KERNELS = {"bicubic": _cubic, "bilinear": _linear}
