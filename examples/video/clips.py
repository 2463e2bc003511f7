"""Clips to measure on: a drawn part under a camera, and a camera that pans over photographs.

Both are encoded as films and decoded again, with what a codec does to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vlmad.datasets import Sample
from vlmad.images import decode
from vlmad_alignment import Alignment, Similarity
from vlmad_datasets.masks import mask_of
from vlmad_run.opening import open_dataset
from vlmad_video.film import frames
from vlmad_video.film_writing import write_film

SIDE, RATE = 256, 5
"""Of frames, and how many come in a second."""
HOLES = [(70, 90), (120, 120), (190, 90), (80, 170), (175, 165)]
SPEED = 110
"""Pixels per second of a pan."""
SHOWN = 0.5
"""From which share of its mask in view on a defect should be found; with less it does not count."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames with their times, and whether a defect is in each."""

    images: list[Image.Image]
    times: list[float]
    labels: np.ndarray
    """1 with a defect, 0 without, -1 where it does not count."""

    def through(self, file: Path) -> Clip:
        """Return the clip as it comes back from a film."""
        write_film(file, zip(self.times, self.images, strict=True))
        found = [frame for frame in frames(file) if frame.image is not None]
        images = [frame.image for frame in found if frame.image is not None]
        assert len(images) == len(self.images)
        return Clip(images, [frame.time for frame in found], self.labels)


def drawn_clip(rng: np.random.Generator, seconds: int, moving: bool, bad: bool = True) -> Clip:
    """Draw a plate with holes under flickering light; now and then it has a defect for a while.

    Every few seconds a reflection passes in one frame or two, which is no defect.

    Args:
        rng: what is drawn.
        seconds: how long.
        moving: whether the camera turns, nears and shifts slowly; it trembles in any case.
        bad: whether there are defects.
    """
    count = seconds * RATE
    labels = np.zeros(count, int)
    images, kinds, light = [], {}, 1.0
    for start in _spells(rng, count) if bad else ():
        length = int(RATE * rng.uniform(1.2, 3))
        labels[start : start + length] = 1
        kinds.update(dict.fromkeys(range(start, start + length), _defect(rng)))
    phases = rng.uniform(0, 2 * np.pi, 4)
    for number in range(count):
        light = 0.9 * light + 0.1 + rng.normal(0, 0.012)
        image = _plate(kinds.get(number))
        if rng.random() < 0.06:
            _reflect(image, rng)
        move = _camera(number / RATE, phases, rng, moving)
        image = Alignment(image.size, image.size, move.inverse()).to_frame(image)
        noise = rng.normal(0, 4, (SIDE, SIDE, 1))
        pixels = np.clip(light * np.asarray(image, float) + noise, 0, 255).astype(np.uint8)
        images.append(Image.fromarray(pixels))
    return Clip(images, [number / RATE for number in range(count)], labels)


def _spells(rng: np.random.Generator, count: int) -> Iterator[int]:
    at = int(RATE * rng.uniform(2, 4))
    while at < count - 3 * RATE:
        yield at
        at += int(RATE * rng.uniform(5.5, 9))


def _defect(rng: np.random.Generator) -> tuple[str, int, int, float]:
    kind = ("scratch", "stain", "closed")[int(rng.integers(3))]
    x, y = (int(rng.integers(75, 180)) for _ in range(2))
    return kind, x, y, float(rng.uniform(0.25, 1.0))


def _plate(defect: tuple[str, int, int, float] | None) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), (92, 86, 80))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((40, 60, 220, 200), 14, fill=(186, 188, 196))
    holes = list(HOLES)
    if defect and defect[0] == "closed":
        holes.pop(defect[1] % len(holes))
    for x, y in holes:
        draw.ellipse((x - 11, y - 11, x + 11, y + 11), fill=(38, 38, 44))
    draw.rectangle((130, 150, 155, 185), fill=(150, 62, 44))
    if defect and defect[0] != "closed":
        kind, x, y, strength = defect
        grey = tuple(round(level - 110 * strength) for level in (186, 188, 196))
        if kind == "scratch":
            draw.line((x - 18, y - 9, x + 18, y + 9), fill=grey, width=3)
        else:
            draw.ellipse((x - 9, y - 7, x + 9, y + 7), fill=grey)
    return image


def _reflect(image: Image.Image, rng: np.random.Generator) -> None:
    at = int(rng.integers(40, 200))
    band = Image.new("RGB", (18, SIDE), "white")
    image.paste(band, (at, 0), Image.new("L", band.size, int(rng.integers(50, 120))))


def _camera(time: float, phases: np.ndarray, rng: np.random.Generator, moving: bool) -> Similarity:
    tremble = rng.normal(0, 0.6 / SIDE, 2)
    sway = np.sin(2 * np.pi * time / np.array([7.0, 11.0, 5.0, 9.0]) + phases) * moving
    return Similarity(
        8 * float(sway[0]),
        1 + 0.05 * float(sway[1]),
        0.04 * float(sway[2]) + float(tremble[0]),
        0.04 * float(sway[3]) + float(tremble[1]),
    )


def panned_clips(category: Path, rng: np.random.Generator, count: int) -> tuple[Clip, Clip]:
    """Return a clip over good train photographs, and one over test ones with so many bad ones.

    Before each of those come two good ones.
    """
    samples = open_dataset(category).samples
    train = [each for each in samples if each.split == "train" and not each.anomalous]
    good = [each for each in samples if each.split == "test" and not each.anomalous]
    bad = [each for each in samples if each.anomalous and each.mask is not None]
    train, good, bad = (
        [each[number] for number in rng.permutation(len(each))] for each in (train, good, bad)
    )
    shown = zip(
        _cycled(good, 2 * count)[::2],
        _cycled(good, 2 * count)[1::2],
        _cycled(bad, count),
        strict=True,
    )
    tests = [each for three in shown for each in three]
    return _panned(_cycled(train, count), rng), _panned(tests, rng)


def _cycled(samples: Sequence[Sample], count: int) -> list[Sample]:
    return [samples[number % len(samples)] for number in range(count)]


def _panned(samples: Sequence[Sample], rng: np.random.Generator) -> Clip:
    strip, marks = _strip(samples)
    width, places = strip.shape[1], []
    at = 0.0
    while at < width - SIDE:
        places.append(round(at))
        at += SPEED / RATE * float(rng.uniform(0.8, 1.2))
    images, labels = [], []
    amounts = [max(1, int((marks == number).sum())) for number in range(1, marks.max() + 1)]
    for place in places:
        down = int(rng.integers(0, 5))  # a hand that holds it
        box = strip[down : down + SIDE, place : place + SIDE]
        noise = rng.normal(0, 3, (SIDE, SIDE, 1))
        images.append(Image.fromarray(np.clip(box + noise, 0, 255).astype(np.uint8)))
        shown = np.bincount(marks[down : down + SIDE, place : place + SIDE].ravel())[1:]
        shares = [seen / amounts[number] for number, seen in enumerate(shown)]
        most = max(shares, default=0.0)
        labels.append(1 if most >= SHOWN else -1 if most > 0 else 0)
    times = [number / RATE for number in range(len(images))]
    return Clip(images, times, np.array(labels, int))


def _strip(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Return photographs side by side, and of each defect its number where it is."""
    pixels, marks, height = [], [], SIDE + 4
    number = 0
    for sample in samples:
        image = decode(sample.image)
        size = (max(1, round(image.width * height / image.height)), height)
        pixels.append(np.asarray(image.resize(size), np.float32))
        mark = np.zeros(size[::-1], int)
        marked = mask_of(sample) if sample.anomalous else None
        if marked is not None:
            number += 1
            mask = Image.fromarray(marked)
            mark[np.asarray(mask.resize(size, Image.Resampling.NEAREST))] = number
        marks.append(mark)
    return np.concatenate(pixels, 1), np.concatenate(marks, 1)
