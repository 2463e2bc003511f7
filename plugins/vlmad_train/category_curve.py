"""How much more categories help: nested subsets, judged on the same categories held out."""

from __future__ import annotations

import csv
import io
import random
from typing import TYPE_CHECKING, Literal

from vlmad.errors import InputError
from vlmad.files import write_atomically
from vlmad_documents.documents import Document
from vlmad_train.history import Losses, draw_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vlmad_train._preparing import Prepared
    from vlmad_train.history import TrainingHistory
    from vlmad_train.training import Training


class CurvePoint(Document):
    """What was learned from some categories."""

    categories: list[str]
    images: int
    epoch: int
    """The one that was kept."""
    held_out: Losses


class CategoryCurve(Document):
    """Points of ever more categories, each with those of the point before."""

    format: Literal["vlmad training curve 1"] = "vlmad training curve 1"
    held_out: list[str]
    points: list[CurvePoint]

    def write_all(self, folder: Path) -> None:
        """Write ``curve.json``, ``curve.csv`` and ``curve.png``.

        Raises:
            OutputError: one cannot be written.
        """
        self.write(folder / "curve.json")
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["categories", "images", "epoch", "held_out_loss", "held_out_auroc"])
        for point in self.points:
            auroc = "" if point.held_out.auroc is None else point.held_out.auroc
            first = (len(point.categories), point.images, point.epoch)
            rows.writerow([*first, point.held_out.loss, auroc])
        write_atomically(folder / "curve.csv", text.getvalue())
        counts = [len(point.categories) for point in self.points]
        lines = {"loss, held out": [point.held_out.loss for point in self.points]}
        aurocs = [p.held_out.auroc for p in self.points if p.held_out.auroc is not None]
        if len(aurocs) == len(counts):
            lines["image AUROC, held out"] = aurocs
        picture = draw_lines(counts, lines, "categories", "loss and AUROC")
        write_atomically(folder / "curve.png", picture)


def subsets(prepared: Prepared, counts: list[int]) -> Iterator[list[int]]:
    """Yield the images of so many categories, each subset within the next, drawn by the seed.

    Raises:
        InputError: there are not as many, or none is held out to compare them on.
    """
    known = prepared.categories(prepared.rows)
    if not prepared.held_out or max(counts) > len(known):
        raise InputError(
            f"--curve compares on categories held out, of 1 to {len(known)} to learn from; name "
            "some with --held-out, or smaller numbers"
        )
    drawn = random.Random(prepared.learning.seed).sample(known, len(known))
    for count in counts:
        chosen, images = set(drawn[:count]), prepared.material.images
        yield [row for row in prepared.rows if images[row].category in chosen]


def learn_curve(
    prepared: Prepared,
    folder: Path,
    counts: list[int],
    finish: Callable[[Training], TrainingHistory],
) -> tuple[CategoryCurve, TrainingHistory]:
    """Learn from each subset; leave what was learned from the largest in the learner.

    Returns:
        The curve, and the history of the largest.
    """
    initial = {n: t.detach().clone() for n, t in prepared.learner.tensors.items()}
    points = []
    for rows in list(subsets(prepared, counts)):
        prepared.learner.load(initial)
        names = prepared.categories(rows)
        history = finish(prepared.training(folder / f"categories-{len(names)}", rows))
        best = history.best
        assert best is not None
        assert best.held_out is not None
        points.append(
            CurvePoint(
                categories=names, images=len(rows), epoch=best.number, held_out=best.held_out
            )
        )
    held_out = prepared.categories(prepared.held_out)
    curve = CategoryCurve(held_out=held_out, points=points)
    curve.write_all(folder)
    return curve, history
