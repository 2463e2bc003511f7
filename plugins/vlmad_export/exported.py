"""What an exported detector says of itself: in the file of its graph, and in a document beside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, JsonValue

from vlmad_documents.documents import Document
from vlmad_run.manifest import Manifest

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = "vlmad"
"""Under which the metadata of a graph have the document."""
Precision = Literal["float32", "float16", "int8"]
FileFormat = Literal["onnx", "openvino", "torch"]
SUFFIXES: dict[FileFormat, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}


class Parity(Document):
    """What a runtime makes of images, beside what torch made of the same."""

    runtime: str
    """Its name and version."""
    images: int
    score: float
    """The largest difference of a score."""
    map: float
    """The largest difference of a pixel of a map."""
    largest_score: float
    largest_map: float
    """The largest of torch's own, or of left-out references: by it differences are judged."""
    rank_correlation: float | None
    """Spearman's, of the scores; None of fewer than three different ones."""
    changed_verdicts: int | None
    """None without a threshold."""
    milliseconds: float
    """The median time for an image from its file on, and that of torch beside it."""
    torch_milliseconds: float
    load_seconds: float
    megabytes: float | None
    """The most memory that a process of its own needed, and this process with torch; None where
    the system does not tell."""
    torch_megabytes: float | None


class GivenImage(Document):
    """The image at one of the model's sizes, as a program of torch is given it."""

    height: int
    width: int
    interpolation: str
    """Of Pillow: bicubic or bilinear."""


class ExportedDetector(Document):
    """An exported detector: the manifest of what it was made of, and how it was made."""

    format: Literal["vlmad export 1"] = "vlmad export 1"
    manifest: Manifest
    file_format: FileFormat = "onnx"
    given: list[GivenImage] = Field(default_factory=list)
    """The sizes to which graphs of onnx and openvino resize, and those of torch do not."""
    precision: Precision
    threshold: float | None
    """From which score on an image is anomalous; a run may be given another one."""
    threshold_rule: str | None
    threshold_evidence: dict[str, JsonValue] = Field(default_factory=dict)
    """As in `Threshold`."""
    map_size: Annotated[list[int], Field(min_length=2, max_length=2)]
    """Height and width of the maps that come out, before they are brought to the image's size."""
    calibrated_on: int = 0
    """Images by which the ranges of int8 were chosen."""
    tolerance: float | None = None
    """What differences were judged by, and what they were."""
    parity: list[Parity] = Field(default_factory=list)
    graph_sha256: str | None = None
    """Of the file of the graph, in the document beside it."""
    weights_sha256: str | None = None
    """Of the file beside an OpenVINO graph that has its weights."""

    def metadata(self) -> dict[str, str]:
        """Return what the graph's own metadata say, for programs that know nothing of vlmad too."""
        manifest = self.manifest
        own = self.model_copy(update={"graph_sha256": None, "parity": []})
        return {
            DOCUMENT: json.dumps(own.model_dump(), allow_nan=False),  # in ASCII
            "class_name": manifest.identity.class_name,
            "licence": manifest.licence,
            "threshold": "" if self.threshold is None else repr(self.threshold),
            "resize": manifest.identity.resize,
        }


def weights_beside(graph: Path) -> Path:
    """Return where the weights of an OpenVINO graph lie."""
    return graph.with_suffix(".bin")


def document_beside(graph: Path) -> Path:
    """Return where the document of a graph lies."""
    return graph.with_suffix(".json")
