"""What a person's verdicts would gain, found out by `vlmad review` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vlmad.errors import InputError, first_line
from vlmad_line.line_products import open_product
from vlmad_review.review_document import ReviewDocument
from vlmad_run.references import References
from vlmad_run.thresholds import read_threshold
from vlmad_serve.answers import ReviewState
from vlmad_serve.offered_products import judging_at
from vlmad_serve.operator_verdicts import RUN, VERDICTS
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from vlmad_line.line_products import LineProduct
    from vlmad_line.station import Station
    from vlmad_run.choosing import Choice
    from vlmad_serve.operator_verdicts import OperatorVerdicts

REVIEW, FITTED, THRESHOLD = "review", "fitted.safetensors", "threshold.json"
SLOWER = 10
"""How much the process gives way to the judging of images."""
PATIENCE = 5.0
"""Seconds in which it has to end when it is told to."""


@dataclass(slots=True)
class _Trial:
    """A review that runs, or has."""

    process: subprocess.Popen[bytes]
    folder: Path
    review: ReviewDocument | None = None
    reason: str = ""

    @property
    def state(self) -> Literal["running", "done", "failed"]:
        if self.reason:
            return "failed"
        return "done" if self.review else "running"


class Reviewing:
    """Tries what verdicts would gain, one product at a time, and adopts what does.

    Args:
        station: whose products.
        verdicts: what was said of images.
        choice: where weights are and on which device they compute.
    """

    def __init__(self, station: Station, verdicts: OperatorVerdicts, choice: Choice) -> None:
        self._station, self._choice, self.verdicts = station, choice, verdicts
        self._trials: dict[str, _Trial] = {}
        self._lock = threading.Lock()
        self._watching: list[threading.Thread] = []

    def state(self, product: LineProduct) -> ReviewState:
        """Tell what was said of a product's images, and what is known of its gain."""
        said = [*self.verdicts.said(product).values()]
        trial = self._trial(product)
        return ReviewState(
            normal=said.count("normal"),
            anomalous=said.count("anomalous"),
            state=trial.state if trial else "none",
            reason=trial.reason if trial else "",
            review=trial.review if trial else None,
            adoptable=bool(trial and trial.review and trial.review.files),
        )

    def start(self, product: LineProduct) -> None:
        """Find out what the verdicts on a product's images would gain.

        Raises:
            Refusal: nothing was said yet, or another product is being tried.
        """
        folder = self.verdicts.folder_of(product)
        if not self.verdicts.said(product):
            raise Refusal(409, "nothing was said of its images", "say of some what they show")
        with self._lock:
            if any(t.process.poll() is None for t in self._trials.values()):
                raise Refusal(409, "a review is running", "wait until it has ended")
            words = [str(folder / RUN), str(folder / VERDICTS), "--json", "--force", "--out"]
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vlmad", "review", *words, str(folder / REVIEW)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            with suppress(OSError):  # where processes cannot give way
                os.setpriority(os.PRIO_PROCESS, process.pid, SLOWER)
            trial = self._trials[product.name] = _Trial(process, folder)
        thread = threading.Thread(target=_finish, args=[trial], name="reviewing", daemon=True)
        self._watching = [*(t for t in self._watching if t.is_alive()), thread]
        thread.start()

    def adopt(self, product: LineProduct) -> None:
        """Judge images as a product by what was learned, from now on.

        Raises:
            Refusal: nothing was learned.
            VlmadError: what was learned cannot be loaded; the product stays as it was.
        """
        trial = self._trial(product)
        if trial is None or trial.review is None or not trial.review.files:
            raise Refusal(409, "nothing was learned", "see first what it would gain")
        kept = trial.folder / REVIEW
        threshold = kept / THRESHOLD
        if not (kept / FITTED).is_file():  # a threshold alone was learned
            self._station.add(judging_at(product, read_threshold(str(threshold))))
            return
        given = str(threshold) if threshold.is_file() else None
        model = References(model=kept / FITTED)
        self._station.add(open_product(self._choice, model, given, product.name))

    def stop(self) -> None:
        """End what runs."""
        for trial in self._trials.values():
            trial.process.terminate()
        for thread in self._watching:
            thread.join(PATIENCE)
        for trial in self._trials.values():
            trial.process.kill()
        for thread in self._watching:
            thread.join(PATIENCE)

    def _trial(self, product: LineProduct) -> _Trial | None:
        found = self._trials.get(product.name)
        return found if found and found.folder == self.verdicts.folder_of(product) else None


def _finish(trial: _Trial) -> None:
    said, complained = trial.process.communicate()
    try:
        trial.review = ReviewDocument.parse(said, "what vlmad review printed")
    except InputError as error:
        words = complained.decode(errors="replace").strip().splitlines()
        trial.reason = words[-1] if words else first_line(error)
