"""Whether a graph is whole in the files whose digests are known, asked before a runtime opens it.

The formats are read here in the little that this takes: what runs graphs brings neither onnx nor
protobuf, and a runtime would read what is to be checked first.
"""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from vlmad.errors import InputError, WeightsError
from vlmad.files import digest
from vlmad_export.exported import DOCUMENT, SUFFIXES, ExportedDetector, weights_beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Bytes = bytes | mmap.mmap

KEPT_UNDER = "framework"
"""Where OpenVINO has the metadata of an ONNX file."""
INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Of ONNX's messages the numbers of fields that lead to tensors, and what messages these are."""
ELSEWHERE = (13, 14)
"""Of a tensor, the fields that name a file and say that its numbers lie there."""
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
"""How protobuf stores a field."""
LONGEST = 10
"""Bytes of a number in protobuf."""


def check_files(path: Path) -> None:
    """Refuse a graph that is not wholly in its file, or in OpenVINO's two files.

    Raises:
        WeightsError: weights lie elsewhere, or are another's, or the file is damaged.
    """
    if path.suffix.lower() == SUFFIXES["openvino"]:
        _check_weights(path)
        return
    with path.open("rb") as file, ExitStack() as closing:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return  # nothing can be mapped of it; the runtime says what is wrong
        content = closing.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        try:
            elsewhere = _lies_elsewhere(content, size)
        except ValueError as error:
            raise WeightsError(f"{path} is no graph of ONNX: {error}") from error
    if elsewhere:
        raise WeightsError(f"{path} has weights in other files; vlmad export writes one")


def _lies_elsewhere(content: Bytes, size: int) -> bool:
    """Return whether any tensor of a model says that its numbers are in another file.

    Raises:
        ValueError: it is no protobuf as ONNX's is.
    """
    left = [("model", 0, size)]
    while left:
        message, start, end = left.pop()
        for number, value, length in _fields(content, start, end):
            if message == "tensor" and number in ELSEWHERE and (length or value):
                return True
            if number in INSIDE[message] and length is not None:
                left.append((INSIDE[message][number], value, value + length))
    return False


def _fields(content: Bytes, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """Yield of each field its number, and its value, or where its bytes begin and how many."""
    while start < end:
        tag, start = _number(content, start, end)
        number, kind = tag >> 3, tag & 7
        value, length = start, None
        if kind == VARINT:
            value, start = _number(content, start, end)
        elif kind == DELIMITED:
            length, value = _number(content, start, end)
            start = value + length
        elif kind in (FIXED32, FIXED64):
            value, start = 0, start + (4 if kind == FIXED32 else 8)
        else:
            raise ValueError("a field is of no kind that ONNX has")
        if start > end:
            raise ValueError("it ends too early")
        yield number, value, length


def _number(content: Bytes, start: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = 0
    for place in range(start, min(end, start + LONGEST)):
        byte = content[place]
        value |= (byte & 127) << 7 * (place - start)
        if byte < 128:
            return value, place + 1
    raise ValueError("a number has no end")


def _check_weights(path: Path) -> None:
    """Refuse weights beside a graph that are not its own, so that its digest is that of both."""
    weights = weights_beside(path)
    try:
        told = ElementTree.parse(path).find(f"rt_info/{KEPT_UNDER}/{DOCUMENT}")
        stated = "" if told is None else told.get("value", "")
        document = ExportedDetector.parse(stated, f"{path}: what it says of itself")
    except (ElementTree.ParseError, InputError) as error:
        raise WeightsError(f"{path} is no detector; vlmad export makes some ({error})") from error
    if not weights.is_file() or digest(weights) != document.weights_sha256:
        raise WeightsError(f"{weights} does not have the weights of {path}")
