"""What runs a graph on this machine: onnxruntime or OpenVINO, behind one method."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vlmad.errors import InputError, WeightsError, one_line
from vlmad_export._own_files import KEPT_UNDER, check_files
from vlmad_export.exported import DOCUMENT, SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from jaxtyping import Float, UInt8

Runtime = Literal["onnxruntime", "openvino"]
RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "openvino")
INSTALL = "pip install 'vlmad[onnx]' (or 'vlmad[openvino]')"


class Session(Protocol):
    """A graph that is loaded."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the graph says of itself."""

    def __call__(
        self, images: UInt8[np.ndarray, "b h w 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b y x"]]:
        """Return scores and maps."""


def installed_runtimes() -> list[Runtime]:
    """Return those that are there, the one that is taken first."""
    return [name for name in RUNTIMES if importlib.util.find_spec(name) is not None]


def open_session(path: Path, runtime: Runtime | None = None, threads: int = 0) -> Session:
    """Load a graph.

    Args:
        path: the file; one of OpenVINO's own needs OpenVINO.
        runtime: which is to run it; by default the first that is there.
        threads: how many it may use; 0 leaves it to the runtime.

    Raises:
        InputError: there is no runtime.
        WeightsError: the file is none that it can run, or is not whole by itself.
    """
    there = installed_runtimes()
    if path.suffix.lower() == SUFFIXES["openvino"]:
        there, runtime = [name for name in there if name == "openvino"], "openvino"
    if not there or runtime not in (None, *there):
        raise InputError(f"{path} needs {runtime or 'onnxruntime'}: {INSTALL}")
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    check_files(path)
    kind = OnnxRuntime if (runtime or there[0]) == "onnxruntime" else OpenVino
    try:
        return kind(path, threads)
    except Exception as error:  # runtimes raise errors of their own kinds, and RuntimeError
        reason = one_line(str(error))  # OpenVINO begins with lines of its own code
        raise WeightsError(f"{path} is no graph that {kind.name} can run: {reason}") from error


class OnnxRuntime:
    """A graph in onnxruntime, on the processor."""

    name = "onnxruntime"

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # threads that wait by spinning take the cores from what decodes the next images
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        on_processor = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(path), options, providers=on_processor)
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(
        self, images: UInt8[np.ndarray, "b h w 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b y x"]]:
        """Return scores and maps."""
        scores, maps = self._session.run(["score", "map"], {"image": images})
        return scores, maps


class OpenVino:
    """A graph in OpenVINO, on the processor, in float32 whatever the processor prefers."""

    name = "openvino"

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(str(path))
        exact: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            exact["INFERENCE_NUM_THREADS"] = threads
        self._compiled = core.compile_model(model, "CPU", exact)
        self.metadata: Mapping[str, str] = _metadata(model)

    def __call__(
        self, images: UInt8[np.ndarray, "b h w 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b y x"]]:
        """Return scores and maps."""
        found = self._compiled([images])
        return found["score"], found["map"]


def _metadata(model: Any) -> dict[str, str]:
    """Return what OpenVINO keeps of what the graph says of itself."""
    place = [KEPT_UNDER, DOCUMENT]
    return {DOCUMENT: str(model.get_rt_info(place).value)} if model.has_rt_info(place) else {}
