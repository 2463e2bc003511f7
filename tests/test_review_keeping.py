"""What a review keeps takes the place of an older result whole, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import OutputError
from vlmad_review._keeping import check_folder, page, replacing
from vlmad_review.review_document import Lesson, ReviewDocument
from vlmad_run.memory_documents import Reference


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def keep_new(folder: Path, stop: BaseException | None) -> None:
    with replacing(folder) as place:
        (place / "review.md").write_text("new")
        if stop is not None:
            raise stop


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A folder with an older result."""
    folder = tmp_path / "review"
    folder.mkdir()
    for name in ("review.json", "review.md"):
        (folder / name).write_text(f"old {name}")
    return folder


def test_new_files_take_the_place_of_all_old_ones_at_once(before: Path, tmp_path: Path) -> None:
    with replacing(before) as place:
        (place / "review.md").write_text("new")
        assert content(before)["review.md"] == "old review.md"
    assert content(before) == {"review.md": "new"}
    assert list(tmp_path.iterdir()) == [before]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("moves", range(-1, 2))
def test_whatever_stops_it_between_any_two_moves_leaves_the_old_ones_whole(
    before: Path, stop: BaseException, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, left = os.rename, [moves]

    def rename(*names: Any) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise stop
        whole(*names)

    monkeypatch.setattr(os, "rename", rename)
    was = content(before)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        keep_new(before, stop if moves < 0 else None)
    assert content(before) == was
    assert list(before.parent.iterdir()) == [before]


def test_a_folder_of_other_files_is_not_replaced(before: Path) -> None:
    check_folder(before, force=True)
    with pytest.raises(OutputError, match=r"review.json exists; choose another --out or add"):
        check_folder(before, force=False)
    with pytest.raises(OutputError, match="is a file; choose another --out"):
        check_folder(before / "review.md", force=True)
    (before / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"holds mine.txt too; choose another --out"):
        check_folder(before, force=True)


def test_names_on_the_page_are_neither_markup_nor_lines_of_their_own() -> None:
    lesson = Lesson(what="nothing", adopted=False, why="because")
    review = ReviewDocument(
        run="run_1",
        class_name="part",
        normal=1,
        anomalous=0,
        false_alarms=None,
        misses=None,
        unreviewed=0,
        missing_or_changed=["[x](y)\x1b"],
        left_out=[],
        rule="largest F1",
        not_measured="too few",
        folds=0,
        confidence=0.95,
        figures={},
        gains=[],
        references=lesson,
        threshold=lesson,
        new_references=[Reference(path="*a*\n# b<i>.png", sha256="0" * 64)],
        new_threshold=None,
        notes=[],
    )
    lines = page(review).splitlines()
    assert "- \\*a\\* \\# b\\<i\\>.png" in lines
    assert "1 normal and 0 anomalous images of run\\_1." in lines
    assert "- \\[x\\](y)\\\\x1b." in lines
    assert ReviewDocument.parse(review.to_json(), "review.json") == review
