"""The command `vlmad review` over real runs of a small backbone."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad import load_detector
from vlmad.errors import OutputError
from vlmad.testing import TWO_LAYERS
from vlmad_review._material import ReviewMaterial
from vlmad_review.review_document import ReviewDocument
from vlmad_run.fitted import load_fitted
from vlmad_run.manifest import Manifest
from vlmad_run.thresholds import Threshold, read_threshold

from .conftest import vlmad

Command = Callable[..., Any]
NORMAL, ANOMALOUS = 9, 7
PLAIN = ("--overlays", "none", "--quiet")


def draw(folder: Path, seed: int = 0) -> Path:
    """Write stripes of two directions, and such with a bright spot."""
    rng = np.random.default_rng(seed)
    for kind, count in (("good", NORMAL), ("spot", ANOMALOUS)):
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            stripes = 90 + 60 * (np.arange(40) % 8 < 4)
            grid = np.tile(stripes, (40, 1)) if index % 2 else np.tile(stripes, (40, 1)).T
            pixels = grid[..., None] + rng.integers(0, 25, (40, 40, 3))
            if kind == "spot":
                top, left = rng.integers(2, 28, 2)
                pixels[top : top + 9, left : left + 9] = 250
            path = folder / kind / f"{kind}{index}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def model(two_layer_file: Path) -> list[str]:
    chosen = ["--backbone", f"openclip:{TWO_LAYERS}", "--set", f"backbone.weights={two_layer_file}"]
    return [*chosen, "--class-name", "part", *PLAIN]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, model: list[str]) -> Path:
    """A folder with photographs, a run with a threshold, `judged`, and one without, `open`."""
    folder = tmp_path_factory.mktemp("runs")
    draw(folder / "photos")
    for words in (("--threshold", "0.4", "--out", "judged"), ("--out", "open")):
        done = vlmad("run", "photos", *words, *model, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def verdicts(
    folder: Path, normal: int = NORMAL, anomalous: int = ANOMALOUS, name: str = "verdicts.csv"
) -> Path:
    """Write what is true of the first images of each kind."""
    rows = [(f"good{index}.png", "ok") for index in range(normal)]
    rows += [(f"spot{index}.png", "defect") for index in range(anomalous)]
    (folder / name).write_text("\n".join(map(",".join, [("image", "verdict"), *rows])) + "\n")
    return folder / name


@pytest.fixture
def here(runs: Path, tmp_path: Path) -> Path:
    """The working folder of `command`, with links to the runs and a table of all verdicts."""
    verdicts(tmp_path)
    return runs


def one_line(ended: Any) -> str:
    assert ended.status == 2, ended
    assert len(ended.error.splitlines()) == 1, ended.error
    return str(ended.error)


def files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def found(ended: Any) -> ReviewDocument:
    assert ended.status == 0, ended.error
    return ReviewDocument.parse(ended.out, "what was printed")


# the table to fill in


@pytest.mark.slow
def test_the_table_lists_what_is_nearest_to_the_threshold_and_is_read_back(
    here: Path, command: Command, tmp_path: Path
) -> None:
    ended = command("review", here / "judged", "--init", "todo.csv")
    assert ended.status == 0, ended.error
    assert "16 images, those nearest to the threshold first" in ended.out
    with (tmp_path / "todo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    distances = [abs(float(row["score"]) - 0.4) for row in rows]
    assert distances == sorted(distances)
    assert {row["verdict"] for row in rows} == {""}
    assert {row["verdict of the run"] for row in rows} <= {"ok", "anomalous"}
    text = (tmp_path / "todo.csv").read_text()
    lines = [
        line.replace(",,", ",good," if "/good/" in line else ",ng,", 1)
        for line in text.splitlines()
    ]
    (tmp_path / "todo.csv").write_text("\n".join(lines))
    review = found(command("review", here / "judged", "todo.csv", "--json"))
    assert (review.normal, review.anomalous, review.unreviewed) == (NORMAL, ANOMALOUS, 0)
    line = one_line(command("review", here / "judged", "--init", "todo.csv"))
    assert "todo.csv exists; choose another name or add --force" in line


# what is found


def test_figures_and_caveats_are_shown_and_nothing_is_written(runs: Path, tmp_path: Path) -> None:
    before, table = files(runs), verdicts(tmp_path)
    done = vlmad("review", runs / "judged", table, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    words = " ".join(done.stdout.split())
    assert "9 normal and 7 anomalous images" in words
    for name in ("as it is", "references", "threshold"):
        assert f"\n {name} " in done.stdout
    assert "in 5 folds. Figures have intervals of 95 %, wide with 9 normal and 7 anomal" in words
    assert "the interval of each gain is one of 97.5 %" in words
    assert "usually picked because they were hard" not in words  # all were reviewed
    assert files(runs) == before
    assert files(tmp_path) == {str(table)}


@pytest.mark.slow
def test_where_the_run_judged_parts_so_does_the_review(
    here: Path, command: Command, tmp_path: Path, model: list[str]
) -> None:
    photos = [
        here / "photos" / f"{kind}/{kind}{n}.png" for kind in ("good", "spot") for n in range(7)
    ]
    for photo in photos:  # a second view of each
        (tmp_path / photo.stem).mkdir()
        shutil.copy(photo, tmp_path / photo.stem / f"{photo.stem}.png")
        with Image.open(photo) as image:
            image.rotate(180).save(tmp_path / photo.stem / "turned.png")
    parts = [photo.stem for photo in photos]
    how = ("--group", "folder", "--threshold", "0.4", "--out", "out")
    ended = command("run", *parts, *how, *model)
    assert ended.status == 0, ended.error
    rows = [("image", "verdict"), *((name, "ok") for name in parts[:7])]
    rows += [(f"{name}/{view}.png", "ng") for name in parts[7:] for view in (name, "turned")]
    (tmp_path / "said.csv").write_text("\n".join(map(",".join, rows[:-1])))
    review = found(command("review", "out", "said.csv", "--out", "better", "--json"))
    assert (review.normal, review.anomalous, review.of_parts) == (7, 6, True)
    assert review.left_out == ["part spot6: 1 of 2 views have a verdict"]
    assert review.threshold.adopted
    threshold = read_threshold(str(tmp_path / "better" / "threshold.json"))
    assert threshold.evidence["group"] == "out"


@pytest.mark.slow
def test_what_is_kept_runs_at_once_and_scores_as_if_fitted_on_the_confirmed_images(
    here: Path, command: Command, tmp_path: Path, model: list[str]
) -> None:
    asked = ("--adopt", "references", "--out", "better")
    ended = command("review", here / "judged", "verdicts.csv", *asked)
    assert ended.status == 0, ended.error
    better = tmp_path / "better"
    kept = ["fitted.safetensors", "review.json", "review.md", "threshold.json"]
    assert sorted(path.name for path in better.iterdir()) == kept
    review = ReviewDocument.read(better / "review.json")
    assert (review.references.adopted, review.threshold.adopted) == (True, True)
    assert len(review.new_references) == NORMAL
    assert review.use in ended.out
    threshold = read_threshold(str(better / "threshold.json"))
    assert threshold.value == review.new_threshold
    assert load_fitted(better / "fitted.safetensors", {}).references == review.new_references
    draw(tmp_path / "fresh", seed=1)
    words = review.use.replace("NEW", "fresh").split()[1:]
    done = command(*words, "--overlays", "none", "--out", "done", "--json")
    assert done.status == 0, done.error
    rows = [json.loads(line) for line in done.out.splitlines()]
    weights = {"backbone": {"weights": model[3].partition("=")[2]}}
    detector = load_detector("winclip", backbone=model[1], options=weights)
    detector.fit([here / "photos" / "good" / f"good{index}.png" for index in range(NORMAL)])
    results = detector.predict([tmp_path / row["image"] for row in rows], "part")
    assert [row["score"] for row in rows] == pytest.approx([r.score for r in results], abs=1e-5)
    assert [row["verdict"] for row in rows] == [threshold.verdict(row["score"]) for row in rows]
    line = one_line(command("review", here / "judged", "verdicts.csv", *asked))
    assert "exists; choose another --out or add --force" in line


@pytest.mark.slow
def test_a_run_with_references_keeps_them_and_leaves_them_out_of_what_is_reviewed(
    here: Path, command: Command, tmp_path: Path, model: list[str]
) -> None:
    references = tmp_path / "references"
    references.mkdir()
    for index in (0, 1):
        shutil.copy(here / "photos" / "good" / f"good{index}.png", references)
    chosen = ("--references", "references", "--shots", "2", "--out", "few", "--threshold", "0.3")
    assert command("run", here / "photos", *chosen, *model).status == 0
    asked = ("--adopt", "references", "--out", "better", "--json")
    ended = command("review", "few", "verdicts.csv", *asked)
    review = found(ended)
    assert ended.error.count("is in the memory of the run already") == 2
    assert (review.normal, len(review.new_references)) == (NORMAL - 2, NORMAL - 2)
    kept = load_fitted(tmp_path / "better" / "fitted.safetensors", {})
    assert len(kept.references) == NORMAL
    # what is kept is itself a detector whose runs can be reviewed, as long as its references last
    run = review.use.replace("NEW", str(here / "photos")).split()[1:]
    assert command(*run, *PLAIN, "--out", "second").status == 0
    shutil.rmtree(references)
    review = found(command("review", "second", "verdicts.csv", "--json"))
    assert review.references.why.startswith("2 of the 9 images that it was fitted on are not")


@pytest.mark.slow
def test_what_misses_taught_is_kept_in_the_file_with_their_names(
    here: Path, command: Command, tmp_path: Path, model: list[str]
) -> None:
    reference = here / "photos" / "good" / "good0.png"
    chosen = ("--detector", "gaussian", "--references", reference, "--out", "few")
    assert command("run", here / "photos", *chosen, *model).status == 0
    asked = ("--adopt", "misses", "--out", "better", "--json")
    review = found(command("review", "few", "verdicts.csv", *asked))
    assert review.from_misses is not None
    assert review.from_misses.adopted
    assert len(review.new_misses) == ANOMALOUS
    fitted = load_fitted(tmp_path / "better" / "fitted.safetensors", {})
    assert [each.sha256 for each in fitted.misses] == [each.sha256 for each in review.new_misses]
    assert fitted.detector.memory is not None
    assert any(name.endswith(", missed") for name in fitted.detector.memory)
    run = review.use.replace("NEW", str(here / "photos")).split()[1:]
    ended = command(*run, *PLAIN, "--out", "second")
    assert ended.status == 0, ended.error
    manifest = Manifest.read(tmp_path / "second" / "manifest.json")
    assert manifest.misses == fitted.misses
    ended = command("review", "second", "verdicts.csv", "--json")
    assert ended.error.count("is in the memory of the run already") == 1 + ANOMALOUS


@pytest.mark.slow
def test_images_that_are_gone_or_have_changed_are_named_and_left_out(
    runs: Path, command: Command, tmp_path: Path
) -> None:
    moved(runs, tmp_path)
    (tmp_path / "photos" / "good" / "good0.png").unlink()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photos" / "spot" / "spot0.png")
    verdicts(tmp_path)
    ended = command("review", "judged", "verdicts.csv", "--json")
    assert ended.status == 1
    assert "photos/good/good0.png: No such file or directory" in ended.error
    assert "photos/spot/spot0.png has changed since the run" in ended.error
    review = ReviewDocument.parse(ended.out, "what was printed")
    assert (review.normal, review.anomalous) == (NORMAL - 1, ANOMALOUS - 1)
    assert len(review.missing_or_changed) == 2


@pytest.mark.slow
def test_wrong_lines_are_named_and_the_others_learned_from(
    here: Path, command: Command, tmp_path: Path
) -> None:
    with (tmp_path / "verdicts.csv").open("a") as file:
        file.write("none.png,ok\ngood0.png,hm\n,,,,\n")
    ended = command("review", here / "judged", "verdicts.csv", "--json")
    assert ended.status == 1, ended.error
    review = ReviewDocument.parse(ended.out, "what was printed")
    assert (review.normal, review.anomalous) == (NORMAL, ANOMALOUS)
    first, second = review.wrong_lines
    assert first.startswith("verdicts.csv line 18: none.png is not among the images of the run")
    assert second.startswith("verdicts.csv line 19: 'hm' is no verdict")
    assert [line for line in ended.error.splitlines() if first in line]


def moved(runs: Path, folder: Path, **identity: Any) -> None:
    """Copy the run with a threshold and its images, and change its manifest."""
    for name in ("photos", "judged"):
        shutil.copytree(runs / name, folder / name)
    file = folder / "judged" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["folder"] = str(folder)
    manifest["identity"] |= identity
    file.write_text(json.dumps(manifest))


# what is left behind


def test_who_interrupts_it_finds_everything_as_it_was(
    here: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ReviewMaterial, "memory_with", interrupted)
    before = files(tmp_path)
    ended = command("review", here / "judged", "verdicts.csv", "--out", "kept")
    assert (ended.status, ended.error) == (130, "vlmad: interrupted\n")
    assert files(tmp_path) == before


@pytest.mark.slow
def test_a_result_is_replaced_whole_or_not_at_all(
    here: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("review", here / "open", "verdicts.csv", "--out", "kept", "--json")
    found(command(*words, "--adopt", "references"))

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}

    def full(document: Any, path: Path) -> None:
        raise OutputError(f"cannot write {path}: No space left on device")

    old = content()
    with monkeypatch.context() as patched:
        patched.setattr(Threshold, "write", full)
        line = one_line(command(*words, "--adopt", "threshold", "--force"))
    assert "No space left on device" in line
    assert content() == old
    review = found(command(*words, "--adopt", "threshold", "--force"))
    assert set(content()) == {"detector.toml", "review.json", "review.md", "threshold.json"}
    run = review.use.replace("NEW", str(here / "photos")).split()[1:]
    assert command(*run, *PLAIN, "--out", "again").status == 0


# what is refused


def test_what_cannot_be_reviewed_is_refused_in_one_line(
    here: Path, command: Command, tmp_path: Path
) -> None:
    judged = here / "judged"
    assert "no verdicts: write a table with --init FILE" in one_line(command("review", judged))
    own = one_line(command("review", judged, judged / "scores.csv"))
    assert "holds the run's own verdicts" in own
    assert "no manifest.json of a run" in one_line(command("review", "nowhere", "verdicts.csv"))
    assert "none.csv" in one_line(command("review", judged, "none.csv"))
    both = ("verdicts.csv", "--init", "new.csv")
    assert "leave out the other one" in one_line(command("review", judged, *both))
    assert "references" in one_line(command("review", judged, "verdicts.csv", "--adopt", "x"))
    shutil.copytree(judged, tmp_path / "bench" / "cells" / "winclip" / "part")
    line = one_line(command("review", "bench", "verdicts.csv"))
    assert "bench: no manifest.json of a run" in line


def test_another_detector_than_that_of_the_run_is_refused(
    runs: Path, command: Command, tmp_path: Path
) -> None:
    moved(runs, tmp_path, weights_sha256="0" * 64)
    verdicts(tmp_path)
    line = one_line(command("review", "judged", "verdicts.csv"))
    assert "the detector is not that of judged any more: weights_sha256" in line


@pytest.mark.slow
def test_a_scorer_without_references_is_given_none(here: Path, command: Command) -> None:
    words = ("--detector", "clip", "--backbone", "tiny", *PLAIN, "--out", "plain")
    assert command("run", here / "photos", *words).status == 0
    review = found(command("review", "plain", "verdicts.csv", "--json"))
    assert "makes no use of references" in review.references.why
    assert set(review.figures) == {"as it is", "threshold"}
