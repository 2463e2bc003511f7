"""From a recorded detector of one image to an ONNX graph of any images, from their bytes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto, helper

from vlmad_export._factored import take_apart
from vlmad_export._nodes import Nodes
from vlmad_export._plain_operations import CHOLESKY
from vlmad_export._resizing_nodes import resized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad.types import Preprocessing

OPSET = 20
IMAGE, SCORE, MAP = "image", "score", "map"
"""The input (batch, height, width, 3) of uint8, and what comes out of it: (batch,) of scores and
(batch, h, w) of maps at the model's size, float32."""
PRODUCER = "vlmad"


def of_one_image(recorded: Any) -> onnx.ModelProto:
    """Return what torch recorded as an ONNX graph of operations that every runtime has."""
    import torch
    from onnx_ir.passes.common import DeduplicateInitializersPass

    program = torch.onnx.export(recorded, dynamo=True, opset_version=OPSET, verbose=False)
    assert program is not None
    DeduplicateInitializersPass(size_limit=2**31)(program.model)  # what was worked out twice
    model: onnx.ModelProto = program.model_proto
    take_apart(model.graph, CHOLESKY, _sizes(model.graph))
    own = [opset for opset in model.opset_import if opset.domain == PRODUCER]
    for opset in own:
        model.opset_import.remove(opset)
    return model


def _sizes(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the last dimension of all that has one."""
    shapes = {v.name: v.type.tensor_type.shape.dim for v in graph.value_info}
    return {name: shape[-1].dim_value for name, shape in shapes.items() if shape}


def of_any_images(
    one: onnx.ModelProto, wanted: Sequence[Preprocessing], metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Return a graph that brings images to their sizes and scores each by itself.

    Args:
        one: the graph of one image, given at each size of `wanted`.
        wanted: the sizes.
        metadata: what the file says of itself.
    """
    graph = helper.make_graph([], PRODUCER, [_image()], _results(one.graph))
    made = Nodes(graph, "resized/")
    bands = made("Transpose", IMAGE, perm=[0, 3, 1, 2])
    given = []
    for each in wanted:
        pixels = resized(made, bands, each.size, each.interpolation)
        given.append(made("Transpose", pixels, perm=[0, 2, 3, 1]))
    graph.node.append(
        helper.make_node(
            "Scan", given, [SCORE, MAP], body=_body(one.graph), num_scan_inputs=len(given)
        )
    )
    model = helper.make_model(
        graph, producer_name=PRODUCER, opset_imports=one.opset_import, ir_version=one.ir_version
    )
    helper.set_model_props(model, dict(metadata))
    return model


def _image() -> onnx.ValueInfoProto:
    shape: list[str | int | None] = ["batch", "height", "width", 3]
    return helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, shape)


def _results(one: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    sizes = [[d.dim_value for d in each.type.tensor_type.shape.dim[1:]] for each in one.output]
    named = zip((SCORE, MAP), sizes, strict=True)
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *size])
        for name, size in named
    ]


def _body(one: onnx.GraphProto) -> onnx.GraphProto:
    """Return the graph of one image, whose results have no dimension for it."""
    body = onnx.GraphProto()
    body.CopyFrom(one)
    made = Nodes(body, "of one/")
    results = []
    for given in one.output:
        name = made("Squeeze", given.name, made.whole([0]))
        size = [d.dim_value for d in given.type.tensor_type.shape.dim[1:]]
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, size))
    del body.output[:]
    body.output.extend(results)
    return body
