"""Making a graph of a detector, and keeping it only if it agrees with the detector."""

from __future__ import annotations

import io
import logging
import os
import tempfile
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import IncompatiblePartsError, InputError, OutputError
from vlmad.files import digest, write_atomically
from vlmad_export._parity import TOLERANCES, beyond, compare, most_memory
from vlmad_export.exported import ExportedDetector, document_beside
from vlmad_export.sessions import INSTALL, installed_runtimes
from vlmad_run.leaving_out import automatic_threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx

    from vlmad.types import Preprocessing
    from vlmad_export.exported import Parity, Precision
    from vlmad_run.references import Assembled
    from vlmad_run.thresholds import Threshold

MOST_BYTES = 2**31 - 1
"""Of a graph in one file."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a detector is to be exported."""

    precision: Precision = "float32"
    tolerance: float | None = None
    threshold: Threshold | None = None


def export_detector(
    assembled: Assembled, images: Sequence[Path], out: Path, wish: Wish
) -> ExportedDetector:
    """Write a detector as one ONNX graph and the document beside it.

    Args:
        assembled: what is exported, fitted if it has to be.
        images: by which it is compared with torch, and int8 is calibrated.
        out: the file; it ends with ``.onnx``.
        wish: the precision, and what differences are tolerated.

    Raises:
        IncompatiblePartsError: no graph can be made of it; the part is named.
        InputError: there are no images, no runtime, or the graph differs from the detector.
    """
    from vlmad_export._traced_detector import TracedDetector, record, refuse_untraceable
    from vlmad_export._whole_graph import of_any_images, of_one_image

    detector = assembled.detector
    refuse_untraceable(detector)
    _check(images, out)
    described = _describe(assembled, images, wish)
    [_] = assembled.stream(images[:1], 1)
    memory = most_memory()
    traced = TracedDetector(detector, assembled.class_name)
    with _untold():
        recorded = of_one_image(record(traced))
    one = _in_precision(recorded, traced.wanted, assembled, images, wish)
    model = of_any_images(one, traced.wanted, described.metadata())
    with tempfile.TemporaryDirectory(prefix="vlmad-", dir=out.parent) as folder:
        graph = Path(folder, out.name)
        graph.write_bytes(_bytes_of(model))
        found = _held_to(assembled, graph, images, described, memory)
        _refuse(found, described)
        write_atomically(out, graph.read_bytes())
    whole = described.model_copy(update={"parity": found, "graph_sha256": digest(out)})
    whole.write(document_beside(out))
    return whole


@contextmanager
def _untold() -> Iterator[None]:
    """Keep from users what torch and onnxscript tell their developers, whole programs among it."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _in_precision(
    one: onnx.ModelProto,
    wanted: Sequence[Preprocessing],
    assembled: Assembled,
    images: Sequence[Path],
    wish: Wish,
) -> onnx.ModelProto:
    from vlmad_export._precision import quantised, with_half_weights

    if wish.precision == "float32":
        return one
    if wish.precision == "float16":
        return with_half_weights(one)
    return quantised(one, wanted, [*assembled.detector.sources(images)])


def _check(images: Sequence[Path], out: Path) -> None:
    if out.suffix.lower() != ".onnx":
        raise OutputError(f"{out}: the name of a graph ends with .onnx")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out.parent}: there is no such folder")
    if not images:
        raise InputError("a graph is compared with its detector on images: name some by --images")
    if "onnxruntime" not in installed_runtimes():
        raise InputError(f"an export is checked by onnxruntime: {INSTALL}")


def _describe(assembled: Assembled, images: Sequence[Path], wish: Wish) -> ExportedDetector:
    good = assembled.good
    threshold = wish.threshold
    if threshold is None and good is not None and max(good.scores) > 0:
        threshold = automatic_threshold(good)
    manifest = assembled.describe_fitted()
    if wish.threshold is not None:
        wish.threshold.check(manifest.identity)
    usual = TOLERANCES[wish.precision]
    return ExportedDetector(
        manifest=manifest,
        precision=wish.precision,
        threshold=threshold.value if threshold else None,
        threshold_rule=threshold.rule if threshold else None,
        threshold_evidence=threshold.evidence if threshold else {},
        map_size=list(assembled.detector.backbone.spec.preprocessing.size),
        calibrated_on=len(images) if wish.precision == "int8" else 0,
        tolerance=usual if wish.tolerance is None else wish.tolerance,
    )


def _bytes_of(model: onnx.ModelProto) -> bytes:
    if model.ByteSize() > MOST_BYTES:
        raise IncompatiblePartsError("the graph is larger than the 2 GB that one file can hold")
    content: bytes = model.SerializeToString()
    return content


def _held_to(
    assembled: Assembled,
    graph: Path,
    images: Sequence[Path],
    described: ExportedDetector,
    memory: float | None,
) -> list[Parity]:
    """Compare with torch in each runtime that is here."""
    return [
        compare(assembled, graph, runtime, images, described.threshold, memory)
        for runtime in installed_runtimes()
    ]


def _refuse(found: Sequence[Parity], described: ExportedDetector) -> None:
    assert described.tolerance is not None
    for each in found:
        reason = beyond(each, described.precision, described.tolerance)
        if reason:
            raise InputError(
                f"the graph is not kept: in {each.runtime} {reason}, more than the "
                f"{described.tolerance:g} that is tolerated; --tolerance allows more"
            )


def same_file(out: Path) -> bool:
    """Return whether something is there already."""
    return os.path.lexists(out) or os.path.lexists(document_beside(out))
