"""Files of one folder that change together or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import OutputError, first_line
from vlmad.files import PARTLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def staged(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield an empty folder to write files to that take the place of those of another.

    When the block ends well, files called `names` in `folder` make way for those written; what
    else is there stays. Whatever ends it otherwise (a full disk, Ctrl-C) leaves all as it was:
    the old files are moved aside, which needs no room, and back again. Who kills the process
    between two moves finds the old ones whole in ``.partly-…/old``.

    Raises:
        OutputError: the folder cannot be written.
    """
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=PARTLY) as place:
            new, old = Path(place, "new"), Path(place, "old")
            new.mkdir()
            old.mkdir()
            yield new
            _swap(folder, names, new, old)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {first_line(error)}") from error
    finally:
        if not existed:
            with suppress(OSError):
                folder.rmdir()  # only if it is empty


def _swap(folder: Path, names: Sequence[str], new: Path, old: Path) -> None:
    written = sorted(path.name for path in new.iterdir())
    try:
        for name in names:
            if os.path.lexists(folder / name):
                os.replace(folder / name, old / name)
        for name in written:
            os.replace(new / name, folder / name)
    except BaseException:
        for name in written:
            if not (new / name).exists():  # it had been moved already
                (folder / name).unlink(missing_ok=True)
        for path in old.iterdir():
            os.replace(path, folder / path.name)
        raise
