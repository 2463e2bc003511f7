"""Making a graph of a detector, and keeping it only if it agrees with the detector."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, OutputError
from vlmad.files import digest, write_atomically
from vlmad_export._parity import TOLERANCES, beyond, compare, most_memory
from vlmad_export.exported import (
    SUFFIXES,
    ExportedDetector,
    GivenImage,
    document_beside,
    weights_beside,
)
from vlmad_export.sessions import INSTALL
from vlmad_run.leaving_out import automatic_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_export.exported import FileFormat, Parity, Precision
    from vlmad_run.manifest import GoodScores
    from vlmad_run.references import Assembled
    from vlmad_run.thresholds import Threshold

OF_ONNX = ("onnx", "onnxscript", "onnxruntime")
"""What the extra of that name brings."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a detector is to be exported."""

    file_format: FileFormat = "onnx"
    precision: Precision = "float32"
    tolerance: float | None = None
    threshold: Threshold | None = None


def export_detector(
    assembled: Assembled, images: Sequence[Path], out: Path, wish: Wish
) -> ExportedDetector:
    """Write a detector as one graph and the document beside it.

    Args:
        assembled: what is exported, fitted if it has to be.
        images: by which it is compared with torch, and int8 is calibrated.
        out: the file; it ends as `SUFFIXES` has it.
        wish: the format and precision, and what differences are tolerated.

    Raises:
        IncompatiblePartsError: no graph can be made of it; the part is named.
        InputError: there are no images, no runtime, or the graph differs from the detector.
    """
    from vlmad_export._traced_detector import refuse_untraceable
    from vlmad_export._writing import write_graph

    refuse_untraceable(assembled.detector)
    _check(images, out, wish)
    described = _describe(assembled, images, wish)
    [_] = assembled.stream(images[:1], 1)
    memory = most_memory()
    with tempfile.TemporaryDirectory(prefix="vlmad-", dir=out.parent) as folder:
        graph = Path(folder, out.name)
        described, opened = write_graph(assembled, images, wish.precision, described, graph)
        threshold = described.threshold
        usual = max(map(abs, assembled.good.scores)) if assembled.good else 0.0
        found = [compare(assembled, graph, by, images, threshold, memory, usual) for by in opened]
        _refuse(found, described)
        _keep(graph, out)
    whole = described.model_copy(update={"parity": found, "graph_sha256": digest(out)})
    whole.write(document_beside(out))
    return whole


def _check(images: Sequence[Path], out: Path, wish: Wish) -> None:
    kind = wish.file_format
    if out.suffix != SUFFIXES[kind]:
        raise OutputError(f"{out}: the name of a graph for {kind} ends with {SUFFIXES[kind]}")
    if kind == "torch" and wish.precision != "float32":
        raise InputError("--graph-precision is of --format onnx and openvino")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out.parent}: there is no such folder")
    if not images:
        raise InputError("a graph is compared with its detector on images: name some by --images")
    needed = () if kind == "torch" else (*OF_ONNX, *(["openvino"] if kind == "openvino" else []))
    for name in needed:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"--format {kind} needs {name}: {INSTALL}")


def _describe(assembled: Assembled, images: Sequence[Path], wish: Wish) -> ExportedDetector:
    threshold = _threshold(assembled.good, wish)
    manifest = assembled.describe_fitted()
    if wish.precision == "int8":  # whose scores are others, so that these would give no p-values
        manifest = manifest.model_copy(update={"good": None})
    if wish.threshold is not None:
        wish.threshold.check(manifest.identity)
    usual = TOLERANCES[wish.precision]
    return ExportedDetector(
        manifest=manifest,
        file_format=wish.file_format,
        given=[
            GivenImage(height=each.size[0], width=each.size[1], interpolation=each.interpolation)
            for each in assembled.detector.preprocessings()
        ],
        precision=wish.precision,
        threshold=threshold.value if threshold else None,
        threshold_rule=threshold.rule if threshold else None,
        threshold_evidence=threshold.evidence if threshold else {},
        map_size=list(assembled.detector.backbone.spec.preprocessing.size),
        tolerance=usual if wish.tolerance is None else wish.tolerance,
    )


def _threshold(good: GoodScores | None, wish: Wish) -> Threshold | None:
    """Return the threshold that goes along: the given one, or what references say in torch.

    Not of int8: its scores are others, and a graph cannot judge references by each other.
    """
    if wish.threshold is not None or wish.precision == "int8":
        return wish.threshold
    return automatic_threshold(good) if good is not None and max(good.scores) > 0 else None


def _refuse(found: Sequence[Parity], described: ExportedDetector) -> None:
    assert described.tolerance is not None
    for each in found:
        reason = beyond(each, described.precision, described.tolerance)
        if reason:
            raise InputError(
                f"the graph is not kept: in {each.runtime} {reason}, more than the "
                f"{described.tolerance:g} that is tolerated; --tolerance allows more"
            )


def _keep(graph: Path, out: Path) -> None:
    """Put a graph in its place; weights beside it come first, and never beside another graph."""
    if weights_beside(graph).exists():
        out.unlink(missing_ok=True)
        write_atomically(weights_beside(out), weights_beside(graph).read_bytes())
    write_atomically(out, graph.read_bytes())


def is_taken(out: Path) -> bool:
    """Return whether something is there already that an export would replace."""
    beside = (weights_beside(out),) if out.suffix == SUFFIXES["openvino"] else ()
    return any(map(os.path.lexists, (out, document_beside(out), *beside)))
