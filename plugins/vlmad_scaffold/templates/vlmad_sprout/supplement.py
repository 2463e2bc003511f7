"""The supplement `sprout`: a text file that names the worst image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from vlmad_run.run_folder import RunFolder


def worst_of(
    images: Sequence[Path], asked: Mapping[str, str]
) -> Callable[[RunFolder], Iterable[str]] | None:
    """Return what makes it when the images are scored; None if there is one image only."""
    return _name_worst if len(images) > 1 else None


def _name_worst(folder: RunFolder) -> Iterable[str]:
    scored = [(row.score, row.image) for row in folder.all_rows() if row.score is not None]
    if scored:
        write_atomically(folder.path / "worst.txt", f"{max(scored)[1]}\n".encode())
        yield "the worst image: worst.txt"
