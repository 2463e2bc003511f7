"""Regions, their aggregation to maps, and probabilities, against plain loops over cells."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlmad.regions import (
    coverage,
    harmonic_map,
    harmonic_mean,
    inside_regions,
    mean_map,
    only_inside,
    patch_cells,
    tile_boxes,
    upsample,
    window_cells,
    window_patches,
)
from vlmad.testing import example_text
from vlmad.text import anomaly_probability, pool_sides
from vlmad.types import Features, Regions, TextEmbeddings
from vlmad_baselines._image_tiles import box_cells

SIDES = st.integers(1, 7)
GRIDS = st.tuples(SIDES, SIDES)
SEEDS = st.integers(0, 2**31)


def cells_of(box: list[int]) -> set[tuple[int, int]]:
    top, left, bottom, right = box
    return {(row, column) for row in range(top, bottom) for column in range(left, right)}


@given(GRIDS, st.integers(1, 9))
def test_windows_are_all_places_of_a_square_cut_to_the_grid(
    grid: tuple[int, int], size: int
) -> None:
    height, width = min(size, grid[0]), min(size, grid[1])
    places = [
        (top, left) for top in range(grid[0] - height + 1) for left in range(grid[1] - width + 1)
    ]
    expected = [[top, left, top + height, left + width] for top, left in places]
    assert window_cells(grid, size).tolist() == expected


@given(GRIDS, st.integers(1, 9))
def test_the_patches_of_a_window_are_those_in_its_cells(grid: tuple[int, int], size: int) -> None:
    for patches, box in zip(window_patches(grid, size), window_cells(grid, size), strict=True):
        found = {divmod(int(patch), grid[1]) for patch in patches}
        assert found == cells_of(box.tolist())


def test_the_published_grid_has_196_windows_of_2_and_169_of_3() -> None:
    assert len(window_cells((15, 15), 2)) == 196
    assert len(window_cells((15, 15), 3)) == 169


@pytest.mark.slow
@given(GRIDS, st.integers(1, 4), SEEDS)
def test_maps_are_the_means_of_the_windows_that_cover_a_cell(
    grid: tuple[int, int], size: int, seed: int
) -> None:
    cells = window_cells(grid, size)
    scores = torch.rand(2, len(cells), generator=torch.Generator().manual_seed(seed)) + 0.01
    mean, harmonic = mean_map(scores, cells, grid), harmonic_map(scores, cells, grid)
    for row in range(grid[0]):
        for column in range(grid[1]):
            covering = [i for i, box in enumerate(cells.tolist()) if (row, column) in cells_of(box)]
            chosen = scores[:, covering]
            torch.testing.assert_close(mean[:, row, column], chosen.mean(1))
            torch.testing.assert_close(
                harmonic[:, row, column], len(covering) / (1 / chosen).sum(1)
            )


@given(GRIDS)
def test_single_patches_keep_their_scores_bit_for_bit(grid: tuple[int, int]) -> None:
    scores = torch.arange(grid[0] * grid[1]).float()[None] + 1
    assert torch.equal(mean_map(scores, patch_cells(grid), grid)[0], scores.view(grid))


def test_a_zero_score_makes_harmonic_means_zero_and_no_other_value() -> None:
    cells = window_cells((1, 3), 1)
    mean = harmonic_map(torch.tensor([[0.0, 0.5, 1.0]]), cells, (1, 3))
    torch.testing.assert_close(mean, torch.tensor([[[0.0, 0.5, 1.0]]]))
    assert float(harmonic_mean(torch.tensor([[0.0], [1.0]]))) == pytest.approx(0, abs=1e-30)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_the_harmonic_mean_lies_between_the_smallest_value_and_the_mean(
    values: list[float],
) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)[:, None]
    mean = float(harmonic_mean(tensor))
    assert min(values) - 1e-12 <= mean <= sum(values) / len(values) + 1e-12


@given(st.integers(1, 5), st.floats(0, 0.9), GRIDS)
def test_tiles_cover_the_image_and_every_cell(
    count: int, overlap: float, grid: tuple[int, int]
) -> None:
    boxes = tile_boxes(count, overlap)
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(boxes[:, 2] - boxes[:, 0], torch.full((len(boxes),), 1 / count))
    steps = boxes[:, 0].unique().diff()
    allowed = (1 - overlap) / count
    assert all(float(step) <= 1.5 * allowed + 1e-6 for step in steps)
    if min(grid) >= count:
        cells = box_cells(boxes, grid)
        assert bool((cells[:, :2] < cells[:, 2:]).all())
        assert bool((cells >= 0).all())
        assert bool((cells[:, 2:] <= torch.tensor(grid)).all())


@given(GRIDS, st.integers(1, 6))
def test_tiles_leave_no_cell_uncovered(grid: tuple[int, int], count: int) -> None:
    for overlap in (0.0, 0.5):
        cover = coverage(box_cells(tile_boxes(count, overlap), grid), grid)
        assert bool((cover.sum(0) > 0).all())


def test_upsampling_keeps_a_constant_and_the_range() -> None:
    constant = upsample(torch.full((1, 3, 4), 0.3), (30, 47))
    torch.testing.assert_close(constant, torch.full((1, 30, 47), 0.3))
    grid_map = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    big = upsample(grid_map, (64, 64))
    assert float(big.max()) <= float(grid_map.max())
    assert float(big.min()) >= float(grid_map.min())


@given(SEEDS, st.floats(0.01, 1))
def test_the_probability_is_the_anomalous_share_of_a_softmax_of_two(
    seed: int, temperature: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    regions, sides = (
        torch.randn(2, 3, 8, generator=generator),
        torch.randn(2, 8, generator=generator),
    )
    ours = anomaly_probability(regions, sides, temperature)
    cosines = torch.cosine_similarity(regions[:, :, None], sides, dim=-1) / temperature
    expected = 1 / (1 + torch.exp(cosines[..., 0] - cosines[..., 1]))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    turned = anomaly_probability(regions, sides.flip(0), temperature)
    torch.testing.assert_close(ours + turned, torch.ones_like(ours))


def test_pooling_averages_raw_or_unit_embeddings_by_side() -> None:
    raw = torch.tensor([[3.0, 0], [0, 1], [0, 4]])
    text = TextEmbeddings.of(raw, [False, False, True], ["a", "b", "c"])
    assert pool_sides(text, "mean").tolist() == [[1.5, 0.5], [0, 4]]
    assert pool_sides(text, "unit-mean").tolist() == [[0.5, 0.5], [0, 1]]


def test_the_order_of_sentences_does_not_matter_to_pooling() -> None:
    text = example_text()
    order = [4, 1, 3, 0, 2]
    turned = TextEmbeddings(
        text.embeddings[order],
        text.norms[order],
        text.anomalous[order],
        tuple(text.sentences[index] for index in order),
    )
    torch.testing.assert_close(pool_sides(turned, "mean"), pool_sides(text, "mean"))


@given(GRIDS, st.integers(1, 9), SEEDS)
def test_a_region_is_inside_where_half_of_its_pixels_are(
    grid: tuple[int, int], size: int, seed: int
) -> None:
    cell = 4
    height, width = grid[0] * cell, grid[1] * cell
    drawn = torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed)) < 0.5
    cells = window_cells(grid, size)
    regions = Regions("windows", torch.zeros(2, len(cells), 1), cells, grid=grid)
    features = Features(torch.zeros(2, 1), (regions,), (1, 1), (height, width), drawn)
    found = inside_regions(features, regions)
    assert found is not None
    for image in range(2):
        for region, box in enumerate(cells.tolist()):
            top, left, bottom, right = (cell * side for side in box)
            pixels = drawn[image, top:bottom, left:right]
            assert found[image, region] == (2 * int(pixels.sum()) >= pixels.numel())


def test_everything_is_inside_of_images_that_count_whole() -> None:
    regions = Regions("patches", torch.zeros(1, 4, 1), patch_cells((2, 2)))
    assert inside_regions(Features(torch.zeros(1, 1), (regions,), (2, 2), (8, 8)), regions) is None


def test_what_lies_outside_gets_the_lowest_value_inside() -> None:
    values = torch.tensor([[3.0, -7.0, 2.0], [1.0, 5.0, 4.0], [6.0, 8.0, 9.0]])
    inside = torch.tensor([[True, False, True], [False, True, True], [False] * 3])
    expected = [[3.0, 2.0, 2.0], [4.0, 5.0, 4.0], [0.0] * 3]
    assert only_inside(values, inside).tolist() == expected
    assert only_inside(values, None) is values
