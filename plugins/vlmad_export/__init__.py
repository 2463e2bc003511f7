"""Detectors as one graph, for machines and programs without torch.

- `vlmad export`: from parts or a fitted file to ONNX, held to torch on images
- engines: ``vlmad run --model FILE.onnx``, in onnxruntime or OpenVINO, and its own FILE.xml
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register ``vlmad export``."""
    register("export", "vlmad_export.cli:export", "Write a detector as one ONNX graph.")


@hookimpl
def register_engines(register: Register) -> None:
    """Register what opens the files of ``vlmad export``."""
    register("onnx", "vlmad_export.onnx_detector:open_onnx", "A graph that vlmad export wrote.")
    register("xml", "vlmad_export.onnx_detector:open_onnx", "Likewise, one of OpenVINO.")
