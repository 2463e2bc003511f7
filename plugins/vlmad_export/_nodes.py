"""Adding nodes to an ONNX graph, one call for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence


class Nodes:
    """Adds nodes and constants to a graph and names what they give.

    Args:
        graph: which.
        prefix: how these names begin; no others in the graph do.
    """

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        self.graph, self.prefix, self._count = graph, prefix, 0
        self._constants: dict[tuple[Any, ...], str] = {}

    def __call__(self, operation: str, *inputs: str, out: str | None = None, **kwargs: Any) -> str:
        """Add a node with these attributes and return the name of its first output."""
        name = out or self._name(operation)
        self.graph.node.append(helper.make_node(operation, inputs, [name], **kwargs))
        return name

    def constant(self, values: Any) -> str:
        """Return the name of a constant, there once for equal ones of one type."""
        array = np.asarray(values)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = name = self._name("constant")
            self.graph.initializer.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def whole(self, numbers: Sequence[int] | int) -> str:
        """Return the name of a constant of whole numbers."""
        return self.constant(np.asarray(numbers, np.int64))

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{self.prefix}{what}_{self._count}"
