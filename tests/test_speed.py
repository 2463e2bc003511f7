"""`vlmad bench-speed` measures the ways of encoding against each other and the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmad.testing import TWO_LAYERS
from vlmad_speed.encoding_ways import SpeedReport, measure_speed

from .conftest import vlmad


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_it_prints_ratios_and_shares_of_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    for name in ("ROWS", "WIDTH", "TRIALS"):
        monkeypatch.setattr(f"vlmad_speed.encoding_ways.{name}", 8)
    words = ("--backbone", f"openclip:{TWO_LAYERS}", "--batch-size", "1", "--rounds", "2")
    done = vlmad("bench-speed", *words, *(["--json"] if as_json else []), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    windows = ["windows, naive", "windows, exact", "windows, shared"]
    expected = [*windows, "dense", "tiles", "levels"]
    if not as_json:
        assert all(name in done.stdout for name in expected)
        return
    report = SpeedReport.parse(done.stdout, "output")
    assert [way.way for way in report.ways if way.precision == "float32"] == expected
    assert report.ways[0].ratio == 1
    assert all(way.seconds > 0 and way.share_of_limit > 0 for way in report.ways)


@pytest.mark.slow
def test_of_a_backbone_without_text_what_it_provides_is_timed() -> None:
    options = {"weights": "random:0", "precision": "float32"}
    report = measure_speed("timm:test_resnet", 1, 1, options)
    assert [(way.way, way.precision) for way in report.ways] == [("levels", "float32")]
