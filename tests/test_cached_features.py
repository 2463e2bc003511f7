"""Features of images are computed once for each request, and are bit for bit the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vlmad import ClassToken, Detector, ImageBatch, Patches, Windows, load_detector
from vlmad.errors import PluginError
from vlmad.images import as_source
from vlmad.registry import Registry
from vlmad.testing import TWO_LAYERS, example_images
from vlmad_evaluation.sharing import SharedBackbone
from vlmad_openclip.store import open_store

Calls = list[tuple[int, list[Any]]]
Load = Callable[..., tuple[Detector, Calls]]


@pytest.fixture
def load(
    registry: Registry,
    cache: Path,
    two_layer_file: Path,
    learned_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Load:
    """Return a function that makes a detector and a list of what its backbone is calls."""

    def make(
        recipe: str, keep: bool = True, options: Any = None, **named: Any
    ) -> tuple[Detector, Calls]:
        if recipe == "anomalyclip":
            named = {"prompts": f"learned:{learned_file}", **named}
        options = {"backbone": {"weights": two_layer_file}, **(options or {})}
        backbone = f"openclip:{TWO_LAYERS}"
        detector = load_detector(
            recipe, registry=registry, backbone=backbone, options=options, **named
        )
        plain, calls = detector.backbone, []
        encode = plain.encode

        def counted(batch: Any, requests: Any, attention: Any) -> Any:
            calls.append((len(batch), list(requests)))
            return encode(batch, requests, attention)

        monkeypatch.setattr(plain, "encode", counted)
        return detector.on(SharedBackbone([detector], keep=True)) if keep else detector, calls

    return make


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Four small photographs."""
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, source in zip(paths, example_images(4).sources, strict=True):
        source.open().save(path)
    return paths


def assert_same(results: Any, expected: Any) -> None:
    assert [r.score for r in results] == [r.score for r in expected]
    for result, other in zip(results, expected, strict=True):
        assert np.array_equal(result.map, other.map)


@pytest.mark.parametrize("recipe", ["winclip", "anomalyclip"])
def test_kept_features_give_the_same_results_bit_for_bit(
    recipe: str, load: Load, files: list[Path]
) -> None:
    expected = load(recipe, keep=False)[0].predict(files)
    first, calls = load(recipe)
    assert_same(first.predict(files), expected)
    assert len(calls) == 1
    second, calls = load(recipe)
    assert_same(second.predict(files), expected)
    assert calls == []


def test_references_are_kept_too(load: Load, files: list[Path]) -> None:
    first, _ = load("winclip")
    expected = first.fit(files[:2]).predict(files[2:])
    second, calls = load("winclip")
    assert_same(second.fit(files[:2]).predict(files[2:]), expected)
    assert calls == []


def test_only_what_is_missing_is_computed_in_one_pass(load: Load, files: list[Path]) -> None:
    load("winclip", options={"extractor": {"scales": (2,)}})[0].predict(files[:3])
    detector, calls = load("winclip", options={"extractor": {"scales": (2, 3)}})
    detector.predict(files[:2])
    assert calls == [(2, [Windows(3)])]
    detector.predict([files[2], files[3]])
    assert [images for images, _ in calls] == [2, 2]
    assert set(calls[1][1]) >= {ClassToken(), Windows(2), Windows(3)}
    detector.predict(files)
    assert len(calls) == 2


def test_attention_beside_the_stream_shares_what_is_on_the_plain_path(
    load: Load, files: list[Path]
) -> None:
    load("anomalyclip", attention="none")[0].predict(files)
    detector, calls = load("anomalyclip", attention="vv")
    detector.predict(files)
    [(images, requests)] = calls
    assert images == len(files)
    assert requests
    assert all(isinstance(r, Patches) and r.path == "beside" for r in requests)


def test_attention_on_the_stream_shares_nothing(load: Load, files: list[Path]) -> None:
    load("clip")[0].predict(files)
    for gamma in (0.5, 1.0):
        detector, calls = load(
            "clip", attention="diagonal", options={"attention": {"gamma": gamma}}
        )
        detector.predict(files)
        assert len(calls) == 1


@pytest.mark.parametrize(
    "named", [{"resize": "pad"}, {"options": {"backbone": {"weights": "random:1"}}}]
)
def test_another_resizing_or_model_is_another_entry(
    named: dict[str, Any], load: Load, files: list[Path]
) -> None:
    load("clip")[0].predict(files)
    detector, calls = load("clip", **named)
    detector.predict(files)
    assert len(calls) == 1


def test_the_content_of_a_file_counts_not_its_name(load: Load, files: list[Path]) -> None:
    detector, calls = load("clip")
    [expected] = detector.predict(files[0])
    copy = Path(shutil.copy(files[0], files[0].with_name("copy.png")))
    assert_same(detector.predict(copy), [expected])
    assert len(calls) == 1
    shutil.copy(files[1], copy)
    [other] = detector.predict(copy)
    assert other.score != expected.score
    assert len(calls) == 2


def test_images_in_memory_are_known_by_their_pixels(load: Load, files: list[Path]) -> None:
    detector, calls = load("clip")
    with Image.open(files[0]) as image:
        expected = detector.predict(image.copy())
        assert_same(detector.predict(np.asarray(image.convert("RGB"))), expected)
    assert len(calls) == 1
    pixels = example_images(2).pixels(detector.backbone.spec.preprocessing)
    detector.predict([pixels[0]])
    detector.predict([pixels[0].clone()])
    assert len(calls) == 2
    detector.predict([pixels[1]])
    assert len(calls) == 3


def test_damaged_entries_are_made_anew(load: Load, files: list[Path], cache: Path) -> None:
    detector, calls = load("clip")
    expected = detector.predict(files)
    for number, path in enumerate(sorted((cache / "visual").rglob("*.entry"))):
        data = path.read_bytes()
        path.write_bytes([b"", data[:50], data[:-1], b"\0" * len(data)][number % 4])
    assert_same(detector.predict(files), expected)
    assert_same(detector.predict(files), expected)
    assert len(calls) == 2


def test_an_image_that_cannot_be_read_fails_as_ever(load: Load, files: list[Path]) -> None:
    files[1].write_bytes(b"no image")
    files.append(files[0].with_name("missing.png"))
    for _ in range(2):
        results = load("clip")[0].predict(files)
        assert [r.error is None for r in results] == [True, False, True, True, False]


@pytest.mark.parametrize("extractor", ["dense", "tiles"])
def test_a_file_that_changes_between_reading_and_hashing_is_not_kept(
    extractor: str, load: Load, files: list[Path]
) -> None:
    detector, _ = load("comparison", extractor=extractor)
    source = as_source(files[0])
    source.pixels(detector.backbone.spec.preprocessing, "squash")
    shutil.copy(files[1], files[0])
    detector.features(ImageBatch((source,)))
    again, calls = load("comparison", extractor=extractor)
    plain, _ = load("comparison", extractor=extractor, keep=False)
    assert_same(again.predict(files[0]), plain.predict(files[0]))
    assert len(calls) == 1


def test_tiles_that_an_image_is_cut_into_are_kept_each_by_its_place(
    load: Load, tmp_path: Path
) -> None:
    path = tmp_path / "wide.png"
    example_images(1).sources[0].open().resize((240, 100)).save(path)
    expected = load("clip", resize="tiles:1", keep=False)[0].predict(path)
    first, calls = load("clip", resize="tiles:1")
    assert_same(first.predict(path), expected)
    [(pieces, _)] = calls
    assert pieces > 1
    second, calls = load("clip", resize="tiles:1")
    assert_same(second.predict(path), expected)
    assert calls == []


def test_answers_that_are_not_finite_are_not_kept(
    load: Load, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, _ = load("clip")
    encode = detector.backbone.plain.encode

    def broken(*arguments: Any) -> Any:
        answer = encode(*arguments)
        for tensor in answer.tensors.values():
            tensor[0] = float("nan")
        return answer

    monkeypatch.setattr(detector.backbone.plain, "encode", broken)
    [bad, good] = detector.predict(files[:2])
    assert bad.error is not None
    assert good.error is None
    again, calls = load("clip")
    assert [r.error for r in again.predict(files[:2])] == [None, None]
    assert [images for images, _ in calls] == [1]


def test_the_limit_holds(load: Load, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_CACHE_GB", "0.00005")
    detector, _ = load("clip")
    expected = detector.predict(files)
    store = open_store("visual")
    assert store is not None
    assert 0 < sum(entry.size for entry in store.entries()) <= 50_000
    for result, other in zip(detector.predict(files), expected, strict=True):
        # the last bits of a product may depend on how many images share it
        assert result.score == pytest.approx(other.score, abs=1e-6)


def test_a_learning_attention_is_known_by_its_values(load: Load, files: list[Path]) -> None:
    detector, calls = load("clip", attention="diagonal")
    part = detector.attention
    state = {"gamma": torch.tensor(0.5)}
    part.state_dict = lambda: state
    detector.predict(files[0])
    detector.predict(files[0])
    assert len(calls) == 1
    state["gamma"] = torch.tensor(0.6)
    detector.predict(files[0])
    assert len(calls) == 2


def test_an_error_of_the_backbone_is_blamed_on_it(
    load: Load, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, _ = load("clip")
    monkeypatch.setattr(detector.backbone.plain, "encode", lambda *arguments: 1 / 0)
    with pytest.raises(PluginError, match=r"backbone 'openclip' of vlmad .* ZeroDivisionError"):
        detector.predict(files[:1])
