"""Writing one run folder of the folders of all shards."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, OutputError, VlmadError
from vlmad.files import PARTLY
from vlmad_run.manifest import digest_of_names
from vlmad_run.progress import print_notes
from vlmad_run.repeating import repeat
from vlmad_run.run_folder import RunFolder
from vlmad_run.run_pictures import draw_overlays
from vlmad_run.walking import whole_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.progress import Progress

    from vlmad_run.cli import Overlays
    from vlmad_run.manifest import Manifest
    from vlmad_run.region_of_interest import RegionOfInterest
    from vlmad_run.rows import ScoreRow
    from vlmad_run.stored_run import StoredRun
    from vlmad_shards._scored_shards import AllShards, ScoredShard

WISHES = ("none", "anomalous", "all")
"""Which overlays are drawn, the fewest first."""


def merge_shards(
    shards: AllShards, out: Path, overlays: Overlays | None, progress: Progress
) -> RunFolder:
    """Write the folder of the run that shards are of, and return it, closed.

    Args:
        shards: all of them.
        out: the folder; one of the same run is gone on with.
        overlays: which pictures to draw; by default the most that any of them was asked for.
        progress: shows how far it is.

    Raises:
        InputError: something of one is lacking.
        OutputError: the folder cannot be written.
    """
    owned = shards.rows()
    rows = [row for _, row in owned]
    manifest = _whole_manifest(shards, rows)
    wished = {scored.run.manifest.overlays for scored in shards.shards}
    which = overlays or max(wished, key=lambda wish: WISHES.index(wish or "none")) or "none"
    with RunFolder(out, manifest, shards.shards[0].run.threshold) as folder:
        _bring_maps(owned, folder, progress)
        spent = (scored.run.manifest.result for scored in shards.shards)
        folder.adopt(rows, sum(result.seconds for result in spent if result))
        images = [folder.file_of(row) for row in rows]
        region_of = None if which == "none" else _regions(shards.shards[0].run, progress)
        draw_overlays(folder, images, which, progress, region_of)
    return folder


def _whole_manifest(shards: AllShards, rows: Sequence[ScoreRow]) -> Manifest:
    """Return the manifest that a run over all images would have, but for its command and times."""
    each = [scored.run.manifest for scored in shards.shards]
    folder = _images_folder(each, rows)
    return each[0].model_copy(
        update={
            "folder": folder,
            "images_sha256": digest_of_names(whole_name(row.image, folder) for row in rows),
            "device": " and ".join(dict.fromkeys(manifest.device for manifest in each)),
            "command": sys.argv[1:],
            "shard": None,
            "overlays": None,
            "result": None,
        }
    )


def _images_folder(manifests: Sequence[Manifest], rows: Sequence[ScoreRow]) -> str:
    """Return from where names of images start: where the first is, as machines may differ."""
    folders = list(dict.fromkeys(manifest.folder for manifest in manifests))
    there = (folder for folder in folders if os.path.exists(Path(folder, rows[0].image)))
    return next(there, folders[0])


def _bring_maps(
    rows: Sequence[tuple[ScoredShard, ScoreRow]], folder: RunFolder, progress: Progress
) -> None:
    done = [(scored, row) for scored, row in rows if row.status == "done"]
    if len({row.map for _, row in done}) < len(done):
        raise InputError("two images of the shards have one map: someone has changed their rows")
    for scored, row in progress.track(done, description="joining"):
        _bring(scored, row.map, folder.path)


def _bring(scored: ScoredShard, name: str, out: Path) -> None:
    """Link a map into a folder where its file system can, else copy it; whole or not at all."""
    source, target = scored.run.folder / name, out / name
    try:
        status = source.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{source} is no regular file; delete it, and {scored.again}")
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}; {scored.again}") from error
    partly = target.with_name(PARTLY + target.name)
    try:
        if _is_there(status, target):
            return
        target.parent.mkdir(exist_ok=True)
        partly.unlink(missing_ok=True)
        try:
            os.link(source, partly, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, partly)
        partly.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def _is_there(source: os.stat_result, target: Path) -> bool:
    """Return whether an earlier merge has linked or copied a file."""
    try:
        status = target.lstat()
    except FileNotFoundError:
        return False
    same = (status.st_size, status.st_mtime_ns) == (source.st_size, source.st_mtime_ns)
    return same or os.path.samestat(status, source)


def _regions(run: StoredRun, progress: Progress) -> Callable[[str], RegionOfInterest | None] | None:
    """Return what counts of the images of a product, for what the overlays show as left out."""
    identity = run.manifest.identity
    inside = [identity.inside_sha256, *(p.inside_sha256 for p in identity.products.values())]
    if not any(inside):
        return None
    try:
        return getattr(repeat(run, {}, fit=False), "region_of", None)
    except VlmadError as error:
        print_notes([f"overlays do not show what was left out: {error}"], progress.console)
        return None
