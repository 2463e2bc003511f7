"""Time AnomalyCLIP's visual pass beside a direct transcription of its equations.

    python examples/speed/beside_transcription.py

ViT-L/14 at 518 pixels with random weights and value-value attention in the last 19 blocks. The
transcription below is plain float32 and holds every attention matrix, of both paths, as the
equations have them. Both take turns in one process; the peak of memory is that of a process of
its own that only runs vlmad's, without the text tower.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

from vlmad import ClassToken, ImageBatch, Patches, Request
from vlmad.images import as_source
from vlmad_anomalyclip._modified_attention import ValueValue
from vlmad_openclip.devices import computes_bfloat16
from vlmad_openclip.openclip import OpenClip

MODEL, SIZE, FIRST_BESIDE = "ViT-L-14-336-quickgelu", 518, 24 - 19


def transcription(
    visual: Any, positions: torch.Tensor, pixels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the raw class token's and the second path's projected features."""
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(pixels), 1, -1)
    plain = visual.ln_pre(torch.cat([first, patches], dim=1) + positions)
    beside = plain
    for number, block in enumerate(visual.transformer.resblocks):
        normed = block.ln_1(plain)
        qkv = F.linear(normed, block.attn.in_proj_weight, block.attn.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, block.attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        usual = _attend(q, k, v)
        if number >= FIRST_BESIDE:
            beside = beside + block.attn.out_proj(_attend(v, v, v))
        plain = plain + block.attn.out_proj(usual)
        plain = plain + block.mlp(block.ln_2(plain))
        if number < FIRST_BESIDE:
            beside = plain
    image: torch.Tensor = plain[:, 0] @ visual.proj
    patches = visual.ln_post(beside[:, 1:]) @ visual.proj
    return image, patches


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    gathered: torch.Tensor = (weights @ v).transpose(1, 2).flatten(2)
    return gathered


def ways(batch: int, precisions: list[str]) -> dict[str, Callable[[], list[torch.Tensor]]]:
    """Return what is to be timed, each giving image and patch features."""
    pixels = torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    images = ImageBatch(tuple(as_source(image) for image in pixels))
    requests: list[Request] = [ClassToken(normed=False), Patches(24, "beside")]
    backbones = {
        precision: OpenClip(MODEL, "random:0", SIZE, device="cpu", precision=precision)  # type: ignore[arg-type]
        for precision in precisions
    }

    def encode(backbone: OpenClip) -> list[torch.Tensor]:
        visual = backbone.encode(images, requests, ValueValue())
        return [visual[request] for request in requests]

    first = backbones[precisions[0]]
    found: dict[str, Callable[[], list[torch.Tensor]]] = {
        "transcription": lambda: list(transcription(first.visual, first._vision.positions, pixels))
    }
    return found | {name: (lambda b=b: encode(b)) for name, b in backbones.items()}


@torch.inference_mode()
def compare(batch: int, rounds: int) -> None:
    """Print the share of the transcription's time and the distance from its features."""
    native = ["bfloat16"] if computes_bfloat16(torch.device("cpu")) else []
    seconds: dict[str, list[float]] = {}
    features = {}
    work = ways(batch, ["float32", *native])
    for number in range(1 + rounds):
        for name, encode in work.items():
            started = time.perf_counter()
            features[name] = encode()
            if number:
                seconds.setdefault(name, []).append(time.perf_counter() - started)
    plain = seconds["transcription"]
    print(f"batch {batch}, {torch.get_num_threads()} threads, {rounds} rounds")
    for name, times in seconds.items():
        ratio = median(a / b for a, b in zip(times, plain, strict=True))
        pairs = list(zip(features[name], features["transcription"], strict=True))
        off = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
        cosine = min(float(F.cosine_similarity(*pair, dim=-1).min()) for pair in pairs)
        print(
            f"{name}: {median(times):.2f} s, {ratio:.3f} of the time, "
            f"largest difference {off:.1e}, least cosine {cosine:.6f}"
        )
    if not native:
        print("bfloat16 is not native here and was not timed")
    for precision in work.keys() - {"transcription"}:
        command = [sys.executable, __file__, "--batch", str(batch), "--peak", precision]
        subprocess.run(command, check=True)


@torch.inference_mode()
def print_peak(batch: int, precision: str) -> None:
    """Print the most memory that this process held while it encoded a batch."""
    ways(batch, [precision])[precision]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of a process that computes {precision}: {peak:.2f} GB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=1, help="images encoded together")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(arguments.batch, arguments.peak)
    else:
        compare(arguments.batch, arguments.rounds)
