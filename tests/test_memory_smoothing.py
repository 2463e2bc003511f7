"""Maps of cells become smooth maps of pixels, and image scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from vlmad_memory.image_scores import mean_of_top
from vlmad_memory.smoothing import Border, Interpolation, _blurred, blur, to_pixels

CELLS = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(40, 28), (33, 64), (5, 7), (3, 2)])
@pytest.mark.parametrize(
    ("interpolation", "mode"),
    [
        ("nearest", {"mode": "nearest"}),
        ("bilinear", {"mode": "bilinear"}),
        ("bilinear-corners", {"mode": "bilinear", "align_corners": True}),
    ],
)
@pytest.mark.parametrize(("border", "scipys"), [("reflect", "mirror"), ("symmetric", "reflect")])
def test_pixels_are_interpolated_and_then_blurred(
    size: tuple[int, int],
    interpolation: Interpolation,
    mode: dict[str, Any],
    border: Border,
    scipys: str,
) -> None:
    interpolated = F.interpolate(CELLS[:, None], size=size, **mode)[:, 0]
    for sigma, radius in ((4.0, 16), (1.0, 2), (4.0, 1)):
        taps = {"sigma": sigma, "mode": scipys, "radius": radius}
        plain = [gaussian_filter(image, **taps) for image in interpolated.numpy()]
        ours = to_pixels(CELLS, size, sigma, radius, border, interpolation)
        torch.testing.assert_close(ours, torch.from_numpy(np.stack(plain)), rtol=0, atol=1e-6)
    torch.testing.assert_close(to_pixels(CELLS, size, interpolation=interpolation), interpolated)


@pytest.mark.parametrize(("border", "scipys"), [("reflect", "mirror"), ("symmetric", "reflect")])
def test_the_blur_is_scipys_to_the_last_bit(border: Border, scipys: str) -> None:
    cells = torch.rand(9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for pixels, sigma, radius in ((1, 1.0, 3), (9, 0.7, None), (50, 4.0, None), (20, 3.3, 40)):
        shares = np.resize(cells.numpy(), (pixels, 7))
        theirs = gaussian_filter1d(shares, sigma, axis=0, mode=scipys, radius=radius)
        assert np.array_equal(_blurred(shares, sigma, radius, border), theirs)


def test_a_gaussian_has_taps_to_four_sigma_and_none_without_one() -> None:
    maps = to_pixels(CELLS, (50, 60))
    assert torch.equal(blur(maps, 4.0), blur(maps, 4.0, 16))
    assert torch.equal(blur(maps, 0.0), maps)
    assert float((blur(maps, 4.0) - blur(maps, 4.0, 15)).abs().max()) > 0


def test_maps_keep_their_precision() -> None:
    assert to_pixels(CELLS.double(), (20, 20), 1.0).dtype == torch.float64


def test_the_top_share_is_at_least_one_cell_and_rounded_down() -> None:
    values = torch.tensor([[1.0, 5, 3, 4], [2, 2, 2, 8]]).reshape(2, 2, 2)
    assert mean_of_top(values, 0.0).tolist() == [5, 8]
    assert mean_of_top(values, 0.01).tolist() == [5, 8]
    assert mean_of_top(values, 0.74).tolist() == [4.5, 5]
    assert mean_of_top(values, 1.0).tolist() == [13 / 4, 14 / 4]
