"""What happens to people with photographs: situations of a first week, each as it was met."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from .conftest import SMALL, noise

Command = Callable[..., Any]
SAMPLES = Path(__file__).parents[1] / "examples" / "samples" / "cloth"
RUN = ("run", "photos", "--detector", "clip", *SMALL)


def test_where_a_table_is_too_wide_names_stay_whole_and_pictures_are_left_out(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [photo] = noise(tmp_path / "photos", 1).iterdir()
    name = "a bracket of the second shift, left side, 2026-11-30.png"
    photo.rename(photo.with_name(name))
    wide = command(*RUN, "--out", "wide")
    assert "heat map in overlays/" in wide.out
    monkeypatch.setenv("COLUMNS", "80")
    narrow = command(*RUN, "--out", "narrow")
    assert name in narrow.out
    assert "heat map in overlays/" not in narrow.out
    assert "heat maps: narrow/overlays/" in narrow.out


def test_a_photo_on_its_side_is_turned_where_it_says_so_and_named_where_it_does_not(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (48, 32, 3), dtype=np.uint8)
    upright, held = Image.fromarray(values), Image.Exif()
    held[0x0112] = 6  # the camera was held turned by a quarter, and says so
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    for name in ("a", "b", "c"):
        upright.save(tmp_path / "photos" / f"{name}.png")
    lying.save(tmp_path / "photos" / "says so.png", exif=held)
    lying.save(tmp_path / "photos" / "says nothing.png")
    done = command(*RUN, "--overlays", "none", "--json")
    assert done.status == 0
    rows = {Path(row["image"]).stem: row for row in map(json.loads, done.out.splitlines())}
    assert rows["says so"]["score"] == rows["a"]["score"] != rows["says nothing"]["score"]
    [note] = [line for line in done.error.splitlines() if "on its side" in line]
    assert note.startswith(
        "vlmad: note: photos/says nothing.png is 48 x 32 pixels where 4 others are 32"
    )


def test_long_paths_with_spaces_and_umlauts_are_scored_and_come_back(
    command: Command, tmp_path: Path
) -> None:
    folder = (
        tmp_path / "Prüfstand Übersicht" / ("Schicht zwei, größere Öse " * 5).strip() / ("x" * 150)
    )
    folder.mkdir(parents=True)
    assert len(str(folder)) > 300
    [photo] = noise(tmp_path / "photos", 1).iterdir()
    moved = photo.rename(folder / "Gehäuse links, außen.png")
    out = tmp_path / "Ergebnisse ä" / ("y" * 200)
    done = command("run", folder, *RUN[2:], "--out", out)
    assert done.status == 0, done.error
    [row] = map(json.loads, (out / "scores.jsonl").read_text("utf-8").splitlines())
    assert row["image"] == str(moved)
    assert (out / row["map"]).exists()
    assert (out / row["overlay"]).exists()


def test_a_threshold_of_an_earlier_version_holds_unless_scores_changed_since(
    command: Command, photos: Path
) -> None:
    words = ("--detector", "clip", *SMALL)
    assert command("calibrate", "--good", "photos", *words, "--out", "t.json").status == 0
    document = json.loads(Path("t.json").read_text("utf-8"))
    scorer = document["identity"]["parts"]["scorer"]
    scorer["version"] = "0.0.9"
    Path("t.json").write_text(json.dumps(document), "utf-8")
    run = ("run", "photos", *words, "--threshold", "t.json", "--overlays", "none")
    assert command(*run, "--out", "same").status == 0
    scorer["revision"] = 0
    Path("t.json").write_text(json.dumps(document), "utf-8")
    refused = command(*run, "--out", "other")
    assert refused.status == 2
    assert "gives other scores since (revision 0, now 1)" in refused.error
    assert "calibrate anew, or give the number itself" in refused.error
    assert not Path("other").exists()


@pytest.mark.slow
def test_good_parts_of_two_colours_are_good_in_both_and_defects_are_found_in_both(
    command: Command, tmp_path: Path
) -> None:
    def in_both(folder: str, *names: str) -> None:
        (tmp_path / folder).mkdir()
        for name in names:
            for path in (SAMPLES / name).glob("*.png"):
                grey = Image.open(path).convert("L")
                for colour in ("lightyellow", "skyblue"):
                    tinted = ImageOps.colorize(grey, "black", colour)
                    tinted.save(tmp_path / folder / f"{path.parent.name} {path.stem} {colour}.png")

    in_both("good", "train/good")
    in_both("photos", "test/good", "test/hole")
    assert command("fit", "good", "--out", "cloth.safetensors", "--quiet").status == 0
    done = command("run", "photos", "--model", "cloth.safetensors", "--json", "--overlays", "none")
    assert done.status == 0, done.error
    scores = {
        Path(row["image"]).name: row["score"] for row in map(json.loads, done.out.splitlines())
    }
    good = {name: score for name, score in scores.items() if name.startswith("good")}
    assert max(good.values()) < min(scores[name] for name in scores.keys() - good.keys())


def test_a_bench_of_one_product_shows_it_once_and_no_average_of_one(
    command: Command, tmp_path: Path
) -> None:
    noise(tmp_path / "photos", 4)
    rows = [f"photos/{n:04d}.png,{label}" for n, label in enumerate(("ok", "ok", "ng", "ng"))]
    (tmp_path / "parts.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    words = ("--detector", "clip", *SMALL, "--replicates", "10", "--out", "out")
    done = command("bench", "parts.csv", *words)
    assert done.status == 0, done.error
    assert len([line for line in done.out.splitlines() if "clip" in line]) == 1, done.out
    assert "average" not in done.out
