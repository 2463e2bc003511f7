"""Cholesky factors and their inverses in an ONNX graph, of operations that every runtime has.

By blocks: within one column after column, between them by products. What a block has of N, the
factor below its diagonal of ones, is inverted by (I - N)(I + N^2)(I + N^4)…, as N^n is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_export._nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

BLOCK = 16
"""Rows and columns that are factored one by one."""


def take_apart(graph: onnx.GraphProto, operation: str, sizes: Mapping[str, int]) -> None:
    """Replace each factoring in a graph, in place.

    Args:
        graph: sorted, and it stays so.
        operation: the type of its nodes, from a matrix to its factor and the factor's inverse.
        sizes: of the matrices, by name.
    """
    nodes = list(graph.node)
    used = {name for node in nodes for name in node.input} | {o.name for o in graph.output}
    del graph.node[:]
    for node in nodes:
        if node.op_type != operation:
            graph.node.append(node)
            continue
        made = Nodes(graph, f"{node.output[0]}/")
        matrix = node.input[0]
        results = _factor(made, matrix, sizes[matrix], node.output[0] in used)
        for found, name in zip(results, node.output, strict=True):
            if name in used:
                made("Identity", found, out=name)


def _factor(made: Nodes, matrix: str, size: int, whole: bool = True) -> tuple[str, str]:
    """Return the names of the factor of a matrix, zeros above it, and of its inverse."""
    if size <= BLOCK:
        return _factor_of_block(made, matrix, size)
    half = max(BLOCK, size // 2 // BLOCK * BLOCK)
    corner, left, right = (
        _part(made, matrix, *places)
        for places in ((0, half, 0, half), (half, size, 0, half), (half, size, half, size))
    )
    first, first_inverse = _factor(made, corner, half, whole)
    below = made("MatMul", left, made("Transpose", first_inverse, perm=[1, 0]))
    rest = made("Sub", right, made("MatMul", below, made("Transpose", below, perm=[1, 0])))
    last, last_inverse = _factor(made, rest, size - half, whole)
    inverse_below = made("Neg", made("MatMul", last_inverse, made("MatMul", below, first_inverse)))
    above = made.constant(np.zeros((half, size - half)))
    inverse = _joined(made, first_inverse, above, inverse_below, last_inverse)
    return _joined(made, first, above, below, last) if whole else first, inverse


def _factor_of_block(made: Nodes, matrix: str, size: int) -> tuple[str, str]:
    columns = []
    for number in range(size):
        row = _row(made, matrix, number)  # of a symmetric matrix, which is the column
        pivot = made("Slice", row, *map(made.whole, ([number], [number + 1], [1])))
        row = made("Div", row, made("Sqrt", pivot))
        columns.append(made("Transpose", row, perm=[1, 0]))
        if number < size - 1:
            matrix = made("Sub", matrix, made("MatMul", columns[-1], row))
    factor = made("Mul", made("Concat", *columns, axis=1), made.constant(np.tri(size)))
    return factor, _inverse_of_block(made, factor, size)


def _inverse_of_block(made: Nodes, factor: str, size: int) -> str:
    same = made.constant(np.eye(size))
    diagonal = made("ReduceSum", made("Mul", factor, same), made.whole([0]), keepdims=1)
    power = made("Sub", made("Div", factor, diagonal), same)
    inverse = made("Sub", same, power)
    for _ in range((size - 1).bit_length() - 1):
        power = made("MatMul", power, power)
        inverse = made("Add", inverse, made("MatMul", inverse, power))
    return made("Div", inverse, made("Transpose", diagonal, perm=[1, 0]))


def _row(made: Nodes, matrix: str, number: int) -> str:
    return made("Slice", matrix, *map(made.whole, ([number], [number + 1], [0])))


def _part(made: Nodes, matrix: str, top: int, bottom: int, left: int, right: int) -> str:
    return made("Slice", matrix, *map(made.whole, ([top, left], [bottom, right], [0, 1])))


def _joined(made: Nodes, first: str, above: str, below: str, last: str) -> str:
    upper = made("Concat", first, above, axis=1)
    return made("Concat", upper, made("Concat", below, last, axis=1), axis=0)
