"""What works on each machine: it loads the detector of a run once and scores what it is given."""

from __future__ import annotations

import os
import platform
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, VlmadError
from vlmad.loading import ahead
from vlmad_ray._row_files import write_row_file
from vlmad_run.remote_images import fetched, image_at
from vlmad_run.repeating import repeat
from vlmad_run.rows import to_line
from vlmad_run.stored_run import read_run
from vlmad_run.storing import store_result
from vlmad_run.walking import has_vanished

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from vlmad.types import Result
    from vlmad_run.kinds import Runnable
    from vlmad_run.rows import ScoreRow
    from vlmad_run.stored_run import StoredRun


class ScoringActor:
    """Scores images into the folder of a run, on the machine where it is made.

    Args:
        folder: that of the run, which all machines see.
        batch_size: images that are encoded together.
        device: where to compute.
        astray: folders of images that nobody sees.
    """

    def __init__(self, folder: str, batch_size: int, device: str, astray: Collection[str]) -> None:
        self._folder, self._batch_size, self._device = Path(folder), batch_size, device
        self._astray = set(map(image_at, astray))
        self._run: StoredRun | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Score the images of a row; return lines of rows, or why nothing can be scored here."""
        try:
            names = [os.fsdecode(name) for name in row["names"]]
            rows = list(self._score(names))
            write_row_file(self._folder, names, rows)
            return {"lines": [to_line(each) for each in rows], "fault": ""}
        except VlmadError as error:  # a value, because Ray would wrap and retry it
            return {"lines": [], "fault": f"on {platform.node()}: {error}"}

    def _score(self, names: list[str]) -> Iterator[ScoreRow]:
        if self._run is None:
            self._run, self._detector = self._load()
        good, threshold = self._run.manifest.good, self._run.threshold
        store = partial(store_result, self._folder, good, threshold)
        results = self._detector.stream(fetched(list(map(image_at, names))), self._batch_size)
        yield from ahead(map(self._seen, results), store)

    def _load(self) -> tuple[StoredRun, Runnable]:
        """Build the detector of the run, if it is the very one here too."""
        run = read_run(self._folder)
        try:
            os.chdir(run.manifest.folder)
        except OSError as error:
            raise InputError(f"{run.manifest.folder}: {error.strerror or error}") from error
        known = run.manifest.options.get("backbone", {})
        given = {"device": self._device, "precision": run.manifest.identity.precision}
        options = {name: value for name, value in given.items() if name in known}
        detector = repeat(run, {"backbone": options} if options else {})
        now = detector.describe(threshold=run.manifest.identity.threshold).identity
        other = run.manifest.identity.differences(now)
        if other:
            raise InputError(f"another detector than the command's: {'; '.join(other[:4])}")
        return run, detector

    def _seen(self, result: Result) -> Result:
        """Return a result, unless this machine does not see what the command saw."""
        image = image_at(result.name)
        if result.error is not None and image.parent not in self._astray and has_vanished(image):
            raise InputError(f"{image.parent} is not there; all machines must see the images")
        return result
