"""A graph as OpenVINO has it: a file of operations, and one of weights beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openvino

from vlmad.files import digest
from vlmad_export._own_files import KEPT_UNDER
from vlmad_export.exported import DOCUMENT, weights_beside

if TYPE_CHECKING:
    from pathlib import Path

    from vlmad_export.exported import ExportedDetector


def write_openvino(onnx_file: Path, described: ExportedDetector, out: Path) -> ExportedDetector:
    """Write both files of a graph; return what it says of itself, the digest of the weights too.

    Args:
        onnx_file: the graph as ONNX has it.
        described: what it says of itself there.
        out: the file of operations.
    """
    model = openvino.Core().read_model(str(onnx_file))
    openvino.save_model(model, str(out), compress_to_fp16=False)
    whole = described.model_copy(update={"weights_sha256": digest(weights_beside(out))})
    model.set_rt_info(whole.metadata()[DOCUMENT], [KEPT_UNDER, DOCUMENT])
    openvino.save_model(model, str(out), compress_to_fp16=False)  # the same weights again
    return whole
