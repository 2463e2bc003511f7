"""Nearest patches meet the numbers of other implementations; see tests/golden/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from vlmad import Features, Level, Prediction, Regions, VisualFeatures, load_detector
from vlmad.regions import patch_cells
from vlmad_memory._nearest_patches import NearestPatches
from vlmad_memory._patch_features import PatchFeatures
from vlmad_memory.cell_grids import pooled_neighbourhoods
from vlmad_memory.coreset import farthest_first, merged_and_reduced
from vlmad_memory.foreground import foreground
from vlmad_memory.patch_memory import IMAGES, PatchMemory
from vlmad_memory.whitening import whitening_of

GOLDEN = Path(__file__).parent / "golden"


def golden_of(name: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / name / "golden.safetensors")


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def visual_of(levels: dict[str, Tensor], size: tuple[int, int]) -> VisualFeatures:
    """Answer for levels given as maps (images, width, rows, columns)."""
    answers: dict[Any, Tensor] = {Level(n): maps.movedim(1, -1) for n, maps in levels.items()}
    first = next(iter(levels.values()))
    return VisualFeatures(answers, (first.shape[2], first.shape[3]), size)


def features_of_cells(
    levels: dict[str, Tensor], grid: tuple[int, int], size: tuple[int, int], image: Tensor
) -> Features:
    cells = patch_cells(grid)
    regions = [Regions(name, each, cells, False, grid) for name, each in levels.items()]
    return Features(image, tuple(regions), grid, size)


def judged(scorer: NearestPatches, features: Features, memory: dict[str, Tensor]) -> Tensor:
    """Return the cells that the score is made of."""
    attribution = scorer.attribute(features, None, memory)
    levels = [level.values for level in attribution.judged]
    return torch.stack(levels).mean(0).unflatten(1, features.regions[0].grid or features.grid)


# PatchCore


@pytest.fixture(scope="module")
def patchcore() -> tuple[dict[str, Tensor], Features, Features]:
    golden = golden_of("patchcore")
    extractor = PatchFeatures(**load_detector("patchcore").assembly.parts["extractor"].options)
    references, queries = (
        extractor(
            visual_of(
                {n: golden[f"{kind}_{n}"] for n in ("layer2", "layer3")}, golden["map"].shape[1:]
            )
        )
        for kind in ("reference", "query")
    )
    return golden, references, queries


def test_patchcore_averages_neighbourhoods_and_joins_levels_on_the_finest_grid(
    patchcore: tuple[dict[str, Tensor], Features, Features],
) -> None:
    golden, references, queries = patchcore
    for kind, features in (("reference", references), ("query", queries)):
        [regions] = features.regions
        assert regions.name == "levels layer2 + layer3"
        assert_close(regions.embeddings.flatten(0, 1), golden[f"{kind}_embedding"])


def test_patchcore_chooses_the_same_rows(
    patchcore: tuple[dict[str, Tensor], Features, Features],
) -> None:
    golden, references, _ = patchcore
    expected = golden["coreset_indices"]
    rows = references.regions[0].embeddings.flatten(0, 1)
    chosen = farthest_first(rows @ golden["projection"].T, len(expected), int(expected[0]))
    assert torch.equal(chosen, expected)
    assert_close(rows[chosen], golden["memory_bank"])


@pytest.mark.parametrize("neighbours", [9, 3, 1])
def test_patchcore_meets_distances_scores_and_maps(
    patchcore: tuple[dict[str, Tensor], Features, Features], neighbours: int
) -> None:
    golden, references, queries = patchcore
    options = load_detector("patchcore").assembly.parts["scorer"].options
    scorer = NearestPatches(**{**options, "reweighting": neighbours, "interpolation": "nearest"})
    rows = golden["coreset_indices"]
    origins = torch.stack([rows // 80, rows % 80], 1)
    [regions] = references.regions
    memory = {IMAGES: references.image}
    memory |= PatchMemory(golden["memory_bank"], origins).stored(regions.name)
    prediction = scorer(queries, None, memory)
    assert_close(judged(scorer, queries, memory), golden["patch_scores"])
    assert_close(prediction.score, golden[f"image_score_neighbors_{neighbours}"])
    assert_close(prediction.map, golden["map"])


# AnomalyDINO


@pytest.fixture(scope="module")
def dino() -> dict[str, Tensor]:
    return golden_of("anomalydino")


def dino_features(golden: dict[str, Tensor], kind: str, size: tuple[int, int]) -> Features:
    patches = golden[f"{kind}_patches"]
    return features_of_cells({"level 1": patches}, (11, 10), size, patches.mean(1))


@pytest.mark.parametrize("kind", ["reference", "query"])
def test_the_foreground_is_that_of_anomalydino(dino: dict[str, Tensor], kind: str) -> None:
    expected = dino[f"anomalib_{kind}_mask"].bool()
    cells = dino[f"{kind}_patches"].unflatten(1, (11, 10))
    assert torch.equal(foreground(cells, 10.0, torch.ones_like(expected)), expected)


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize(
    ("key", "options", "size"),
    [
        ("anomalib_all", {"interpolation": "nearest"}, (154, 140)),
        ("anomalib_masked", {"interpolation": "nearest", "foreground": "both"}, (154, 140)),
        ("official_all", {"border": "symmetric"}, (96, 88)),
        ("official_euclidean", {"border": "symmetric", "distance": "euclidean"}, (96, 88)),
    ],
)
def test_anomalydino_meets_distances_scores_and_maps(
    dino: dict[str, Tensor],
    key: str,
    options: dict[str, Any],
    size: tuple[int, int],
    neighbours: int,
) -> None:
    scorer = NearestPatches(neighbours=neighbours, sigma=4, **options)
    queries = dino_features(dino, "query", size)
    memory = dict(scorer.fit(dino_features(dino, "reference", size)))
    prediction = scorer(queries, None, memory)
    name = f"{key}_neighbors_{neighbours}"
    assert_close(judged(scorer, queries, memory), dino[f"{name}_patch_distances"])
    assert_close(prediction.score, dino[f"{name}_image_score"])
    if f"{name}_map" in dino:
        expected = dino[f"{name}_map"]
        above, left = (expected.shape[1] - size[0]) // 2, (expected.shape[2] - size[1]) // 2
        inner = expected[:, above : above + size[0], left : left + size[1]]
        assert_close(prediction.map, inner)  # anomalib cuts a margin off and fills it afterwards


# RAD


@pytest.mark.parametrize("images", [3, 1])
@pytest.mark.parametrize("radius", [1, 0, None])
def test_rad_meets_distances_scores_and_maps(images: int, radius: int | None) -> None:
    golden = golden_of("rad")
    layers = (3, 6, 9)
    references, queries = (
        features_of_cells(
            {f"level {n}": golden[f"{kind}_layer_{n}"][:, 5:] for n in layers},
            (7, 6),
            (112, 96),
            golden[f"{kind}_layer_9"][:, 0],
        )
        for kind in ("reference", "query")
    )
    options = load_detector("rad").assembly.parts["scorer"].options
    scorer = NearestPatches(**{**options, "images": images, "radius": radius})
    memory = dict(scorer.fit(references))
    prediction: Prediction = scorer(queries, None, memory)
    key = f"images_{images}_radius_{'none' if radius is None else radius}"
    own, others = F.normalize(queries.image, dim=1), F.normalize(references.image, dim=1)
    nearest = golden[f"images_{images}_nearest_indices"]
    assert torch.equal((own @ others.T).topk(images).indices, nearest)
    assert_close(judged(scorer, queries, memory), golden[f"{key}_patch_scores"])
    assert_close(prediction.score, golden[f"{key}_image_score"])
    if f"{key}_map" in golden:
        assert_close(prediction.map, golden[f"{key}_map"])
    for level in scorer.attribute(queries, None, memory).judged:
        assert level.nearest is not None
        for query, found in enumerate(level.nearest // 42):
            assert set(found.tolist()) <= set(nearest[query].tolist())


# MH-PatchCore


def test_mh_patchcore_embeds_whitens_and_merges_likewise() -> None:
    golden = golden_of("mh_patchcore")
    references, queries = (
        pooled_neighbourhoods(
            [golden[f"{kind}_{name}"].movedim(1, -1) for name in ("layer2", "layer3")],
            (6, 6),
            3,
            1024,
        ).flatten(0, 2)
        for kind in ("reference", "query")
    )
    assert_close(queries[36:72], golden["embedding_of_query_1"])
    whitening = whitening_of(references, 0.07, 0.95)
    whitened, signs = whitening(queries), torch.ones(20)
    signs = (whitened * golden["query_whitened"]).sum(0).sign()  # those of components are free
    assert_close(whitened * signs, golden["query_whitened"])
    bank = whitening(references)
    chosen = merged_and_reduced(bank, torch.arange(216).split(72), 24, 16)
    torch.testing.assert_close(bank[chosen] * signs, golden["memory_bank"], rtol=1e-4, atol=5e-3)
    for scale, which in ((1.0, ""), (0.15, "of_scaled_")):
        for neighbours in (9, 3, 1):
            options: dict[str, Any] = {"distance": "squared", "top": 0, "sigma": 4}
            scorer = NearestPatches(reweighting=neighbours, border="symmetric", **options)
            cells = scale * whitened.unflatten(0, (3, 36))
            features = features_of_cells({"level 1": cells}, (6, 6), (48, 48), cells.mean(1))
            memory = {IMAGES: cells.mean(1)}
            rows = scale * bank[chosen]
            origins = torch.stack([chosen // 36 // 2, chosen % 36], 1)
            memory |= PatchMemory(rows, origins).stored("level 1")
            prediction = scorer(features, None, memory)
            expected = golden[f"image_score_{which}neighbors_{neighbours}"]
            torch.testing.assert_close(prediction.score, expected, rtol=1e-5, atol=1e-4)
            if scale == 1:
                distances = judged(scorer, features, memory)
                torch.testing.assert_close(distances, golden["patch_scores"], rtol=1e-5, atol=1e-4)
                torch.testing.assert_close(prediction.map, golden["map"], rtol=1e-5, atol=1e-4)
