"""Score photographs with a graph of `vlmad export`, without vlmad and without torch.

python examples/graphs/standalone.py nut.onnx photos/*.jpg

It needs numpy, Pillow and onnxruntime. Images of long formats are squashed here; vlmad cuts them.
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

graph, *photographs = sys.argv[1:]
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
told = session.get_modelmeta().custom_metadata_map
threshold = float(told["threshold"]) if told["threshold"] else None
print(f"{told['class_name']}, {told['licence']}, anomalous from {threshold} on")
failed = 0
for name in photographs:
    try:
        with Image.open(name) as file:
            upright = ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        failed += 1
        print(f"{name}: not scored: {error}")
        continue
    pixels = np.asarray(upright)[None]  # 1 height width 3
    [score], [heat] = session.run(["score", "map"], {"image": pixels})
    if not (np.isfinite(score) and np.isfinite(heat).all()):
        failed += 1
        print(f"{name}: not scored: no finite number")
        continue
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    across, down = column / heat.shape[1], row / heat.shape[0]
    verdict = "" if threshold is None else "anomalous" if score >= threshold else "ok"
    print(f"{score:.4f} {verdict} {name}, hottest at {across:.0%} across, {down:.0%} down")
sys.exit(1 if failed else 0)
