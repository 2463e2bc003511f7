"""Time WinCLIP's features beside anomalib's, on the same machine and the same weights.

    python examples/speed/beside_anomalib.py --batch 2 --rounds 5

makes an environment for anomalib 2.7 and the open_clip that it pins (torch comes from the
environment that this runs in), starts a process in each, and lets them take turns. Weights
(random) and features travel as files. What is compared is `WinClipModel.encode_image`,
unmodified, with what vlmad answers to the same question: class token, windows of 2 and 3
patches, patches, of ViT-B-16-plus-240.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file

MODEL, SIZE, SIZES = "ViT-B-16-plus-240", 240, (2, 3)
PINNED = ("anomalib==2.7.0", "open_clip_torch==2.24.0")
THEIRS = "anomalib"
Encode = Callable[[torch.Tensor], dict[str, torch.Tensor]]


# The driver


def compare(environment: Path, batch: int, rounds: int) -> None:
    """Print for each of our ways its share of anomalib's time and how far its features are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        save_file({"pixels": pixels}, folder / "pixels.safetensors")
        _write_weights(folder)
        with _worker(_environment(environment), "theirs", folder) as theirs:
            with _worker(Path(sys.executable), "ours", folder) as ours:
                ways = _ask(ours, "ways")
                seconds: dict[str, list[float]] = {way: [] for way in [THEIRS, *ways]}
                for number in range(1 + rounds):
                    for way, times in seconds.items():
                        took = _ask(theirs if way == THEIRS else ours, way)
                        if number:  # the first fills caches
                            times.append(took)
            print(f"batch {batch}, {torch.get_num_threads()} threads, {rounds} rounds")
            _report(seconds, folder)
        for way in ways:
            with _worker(Path(sys.executable), "ours", folder) as ours:
                _ask(ours, way)
                print(f"peak memory of a process that computes {way}: {_ask(ours, 'peak'):.2f} GB")


def _write_weights(folder: Path) -> None:
    from vlmad_openclip.openclip import OpenClip

    model = OpenClip(MODEL, weights="random:0", device="cpu").model
    torch.save(model.state_dict(), folder / "weights.pt")


def _report(seconds: dict[str, list[float]], folder: Path) -> None:
    reference = load_file(folder / f"{THEIRS}.safetensors")
    print(f"{THEIRS}: {median(seconds[THEIRS]):.2f} s")
    for way, times in seconds.items():
        if way == THEIRS:
            continue
        ratio = median(a / b for a, b in zip(times, seconds[THEIRS], strict=True))
        ours = load_file(folder / f"{way}.safetensors")
        off = max(float((ours[k] - reference[k]).abs().max()) for k in reference)
        cosines = [torch.cosine_similarity(ours[k], reference[k], dim=-1) for k in reference]
        least = min(float(cosine.min()) for cosine in cosines)
        print(
            f"{way}: {median(times):.2f} s, {ratio:.3f} of the time, "
            f"largest difference {off:.1e}, least cosine {least:.6f}"
        )


def _environment(folder: Path) -> Path:
    """Return the interpreter of an environment with anomalib, made if it is not there."""
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        print(f"making an environment in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *PINNED]
        subprocess.run(command, check=True)
        [packages] = folder.glob("lib/python*/site-packages")
        torch_packages = Path(torch.__file__).parents[1]
        (packages / "shared_with_vlmad.pth").write_text(f"{torch_packages}\n")
        done.touch()
    return python


@contextmanager
def _worker(python: Path, side: str, folder: Path) -> Iterator[Any]:
    command = [str(python), __file__, "--worker", side, "--folder", str(folder)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _ask(process: Any, question: str) -> Any:
    process.stdin.write(f"{question}\n")
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("a worker stopped; its error is above")
    return json.loads(answer)


# The workers


def serve(side: str, folder: Path) -> None:
    """Answer questions on standard input: what ways there are, how long one takes, the peak."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever libraries print must not stand between the answers
    pixels = load_file(folder / "pixels.safetensors")["pixels"]
    ways = theirs(folder) if side == "theirs" else ours(folder)
    written = set()
    for line in sys.stdin:
        question = line.strip()
        if question == "ways":
            answer: Any = list(ways)
        elif question == "peak":
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        else:
            with torch.inference_mode():
                started = time.perf_counter()
                features = ways[question](pixels)
                answer = time.perf_counter() - started
            if question not in written:
                kept = {name: tensor.contiguous() for name, tensor in features.items()}
                save_file(kept, folder / f"{question}.safetensors")
                written.add(question)
        print(json.dumps(answer), file=answers, flush=True)


def ours(folder: Path) -> dict[str, Encode]:
    """Return vlmad's ways; a backbone is loaded when one of its ways is first asked for."""
    from functools import cache

    from vlmad import ClassToken, ImageBatch, Patches, Request, Windows
    from vlmad.images import as_source
    from vlmad.testing import UsualAttention
    from vlmad_openclip.devices import computes_bfloat16
    from vlmad_openclip.openclip import OpenClip

    @cache
    def backbone(precision: Any) -> OpenClip:
        weights = str(folder / "weights.pt")
        return OpenClip(MODEL, weights=weights, device="cpu", precision=precision)

    def way(encoding: Any, precision: Any) -> Encode:
        patches = Patches(12, stage="normed")
        windows = [Windows(size, encoding=encoding) for size in SIZES]
        requests: list[Request] = [ClassToken(), *windows, patches]
        names = ["image", *(f"window {n}" for n in SIZES), "patches"]

        def encode(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            batch = ImageBatch(tuple(as_source(image) for image in pixels))
            visual = backbone(precision).encode(batch, requests, UsualAttention())
            return {name: visual[r] for name, r in zip(names, requests, strict=True)}

        return encode

    native = ["bfloat16"] if computes_bfloat16(torch.device("cpu")) else []
    return {
        f"{encoding} {precision}": way(encoding, precision)
        for precision in ["float32", *native]
        for encoding in ("exact", "shared")
    }


def theirs(folder: Path) -> dict[str, Encode]:
    """Return anomalib's own, from its own file; only its packages' imports are left out."""
    from importlib import import_module
    from importlib.util import find_spec

    spec = find_spec("anomalib")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    for name in ("models", "models.image", "models.image.winclip", "models.components.base"):
        _open_package(f"anomalib.{name}", root / name.replace(".", "/"))
    components = _open_package("anomalib.models.components", root / "models/components")
    base = "anomalib.models.components.base"
    components.BufferListMixin = import_module(f"{base}.buffer_list").BufferListMixin  # type: ignore[attr-defined]
    components.DynamicBufferMixin = import_module(f"{base}.dynamic_buffer").DynamicBufferMixin  # type: ignore[attr-defined]
    data = _open_package("anomalib.data", root / "data")
    data.InferenceBatch = tuple  # type: ignore[attr-defined]  # only its scores are put in one
    module: Any = import_module("anomalib.models.image.winclip.torch_model")
    module.PRETRAINED = str(folder / "weights.pt")
    model = module.WinClipModel(scales=SIZES).eval()

    def encode(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        image, windows, patches = model.encode_image(pixels)
        named = {f"window {n}": found for n, found in zip(SIZES, windows, strict=True)}
        return {"image": image, **named, "patches": patches}

    return {THEIRS: encode}


def _open_package(name: str, folder: Path) -> ModuleType:
    """Make a package importable without running its `__init__`, which imports a trainer."""
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    return package


if __name__ == "__main__":
    default = Path(tempfile.gettempdir()) / "vlmad-beside-anomalib-2.7"
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--environment", type=Path, default=default, help="anomalib's, made once")
    parser.add_argument("--batch", type=int, default=2, help="images encoded together")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    parser.add_argument("--worker", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker, arguments.folder)
    else:
        compare(arguments.environment, arguments.batch, arguments.rounds)
