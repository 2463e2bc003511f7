"""The loop of ``vlmad run``: score the images that are missing, write each, draw the pictures."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.watching import watched
from vlmad_run._run_parts import forget_parts
from vlmad_run.passed_over import PassedOverFiles
from vlmad_run.places import RUNS, new_folder, stopped_run
from vlmad_run.progress import ShownProgress, bars, interruptible, print_notes
from vlmad_run.remote_images import fetched
from vlmad_run.rows import to_line
from vlmad_run.run_folder import RunFolder
from vlmad_run.run_pictures import draw_overlays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from rich.console import Console

    from vlmad_run._run_parts import RunParts
    from vlmad_run.kinds import Cluster, Runnable
    from vlmad_run.passed_over import PassedOver
    from vlmad_run.rows import ScoreRow
    from vlmad_run.shards import Shard
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
    write_line: Callable[[bytes], None] | None = None,
    passed_over: Sequence[PassedOver] = (),
    parts: RunParts | None = None,
    shard: Shard | None = None,
    cluster: Cluster | None = None,
) -> RunFolder:
    """Score images into a run folder, and return the folder, closed.

    Args:
        detector: what scores.
        images: the files.
        threshold: from which score on an image is anomalous.
        console: for notes and progress.
        out: the folder; by default the one where this run was stopped (with `resume`), or a new.
        resume: see `out`.
        overlays: which pictures to draw: all, anomalous or none.
        batch_size: images that are encoded together.
        write_line: gets the row of each image as soon as it is written, those done before first;
            then what was passed over, if anything was.
        passed_over: where images were looked for, for the manifest.
        parts: which images are views of one part; they are judged when all images are.
        shard: what the images are of a longer list; overlays wait until its shards are merged.
        cluster: what scores them in place of this process.

    Raises:
        OutputError: the folder cannot be written; what is done stays done.
        InputError: the place where the images are has gone away, the threshold is of
            another detector, by the rule no part could ever be anomalous, or a detector that
            compares all images is given a shard of them.
    """
    if detector.together and (shard is not None or cluster is not None):
        raise InputError(
            "this detector compares all images with each other: some by themselves would get "
            f"other scores; leave out {'--engine' if shard is None else '--shard'}"
        )
    with ExitStack() as stack:
        progress = stack.enter_context(bars(console))
        loading = progress.add_task("loading", total=None)
        manifest = detector.describe(images, threshold.value if threshold else None)
        waiting = {"shard": shard, "overlays": None if shard is None else overlays}
        manifest = manifest.model_copy(update={"passed_over": list(passed_over), **waiting})
        known = threshold.check(manifest.identity) if threshold is not None else []
        if parts is not None:
            parts.check(detector, manifest)
        print_notes(dict.fromkeys([*detector.notes, *known]), console)
        path = out or (stopped_run(manifest) if resume else None)
        path = path or stack.enter_context(new_folder(RUNS, manifest.recipe))
        folder = stack.enter_context(RunFolder(path, manifest, threshold))
        forget_parts(path)
        print_notes(folder.remarks, console)
        stack.enter_context(interruptible(path, detector.together))
        if len(folder):
            console.print(f"{'comparing anew in' if detector.together else 'going on with'} {path}")
        if cluster is not None:
            folder.add_unknown(cluster.kept(path))
        done = () if detector.together else list(filter(None, map(folder.row, images)))
        missing = folder.missing(images, detector.together)
        coming = missing if detector.together else fetched(missing)
        progress.remove_task(loading)
        if cluster is None:
            scored = folder.write_all(detector.stream(coming, batch_size))
        else:
            scored = folder.add_all(cluster.score(path, missing, batch_size, folder.astray))
        stack.enter_context(watched(ShownProgress(progress)))
        tracked: Iterable[ScoreRow] = scored
        if not detector.together:  # a set tells itself how far it is
            tracked = progress.track(scored, len(missing), description="scoring")
        for row in itertools.chain(done, tracked):
            if write_line is not None:
                write_line(to_line(row))
        for part in parts.judge(folder) if parts else ():
            if write_line is not None:
                write_line(part.to_json(indent=None))
        if write_line is not None and passed_over:
            write_line(PassedOverFiles(passed_over=list(passed_over)).to_json(indent=None))
        region_of = getattr(detector, "region_of", None)  # an engine of another kind has none
        draw_overlays(folder, images, "none" if shard else overlays, progress, region_of)
    return folder
