"""What `vlmad drift` finds on photographs of good parts, as they are and with drawn changes.

    python examples/drift/photographs.py parts/

Of every category with enough good photographs some are references of the detector; the others come
as streams, drawn with replacement, each photograph with light and place of its own. From one image
on all have a drawn change. Photographs without any change come once each, in random order.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from rich.console import Console
from rich.table import Table

from vlmad import Detector, load_detector
from vlmad_drift.drift_watch import DriftWatch
from vlmad_drift.image_statistics import statistics_of
from vlmad_drift.quantities import QUANTITIES
from vlmad_run.leaving_out import judge_references
from vlmad_run.opening import open_dataset

Numbers = dict[str, float]
LEAST, REFERENCES, USUAL, QUIET, LATER = 30, 12, 30, 60, 100
"""Good photographs of a category; images in each part of a stream."""
SIDE = 512
GRADUAL = (0.2, 0.4, 0.6, 0.8, 1.0)


def shifted(image: Image.Image, share: float) -> Image.Image:
    """Return an image whose content lies further to the right, its border going on."""
    pixels = round(share * max(image.size))
    wide = np.pad(np.asarray(image), ((0, 0), (abs(pixels), abs(pixels)), (0, 0)), mode="edge")
    return Image.fromarray(wide[:, abs(pixels) - pixels :][:, : image.width])


def gamma(image: Image.Image, power: float) -> Image.Image:
    """Return an image with another gradation."""
    levels = 255 * (np.arange(256) / 255) ** power
    return image.point([round(level) for level in levels] * 3)


def tinted(image: Image.Image, blue: float) -> Image.Image:
    """Return an image with less or more blue."""
    return Image.fromarray((np.asarray(image) * np.array([1, 1, blue])).astype(np.uint8))


CHANGES: Mapping[str, tuple[str, Callable[[Image.Image, float], Image.Image]]] = {
    "15 % more light": (
        "brightness",
        lambda i, s: ImageEnhance.Brightness(i).enhance(1 + 0.15 * s),
    ),
    "gamma 1.2": ("brightness contrast", lambda i, s: gamma(i, 1 + 0.2 * s)),
    "blur of 1 pixel in 512": ("sharpness", lambda i, s: i.filter(ImageFilter.GaussianBlur(s))),
    "8 % less blue": ("colour", lambda i, s: tinted(i, 1 - 0.08 * s)),
    "3 % to the right": ("place", lambda i, s: shifted(i, 0.03 * s)),
}
"""By name: the kinds that are right, and the change at a strength from 0 to 1."""


def numbers_of(detector: Detector, images: Sequence[Image.Image]) -> list[Numbers]:
    """Return scores and statistics of images."""
    results = detector.predict(list(images))
    return [
        {**statistics_of(image), "score": float(result.score)}
        for image, result in zip(images, results, strict=True)
    ]


class Photographs:
    """Photographs of a category, with what is known of each under every change."""

    def __init__(self, good: Sequence[Path], bad: Sequence[Path], rng: np.random.Generator) -> None:
        order = [good[index] for index in rng.permutation(len(good))]
        self.detector = load_detector("gaussian").fit(order[:REFERENCES])
        rest = [self._opened(path) for path in order[REFERENCES:]]
        self.plain = numbers_of(self.detector, rest)
        self.defective = numbers_of(self.detector, [self._opened(path) for path in bad[:20]])
        self.varied = [self._varied(image, rng) for image in rest]
        self._known: dict[tuple[str, float], list[Numbers]] = {}

    @staticmethod
    def _opened(path: Path) -> Image.Image:
        image = Image.open(path).convert("RGB")
        image.thumbnail((SIDE, SIDE))
        return image

    @staticmethod
    def _varied(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        light = ImageEnhance.Brightness(image).enhance(1 + 0.02 * rng.normal())
        return shifted(light, float(rng.uniform(-0.01, 0.01)))

    def under(self, change: str, strength: float) -> list[Numbers]:
        """Return the numbers of all varied photographs under a change."""
        if (change, strength) not in self._known:
            draw = CHANGES[change][1] if strength else (lambda image, _: image)
            changed = [draw(image, strength) for image in self.varied]
            self._known[change, strength] = numbers_of(self.detector, changed)
        return self._known[change, strength]


def watch_for(usual: Sequence[Numbers]) -> DriftWatch:
    """Return a watch that has seen usual images, as the command makes it."""
    return DriftWatch({name: [each[name] for each in usual] for name in QUANTITIES})


def draw(rng: np.random.Generator, images: Sequence[Numbers], count: int) -> list[Numbers]:
    """Draw images with replacement."""
    return [images[index] for index in rng.integers(len(images), size=count)]


def changed(known: Photographs, change: str, steps: Sequence[float], streams: int) -> list[Numbers]:
    """Return what a watch finds in streams that change; steps are the strengths, one by one."""
    found, usual = [], known.under(change, 0.0)
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        watch, each = watch_for(draw(rng, usual, USUAL)), LATER // len(steps)
        stream = draw(rng, usual, QUIET)
        stream += [n for step in steps for n in draw(rng, known.under(change, step), each)]
        for numbers in stream:
            watch.see("", "", numbers)
        found.append(_told(watch, change))
    return found


def _told(watch: DriftWatch, change: str) -> Numbers:
    alarms, right = watch.alarms, CHANGES[change][0].split()
    later = [alarm for alarm in alarms if alarm.number > QUIET]
    told = {"false": float(len(later) < len(alarms))}
    kinds = [a for a in later if a.shift.kind != "score"]
    if later:
        told["delay"] = later[0].number - QUIET
        told["apart"] = abs(min(alarm.since for alarm in later) - QUIET - 1)
    if kinds:
        strongest = max(kinds, key=lambda alarm: abs(alarm.shift.shift))
        told["right"] = float(strongest.shift.kind in right)
    scores = [alarm.number - QUIET for alarm in later if alarm.quantity == "score"]
    return told | ({"score": scores[0]} if scores else {})


def unchanged(known: Photographs, shuffles: int, defects: float) -> list[bool]:
    """Return whether there was an alarm among photographs that have not changed, once each.

    With a share of defects 200 images are drawn instead.
    """
    alarms = []
    for seed in range(shuffles):
        rng = np.random.default_rng(seed)
        order = [known.plain[index] for index in rng.permutation(len(known.plain))]
        watch, new = watch_for(order[: len(order) // 2]), order[len(order) // 2 :]
        if defects:
            watch = watch_for(draw(rng, known.plain, USUAL))
            bad = rng.random(200) < defects
            pairs = zip(draw(rng, known.plain, 200), draw(rng, known.defective, 200), strict=True)
            new = [pair[each] for pair, each in zip(pairs, bad.astype(int), strict=True)]
        for numbers in new:
            watch.see("", "", numbers)
        alarms.append(bool(watch.alarms))
    return alarms


def left_out(good: Sequence[Path], draws: int) -> list[tuple[float, float]]:
    """Return the most evidence for a rise, and for either, beside references' own scores."""
    found = []
    for seed in range(draws):
        order = [good[index] for index in np.random.default_rng(seed).permutation(len(good))]
        detector = load_detector("gaussian").fit(order[:REFERENCES])
        usual = judge_references(detector, order[:REFERENCES]).scores
        scores = [float(result.score) for result in detector.predict(order[REFERENCES:])]
        most = []
        for rises in (["score"], []):
            watch = DriftWatch({"score": usual}, ["score"], rises=rises, defects=0.0)
            evidence = []
            for score in scores:
                watch.see("", "", {"score": score})
                evidence.append(watch.evidence["score"])
            most.append(max(evidence))
        found.append((most[0], most[1]))
    return found


def add(table: Table, name: str, how: str, found: Sequence[Numbers]) -> None:
    """Add a row of what was found in streams with a change."""

    def median(key: str) -> str:
        return f"{np.median([each.get(key, np.inf) for each in found]):.0f}".replace("inf", "")

    def share(key: str) -> str:
        values = [each[key] for each in found if key in each]
        return f"{np.mean(values):.0%}" if values else ""

    seen = np.mean(["delay" in each for each in found])
    scores = np.mean(["score" in each for each in found])
    cells = (f"{seen:.0%}", median("delay"), share("right"), median("apart"), f"{scores:.0%}")
    table.add_row(name, how, *cells, share("false"))


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--streams", type=int, default=10)
    given, console = parser.parse_args(), Console(width=130)
    columns = ("found", "median delay", "kind right", "place apart", "score alarm", "false")
    table = Table("change", "comes", *columns, box=None)
    still = Table("category", "good", "once each", "5 % defects", "20 % defects", box=None)
    rows: defaultdict[tuple[str, str], list[Numbers]] = defaultdict(list)
    evidence: list[tuple[float, float]] = []
    for folder in given.folders:
        samples = open_dataset(folder).select()
        good = [each.image for each in samples if not each.anomalous]
        bad = [each.image for each in samples if each.anomalous]
        if len(good) < LEAST:
            continue
        known = Photographs(good, bad, np.random.default_rng(0))
        for change in CHANGES:
            for how, steps in {
                "at once": (1.0,),
                "at once, 0.4": (0.4,),
                "slowly": GRADUAL,
            }.items():
                if how != "slowly" or change in [*CHANGES][:3:2]:
                    rows[change, how] += changed(known, change, steps, given.streams)
        shares = [np.mean(unchanged(known, 40, each)) for each in (0.0, 0.05, 0.2)]
        still.add_row(folder.name, str(len(good)), *(f"{share:.1%}" for share in shares))
        evidence += left_out(good, 5)
    for (change, how), found in rows.items():
        add(table, change, how, found)
    console.print("\nstreams with an alarm, without a change\n", still)
    console.print("\nstreams with a change\n", table)
    rises, both = (np.array(each) for each in zip(*evidence, strict=True))
    console.print(f"\nreferences' own scores, {len(rises)} draws: evidence of at least 20 for")
    console.print(
        f"a rise in {np.mean(rises >= 20):.0%}, a rise or fall in {np.mean(both >= 20):.0%}"
    )


if __name__ == "__main__":
    main()
