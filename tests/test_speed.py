"""`vlmad bench-speed` measures the ways of encoding against each other and the machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vlmad.testing import TWO_LAYERS, UsualAttention, example_images
from vlmad.types import Patches
from vlmad_openclip.openclip import OpenClip
from vlmad_speed._operations import count_operations
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


def test_operations_are_those_of_products_in_any_precision_attentions_included() -> None:
    rows, heads = torch.ones(6, 10), torch.ones(1, 2, 5, 8)
    plain = count_operations(lambda: F.linear(rows, torch.ones(7, 10)))
    assert plain == 2 * 6 * 10 * 7
    attended = count_operations(lambda: F.scaled_dot_product_attention(heads, heads, heads))
    assert attended == 2 * 2 * 2 * 5 * 5 * 8
    images, asked = example_images(), [Patches(2, stage="normed")]
    models = (
        OpenClip(str(TWO_LAYERS), "random:0", device="cpu", precision=precision)  # type: ignore[arg-type]
        for precision in ("float32", "bfloat16")
    )
    in_float32, in_bfloat16 = (
        count_operations(partial(model.encode, images, asked, UsualAttention())) for model in models
    )
    assert in_float32 == in_bfloat16 > 0
