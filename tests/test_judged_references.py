"""A fitted detector judges its references by each other: thresholds, p-values, what stands out."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from vlmad_run.fitted import load_fitted
from vlmad_run.leaving_out import automatic_threshold

from .conftest import Done, vlmad

CLOTH = Path(__file__).parents[1] / "examples/samples/cloth"
GOOD = sorted((CLOTH / "train/good").glob("*.png"))
TORN = CLOTH / "test/hole/000.png"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A detector that was fitted on good references and a torn one."""
    folder = tmp_path_factory.mktemp("fitted")
    (folder / "good").mkdir()
    for path in (*GOOD, TORN):
        shutil.copy(path, folder / "good" / f"{path.parent.name}-{path.name}")
    done = vlmad("fit", "good", "--out", "cloth.safetensors", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_reference_that_stands_out_is_named_and_left_out(fitted: tuple[Path, Done]) -> None:
    folder, done = fitted
    assert "hole-000.png may show a defect" in done.stderr
    assert f"fitted on {len(GOOD)} images" in done.stderr
    assembled = load_fitted(folder / "cloth.safetensors", {})
    assert len(assembled.references) == len(GOOD)
    assert not any("hole" in each.path for each in assembled.references)


def test_by_a_scorer_of_text_none_is_named(fitted: tuple[Path, Done]) -> None:
    folder, _ = fitted
    done = vlmad("fit", "good", "--detector", "winclip", "--out", "text.safetensors", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "may show a defect" not in done.stderr
    assert f"fitted on {len(GOOD) + 1} images" in done.stderr


def test_what_stands_out_can_be_kept(fitted: tuple[Path, Done]) -> None:
    folder, _ = fitted
    words = ("good", "--keep-all", "--out", "all.safetensors")
    done = vlmad("fit", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "hole-000.png may show a defect" in done.stderr
    assert f"fitted on {len(GOOD) + 1} images" in done.stderr


def test_verdicts_and_p_values_come_from_the_references(fitted: tuple[Path, Done]) -> None:
    folder, _ = fitted
    model = ("--model", "cloth.safetensors")
    done = vlmad("run", CLOTH / "test", *model, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "promise no false-alarm rate below 20.0 %" in " ".join(done.stdout.split())
    good = load_fitted(folder / "cloth.safetensors", {}).good
    assert good is not None
    threshold = automatic_threshold(good)
    assert f"threshold: {threshold.value:.4g}" in fitted[1].stderr
    with (folder / "run/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["verdict"] for row in rows} == {"ok", "anomalous"}
    for row in rows:
        higher = sum(own >= float(row["score"]) for own in good.scores)
        assert float(row["p_value"]) == pytest.approx((1 + higher) / (len(good.scores) + 1))
        assert row["verdict"] == threshold.verdict(float(row["score"]))


def test_fail_on_anomalous_needs_no_threshold_beside_a_fitted_detector(
    fitted: tuple[Path, Done],
) -> None:
    folder, _ = fitted
    words = ("--model", "cloth.safetensors", "--fail-on", "anomalous")
    assert vlmad("run", TORN, *words, cwd=folder).returncode != 0
    assert vlmad("run", CLOTH / "test/good", *words, cwd=folder).returncode == 0
