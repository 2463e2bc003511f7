"""What `vlmad drift` finds on photographs of good parts, as they are and with drawn changes.

    python examples/drift/photographs.py parts/* --cache numbers/ --page docs/drift.md

Of every category with enough good photographs some are references of the detector; the others come
as streams, drawn with replacement, each photograph with light and place of its own. From one image
on all have a drawn change. Photographs without any change come once each, in random order. What is
known of photographs is kept in the cache; the tables go into the page.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from vlmad import Detector, load_detector
from vlmad.files import write_atomically
from vlmad_drift.drift_watch import DriftWatch
from vlmad_drift.image_statistics import statistics_of
from vlmad_drift.quantities import QUANTITIES
from vlmad_run.leaving_out import judge_references
from vlmad_run.opening import open_dataset

Numbers = dict[str, float]
LEAST, REFERENCES, USUAL, QUIET, LATER = 30, 12, 30, 60, 100
"""Good photographs of a category; images in each part of a stream."""
SIDE, BAD, DRAWN, SHUFFLES, DRAWS = 512, 20, 200, 40, 5
STEPS = {"at once": (1.0,), "at once, two fifths": (0.4,), "slowly": (0.2, 0.4, 0.6, 0.8, 1.0)}
"""How a change comes: the strengths, one by one."""


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


CHANGES: Mapping[str, Callable[[Image.Image, float], Image.Image]] = {
    "15 % more light": lambda i, s: ImageEnhance.Brightness(i).enhance(1 + 0.15 * s),
    "gamma 1.2": lambda i, s: gamma(i, 1 + 0.2 * s),
    "blur of 1 pixel in 512": lambda i, s: i.filter(ImageFilter.GaussianBlur(s)),
    "8 % less blue": lambda i, s: tinted(i, 1 - 0.08 * s),
    "3 % to the right": lambda i, s: shifted(i, 0.03 * s),
}
"""By name: the change at a strength from 0 to 1."""


class Photographs:
    """Photographs of a category, with what is known of each under every change."""

    def __init__(self, folder: Path, cache: Path | None) -> None:
        samples = open_dataset(folder).select()
        good = [each.image for each in samples if not each.anomalous]
        self.good = [good[index] for index in np.random.default_rng(0).permutation(len(good))]
        self.bad = [each.image for each in samples if each.anomalous][:BAD]
        self.name, self._file = folder.name, cache and cache / f"{folder.name}.json"
        known = self._file and self._file.exists() and self._file.read_bytes()
        self._known: dict[str, list[Numbers]] = json.loads(known) if known else {}

    @cached_property
    def detector(self) -> Detector:
        """What scores, fitted on the references."""
        return load_detector("gaussian").fit(self.good[:REFERENCES])

    @cached_property
    def varied(self) -> list[Image.Image]:
        """All but the references, each with light and place of its own."""
        opened = map(self._opened, self.good[REFERENCES:])
        return [self._varied(*each) for each in enumerate(opened)]

    @staticmethod
    def _opened(path: Path) -> Image.Image:
        image = Image.open(path).convert("RGB")
        image.thumbnail((SIDE, SIDE))
        return image

    @staticmethod
    def _varied(number: int, image: Image.Image) -> Image.Image:
        rng = np.random.default_rng(number)
        light = ImageEnhance.Brightness(image).enhance(1 + 0.02 * rng.normal())
        return shifted(light, float(rng.uniform(-0.01, 0.01)))

    @property
    def plain(self) -> list[Numbers]:
        """The numbers of all but the references."""
        return self._of("plain", lambda: map(self._opened, self.good[REFERENCES:]))

    @property
    def defective(self) -> list[Numbers]:
        """Those of photographs with defects."""
        return self._of("defective", lambda: map(self._opened, self.bad))

    def under(self, change: str, strength: float) -> list[Numbers]:
        """Return the numbers of all varied photographs under a change."""
        draw = CHANGES[change]
        name = f"{change}, {strength:g}" if strength else "varied"
        return self._of(name, lambda: (draw(i, strength) if strength else i for i in self.varied))

    def _of(self, name: str, images: Callable[[], Iterable[Image.Image]]) -> list[Numbers]:
        return self._kept(name, lambda: self._numbers([*images()]))

    def _numbers(self, images: Sequence[Image.Image]) -> list[Numbers]:
        scores = [float(result.score) for result in self.detector.predict(images)]
        pairs = zip(images, scores, strict=True)
        return [{**statistics_of(image), "score": score} for image, score in pairs]

    def _kept(self, name: str, find: Callable[[], list[Numbers]]) -> list[Numbers]:
        if name not in self._known:
            self._known[name] = find()
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._file, json.dumps(self._known).encode())
        return self._known[name]

    def left_out(self) -> list[Numbers]:
        """Return the most evidence for a rise, and for either, beside references' own scores."""
        return self._kept("left out", lambda: [self._one_left_out(seed) for seed in range(DRAWS)])

    def _one_left_out(self, seed: int) -> Numbers:
        rng = np.random.default_rng(seed)
        order = [self.good[index] for index in rng.permutation(len(self.good))]
        detector = load_detector("gaussian").fit(order[:REFERENCES])
        usual = judge_references(detector, order[:REFERENCES]).scores
        scores = [float(result.score) for result in detector.predict(order[REFERENCES:])]
        most = {}
        for name, rises in (("rise", ["score"]), ("both", [])):
            watch = DriftWatch({"score": usual}, ["score"], rises=rises, defects=0.0)
            evidence = []
            for score in scores:
                watch.see("", "", {"score": score})
                evidence.append(watch.evidence["score"])
            most[name] = max(evidence)
        return most


def watch_for(usual: Sequence[Numbers]) -> DriftWatch:
    """Return a watch that has seen usual images, as the command makes it."""
    return DriftWatch({name: [each[name] for each in usual] for name in QUANTITIES})


def draw(rng: np.random.Generator, images: Sequence[Numbers], count: int) -> list[Numbers]:
    """Draw images with replacement."""
    return [images[index] for index in rng.integers(len(images), size=count)]


def changed(known: Photographs, change: str, steps: Sequence[float], seed: int) -> DriftWatch:
    """Watch a stream that changes."""
    rng, usual = np.random.default_rng(seed), known.under(change, 0.0)
    watch, each = watch_for(draw(rng, usual, USUAL)), LATER // len(steps)
    stream = draw(rng, usual, QUIET)
    stream += [n for step in steps for n in draw(rng, known.under(change, step), each)]
    for numbers in stream:
        watch.see("", "", numbers)
    return watch


def unchanged(known: Photographs, defects: float, seed: int) -> bool:
    """Return whether there is an alarm among photographs that have not changed, once each.

    With a share of defects 200 images are drawn instead.
    """
    rng = np.random.default_rng(seed)
    order = [known.plain[index] for index in rng.permutation(len(known.plain))]
    watch, new = watch_for(order[: len(order) // 2]), order[len(order) // 2 :]
    if defects:
        watch = watch_for(draw(rng, known.plain, USUAL))
        bad = rng.random(DRAWN) < defects
        pairs = zip(draw(rng, known.plain, DRAWN), draw(rng, known.defective, DRAWN), strict=True)
        new = [pair[each] for pair, each in zip(pairs, bad.astype(int), strict=True)]
    for numbers in new:
        watch.see("", "", numbers)
    return bool(watch.alarms)


def row(change: str, how: str, watches: Sequence[DriftWatch]) -> str:
    """Return a row of what was found in streams with a change."""
    delays, scores, kinds, first = list[int](), 0, Counter[str](), 0
    for watch in watches:
        later = [alarm for alarm in watch.alarms if alarm.number > QUIET]
        first += len(later) < len(watch.alarms)
        delays += [later[0].number - QUIET] if later else []
        scores += any(alarm.quantity == "score" for alarm in later)
        of_images = [alarm.shift for alarm in later if alarm.quantity != "score"]
        if of_images:
            kinds[max(of_images, key=lambda shift: abs(shift.shift)).kind] += 1
    named = [f"{kind} {count / kinds.total():.0%}" for kind, count in kinds.most_common()]
    cells = (
        change, how, f"{len(delays) / len(watches):.0%}", f"{np.median(delays):.0f}" if delays
        else "", ", ".join(named), f"{scores / len(watches):.0%}", f"{first / len(watches):.1%}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def tables(known: Sequence[Photographs], streams: int) -> str:
    """Return what was found, as tables."""
    still = ["| category | good photographs | once each | 5 % defects | 20 % defects |"]
    still.append("|---|---|---|---|---|")
    rows: defaultdict[tuple[str, str], list[DriftWatch]] = defaultdict(list)
    for each in known:
        alarms = [[unchanged(each, d, s) for s in range(SHUFFLES)] for d in (0.0, 0.05, 0.2)]
        shares = " | ".join(f"{np.mean(found):.1%}" for found in alarms)
        still.append(f"| {each.name} | {len(each.good)} | {shares} |")
        for change in CHANGES:
            for how, steps in STEPS.items():
                rows[change, how] += [changed(each, change, steps, s) for s in range(streams)]
    columns = ("change", "comes", "found", "median images", "kind that is named")
    head = f"| {' | '.join(columns)} | scores too | alarm before |"
    found = [row(change, how, watches) for (change, how), watches in rows.items()]
    evidence = [draw for each in known for draw in each.left_out()]
    beyond = {name: np.mean([each[name] >= 20 for each in evidence]) for name in ("rise", "both")}
    own = (
        f"References' own scores as the usual ones, {len(evidence)} draws without a change: an "
        f"evidence of 20 or more for a rise in {beyond['rise']:.0%}, for a rise or a fall in "
        f"{beyond['both']:.0%}."
    )
    text = "\n".join([*still, "", head, "|---" * 7 + "|", *found, "", own])
    return re.sub(r"(?<=\d)%", " %", text)


def main() -> None:
    """Print tables, and put them into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--cache", type=Path, help="a folder that keeps what is known")
    parser.add_argument("--page", type=Path, help="into which the tables are put")
    given = parser.parse_args()
    all_known = [Photographs(folder, given.cache) for folder in given.folders]
    known = [each for each in all_known if len(each.good) >= LEAST]
    text = tables(known, given.streams)
    print(text, f"\n{time.process_time():.0f} s of processor")
    if given.page:
        place = re.compile(r"(?s)(<!-- photographs: .*?-->\n\n).*?(\n\n<!-- end of photographs)")
        page = place.sub(lambda found: f"{found[1]}{text}{found[2]}", given.page.read_text())
        write_atomically(given.page, page.encode())


if __name__ == "__main__":
    main()
