"""What happened while parts learned: losses by epoch, as JSON, CSV and a picture."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from vlmad.files import write_atomically
from vlmad_documents.documents import Document

if TYPE_CHECKING:
    from pathlib import Path

FILE = "history"
"""How the files are named, with endings of their own."""


class Losses(Document):
    """Of the images of an epoch, or of those held out after it."""

    loss: float
    """The sum of the terms."""
    terms: dict[str, float]
    """As they are weighted, means over images."""
    auroc: float | None = None
    """Of the images' scores; None where they are not scored or all of one class."""


class Epoch(Document):
    """What one epoch gave."""

    number: int = Field(ge=1)
    training: Losses
    """While the tensors changed, so that it lags behind."""
    held_out: Losses | None
    seconds: float


class TrainingHistory(Document):
    """All epochs so far, and which of them is kept."""

    format: Literal["vlmad training 1"] = "vlmad training 1"
    epochs: list[Epoch] = Field(default_factory=list)

    @property
    def best(self) -> Epoch | None:
        """The epoch that is kept: of the lowest loss on what is held out, the first of equals.

        Where nothing is held out it is the last, as published.
        """
        if not self.epochs or self.epochs[-1].held_out is None:
            return self.epochs[-1] if self.epochs else None
        judged = [(e.held_out.loss, e.number, e) for e in self.epochs if e.held_out is not None]
        return min(judged, key=lambda each: each[:2])[2]

    def with_epoch(self, epoch: Epoch) -> TrainingHistory:
        """Return the history with one more epoch."""
        return self.model_copy(update={"epochs": [*self.epochs, epoch]})

    def write_all(self, folder: Path) -> None:
        """Write ``history.json``, ``history.csv`` and ``loss.png``.

        Raises:
            OutputError: one cannot be written.
        """
        self.write(folder / f"{FILE}.json")
        write_atomically(folder / f"{FILE}.csv", self._table())
        write_atomically(folder / "loss.png", self._picture())

    def _table(self) -> str:
        names = list(dict.fromkeys(name for e in self.epochs for name in e.training.terms))
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        parts = [f"{part}_{name}" for part in ("training", "held_out") for name in ("loss", *names)]
        rows.writerow(["epoch", *parts, "held_out_auroc"])
        for epoch in self.epochs:
            cells: list[object] = [epoch.number]
            for losses in (epoch.training, epoch.held_out):
                terms = {} if losses is None else {"loss": losses.loss, **losses.terms}
                cells += [terms.get(name, "") for name in ("loss", *names)]
            auroc = None if epoch.held_out is None else epoch.held_out.auroc
            rows.writerow([*cells, "" if auroc is None else auroc])
        return text.getvalue()

    def _picture(self) -> bytes:
        numbers = [epoch.number for epoch in self.epochs]
        lines = {"training": [epoch.training.loss for epoch in self.epochs]}
        held_out = [epoch.held_out.loss for epoch in self.epochs if epoch.held_out is not None]
        lines |= {"held out": held_out} if held_out else {}
        marked = None if self.best is None else self.best.number
        return draw_lines(numbers, lines, "epoch", "loss", marked)


def draw_lines(
    x: list[int], lines: dict[str, list[float]], across: str, up: str, marked: int | None = None
) -> bytes:
    """Return a chart of lines as PNG, with one place on the lower axis marked."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot(xlabel=across, ylabel=up)
        for name, values in lines.items():
            axes.plot(x[: len(values)], values, marker="o", markersize=3, label=name)
        if marked is not None:
            axes.axvline(marked, color="0.7", linewidth=1, label=f"kept: {across} {marked}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    return picture.getvalue()
