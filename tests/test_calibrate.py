"""The command `vlmad calibrate` over the sample images, and which images it takes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad.files import digest
from vlmad_calibration._labelled_images import (
    LabelledImage,
    find_labelled,
    leave_one_out,
    leave_out,
)
from vlmad_calibration.calibration import Evidence, calibrate
from vlmad_run.finding import find
from vlmad_run.identity import identity
from vlmad_run.leaving_out import above_few
from vlmad_run.manifest import GoodScores
from vlmad_run.memory_documents import Reference
from vlmad_run.references import Assembled, choose_references
from vlmad_run.thresholds import read_threshold

from .conftest import vlmad

SAMPLES = Path(__file__).parents[1] / "examples" / "samples"
TRAIN, TEST = SAMPLES / "circuit" / "train" / "good", SAMPLES / "circuit" / "test"
TILE = SAMPLES / "tile"
CLIP = ("--detector", "clip", "--class-name", "circuit")

# which images are taken


def kept_and_others(named: Path, label: Any) -> tuple[set[str], set[str]]:
    found, _ = find_labelled([str(named)], label)
    return tuple(  # type: ignore[return-value]
        {each.path.parent.name for each in found if (each.left_out == "others") is other}
        for other in (False, True)
    )


def test_the_defects_of_a_data_set_are_no_good_images_and_the_reverse(photos: Path) -> None:
    defects = {"chip", "crack", "missing_print"}
    for folder in (TILE, TILE / "test"):
        assert kept_and_others(folder, "normal") == ({"good"}, defects)
        assert kept_and_others(folder, "anomalous") == (defects, {"good"})
    assert kept_and_others(TILE / "train" / "good", "normal") == ({"good"}, set())
    assert kept_and_others(TILE / "test" / "*" / "000.png", "normal")[1] == set()
    assert kept_and_others(photos, "normal") == ({"photos"}, set())


def test_references_and_repeated_images_are_left_out_by_their_content() -> None:
    good = zip("abcde", ["1", "2", "1", None, "9"], strict=True)
    bad = zip("xy", ["5", None], strict=True)
    images = [LabelledImage(Path(name), False, sha256) for name, sha256 in good]
    images += [LabelledImage(Path(name), True, sha256) for name, sha256 in bad]
    left_out = {str(image.path): image.left_out for image in leave_out(images, {"9"})}
    assert left_out == {**dict.fromkeys("abdxy"), "c": "repeated", "e": "references"}


def test_an_image_that_is_called_good_and_bad_is_refused() -> None:
    good, bad = LabelledImage(Path("a"), False, "1"), LabelledImage(Path("b"), True, "1")
    with pytest.raises(InputError, match="a is among the good images, and as b among the bad"):
        list(leave_out([good, bad], ()))
    assert len(list(leave_out([good, replace(bad, left_out="others")], ()))) == 2


def test_references_that_changed_since_fitting_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "nut.png"
    path.write_bytes(b"another image now")
    references = [Reference(path=str(path), sha256="0" * 64)]
    assembled = Assembled(load_detector("winclip"), "nut", references)
    with pytest.raises(InputError, match=r"nut\.png is not there as it was fitted on; name good"):
        leave_one_out(assembled)


# the command


@pytest.mark.slow
def test_fitting_calibrating_and_judging_go_together(tmp_path: Path) -> None:
    options = ("--shots", "2", "--class-name", "circuit", "--out", "nut.safetensors")
    done = vlmad("fit", TRAIN, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = ("--model", "nut.safetensors")
    done = vlmad("calibrate", *model, "--good", TRAIN, "--good", TEST / "good", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out: 2 that are references too" in done.stderr
    assert "scored: 5 good" in done.stdout
    assert "5 good images cannot promise a false-alarm rate of 0.05: that takes 19" in done.stdout
    threshold = read_threshold(str(tmp_path / "threshold.json"))
    assert f"anomalous from {threshold.value!r} on" in done.stdout
    judge = ("--threshold", "threshold.json", "--fail-on", "anomalous", "--overlays", "none")
    done = vlmad("run", *model, TEST / "good", *judge, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["ok"] * 3
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
        *("--bad", os.path.relpath(TEST, tmp_path), "--rule", "misses", "--rate", "0.2"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        "warning: left out: 3 that the data set they lie in labels otherwise",
        f"vlmad: not scored: {broken}: not an image of a known format",
    ]
    assert done.stdout == (tmp_path / "threshold.json").read_text()
    kept = read_threshold(str(tmp_path / "threshold.json"))
    evidence = Evidence.model_validate(kept.evidence)
    assert (evidence.good, evidence.bad, evidence.left_out) == (4, 6, {"others": 3})
    assert evidence.failures == [f"{broken}: not an image of a known format"]
    assert (kept.rule, evidence.rate) == ("miss rate of at most 0.2", 0.2)
    same, left_out = evidence.errors
    assert left_out.source == "each image left out"
    assert kept.identity is not None
    assert kept.identity.class_name == "circuit"
    results = load_detector("clip").predict(sorted(TRAIN.iterdir()), class_name="circuit")
    called = sum(result.score >= kept.value for result in results)
    assert same.false_alarms.value == called / 4


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
def test_where_no_good_image_is_no_reference_each_is_judged_by_the_others(tmp_path: Path) -> None:
    references = choose_references(find([TRAIN]), [TRAIN], 2, 0)
    named = [word for path in references for word in ("--good", path)]
    words = ("--detector", "winclip", "--references", TRAIN, "--shots", "2")
    done = vlmad("calibrate", *named, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no good image but references, 2 of them named" in done.stderr
    assert "left out" not in done.stderr
    assert "scored: 2 good" in done.stdout
    assert "judged by a memory of the others, which is one smaller" in done.stdout
    threshold = read_threshold(str(tmp_path / "threshold.json"))
    assert threshold.identity is not None
    assert len(threshold.identity.references_sha256) == 2
    known = [Reference(path=str(path), sha256=digest(path)) for path in references]
    left_out, _ = leave_one_out(Assembled(load_detector("winclip"), "object", known))
    assert threshold.value == above_few(
        GoodScores(scores=[image.score or 0.0 for image in left_out], how="left out")
    )
    assert threshold.rule == "a measured margin above the scores of few references"


@pytest.mark.slow
def test_a_single_reference_is_judged_changed_which_promises_nothing(tmp_path: Path) -> None:
    done = vlmad("calibrate", "--references", TRAIN, "--shots", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "crops and other light of a single reference" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no good images: name them with --good PATH, or --references PATH"),
        (("--good", "empty"), "no images in empty"),
        (("--good", "taken.json"), "no good image could be scored"),
        (("--good", TRAIN, "--rule", "f1"), "the rule f1 needs bad images"),
        (("--good", TRAIN, "--bad", TRAIN / "001.png"), "is among the good images, and as"),
        (("--good", TRAIN, "--out", "taken.json"), "taken.json exists; delete it or choose"),
        (("--scores", "empty", "--good", TRAIN), "empty: no manifest.json of a run"),
        (("--scores", "empty", *CLIP), "leave out --detector"),
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
