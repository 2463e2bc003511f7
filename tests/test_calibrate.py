"""The command `vlmad calibrate` over the sample images, and which images it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad_calibration.calibration import Evidence, calibrate
from vlmad_calibration.labelled_images import (
    LabelledImage,
    leave_one_out,
    leave_out,
    score_images,
)
from vlmad_run.manifest import Reference, identity
from vlmad_run.references import Assembled, choose_references
from vlmad_run.thresholds import read_threshold

from .conftest import vlmad

SAMPLES = Path(__file__).parents[1] / "examples" / "samples"
TRAIN, TEST = SAMPLES / "circuit" / "train" / "good", SAMPLES / "circuit" / "test"
CLIP = ("--detector", "clip", "--class-name", "circuit")

# which images are taken


def test_references_and_repeated_images_are_left_out_by_their_content() -> None:
    good = zip("abcde", ["1", "2", "1", None, "9"], strict=True)
    bad = zip("xy", ["5", None], strict=True)
    images = [LabelledImage(Path(name), False, sha256) for name, sha256 in good]
    images += [LabelledImage(Path(name), True, sha256) for name, sha256 in bad]
    left_out = {str(image.path): image.left_out for image in leave_out(images, {"9"})}
    assert left_out == {**dict.fromkeys("abdxy"), "c": "repeated", "e": "references"}


def test_an_image_that_is_called_good_and_bad_is_refused() -> None:
    good, bad = LabelledImage(Path("a"), False, "1"), LabelledImage(Path("b"), True, "1")
    for images in ([good, bad], [bad, good]):
        with pytest.raises(InputError, match="a is among the good images, and as b among the bad"):
            leave_out(images, ())


def test_references_that_are_not_known_any_more_are_not_judged() -> None:
    references = [Reference(path="nut.png", sha256="0" * 64)]
    assembled = Assembled(load_detector("clip"), "nut", references)
    with pytest.raises(InputError, match=r"not as they were fitted on; name images with --good"):
        score_images(assembled, [])


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
        *("--bad", TEST / "[!g]*", "--rule", "misses", "--rate", "0.2"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        f"vlmad: not scored: {broken}: not an image of a known format",
    ]
    assert done.stdout == (tmp_path / "threshold.json").read_text()
    kept = read_threshold(str(tmp_path / "threshold.json"))
    evidence = Evidence.model_validate(kept.evidence)
    assert (evidence.good, evidence.bad, evidence.left_out) == (4, 6, {})
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
    references = choose_references([TRAIN], 2, 0)
    named = [word for path in references for word in ("--good", path)]
    done = vlmad("calibrate", *named, "--references", TRAIN, "--shots", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "scored: 2 good" in done.stdout
    assert "judged by a memory of the others, which is one smaller" in done.stdout
    threshold = read_threshold(str(tmp_path / "threshold.json"))
    assert threshold.identity is not None
    assert len(threshold.identity.references_sha256) == 2
    one, other = references
    scores = [
        load_detector("winclip").fit([known]).predict(image)[0].score
        for known, image in ((other, one), (one, other))
    ]
    assert leave_one_out(load_detector("winclip"), references) == pytest.approx(scores, abs=1e-5)
    assert max(scores) < threshold.value < max(scores) + 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no good images: name them with --good DIR, or --references DIR"),
        (("--good", "empty"), "no images in empty"),
        (("--good", "taken.json"), "no good image could be scored"),
        (("--good", TRAIN, "--rule", "f1"), "the rule f1 needs bad images"),
        (("--good", TRAIN, "--bad", TRAIN / "001.png"), "is among the good images, and as"),
        (("--good", TRAIN, "--out", "taken.json"), "taken.json exists; delete it or choose"),
        (("--scores", "empty", "--good", TRAIN), "empty holds no manifest.json"),
        (("--scores", "empty", *CLIP), "leave out --detector"),
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
