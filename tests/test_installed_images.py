"""The images that pip installs, as they are laid out for a bench."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import installed_images


def images(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{number:04}.png" for number in range(count)]
    for path in paths:
        path.write_text(str(path))
    return paths


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_references_are_no_test_images_and_all_parts_are_spread(tmp_path: Path) -> None:
    good, bad = images(tmp_path / "a", 40), images(tmp_path / "b", 30)
    installed_images.lay_out(("cell", good, bad), tmp_path / "out", train=2, test=8)
    own = tmp_path / "out" / "cell"
    assert names(own / "train" / "good") == ["0000.png", "0020.png"]
    assert names(own / "test" / "good") == [f"{4 * n:04}.png" for n in range(10) if n % 5]
    assert names(own / "test" / "defective")[-1] == "0026.png"
    assert len(names(own / "test" / "defective")) == 8


def test_solar_cells_that_may_be_either_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = ["images/1.png 1.0 mono", "images/2.png 0.0 mono", "images/3.png 0.33 mono"]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    (name, good, bad), _ = installed_images.solar_cells(tmp_path)
    assert name == "solar_cell_mono"
    assert [path.name for path in (*good, *bad)] == ["2.png", "1.png"]


def test_the_two_changes_of_textiles_share_no_good_image(tmp_path: Path) -> None:
    drawn = tmp_path / "data" / "textile_images" / "simulated"
    for kind in ("nominal", "local", "global"):
        images(drawn / kind, 4)
    (_, one, _), (_, other, _) = installed_images.textiles(tmp_path)
    assert not set(one) & set(other)
    assert len(one) == len(other) == 2
