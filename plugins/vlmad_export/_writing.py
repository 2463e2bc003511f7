"""Writing a detector as a graph, in each of the formats."""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING

from vlmad.errors import IncompatiblePartsError
from vlmad_export._parity import Opened
from vlmad_export._traced_detector import TracedDetector, record
from vlmad_export.sessions import installed_runtimes, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import onnx

    from vlmad.types import Preprocessing
    from vlmad_export.exported import ExportedDetector, Precision
    from vlmad_export.sessions import Runtime
    from vlmad_run.references import Assembled

MOST_BYTES = 2**31 - 1
"""Of a graph in one file."""


def write_graph(
    assembled: Assembled,
    images: Sequence[Path],
    precision: Precision,
    described: ExportedDetector,
    graph: Path,
) -> tuple[ExportedDetector, list[Opened]]:
    """Write a graph into an empty folder; return what it says of itself, and what can open it.

    Raises:
        IncompatiblePartsError: no graph can be made of it; the part is named.
    """
    plain = described.file_format != "torch"
    traced = TracedDetector(assembled.detector, assembled.class_name, plain)
    if not plain:
        return described, [_program(traced, described, graph)]
    from vlmad_export._whole_graph import of_any_images, of_one_image

    with _untold():
        recorded = of_one_image(record(traced))
        one, count = _in_precision(recorded, traced.wanted, assembled, images, precision)
    described = described.model_copy(update={"calibrated_on": count})
    content = _bytes_of(of_any_images(one, traced.wanted, described.metadata()))
    if described.file_format == "onnx":
        graph.write_bytes(content)
        return described, [_opened(graph, runtime) for runtime in installed_runtimes()]
    from vlmad_export._openvino_file import write_openvino

    before = graph.with_suffix(".onnx")
    before.write_bytes(content)
    return write_openvino(before, described, graph), [_opened(graph, "openvino")]


def _opened(graph: Path, runtime: Runtime) -> Opened:
    return Opened(runtime, partial(open_session, graph, runtime))


def _program(traced: TracedDetector, described: ExportedDetector, graph: Path) -> Opened:
    from vlmad_export._torch_program import WrittenProgram, write_program

    with _untold():
        write_program(record(traced), described.metadata(), graph)
    read_back = partial(WrittenProgram, graph, described.metadata(), traced.wanted)
    return Opened("torch", read_back, apart=False)


@contextmanager
def _untold() -> Iterator[None]:
    """Keep from users what torch and others tell their developers, whole programs among it."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _in_precision(
    one: onnx.ModelProto,
    wanted: Sequence[Preprocessing],
    assembled: Assembled,
    images: Sequence[Path],
    precision: Precision,
) -> tuple[onnx.ModelProto, int]:
    """Return the graph in a precision, and by how many images its ranges were chosen."""
    from vlmad_export._precision import quantised, with_half_weights

    if precision == "float32":
        return one, 0
    if precision == "float16":
        return with_half_weights(one), 0
    return quantised(one, wanted, [*assembled.detector.sources(images)])


def _bytes_of(model: onnx.ModelProto) -> bytes:
    if model.ByteSize() > MOST_BYTES:
        raise IncompatiblePartsError("the graph is larger than the 2 GB that one file can hold")
    content: bytes = model.SerializeToString()
    return content
