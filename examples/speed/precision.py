"""Compare features in bfloat16 with those in float32, on any machine.

    python examples/speed/precision.py
    python examples/speed/precision.py --method anomalyclip

The least cosine between the two for each thing that a method asks of an image, with random
weights. It needs no processor that computes bfloat16: emulation rounds in the same places, and
takes some minutes. Times say nothing there, so none are printed; `beside_anomalib.py` and
`beside_transcription.py` time bfloat16 where it is native.
"""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor

from vlmad import Attention, ClassToken, ImageBatch, Patches, Request, Windows
from vlmad.images import as_source
from vlmad.testing import UsualAttention
from vlmad_anomalyclip._modified_attention import ValueValue
from vlmad_openclip.devices import Precision
from vlmad_openclip.openclip import OpenClip

METHODS: dict[str, tuple[str, int, Attention, list[Request]]] = {
    "winclip": (
        "ViT-B-16-plus-240",
        240,
        UsualAttention(),
        [
            ClassToken(),
            *(Windows(size) for size in (2, 3)),
            *(Windows(size, encoding="shared") for size in (2, 3)),
            Patches(12, stage="normed"),
        ],
    ),
    "anomalyclip": (
        "ViT-L-14-336-quickgelu",
        518,
        ValueValue(),
        [ClassToken(), *(Patches(layer, "beside") for layer in (6, 12, 18, 24))],
    ),
}
"""Model, side of the image in pixels, attention and what is asked of the model."""


@torch.inference_mode()
def encode(method: str, precision: Precision) -> dict[Request, Tensor]:
    """Return what a method asks of an image of noise, in float32."""
    model, side, attention, requests = METHODS[method]
    backbone = OpenClip(model, "random:0", side, device="cpu", precision=precision)
    pixels = torch.randn(3, side, side, generator=torch.Generator().manual_seed(0))
    features = backbone.encode(ImageBatch((as_source(pixels),)), requests, attention)
    return {request: features[request].float() for request in requests}


def compare(method: str) -> None:
    """Print the least cosine of each request."""
    full, half = encode(method, "float32"), encode(method, "bfloat16")
    for request, features in full.items():
        cosine = float(F.cosine_similarity(features, half[request], dim=-1).min())
        print(f"{cosine:.6f}  {request}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--method", choices=METHODS, default="winclip")
    compare(parser.parse_args().method)
