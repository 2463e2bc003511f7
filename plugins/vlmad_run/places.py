"""Where runs are kept whose folder was not named."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, OutputError
from vlmad_run.manifest import MANIFEST, Manifest
from vlmad_run.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad_run.thresholds import Threshold

RUNS = Path("vlmad-runs")
"""Where they are, from the working directory."""


@contextmanager
def open_folder(
    out: Path | None, manifest: Manifest, threshold: Threshold | None = None, resume: bool = True
) -> Iterator[RunFolder]:
    """Open the folder `out`, or else the one where this very run was stopped, or a new one.

    Raises:
        OutputError: it cannot be used or written.
    """
    with ExitStack() as stack:
        for folder in _unfinished(manifest) if resume and out is None else ():
            with suppress(OutputError):  # such as one that another process is going on with
                opened = stack.enter_context(RunFolder(folder, manifest, threshold))
                break
        else:
            new = out or stack.enter_context(new_folder(RUNS, manifest.recipe))
            opened = stack.enter_context(RunFolder(new, manifest, threshold))
        yield opened


def _unfinished(manifest: Manifest) -> Iterator[Path]:
    """Yield the folders where this very run, of the same images, was stopped, latest first."""
    for path in sorted(RUNS.glob(f"*/{MANIFEST}"), reverse=True):
        with suppress(InputError):
            before = Manifest.read(path)
            same = (before.identity, before.images_sha256) == (
                manifest.identity,
                manifest.images_sha256,
            )
            if same and not (before.result and before.result.finished):
                yield path.parent


@contextmanager
def new_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a folder named for the time and `name`; it goes again if nothing is written to it.

    Raises:
        OutputError: it cannot be made.
    """
    folder = _make_folder(parent, f"{time.strftime('%Y-%m-%d-%H%M%S')}-{name}")
    try:
        yield folder
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
            parent.rmdir()


def _make_folder(parent: Path, name: str) -> Path:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    for folder in map(parent.joinpath, names):
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"cannot write {parent}: {error.strerror or error}") from error
    return folder
