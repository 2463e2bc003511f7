"""Where runs are kept whose folder was not named."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import OutputError
from vlmad_run.manifest import differences
from vlmad_run.run_folder import MANIFEST, RunFolder, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

RUNS = Path("vlmad-runs")
"""Where they are, from the working directory."""


@contextmanager
def open_folder(
    out: Path | None, manifest: Mapping[str, Any], name: str, apart: Path | None = None
) -> Iterator[RunFolder]:
    """Open the folder `out`, or else the one where this very run was stopped, or a new one.

    Args:
        out: a folder that was asked for.
        manifest: what the run is.
        name: goes into the name of a new folder.
        apart: a folder that is not to be gone on with.

    Raises:
        OutputError: it cannot be used or written.
    """
    with ExitStack() as stack:
        stopped = () if out is not None else unfinished(RUNS, manifest)
        for folder in stopped:
            if apart is not None and folder.resolve() == apart.resolve():
                continue
            with suppress(OutputError):  # such as one that another process is going on with
                run_folder = stack.enter_context(RunFolder(folder, manifest))
                break
        else:
            new = out or new_folder(RUNS, name)
            if out is None:
                stack.callback(remove_if_empty, new)
            run_folder = stack.enter_context(RunFolder(new, manifest))
        yield run_folder


def unfinished(parent: Path, manifest: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folders below `parent` where this very run was stopped, the latest first.

    Args:
        parent: where runs are kept.
        manifest: what the run is; one of other images is another run.
    """
    for path in sorted(parent.glob(f"*/{MANIFEST}"), reverse=True):
        try:
            before = read_manifest(path.parent)
        except OutputError:
            continue
        if before is None or before.get("images") != manifest.get("images"):
            continue
        result = before.get("result")
        finished = isinstance(result, dict) and result.get("finished")
        if not finished and not differences(before["identity"], manifest["identity"]):
            yield path.parent


def describe_images(images: Iterable[Path]) -> dict[str, Any]:
    """Return how many images there are and the SHA-256 of their names in full."""
    names = [os.path.abspath(image) for image in images]
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return {"count": len(names), "digest": hashlib.sha256(text).hexdigest()}


def new_folder(parent: Path, name: str) -> Path:
    """Make an empty folder below `parent`, named for the time and `name`, that no one else has.

    Raises:
        OutputError: it cannot be made.
    """
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    numbered = (f"{stamp}-{name}-{number}" for number in itertools.count(2))
    for folder in itertools.chain([f"{stamp}-{name}"], numbered):
        try:
            (parent / folder).mkdir(parents=True)
            return parent / folder
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"cannot write {parent}: {error.strerror or error}") from error
    raise AssertionError("there are always more numbers")


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that `new_folder` made and nothing was written to, and its parent."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
