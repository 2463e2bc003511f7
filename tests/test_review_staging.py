"""What a review keeps takes the place of an older result whole, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import OutputError
from vlmad_review.staging import staged

NAMES = ("a", "b", "c")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A folder with an older result, and something of the user's."""
    folder = tmp_path / "review"
    folder.mkdir()
    for name in ("a", "b", "mine.txt"):
        (folder / name).write_text(f"old {name}")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def write(place: Path) -> None:
    for name in ("b", "c"):
        (place / name).write_text(f"new {name}")


def keep(folder: Path, stop: BaseException | None = None) -> None:
    """Replace what is in a folder, and stop before that if so wanted."""
    with staged(folder, NAMES) as place:
        write(place)
        if stop is not None:
            raise stop


def test_new_files_take_the_place_of_all_old_ones_and_of_nothing_else(before: Path) -> None:
    with staged(before, NAMES) as place:
        write(place)
        assert (before / "b").read_text() == "old b"
    assert content(before) == {"b": "new b", "c": "new c", "mine.txt": "old mine.txt"}


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("moves", range(-1, 4))
def test_whatever_stops_it_between_any_two_moves_leaves_the_old_ones_whole(
    before: Path, stop: BaseException, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, left = os.replace, [moves]

    def replace(*names: Any) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise stop
        whole(*names)

    monkeypatch.setattr(os, "replace", replace)
    was = content(before)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        keep(before, stop if moves < 0 else None)
    assert content(before) == was


def test_a_new_folder_is_taken_away_again_if_nothing_comes_of_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path / "new", KeyboardInterrupt())
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        keep(tmp_path / "file" / "x")
