"""The command `vlmad calibrate` over the sample images."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copy

import pytest

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad_calibration.calibration import calibrate
from vlmad_run.manifest import identity
from vlmad_run.references import choose_references
from vlmad_run.thresholds import read_threshold

from .conftest import vlmad

CIRCUIT = Path(__file__).parents[1] / "examples" / "samples" / "circuit"
TRAIN, TEST = CIRCUIT / "train" / "good", CIRCUIT / "test"
CLIP = ("--detector", "clip", "--class-name", "circuit")


@pytest.mark.slow
def test_fitting_calibrating_and_judging_go_together(tmp_path: Path) -> None:
    done = vlmad(
        *("fit", TRAIN, "--detector", "winclip", "--shots", "2", "--class-name", "circuit"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    fitted = ("--fitted", "fitted.safetensors")
    done = vlmad("calibrate", *fitted, "--good", TRAIN, "--good", TEST / "good", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is also a reference, so that its score would be too low") == 2
    assert "scored: 5 good" in done.stdout
    assert "5 good images cannot promise a false-alarm rate of 0.05: that takes 19" in done.stdout
    threshold = read_threshold(str(tmp_path / "threshold.json"))
    assert f"anomalous from {threshold.value!r} on" in done.stdout
    judge = ("--threshold", "threshold.json", "--fail-on", "anomalous", "--overlays", "none")
    done = vlmad("run", *fitted, TEST / "good", *judge, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["ok"] * 3
    assert all(row["score"] < threshold.value for row in rows)
    with pytest.raises(InputError, match="the threshold was calibrated on other scores"):
        threshold.check(identity(load_detector("clip"), "circuit"))


@pytest.mark.slow
def test_labelled_images_give_both_error_rates_and_unreadable_ones_are_named(
    tmp_path: Path,
) -> None:
    broken = tmp_path / "brökén.png"
    broken.write_text("no image")
    done = vlmad(
        *("calibrate", *CLIP, "--json", "--good", TRAIN, "--good", broken),
        *("--bad", TEST / "cut_trace", "--bad", TEST / "[!g]*" / "001.png"),
        *("--rule", "misses", "--rate", "0.2", "--out", "chosen.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.splitlines()
    assert line == f"vlmad: not scored: {broken}: not an image of a known format"
    told = json.loads(done.stdout)
    assert told["failures"] == [f"{broken}: not an image of a known format"]
    evidence = told["evidence"]
    assert (evidence["good"], evidence["bad"], evidence["unreadable"]) == (4, 4, 1)
    assert (told["rule"], evidence["rate"]) == ("miss rate of at most 0.2", 0.2)
    same, left_out = evidence["errors"]
    assert same["misses"]["value"] == 0
    assert left_out["source"] == "each image left out"
    kept = read_threshold(str(tmp_path / "chosen.json"))
    assert (kept.value, kept.rule) == (told["threshold"], told["rule"])
    assert kept.evidence == evidence
    assert kept.identity is not None
    assert kept.identity["class_name"] == "circuit"
    results = load_detector("clip").predict(sorted(TRAIN.iterdir()), class_name="circuit")
    called = sum(result.score >= kept.value for result in results)
    assert same["false_alarms"]["value"] == called / 4


@pytest.mark.slow
def test_the_scores_of_a_run_serve_as_well_as_scoring_again(tmp_path: Path) -> None:
    chosen = ("--good", TEST / "good", "--bad", TEST / "cut_trace", "--good", TRAIN)
    done = vlmad("run", TEST, *CLIP, "--overlays", "none", "--out", "done", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = vlmad("calibrate", "--scores", "done", *chosen, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"vlmad: not scored: {path}: done has no score of it" for path in sorted(TRAIN.iterdir())
    ]
    looked_up = read_threshold(str(tmp_path / "threshold.json"))
    detector = load_detector("clip")
    images = [sorted(folder.iterdir()) for folder in (TEST / "good", TEST / "cut_trace")]
    scores = [[r.score for r in detector.predict(paths, class_name="circuit")] for paths in images]
    assert looked_up.value == pytest.approx(calibrate(*scores).threshold, abs=1e-5)
    looked_up.check(identity(detector, "circuit"))


@pytest.mark.slow
@pytest.mark.parametrize("without_good", [True, False])
def test_references_are_judged_each_by_the_others(without_good: bool, tmp_path: Path) -> None:
    for path in choose_references([TRAIN], 3, 0):
        copy(path, tmp_path)
    named = () if without_good else ("--good", tmp_path)
    done = vlmad("calibrate", *named, "--references", TRAIN, "--shots", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    warning = "warning: all good images are references too: each reference is judged by the others"
    assert (warning in done.stderr) is not without_good
    assert "left out" not in done.stderr
    assert "scored: 3 good" in done.stdout
    assert "each reference was judged by a memory of the others, which is one smaller" in (
        done.stdout
    )
    threshold = read_threshold(str(tmp_path / "threshold.json"))
    assert threshold.identity is not None
    assert len(threshold.identity["references_sha256"]) == 3
    detector = load_detector("winclip")
    references = choose_references([TRAIN], 3, 0)
    told: list[tuple[int, int]] = []
    scores = detector.leave_one_out(references, progress=lambda *step: told.append(step))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert max(scores) < threshold.value < max(scores) + 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no good images: name them with --good DIR, or --references DIR"),
        (("--good", "empty"), "no images in empty"),
        (("--good", "taken.json"), "no good image could be scored"),
        (("--good", TRAIN, "--rule", "f1"), "the rule f1 needs bad images"),
        (("--good", TRAIN, "--bad", TRAIN / "001.png"), "is among the good images, and as"),
        (("--good", TRAIN, "--out", "taken.json"), "taken.json exists; choose another --out"),
        (("--scores", "empty", "--good", TRAIN), "empty holds no manifest.json"),
        (("--scores", "empty", *CLIP), "--scores brings its own detector: leave out --detector"),
        (("--references", TRAIN, "--shots", "1"), "takes at least two"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_and_nothing_is_written(
    words: tuple[str | Path, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.json").write_text("mine")
    done = vlmad("calibrate", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr.splitlines()[-1]
    assert not done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "taken.json"]
    assert (tmp_path / "taken.json").read_text() == "mine"
