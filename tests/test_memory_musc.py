"""Images that are compared with each other: MuSc's numbers, and sets larger than memory."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from vlmad import Detector, Features, Prediction, Regions, load_detector
from vlmad.errors import OptionError, OutputError
from vlmad.regions import patch_cells
from vlmad.temporary import StoredFeatures, TemporaryTensors
from vlmad.testing import TWO_LAYERS, check_part
from vlmad.watching import track, watched
from vlmad_explain import explain
from vlmad_memory import _mutual_distances
from vlmad_memory._mutual import Mutual
from vlmad_run.progress import ShownProgress, bars

from .conftest import SMALL, vlmad

GOLDEN = Path(
    os.environ.get("VLMAD_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"), "musc"
)
TOLERANCE = 1e-4


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: dict[str, list[tuple[int, int]]] = {}

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, doing: str, done: int, of: int) -> None:
        self.steps.setdefault(doing, []).append((done, of))


def features_of(
    levels: list[torch.Tensor], pooled: torch.Tensor, size: tuple[int, int] = (42, 42)
) -> Features:
    """Make features of levels (b, p, w) of square grids."""
    regions = []
    for number, tokens in enumerate(levels):
        grid = (round(tokens.shape[1] ** 0.5),) * 2
        regions.append(Regions(f"level {number}", tokens, patch_cells(grid), False, grid))
    return Features(pooled, tuple(regions), regions[0].grid or size, size)


def random_features(count: int, seed: int = 0) -> Features:
    """Draw two levels of unlike grids."""
    generator = torch.Generator().manual_seed(seed)
    levels = [torch.randn(count, cells, 8, generator=generator) for cells in (16, 9)]
    return features_of(levels, torch.rand(count, 8, generator=generator))


def scored(scorer: Mutual, features: Features) -> Prediction:
    return scorer(features, None, None)


def maximum_by_hand(features: Features, sides: tuple[int, ...], share: float) -> list[float]:
    """Compute the scores of images in plain loops."""
    units = {}
    for level, regions in enumerate(features.regions):
        assert regions.grid is not None
        for side in sides:
            whole = [F.layer_norm(each, each.shape) for each in regions.embeddings]
            cells = torch.stack(whole).transpose(1, 2).unflatten(2, regions.grid)
            mean = F.avg_pool2d(cells, side, 1, side // 2).flatten(2).transpose(1, 2)
            units[level, side] = F.normalize(mean, dim=-1)
    scores = []
    for image in range(len(features)):
        maps = []
        for (level, _), vectors in units.items():
            others = [v for number, v in enumerate(vectors) if number != image]
            near = torch.stack([torch.cdist(vectors[image], v).amin(1) for v in others])
            lowest = near.sort(0).values[: max(1, int(share * len(others)))].mean(0)
            grid = features.regions[level].grid
            cells = lowest.reshape(1, 1, *grid) if grid else lowest
            maps.append(
                F.interpolate(cells, features.image_size, mode="bilinear", align_corners=True)
            )
        scores.append(float(torch.stack(maps).mean(0).max()))
    return scores


# the published method


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    if not GOLDEN.is_dir():
        pytest.skip(f"no reference outputs in {GOLDEN}")
    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="module")
def tokens(golden: dict[str, torch.Tensor]) -> Features:
    levels = [golden[f"tokens_layer_{layer}"][:, 1:] for layer in range(3)]
    return features_of(levels, golden["class_tokens"])


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_cells_of_a_level_and_neighbourhood_are_those_of_the_authors(
    side: int, layer: int, golden: dict[str, torch.Tensor], tokens: Features
) -> None:
    one = replace(tokens, regions=(tokens.regions[layer],), image_size=(6, 6))
    maps = scored(Mutual(neighbourhoods=(side,)), one).map
    expected = golden[f"scores_r{side}_layer_{layer}"]
    torch.testing.assert_close(maps, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("interval", [(0.0, 0.6), (0.2, 0.8)])
def test_other_ranks_are_those_of_the_authors(
    interval: tuple[float, float], golden: dict[str, torch.Tensor], tokens: Features
) -> None:
    one = replace(tokens, regions=tokens.regions[:1], image_size=(6, 6))
    maps = scored(Mutual(neighbourhoods=(3,), lowest=interval), one).map
    expected = golden[f"scores_r3_layer_0_interval_{interval[0]:g}_{interval[1]:g}"]
    torch.testing.assert_close(maps, expected, rtol=0, atol=TOLERANCE)


def test_the_map_and_its_maximum_are_those_of_the_authors(
    golden: dict[str, torch.Tensor], tokens: Features
) -> None:
    prediction = scored(Mutual(), tokens)
    torch.testing.assert_close(prediction.map, golden["map"], rtol=0, atol=TOLERANCE)
    expected = golden["image_score_before_rescoring"]
    torch.testing.assert_close(prediction.score, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("counts", [(1, 2), (1, 2, 3), (2, 3), (5,)])
def test_rescored_images_are_those_of_the_authors(
    counts: tuple[int, ...], golden: dict[str, torch.Tensor], tokens: Features
) -> None:
    score = scored(Mutual(rescoring=counts), tokens).score
    expected = golden[f"image_score_rescored_{'_'.join(map(str, counts))}"]
    torch.testing.assert_close(score, expected, rtol=0, atol=TOLERANCE)


def test_scores_are_those_of_plain_loops_over_images_and_levels_of_unlike_grids() -> None:
    for seed, count in enumerate((7, 12)):
        features = random_features(count, seed)
        expected = maximum_by_hand(features, (1, 3), 0.3)
        found = scored(Mutual(neighbourhoods=(1, 3)), features).score
        assert found.tolist() == pytest.approx(expected, abs=1e-5)


# sets


def test_the_scorer_keeps_the_contract() -> None:
    check_part("scorer", "mutual")


@pytest.mark.parametrize("options", [{}, {"rescoring": (1, 2)}, {"sample": 3}], ids=str)
def test_neither_order_nor_blocks_change_what_comes_of_an_image(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, scorer = random_features(9), Mutual(**options)
    order = [4, 0, 8, 2, 6, 1, 7, 3, 5]
    together, turned = scored(scorer, features), scored(scorer, features[order])
    torch.testing.assert_close(turned.map, together.map[order], rtol=0, atol=1e-6)
    torch.testing.assert_close(turned.score, together.score[order], rtol=0, atol=1e-6)
    for cells in (16, 40, 10_000):
        monkeypatch.setattr(_mutual_distances, "CELLS_AT_ONCE", cells)
        torch.testing.assert_close(scored(scorer, features).map, together.map, rtol=0, atol=1e-6)


def test_an_image_that_is_there_twice_has_no_distance() -> None:
    features = random_features(6)
    twice = Features.concatenate([features, features])
    assert float(scored(Mutual(lowest=(0.0, 0.05)), twice).score.max()) < 1e-6


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_images_have_a_score_and_a_note(count: int) -> None:
    listener, features = Listener(), random_features(count)
    images = [features[[row]] for row in range(count)]
    with watched(listener):
        predictions = list(Mutual().score_set(images, None, None))
    assert all(torch.isfinite(each.map).all() for each in predictions)
    assert all((float(each.score) > 0) == (count > 1) for each in predictions)
    [said] = listener.notes
    assert ("single image" if count == 1 else f"of {count} images") in said


def test_a_rescoring_over_more_images_than_there_are_is_cut_and_said() -> None:
    features, listener = random_features(5), Listener()
    images = [features[[row]] for row in range(5)]
    with watched(listener):
        cut = torch.cat([p.score for p in Mutual(rescoring=(9,)).score_set(images, None, None)])
    assert listener.notes == ["mutual: rescoring over 9 images is cut to 5"]
    torch.testing.assert_close(cut, scored(Mutual(rescoring=(5,)), features).score)


def test_tiles_of_an_image_are_not_compared_with_each_other() -> None:
    features = random_features(8)
    tiles = [features[[0, 1]], features[[2, 3]], features[[4, 5]], features[[6, 7]]]
    scorer = Mutual(lowest=(0.0, 1.0))
    found = torch.cat([each.map for each in scorer.score_set(tiles, None, None)])
    without = [0, *range(2, 8)]
    torch.testing.assert_close(found[0], scored(scorer, features[without]).map[0])


@pytest.mark.parametrize("sample", [1, 3, 6])
def test_a_sample_compares_each_with_so_many_others(sample: int) -> None:
    drawn = Mutual(sample=sample, seed=3)._draw(torch.rand(8, 4, dtype=torch.float64))
    assert drawn is not None
    assert len(set(drawn)) == sample + 1
    pairing = _mutual_distances.Pairing(range(8), drawn)
    for image in range(8):
        compared = pairing.columns[pairing.compared(image)].tolist()
        assert len(compared) == sample
        assert image not in compared


def test_a_sample_of_all_is_all() -> None:
    features = random_features(6)
    everything = scored(Mutual(), features).map
    torch.testing.assert_close(scored(Mutual(sample=5), features).map, everything)
    torch.testing.assert_close(scored(Mutual(sample=99), features).map, everything)


def test_without_rescoring_the_score_is_the_highest_pixel() -> None:
    features = random_features(6)
    for scorer in (Mutual(), Mutual(rescoring=(0,))):
        prediction = scored(scorer, features)
        assert torch.equal(prediction.score, prediction.map.amax((1, 2)))
    assert not torch.equal(scored(Mutual(rescoring=(1,)), features).score, prediction.score)


@pytest.mark.parametrize(
    "wrong",
    [
        {"neighbourhoods": (2,)},
        {"neighbourhoods": ()},
        {"lowest": (0.3, 0.3)},
        {"lowest": (0.0, 1.1)},
        {"lowest": (0.3,)},
        {"rescoring": (1, -1)},
        {"sample": -1},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Mutual(**wrong)


def test_what_takes_long_is_said_before_and_shown_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_mutual_distances, "CELLS_AT_ONCE", 16)
    monkeypatch.setattr("vlmad_memory._mutual.LONG_SECONDS", 0)
    monkeypatch.setattr(_mutual_distances, "PROBED", 1)
    features, listener = random_features(9), Listener()
    state = torch.get_rng_state()
    images = [features[[row]] for row in range(9)]
    with watched(listener):
        list(Mutual().score_set(images, None, None))
    assert torch.equal(torch.get_rng_state(), state)
    [said] = listener.notes
    assert said.startswith("mutual: 9 images, about ")
    assert "MB of disk; --set scorer.sample=50" in said
    done = listener.steps["comparing"]
    assert [step for step, _ in done] == list(range(len(done)))
    assert {of for _, of in done} == {len(done) - 1}


# what lies on disk


def test_stored_features_come_back_as_they_were() -> None:
    features, stored = random_features(5), StoredFeatures()
    inside = torch.rand(5, 42, 42) > 0.5
    whole = replace(features, inside=inside)
    for rows in ([0, 1], [2], [3, 4]):
        stored.append(whole[rows])
    back = Features.concatenate(list(stored))
    for one, other in zip(back.tensors, whole.tensors, strict=True):
        assert torch.equal(one, other)
    assert [len(each) for each in stored] == [2, 1, 2]
    half = replace(features, image=features.image.bfloat16())
    stored = StoredFeatures()
    stored.append(half)
    assert torch.equal(stored[0].image, half.image)


def test_a_full_disk_is_an_error_that_names_the_remedy() -> None:
    full = TemporaryTensors()
    full._file = open("/dev/full", "wb", buffering=0)  # type: ignore[assignment]  # noqa: SIM115
    with full._file, pytest.raises(OutputError, match="TMPDIR names another folder"):
        full.write(0, torch.zeros(9))


# detectors


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Draw seven boards of one kind, the fifth with a bright spot, and a file that is no image."""
    folder, rng = tmp_path_factory.mktemp("boards"), np.random.default_rng(0)
    pattern = np.kron(rng.integers(60, 200, (6, 8, 3)), np.ones((12, 12, 1)))
    for index in range(7):
        pixels = pattern + rng.normal(0, 4, pattern.shape)
        if index == 4:
            pixels[20:34, 50:70] = 255
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    (folder / "broken.png").write_text("no image")
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="module")
def musc() -> Detector:
    options = {"backbone": {"weights": "random:0"}}
    return load_detector("musc", backbone=f"openclip:{TWO_LAYERS}", options=options)


@pytest.mark.slow
def test_the_odd_one_out_is_found_without_text_or_references(photographs: list[Path]) -> None:
    results = load_detector("musc").predict(photographs)
    scores = {Path(each.name).name: each.score for each in results if each.error is None}
    assert max(scores, key=scores.__getitem__) == "4.png"
    heat = results[4].map
    assert heat is not None
    assert heat.shape == (72, 96)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 12 <= row <= 42
    assert 42 <= column <= 78
    [failed] = [each for each in results if each.error is not None]
    assert Path(failed.name).name == "broken.png"


def test_neither_batches_nor_broken_files_change_a_set(
    musc: Detector, photographs: list[Path]
) -> None:
    whole = [path for path in photographs if path.name != "broken.png"]
    expected = {each.name: each for each in musc.predict(whole, batch_size=7)}
    for paths, size in ((photographs, 3), (whole[::-1], 1)):
        for each in musc.predict(paths, batch_size=size):
            if each.error is None:
                assert each.score == pytest.approx(expected[each.name].score, abs=1e-4)
                np.testing.assert_allclose(each.map, expected[each.name].map, atol=1e-4)


def test_pixels_of_a_set_are_released_as_soon_as_they_are_encoded(
    musc: Detector, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vlmad.images import Source

    ready: set[str] = set()
    most = 0
    make_ready, release = Source.make_ready, Source.release

    def counted(self: Source, *words: Any) -> Any:
        nonlocal most
        ready.add(self.name)
        most = max(most, len(ready))
        return make_ready(self, *words)

    def gone(self: Source) -> None:
        ready.discard(self.name)
        release(self)

    monkeypatch.setattr(Source, "make_ready", counted)
    monkeypatch.setattr(Source, "release", gone)
    musc.predict(photographs[:7], batch_size=1)
    assert most <= 4  # one that is encoded and those made ready ahead
    assert not ready


def test_a_set_that_is_left_early_leaves_no_file(
    musc: Detector, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    results: Iterator[Any] = musc.stream(photographs)
    next(results)
    assert list(tmp_path.iterdir()) == []
    results.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


# commands


def run_words(photographs: list[Path], *words: str) -> tuple[str, ...]:
    return ("run", str(photographs[0].parent), "--detector", "musc", *SMALL, *words)


def rows(folder: Path) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    return [{**row, "milliseconds": None} for row in read]


@pytest.fixture(scope="module")
def undisturbed(
    photographs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder of a run, and what it said on standard error."""
    place = tmp_path_factory.mktemp("whole")
    done = vlmad(*run_words(photographs), "--out", "out", "--overlays", "none", cwd=place)
    assert done.returncode == 1  # one file is no image
    return place / "out", done.stderr


def test_a_folder_is_run_as_a_set(
    undisturbed: tuple[Path, str], photographs: list[Path], musc: Detector
) -> None:
    folder, said = undisturbed
    found = {Path(row["image"]).name: row["score"] for row in rows(folder)}
    assert found.keys() == {path.name for path in photographs}
    for result in musc.predict(photographs):
        if result.error is None:
            assert found[Path(result.name).name] == pytest.approx(result.score, abs=1e-4)
    assert "broken.png" in said
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "prompts" not in manifest["identity"]["parts"]
    assert manifest["result"]["finished"]


def test_an_interrupted_comparison_leaves_nothing_and_is_made_anew(
    undisturbed: tuple[Path, str],
    photographs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = (*run_words(photographs), "--overlays", "none")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))

        def interrupt(_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(_mutual_distances.MutualDistances, "compare", interrupt)
        stopped = vlmad(*words, cwd=tmp_path)
    assert stopped.returncode == 130
    assert "interrupted; the same command compares all anew" in stopped.stderr
    assert list(temporary.iterdir()) == []
    assert vlmad(*words, cwd=tmp_path).returncode == 1
    [folder] = (tmp_path / "vlmad-runs").iterdir()
    assert rows(folder) == rows(undisturbed[0])


@pytest.mark.slow
def test_a_set_with_another_image_is_compared_anew_in_its_folder(
    photographs: list[Path], tmp_path: Path
) -> None:
    paths, options = photographs[:6], ("--detector", "musc", *SMALL, "--overlays", "none")
    first = vlmad("run", *paths[:5], *options, "--out", "out", cwd=tmp_path)
    second = vlmad("run", *paths, *options, "--out", "out", cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "comparing anew in out" in second.stderr
    vlmad("run", *paths, *options, "--out", "fresh", cwd=tmp_path)
    assert rows(tmp_path / "out") == rows(tmp_path / "fresh")


def test_work_of_parts_has_a_bar_of_its_own() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with bars(console) as progress, watched(ShownProgress(progress)):
        for done, _ in enumerate(track(range(4), "comparing", 4)):
            [task] = progress.tasks
            assert (task.description, task.completed, task.total) == ("comparing", done, 4)
        assert task.finished


@pytest.mark.slow
def test_a_bench_scores_sets_beside_single_images(tmp_path: Path) -> None:
    samples = Path(__file__).parents[1] / "examples" / "samples"
    words = ("bench", samples, "--category", "circuit", *SMALL, "--out", "out")
    assert vlmad(*words, "--detector", "musc,clip", cwd=tmp_path).returncode == 0
    alone = (*words[:-1], "alone")
    assert vlmad(*alone, "--detector", "musc", cwd=tmp_path).returncode == 0
    cells = json.loads((tmp_path / "out" / "bench.json").read_text())["cells"]
    [expected] = json.loads((tmp_path / "alone" / "bench.json").read_text())["cells"]
    both = {cell["detector"]: cell for cell in cells}
    assert both.keys() == {"musc", "clip"}
    assert both["musc"]["metrics"] == expected["metrics"]


def test_an_explanation_names_the_patch_of_another_image(
    musc: Detector, photographs: list[Path]
) -> None:
    for explanation in explain(musc, photographs[:4]):
        assert explanation.gap is None
        total = sum(addend.weight * addend.value for addend in explanation.addends)
        assert total == pytest.approx(explanation.score, abs=1e-4)
        assert {finding.by for finding in explanation.findings} == {"others"}
        for finding in explanation.findings:
            assert finding.nearest is not None
            assert finding.nearest.image in {str(path) for path in photographs[:4]}
            assert finding.nearest.image != explanation.image
