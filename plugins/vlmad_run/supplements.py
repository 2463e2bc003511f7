"""What plugins make of a run besides, in its folder; the kind `supplement`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vlmad.errors import InputError, blaming
from vlmad.registry import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from vlmad_run.run_folder import RunFolder


class Supplement(Protocol):
    """Makes more of a run, such as of the frames of a film what happens in it."""

    def __call__(
        self, images: Sequence[Path], asked: Mapping[str, str]
    ) -> Callable[[RunFolder], Iterable[str]] | None:
        """Return what makes it when the images are scored; None if there is nothing to make.

        Args:
            images: of the run.
            asked: by options: `steady`, empty if it was not given, and `overlays`.

        Returns:
            What is given the folder, closed, and yields lines to print.

        Raises:
            VlmadError: what was asked cannot be.
        """


def supplements_of(
    images: Sequence[Path], asked: Mapping[str, str]
) -> list[Callable[[RunFolder], Iterable[str]]]:
    """Return what will be made of a run besides; see `Supplement`.

    Raises:
        InputError: verdicts are to be steadied over time, and the images have none.
    """
    made = []
    for each in installed().of_kind("supplement"):
        supplement = each.resolve()
        with blaming(f"{each} failed"):
            made.append(supplement(images, asked))
    found = [each for each in made if each is not None]
    if asked.get("steady") and not found:
        raise InputError("--steady is for films, and there is none among the images")
    return found
