"""A graph of one image in less precision: halves of weights, or whole numbers of eight bits."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import UInt8

    from vlmad.images import Source
    from vlmad.types import Preprocessing

FEWEST = 1024
"""Numbers of a constant from which on it is worth storing in halves."""
PERCENTILE = 99.99
"""Of the values that flow, within which the range of whole numbers lies."""


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph that stores its large constants in float16; what is computed is float32."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    stored = [_halved(each, half.graph) for each in half.graph.initializer]
    del half.graph.initializer[:]
    half.graph.initializer.extend(stored)
    return half


def _halved(constant: onnx.TensorProto, graph: onnx.GraphProto) -> onnx.TensorProto:
    if constant.data_type != TensorProto.FLOAT or np.prod(constant.dims) < FEWEST:
        return constant
    values = numpy_helper.to_array(constant)
    if not np.abs(values).max() < np.finfo(np.float16).max:
        return constant
    name = f"half/{constant.name}"
    graph.node.insert(0, helper.make_node("Cast", [name], [constant.name], to=TensorProto.FLOAT))
    return numpy_helper.from_array(values.astype(np.float16), name)


def quantised(
    model: onnx.ModelProto, wanted: Sequence[Preprocessing], images: Sequence[Source]
) -> tuple[onnx.ModelProto, int]:
    """Return a graph whose convolutions and products with weights are of whole numbers.

    And how many images told their ranges: those that cannot be read are left out.

    Args:
        model: of one image, given at each size of `wanted`.
        wanted: the sizes.
        images: by which the ranges of what flows are chosen.

    Raises:
        InputError: none of the images can be read.
    """
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self.left, self.count = _levels(model, wanted, images), 0

        def get_next(self) -> dict[str, Any] | None:
            levels = next(self.left, None)
            self.count += levels is not None
            if self.count == 0:
                raise InputError("none of the images can be read to choose the ranges of int8")
            return levels

    with tempfile.TemporaryDirectory(prefix="vlmad-") as folder:
        reader = Reader()
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        quantization.quantize_static(
            before, after, reader,
            nodes_to_quantize=_of_weights(model.graph),
            op_types_to_quantize=["Conv", "MatMul"],
            per_channel=True,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )  # fmt: skip
        return onnx.load(after), reader.count


def _of_weights(graph: onnx.GraphProto) -> list[str]:
    """Return the names of convolutions and of products with a matrix of weights.

    The first, which sees pixels, and the last fifth, by which scores are made, stay as they are:
    with them, and with the whole range of values, four of twenty verdicts of `change` changed.
    """
    weights = {c.name for c in graph.initializer if c.data_type == TensorProto.FLOAT}
    named = [
        node.name
        for node in graph.node
        if node.op_type in ("Conv", "MatMul") and node.input[1] in weights
    ]
    return named[1 : len(named) - len(named) // 5]


def _levels(
    model: onnx.ModelProto, wanted: Sequence[Preprocessing], images: Sequence[Source]
) -> Iterator[dict[str, UInt8[np.ndarray, "h w 3"]]]:
    """Yield each image that can be read at each size, as the graph is given it."""
    names = [given.name for given in model.graph.input]
    for source in images:
        try:
            image = source.open()
        except InputError:
            continue
        yield {
            name: np.asarray(
                image.resize(each.size[::-1], Image.Resampling[each.interpolation.upper()])
            )
            for name, each in zip(names, wanted, strict=True)
        }
