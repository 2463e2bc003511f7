"""The loop of ``vlmad run``: score the images that are missing, write each, draw the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_run._run_pictures import draw_overlays
from vlmad_run.places import open_folder
from vlmad_run.progress import bars, interruptible, print_notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from vlmad_run.kinds import Runnable
    from vlmad_run.run_folder import RunFolder
    from vlmad_run.thresholds import Threshold


def score_images(
    detector: Runnable,
    images: Sequence[Path],
    threshold: Threshold | None,
    console: Console,
    *,
    out: Path | None = None,
    resume: bool = True,
    overlays: str = "all",
    batch_size: int = 8,
) -> RunFolder:
    """Score images into a run folder, and return the folder, closed.

    Args:
        detector: what scores.
        images: the files.
        threshold: from which score on an image is anomalous.
        console: for notes and progress.
        out: the folder; by default the one where this run was stopped, or a new one.
        resume: whether a run that was stopped is gone on with where `out` is not given.
        overlays: which pictures to draw: all, anomalous or none.
        batch_size: images that are encoded together.

    Raises:
        OutputError: the folder cannot be written; what is done stays done.
        InputError: the place where the images are has gone away, or the threshold is of
            another detector.
    """
    with bars(console) as progress:
        loading = progress.add_task("loading", total=None)
        manifest = detector.describe(images, threshold.value if threshold else None)
        if threshold is not None:
            threshold.check(manifest.identity)
        print_notes(detector.notes, console)
        with open_folder(out, manifest, threshold, resume) as folder, interruptible(folder.path):
            if len(folder):
                console.print(f"going on with {folder.path}", markup=False, soft_wrap=True)
            missing = folder.missing(images, detector.together)
            progress.remove_task(loading)
            results = detector.stream(missing, batch_size)
            for result in progress.track(results, len(missing), description="scoring"):
                folder.write(result)
            draw_overlays(folder, images, overlays, progress)
    return folder
