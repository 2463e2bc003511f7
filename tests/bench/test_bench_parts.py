"""Image metrics of parts that are seen in several images."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.result_folders import read_results

BOLT = "--category", "bolt", "--replicates", "20"


@pytest.fixture
def table(two_categories: Path, tmp_path: Path) -> Path:
    """One good part of two views, a bad one, one of three views; the last image is in none."""
    test = two_categories / "bolt" / "test"
    views = {
        "A": ("good/000.png", "good/001.png"),
        "B": ("good/002.png", "spot/000.png"),
        "C": ("good/003.png", "spot/001.png", "spot/002.png"),
    }
    lines = [f"{test / image},{part}" for part, images in views.items() for image in images]
    (tmp_path / "parts.csv").write_text("\n".join(["image,part", *lines]))
    return tmp_path / "parts.csv"


@pytest.mark.slow
def test_image_metrics_are_of_parts_that_are_whole(
    run_bench, two_categories: Path, small: list[str], table: Path, tmp_path: Path
) -> None:
    what = (*BOLT, "--group", f"table:{table}", "--views", "2", "--out", "out")
    done = run_bench(two_categories, *what, *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    [cell] = results.document.cells
    assert cell.parts is not None
    assert (cell.normal, cell.anomalous, cell.parts.normal, cell.parts.anomalous) == (4, 4, 1, 1)
    last = two_categories / "bolt" / "test" / "spot" / "003.png"
    assert cell.parts.left_out == ["C", str(last)]
    score = {each.sample.image.parent.name + each.sample.image.stem: each.row.score
             for each in results.scored(cell)}  # fmt: skip
    parts = [max(score["good000"], score["good001"]), max(score["good002"], score["spot000"])]
    by_hand = image_metrics([False, True], parts)
    for name, metric in by_hand.items():
        assert cell.metrics[name].value == metric.value
    assert cell.pixels is not None
    assert cell.pixels.images == 8
    page = (tmp_path / "out" / "bench.md").read_text()
    assert "Image metrics are of parts of 2 views" in page
    assert "parts that are not whole, left out: 2 parts, such as C" in page
    table.write_text(table.read_text().replace(",C", ",B"))
    again = run_bench(two_categories, *what, *small, cwd=tmp_path)
    assert again.returncode == 2  # other parts are another bench
    assert "group" in again.stderr


@pytest.mark.slow
def test_a_category_without_a_whole_part_is_not_measured(
    run_bench, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    what = ("--group", "pattern:test/(.)", "--views", "3")
    done = run_bench(two_categories, *BOLT, *what, *small, cwd=tmp_path)
    assert done.returncode == 2
    assert "none of 2 parts is whole, such as g" in done.stderr
    done = run_bench(two_categories, *BOLT, "--group", "pattern:(lot)", *small, cwd=tmp_path)
    assert "finds no part in any of the images" in done.stderr
