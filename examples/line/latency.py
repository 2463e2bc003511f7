"""How long a watched folder takes from the complete file to the answer, beside the model alone.

python examples/line/latency.py good/ photos/ [--count 30] [-- OPTIONS OF THE DETECTOR…]

A detector is fitted on good/ and scores each photograph alone, by `predict`. Then they are written
into a watched folder one after another, each when the answer to the one before is there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vlmad_run.fitted_products import open_fitted
from vlmad_run.references import Assembled


def main() -> None:
    """Print medians and largest values in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("good", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("options", nargs="*", help="of vlmad fit")
    asked = parser.parse_args()
    photos = sorted(path for path in asked.photos.rglob("*") if path.is_file())
    chosen = list(itertools.islice(itertools.cycle(photos), asked.count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vlmad = [sys.executable, "-m", "vlmad"]
        fitted = folder / "good.safetensors"
        fit = ["fit", str(asked.good), "--out", str(fitted), "--quiet", *asked.options]
        subprocess.run([*vlmad, *fit], check=True)
        alone = times_alone(fitted, chosen)
        watched = times_watched(vlmad, fitted, chosen, folder)
    for what, times in (("the model alone", alone), ("complete file to answer", watched)):
        print(f"{what}: median {statistics.median(times):.0f} ms, largest {max(times):.0f} ms")
    ratio = statistics.median(watched) / statistics.median(alone)
    beyond = statistics.median(watched) - statistics.median(alone)
    print(f"{ratio:.2f} times the model's own time, {beyond:.0f} ms beyond it")


def times_alone(fitted: Path, photos: list[Path]) -> list[float]:
    """Return how long the detector takes for each photograph, from its file to its map."""
    found = open_fitted(fitted, {})
    assert isinstance(found, Assembled)
    found.detector.predict(photos[:1], found.class_name)
    times = []
    for photo in photos:
        started = time.perf_counter()
        found.detector.predict([photo], found.class_name)
        times.append(1000 * (time.perf_counter() - started))
    return times


def times_watched(vlmad: list[str], fitted: Path, photos: list[Path], folder: Path) -> list[float]:
    """Return how long `vlmad watch` says that each photograph took."""
    incoming = folder / "in"
    incoming.mkdir()
    words = ["watch", str(incoming), "--model", str(fitted), "--json"]
    words += ["--to", f"csv:{folder}/out.csv", "--ledger", str(folder / "line.sqlite")]
    pipe = subprocess.PIPE
    watch = subprocess.Popen([*vlmad, *words], stdout=pipe, stderr=pipe, text=True)
    assert watch.stdout is not None
    assert watch.stderr is not None
    while "watching" not in watch.stderr.readline():
        if watch.poll() is not None:
            sys.exit("vlmad watch did not start")
    times = []
    for number, photo in enumerate(photos):
        shutil.copyfile(photo, incoming / f"{number:04d}{photo.suffix}")
        times.append(float(json.loads(watch.stdout.readline())["milliseconds"]))
    watch.terminate()
    watch.communicate()
    return times


if __name__ == "__main__":
    main()
