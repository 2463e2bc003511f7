"""A data set of synthetic defects in MVTec AD's layout, for commands that measure."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

from vlmad.errors import InputError, OutputError, shown
from vlmad.files import write_atomically
from vlmad.images import decode
from vlmad_documents.documents import Document, FileName
from vlmad_run.pictures import png
from vlmad_run.places import folder_name
from vlmad_synthesis.nuisances import disturb
from vlmad_synthesis.synthetic import GOOD, Synthetic, seeded, synthesise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from vlmad_synthesis.synthetic import Defect

MADE = "synthesis.json"


class SyntheticPicture(Document):
    """One picture of the folder, and what was done to make it."""

    file: FileName
    made_of: FileName
    kind: str
    """Of the defect, or `good`."""
    disturbed: str | None
    """By which change that is no defect, before."""
    marked: float
    """Share of the pixels that the mask marks."""


class SyntheticFolder(Document):
    """What a folder of synthetic defects holds, and what it takes to make it again."""

    format: Literal["vlmad-synthesis-1"] = "vlmad-synthesis-1"
    vlmad: str
    seed: int
    kinds: list[str]
    options: dict[str, str]
    pictures: list[SyntheticPicture]


class Planned(NamedTuple):
    """A picture that is to be made."""

    category: str
    kind: str
    number: int
    """Among those of its kind."""
    made_of: Path
    disturbed: bool


def plan(
    good: Mapping[str, Sequence[Path]], kinds: Sequence[str], each: int, seed: int
) -> tuple[list[tuple[str, Path]], list[Planned]]:
    """Divide the images of each category: one half to refer to, the other to draw in.

    Of the pictures one half is good, and every other one is disturbed; so are good ones of
    which there is a picture already.

    Args:
        good: images, by category.
        kinds: of defect.
        each: pictures of each kind.
        seed: decides which images are drawn in.

    Raises:
        InputError: a category has but one image.
    """
    referred, planned = [], []
    for category, images in good.items():
        if len(images) < 2:
            need = "two are needed at least, one to refer to and one to draw in"
            raise InputError(f"category '{shown(category)}' has one good image; {need}")
        order = seeded(seed, category).permutation(len(images))
        half = len(images) // 2
        referred += [(category, images[i]) for i in sorted(order[half:])]
        drawn_in = [images[i] for i in sorted(order[:half])]
        for row, kind in enumerate(kinds):
            planned += [
                Planned(category, kind, i, drawn_in[(row + i) % half], i % 2 == 1)
                for i in range(each)
            ]
        planned += [
            Planned(category, GOOD, i, drawn_in[i // 2 % half], i % 2 == 1 or i // 2 >= half)
            for i in range(each * len(kinds))
        ]
    return referred, planned


def write_pictures(
    folder: Path,
    referred: Sequence[tuple[str, Path]],
    planned: Sequence[Planned],
    defects: Mapping[str, Defect],
    options: Mapping[str, str],
    seed: int,
) -> Iterator[int]:
    """Write the data set, and yield how many files are done; its document comes last.

    Raises:
        InputError: an image cannot be read, or no defect shows in it.
        OutputError: the folder holds something, or cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} exists and holds something; choose another --out")
    for done, (category, path) in enumerate(referred):
        place = folder / folder_name(category) / "train" / GOOD / f"{done:03d}.png"
        write_atomically(place, png(decode(path)))
        yield done + 1
    pictures = []
    for done, each in enumerate(planned):
        pictures.append(_write(folder, each, defects, seed))
        yield len(referred) + done + 1
    made = SyntheticFolder(
        vlmad=version("vlmad"),
        seed=seed,
        kinds=list(defects),
        options=dict(options),
        pictures=pictures,
    )
    made.write(folder / MADE)


def _write(
    folder: Path, planned: Planned, defects: Mapping[str, Defect], seed: int
) -> SyntheticPicture:
    made, disturbed = _make(planned, defects, seed)
    category = folder / folder_name(planned.category)
    kind, name = folder_name(planned.kind), f"{planned.number:03d}"
    file = category / "test" / kind / f"{name}.png"
    write_atomically(file, png(Image.fromarray(made.image)))
    if planned.kind != GOOD:
        mask = Image.fromarray(made.mask.astype(np.uint8) * 255)
        write_atomically(category / "ground_truth" / kind / f"{name}_mask.png", png(mask))
    return SyntheticPicture(
        file=file.relative_to(folder).as_posix(),
        made_of=str(planned.made_of),
        kind=planned.kind,
        disturbed=disturbed,
        marked=float(made.mask.mean()),
    )


def _make(
    planned: Planned, defects: Mapping[str, Defect], seed: int
) -> tuple[Synthetic, str | None]:
    """Return the picture, and what disturbed it."""
    rng = seeded(seed, planned.category, planned.kind, planned.number)
    pixels, disturbed = np.asarray(decode(planned.made_of)), None
    if planned.disturbed:
        pixels, disturbed = disturb(pixels, rng)
    if planned.kind == GOOD:
        return Synthetic(pixels, np.zeros(pixels.shape[:2], bool), GOOD), disturbed
    try:
        return synthesise(pixels, rng, {planned.kind: defects[planned.kind]}), disturbed
    except InputError as error:
        raise InputError(f"{planned.made_of}: {planned.kind}: {error}") from error
