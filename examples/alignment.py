"""What ``--align`` gains and what it harms, for parts with a fixture and for what has none.

    python examples/alignment.py DATA --recipe padim

DATA holds categories in the layout of MVTec AD. Of each, a few good train images become references
and a few test images are judged, as they are and *shaken*: every photograph turned, sized and
shifted at random by known amounts, as parts lie on a belt. It prints image AUROC with and without
``--align`` for both, the share of images that is left as it is, and how far the places that were
found are from the true ones: for a shaken image, its place compared with that of the same image
unshaken, moved by what is known. A category of drawn parts stands beside the photographs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from vlmad import load_detector
from vlmad.images import decode
from vlmad_alignment import Alignment, ReferenceFrame, Similarity
from vlmad_run.aligning import take_frame

REFERENCES, JUDGED = 6, 10
DEGREES, SIZE, SHIFT = 12.0, 0.08, 0.06
"""The largest turn, change of size, and shift as a share of the longer side."""
LONGEST = 640

Images = list[Image.Image]


def main() -> None:
    """Measure each category, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="padim")
    parser.add_argument("--category", action="append")
    arguments = parser.parse_args()
    folders = [each for each in sorted(arguments.data.iterdir()) if (each / "train/good").is_dir()]
    names = arguments.category or ["drawn", *(each.name for each in folders)]
    print(
        "| category | as they are | aligned | shaken | aligned | refused | refused, shaken "
        "| off by (pixels of 320, degrees, %) | ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        sets = drawn() if name == "drawn" else photographs(arguments.data / name)
        print(measured(name, arguments.recipe, *sets), flush=True)


def measured(name: str, recipe: str, references: Images, good: Images, bad: Images) -> str:
    """Return the row of a category."""
    rng = np.random.default_rng(0)
    moves = [random_move(rng) for _ in range(len(references) + len(good) + len(bad))]
    every = [*references, *good, *bad]
    shaken = [moved(image, move) for image, move in zip(every, moves, strict=True)]
    count, labels = len(references), [0] * len(good) + [1] * len(bad)
    cells, refused = [], []
    for images in (every, shaken):
        for align in (False, True):
            detector = load_detector(recipe)
            if align:
                take_frame(detector, ReferenceFrame.of(images[0]))
            results = detector.fit(images[:count]).predict(images[count:])
            cells.append(f"{roc_auc_score(labels, [each.score for each in results]):.3f}")
        notes = [any(n.startswith("not aligned") for n in each.notes) for each in results]
        refused.append(f"{np.mean(notes):.0%}")
    return f"| {name} | {' | '.join([*cells, *refused, *accuracy(every, shaken, moves)])} |"


def accuracy(every: Images, shaken: Images, moves: Sequence[Similarity]) -> tuple[str, str]:
    """Return how far places of shaken images are off, and the time that finding one takes."""
    frame, errors, times = ReferenceFrame.of(every[0]), [], []
    for image, other, move in zip(every, shaken, moves, strict=True):
        started = time.process_time()
        place, found = frame.place(image), frame.place(other)
        times.append((time.process_time() - started) / 2)
        if not (place.notes or found.notes):
            errors.append(difference(place.similarity, found.similarity, move, image.size))
    typical = "none"
    if errors:
        pixels, degrees, size = np.median(errors, axis=0)
        typical = f"{pixels:.1f}, {degrees:.1f}, {size:.1f} ({len(errors)} images)"
    return typical, f"{1000 * np.median(times[1:]):.0f}"


def difference(
    place: Similarity, found: Similarity, move: Similarity, size: tuple[int, int]
) -> tuple[float, float, float]:
    """Return pixels at 320 along the longer side, degrees and % between `found` and the truth."""
    true = after(move, place)
    pixels = 320 * found.apart(true, size)
    return pixels, abs(found.degrees - true.degrees), 100 * abs(found.size / true.size - 1)


def after(second: Similarity, first: Similarity) -> Similarity:
    """Return the similarity that does what `first` does, then `second`."""
    one, two = (complex(*each.numbers()[:2]) for each in (first, second))
    shift = two * complex(first.right, first.down) + complex(second.right, second.down)
    both = one * two
    return Similarity.of(np.array([both.real, both.imag, shift.real, shift.imag]))


def random_move(rng: np.random.Generator) -> Similarity:
    """Draw what happens to a part on a belt."""
    shift = rng.uniform(-SHIFT, SHIFT, 2)
    return Similarity(
        rng.uniform(-DEGREES, DEGREES),
        1 + rng.uniform(-SIZE, SIZE),
        float(shift[0]),
        float(shift[1]),
    )


def moved(image: Image.Image, move: Similarity) -> Image.Image:
    """Return an image whose content is moved; its border goes on into the frame."""
    return Alignment(image.size, image.size, move.inverse()).to_frame(image)


def photographs(folder: Path) -> tuple[Images, Images, Images]:
    """Return references, good and bad images of a category, reduced to `LONGEST`."""
    train, good = (sorted((folder / split / "good").iterdir()) for split in ("train", "test"))
    spare = [*good, *train[REFERENCES:]]
    bad = [
        file
        for each in sorted((folder / "test").iterdir())
        if each.name != "good"
        for file in sorted(each.iterdir())
    ]
    return (
        list(read(train[:REFERENCES])),
        list(read(spare[:JUDGED])),
        list(read(bad[:: max(1, len(bad) // JUDGED)][:JUDGED])),
    )


def read(files: Sequence[Path]) -> Iterator[Image.Image]:
    """Yield images, reduced."""
    for file in files:
        image = decode(file)
        image.thumbnail((LONGEST, LONGEST))
        yield image


def drawn() -> tuple[Images, Images, Images]:
    """Return references, good and bad images of a drawn plate; the bad ones lack or have a hole."""
    rng = np.random.default_rng(1)
    images = [plate(rng, index >= REFERENCES + JUDGED) for index in range(REFERENCES + 2 * JUDGED)]
    return images[:REFERENCES], images[REFERENCES:][:JUDGED], images[REFERENCES + JUDGED :]


def plate(rng: np.random.Generator, bad: bool) -> Image.Image:
    """Draw a plate with holes on a bench; of a bad one a hole is closed or is elsewhere."""
    image = Image.new("RGB", (320, 320), (92, 86, 80))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((70, 90, 250, 230), 14, fill=(186, 188, 196))
    holes = [(100, 120), (150, 150), (220, 120), (110, 200), (205, 195)]
    if bad:
        index = int(rng.integers(len(holes)))
        x, y = holes.pop(index)
        if rng.random() < 0.5:
            holes.append((min(235, x + 22), y))
    for x, y in holes:
        draw.ellipse((x - 11, y - 11, x + 11, y + 11), fill=(38, 38, 44))
    draw.rectangle((165, 180, 190, 215), fill=(150, 62, 44))
    light = rng.uniform(0.9, 1.1)
    grain = rng.normal(0, 5, (320, 320, 1))
    return Image.fromarray(np.clip(light * np.asarray(image) + grain, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
