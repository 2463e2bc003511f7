"""One verdict for each part: which images are its views, and what `vlmad run --group` says."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import InputError
from vlmad_calibration._labelled_images import LabelledImage, ScoredImages
from vlmad_calibration._labelled_parts import as_parts
from vlmad_run.part_grouping import find_parts, parse_grouping

from .conftest import SMALL

Command = Callable[..., Any]
SAMPLES = Path(__file__).parents[1] / "examples" / "samples" / "tile"
RUN = ("run", "photos", *SMALL, "--detector", "clip", "--overlays", "none", "--out", "out")
PATTERN = ("--group", r"pattern:(?P<part>\d+)_cam")

# which images are views of one part


def parts_by(how: str, images: list[Path]) -> dict[str, list[str]]:
    found = find_parts(images, parse_grouping(how))
    return {part.name: [image.name for image in part.images] for part in found}


IMAGES = [Path(f"line/{part}/{part}_cam{view}.png") for part in ("07", "08") for view in (1, 2)]
TWO = {"07": ["07_cam1.png", "07_cam2.png"], "08": ["08_cam1.png", "08_cam2.png"]}


@pytest.mark.parametrize("pattern", [r"(?P<part>\d+)_cam", r"(\d+)_cam", r"(cam|/)(?P<part>\d+)_"])
def test_a_pattern_finds_parts_in_names(pattern: str) -> None:
    assert parts_by(f"pattern:{pattern}", IMAGES) == TWO


def test_folders_of_one_name_in_two_places_are_two_parts() -> None:
    images = [*IMAGES, Path("other/07/1.png")]
    assert list(parts_by("folder", images)) == ["line/07", "line/08", "other/07"]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_names_parts_and_what_they_ought_to_have(tmp_path: Path, sign: str) -> None:
    table = tmp_path / "parts.csv"
    rows = ["Part,Image", "A,1.png", "", "A,sub/2.png", "B,'=3.png", "B,4.png"]
    table.write_text("\n".join(rows).replace(",", sign), encoding="utf-8-sig")
    images = [tmp_path / name for name in ("1.png", "sub/2.png", "=3.png", "5.png")]
    whole, half, stray = find_parts(images, parse_grouping(f"table:{table}"))
    assert (whole.name, whole.faults) == ("A", ())
    assert (half.name, half.faults) == ("B", (f"without {tmp_path}/4.png",))
    assert (stray.name, stray.faults) == (str(images[3]), ("it belongs to no part by --group",))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("folders", "--group takes folder, pattern:REGEX or table:FILE.csv, not 'folders'"),
        ("pattern:", "--group takes"),
        ("pattern:(", "is no pattern"),
        ("pattern:x", "put it in parentheses"),
        ("table:none.csv", "none.csv: No such file"),
        ("pattern:(lot [0-9]+)", "finds no part in any of the images, such as line/07/07_cam1.png"),
    ],
)
def test_a_grouping_that_cannot_be_is_refused(how: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        parts_by(how, IMAGES)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no images"),
        ("image,part", "names no images"),
        ("image,lot\na,b", "has to name one column 'part'"),
        ("image,part\na.png", "line 2: it names no part"),
        ("image,part\n,a", "line 2: it names no image"),
        ("image,part\na.png,1\n./a.png,2", "line 3: ./a.png is of part 1 and of 2"),
        ('image,part\n"a', "line 2: unexpected end of data"),
        ("image,part\na\0,1", "line 2"),
    ],
)
def test_a_table_that_says_two_things_or_none_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as raised:
        parse_grouping(f"table:{tmp_path / 't.csv'}")
    assert message in str(raised.value)


# the command


@pytest.fixture
def four_views(tmp_path: Path) -> Path:
    """Part 1 is two good tiles, part 2 a good one and a cracked one."""
    (tmp_path / "photos").mkdir()
    good = sorted((SAMPLES / "test" / "good").glob("*.png"))
    views = {"1_cam1": good[0], "1_cam2": good[1], "2_cam1": good[2]}
    views["2_cam2"] = SAMPLES / "test" / "crack" / "000.png"
    for name, image in views.items():
        shutil.copy(image, tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def parts_in(out: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (out / "parts.jsonl").read_bytes().splitlines()]
    return {row["part"]: row for row in rows}


def scores_in(out: Path) -> dict[str, float]:
    rows = csv.DictReader((out / "scores.csv").read_text().splitlines())
    return {Path(row["image"]).stem: float(row["score"]) for row in rows}


def test_a_part_is_as_bad_as_its_worst_view(four_views: Path, command: Command) -> None:
    done = command(*RUN, *PATTERN, "--views", "2")
    assert (done.status, done.error) == (0, "")
    out, scores = four_views.parent / "out", scores_in(four_views.parent / "out")
    parts = parts_in(out)
    worst = {part: max((scores[n], n) for n in scores if n[0] == part) for part in "12"}
    for part, (score, name) in worst.items():
        assert (parts[part]["score"], parts[part]["status"]) == (score, "whole")
        assert Path(parts[part]["worst"]).stem == name
        assert parts[part]["verdict"] == ""
    assert "2 parts; all parts: out/parts.csv" in done.out
    between = sum(score for score, _ in worst.values()) / 2
    higher = max(worst, key=lambda part: worst[part][0])
    judged = ("--threshold", str(between), "--fail-on", "anomalous")
    done = command(*RUN[:-1], "judged", *PATTERN, *judged, "--json")
    assert done.status == 3
    lines = [json.loads(line) for line in done.out.splitlines()]
    verdicts = {line["part"]: line["verdict"] for line in lines if "part" in line}
    assert verdicts == {part: "anomalous" if part == higher else "ok" for part in "12"}
    rows = csv.DictReader((four_views.parent / "judged" / "parts.csv").read_text().splitlines())
    assert {row["part"]: (row["verdict"], row["views"]) for row in rows} == {
        part: (verdict, "2") for part, verdict in verdicts.items()
    }


@pytest.mark.slow
def test_a_part_that_lacks_a_view_or_has_a_broken_one_is_never_ok(
    four_views: Path, command: Command
) -> None:
    high = (*RUN, *PATTERN, "--threshold", "1000", "--views", "2")
    assert command(*high, "--fail-on", "anomalous").status == 0
    (four_views / "2_cam2.png").write_bytes(b"no image")
    (four_views / "1_cam2.png").rename(four_views / "spare.png")
    done = command(*high)
    assert done.status == 1
    parts = parts_in(four_views.parent / "out")
    assert {name: row["verdict"] for name, row in parts.items()} == {
        "1": "unknown", "2": "unknown", "photos/spare.png": "unknown",
    }  # fmt: skip
    assert parts["1"]["reason"] == "1 of 2 views"
    assert "2_cam2.png" in parts["2"]["reason"]
    assert "3 parts, 0 anomalous, 0 ok, 3 neither, 3 not whole" in done.out


@pytest.mark.slow
def test_what_was_said_of_parts_does_not_outlive_another_run(
    four_views: Path, command: Command
) -> None:
    command(*RUN, *PATTERN)
    assert parts_in(four_views.parent / "out")
    command(*RUN)
    assert not list((four_views.parent / "out").glob("parts.*"))


@pytest.mark.slow
def test_p_values_of_views_become_one_where_references_allow_it(
    four_views: Path, command: Command
) -> None:
    good = SAMPLES / "train" / "good"
    fit = command("fit", good, *SMALL, "--detector", "gaussian", "--out", "tile.safetensors")
    assert fit.status == 0, fit.error
    run = ("run", "photos", "--model", "tile.safetensors", *PATTERN, "--combine", "bonferroni")
    done = command(*run)
    assert done.status == 2
    assert "a part of 2 views could never be anomalous" in done.error
    assert "leave out --combine" in done.error
    done = command(*run, "--level", "0.5", "--out", "out", "--overlays", "none")
    assert done.status == 0, done.error
    rows = [json.loads(line) for line in Path("out/scores.jsonl").read_bytes().splitlines()]
    for part, row in parts_in(Path("out")).items():
        own = [each["p_value"] for each in rows if Path(each["image"]).name[0] == part]
        assert row["p_value"] == pytest.approx(min(1, 2 * min(own)))
        assert row["verdict"] == ("anomalous" if row["p_value"] <= 0.5 else "ok")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--views", "2"], "--views needs --group"),
        (["--combine", "worst"], "need --group"),
        ([*PATTERN, "--level", "0.1"], "--level is of p-values"),
        ([*PATTERN, "--combine", "harmonic", "--level", "1"], "above 0 and below 1"),
        ([*PATTERN, "--combine", "harmonic"], "needs p-values, as of --model of vlmad fit"),
    ],
)
def test_options_of_parts_that_do_not_go_together_are_refused(
    four_views: Path, command: Command, words: list[str], message: str
) -> None:
    done = command(*RUN, *words)
    assert done.status == 2
    assert message in done.error
    assert not (four_views.parent / "out" / "scores.jsonl").exists()


# a threshold for parts


def labelled(name: str, score: float | None, bad: bool = False, **how: Any) -> LabelledImage:
    return LabelledImage(Path(name), bad, score=score, **how)


def test_labelled_parts_are_as_bad_as_their_worst_views_and_count_only_if_whole() -> None:
    images = [
        *(labelled("1_a", 0.1), labelled("1_b", 0.3), labelled("2_a", 0.2)),
        labelled("2_b", 0.25, bad=True),
        *(labelled("3_a", 0.9), labelled("3_b", None, failure="3_b: is no image")),
        *(labelled("4_a", 0.1), labelled("4_b", 0.1, left_out="references")),
        *(labelled("5_a", 0.1), labelled("6", 0.5)),
    ]
    scored = ScoredImages(images, identity=None)  # type: ignore[arg-type]
    parts = as_parts(scored, parse_grouping("pattern:([0-9])_"), views=2)
    assert (parts.scores(bad=False), parts.scores(bad=True)) == ([0.3], [0.25])
    assert parts.left_out == {"references": 1}
    assert parts.failures == [
        "part 3: 3_b: is no image",
        "part 5: 1 of 2 views",
        "part 6: it belongs to no part by --group; 1 of 2 views",
    ]


def test_an_image_that_two_labels_were_asked_for_counts_with_its_own() -> None:
    images = [labelled("1_a", 0.1), labelled("1_b", None, bad=False, left_out="others")]
    scored = ScoredImages([*images, labelled("1_b", 0.8, bad=True)], identity=None)  # type: ignore[arg-type]
    parts = as_parts(scored, parse_grouping("pattern:([0-9])_"))
    assert (parts.scores(bad=True), parts.left_out) == ([0.8], {})


@pytest.mark.slow
def test_a_threshold_for_parts_goes_with_runs_of_parts(four_views: Path, command: Command) -> None:
    scores = four_views.parent / "out"
    assert command(*RUN).status == 0
    calibrate = (
        "calibrate",
        "--scores",
        "out",
        "--good",
        "photos/1*",
        "--bad",
        "photos/2_cam2.png",
    )
    done = command(*calibrate, "--good", "photos/2_cam1.png", *PATTERN, "--views", "2")
    assert done.status == 0, done.error
    assert "parts scored: 1 good, 1 bad" in done.out
    threshold = json.loads(Path("threshold.json").read_text())
    assert threshold["evidence"]["views"] == 2
    worst = {part: max(s for n, s in scores_in(scores).items() if n[0] == part) for part in "12"}
    assert min(worst.values()) < threshold["value"] < max(worst.values())
    judge = ("--threshold", "threshold.json", "--quiet", "--out", "judged")
    run = RUN[: RUN.index("--out")]
    assert "chosen for parts" in command(*run, *judge[:2]).error
    done = command(*run, *judge, *PATTERN)
    assert (done.status, done.error) == (0, "")
    verdicts = {name: row["verdict"] for name, row in parts_in(Path("judged")).items()}
    assert verdicts == {
        part: "anomalous" if worst[part] >= threshold["value"] else "ok" for part in "12"
    }
    done = command("calibrate", "--references", "photos", *SMALL, *PATTERN, "--out", "t.json")
    assert "--group takes good parts that are no references" in done.error
