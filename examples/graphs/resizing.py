"""Count in how much of photographs the resizing of a graph differs from Pillow's.

python examples/graphs/resizing.py photos/ [--recipe change] [--most 40]

Resized are up to so many photographs of each folder, to the sizes that the recipe asks for.
Printed are the share of levels (three a pixel) that differ, the largest difference, and how many
photographs are so much taller than wide that Pillow takes columns first.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from PIL import Image

from vlmad import load_detector
from vlmad_export._nodes import Nodes
from vlmad_export._resizing_nodes import resized

if TYPE_CHECKING:
    from vlmad import Preprocessing


def main() -> None:
    """Measure and print."""
    given = _arguments()
    for wanted in load_detector(given.recipe).preprocessings():
        session, kind = _session(wanted), Image.Resampling[wanted.interpolation.upper()]
        print(f"to {wanted.size[0]} x {wanted.size[1]}, {wanted.interpolation}:")
        for folder in sorted({path.parent for path in _photographs(given.photos)}):
            counts, tall = np.zeros(256, np.int64), 0
            for path in sorted(p for p in _photographs(given.photos) if p.parent == folder)[
                : given.most
            ]:
                image = Image.open(path).convert("RGB")
                expected = np.asarray(image.resize(wanted.size[::-1], kind)).astype(int)
                bands = np.asarray(image).transpose(2, 0, 1)[None]
                [found] = session.run(None, {"bands": bands})
                apart = np.abs(found[0].transpose(1, 2, 0) - expected)
                counts += np.bincount(apart.ravel(), minlength=256)
                height, width = wanted.size
                tall += image.height - height > 2 * (image.width - width)
            share, most = counts[1:].sum() / counts.sum(), counts.nonzero()[0].max()
            print(f"  {share:.5%}  by {most} at most  {tall} tall  {folder}")


def _photographs(folder: Path) -> list[Path]:
    found = (p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".png", ".bmp"))
    return [path for path in found if "ground_truth" not in path.parts]


def _session(wanted: Preprocessing) -> onnxruntime.InferenceSession:
    """Return a graph that resizes and does nothing else."""
    bands = helper.make_tensor_value_info("bands", TensorProto.UINT8, [1, 3, "h", "w"])
    graph = helper.make_graph([], "resizing", [bands], [])
    name = resized(Nodes(graph, "own/"), "bands", wanted.size, wanted.interpolation)
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.UINT8, None))
    opset = helper.make_opsetid("", 20)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    on_processor = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=on_processor)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--recipe", default="change")
    parser.add_argument("--most", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    main()
