"""Scores that a finished run has written, so that nothing is scored twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vlmad_calibration._labelled_scores import Scores, select
from vlmad_run.fitted import references_of
from vlmad_run.repeating import read_earlier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmad_calibration._labelled_scores import Selection
    from vlmad_run.rows import Row


def scores_of_run(
    run: Path, good: Sequence[Path], bad: Sequence[Path]
) -> tuple[Scores, Selection, dict[str, Any]]:
    """Look up the scores of labelled images, and the identity of the detector that gave them.

    An image counts as it was when the run read it; one that the run does not have is a failure.

    Args:
        run: the folder of a run.
        good: the paths of good images.
        bad: those of bad ones.

    Raises:
        InputError: it is no run, or an image is called both good and bad.
    """
    earlier = read_earlier(run)
    rows = {str(earlier.file_of(row)): row for row in earlier.rows()}
    found = {path: rows.get(os.path.abspath(path)) for path in (*good, *bad)}
    normal, anomalous = ([(path, _digest(found[path])) for path in paths] for paths in (good, bad))
    selection = select(normal, anomalous, references_of(earlier.manifest))
    scores = Scores()
    for paths, is_bad in ((selection.good, False), (selection.bad, True)):
        for path in paths:
            row = found[path]
            reason = f"{path}: {run} has no score of it" if row is None else row.reason
            scores.add(str(path), None if row is None else row.score, reason, is_bad)
    return scores, selection, {**earlier.manifest["identity"], "threshold": None}


def _digest(row: Row | None) -> str | None:
    return None if row is None else row.sha256
