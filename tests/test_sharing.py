"""Several detectors on a backbone that they share: one encoding, and scores as if alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vlmad import Detector, load_detector
from vlmad.errors import PluginError
from vlmad.images import as_source
from vlmad.loading import batches, load
from vlmad.testing import TWO_LAYERS
from vlmad.types import ClassToken, Patches, Result, Windows
from vlmad_evaluation.sharing import SharedBackbone, share

Load = Callable[..., list[Detector]]
WINDOWS: dict[str, Any] = {"extractor": "window"}
ONE_SIZE: dict[str, Any] = {"options": {"extractor": {"scales": (2,)}}}
BESIDE = {"extractor": "dense", "attention": "vv"}
PLAIN = {"extractor": "dense", "scorer": "max-cosine"}
WITHIN = {"attention": "diagonal"}
GAMMA_ZERO = {**WITHIN, "options": {"attention": {"gamma": 0}}}


@pytest.fixture
def alone(two_layer_file: Path) -> Callable[..., list[Detector]]:
    """Return a function that loads detectors, each with a small backbone of its own."""

    def load_all(*choices: dict[str, Any]) -> list[Detector]:
        small = {"backbone": {"weights": two_layer_file}}
        return [
            load_detector(
                "winclip",
                backbone=f"openclip:{TWO_LAYERS}",
                **{**choice, "options": {**small, **choice.get("options", {})}},
            )
            for choice in choices
        ]

    return load_all


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(5)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(path)
    return paths


def together(detectors: list[Detector]) -> tuple[list[Detector], SharedBackbone]:
    shared = list(share({str(index): each for index, each in enumerate(detectors)}).values())
    backbone = shared[0].backbone
    assert all(each.backbone is backbone for each in shared)
    return shared, backbone


def score(detectors: list[Detector], photos: list[Path], batch_size: int) -> list[list[Result]]:
    """Score photos by all detectors, batch by batch, and return what each makes of them."""
    found: list[list[Result]] = [[] for _ in detectors]
    first = detectors[0]
    wanted = [first.backbone.spec.preprocessing]
    loaded = load(map(as_source, photos), first.resizing, wanted, batch_size)
    for images in batches(loaded, batch_size):
        for own, detector in zip(found, detectors, strict=True):
            own += detector.results(images, "part", batch_size)
        first.backbone.forget()
    return found


def counted(backbone: SharedBackbone, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Any]]:
    """Return a list that grows with what the plain backbone is asked: images and requests."""
    calls: list[tuple[int, Any]] = []
    plain = backbone.plain.encode

    def encode(batch: Any, requests: Any, attention: Any) -> Any:
        calls.append((len(batch), list(requests)))
        return plain(batch, requests, attention)

    monkeypatch.setattr(backbone.plain, "encode", encode)
    return calls


def test_plain_and_second_path_features_come_from_one_pass(alone: Load) -> None:
    detectors = alone(WINDOWS, ONE_SIZE, BESIDE, PLAIN, GAMMA_ZERO)
    (only,) = SharedBackbone(detectors).passes
    assert only.attention.registration.name == "vv"
    depth = detectors[0].backbone.spec.depth
    assert set(only.requests) == {
        ClassToken(),
        Windows(2),
        Windows(3),
        Patches(depth, stage="normed"),
        Patches(depth),
        Patches(depth, "beside"),
    }


def test_attention_within_the_stream_has_a_pass_of_its_own(alone: Load) -> None:
    passes = SharedBackbone(alone(WINDOWS, WITHIN, PLAIN, WITHIN)).passes
    assert [each.attention.registration.name for each in passes] == ["none", "diagonal"]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_each_image_is_encoded_once_in_each_pass_and_scored_as_if_alone(
    batch_size: int, alone: Load, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = alone(WINDOWS, ONE_SIZE, BESIDE, PLAIN, WITHIN)
    expected = [each.predict(photos, "part", batch_size) for each in detectors]
    shared, backbone = together(detectors)
    calls = counted(backbone, monkeypatch)
    for results, single in zip(score(shared, photos, batch_size), expected, strict=True):
        assert [each.score for each in results] == [each.score for each in single]
        for one, other in zip(results, single, strict=True):
            np.testing.assert_array_equal(one.map, other.map)
    assert sum(images for images, _ in calls) == len(photos) * len(backbone.passes)
    assert max(images for images, _ in calls) == batch_size


def test_a_second_path_to_which_nothing_is_written_is_not_that_of_another(
    alone: Load, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, full = alone(BESIDE, {**BESIDE, "attention": "kk"})
    monkeypatch.setattr(empty.attention, "blocks", lambda depth: range(0))
    expected = empty.predict(photos, "part", 2)
    shared, _ = together([empty, full])
    assert [r.score for r in score(shared, photos, 2)[0]] == [r.score for r in expected]


def test_what_one_detector_writes_to_its_features_no_other_sees(
    alone: Load, photos: list[Path]
) -> None:
    shared, _ = together(alone(PLAIN, PLAIN))
    plain = shared[0].extractor

    class Spoiling(type(plain)):  # type: ignore[misc]
        def __call__(self, visual: Any) -> Any:
            for tensor in visual.tensors.values():
                tensor.zero_()
            return plain(visual)

    shared[0].extractor = Spoiling()
    _, beside = score(shared, photos, 2)
    expected = alone(PLAIN)[0].predict(photos, "part", 2)
    assert [each.score for each in beside] == [each.score for each in expected]


def test_a_pass_that_fails_is_asked_again_by_each_detector_alone(
    alone: Load, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, backbone = together(alone(WINDOWS, PLAIN))
    plain = backbone.plain.encode

    def encode(batch: Any, requests: Any, attention: Any) -> Any:
        if len(requests) > 3:  # more than either asks for by itself, but for windows
            raise RuntimeError("so many at once are beyond me")
        return plain(batch, requests, attention)

    monkeypatch.setattr(backbone.plain, "encode", encode)
    assert all(each.error is None for each in shared[1].predict(photos, "part", 1))
    with pytest.raises(PluginError, match=r"backbone 'openclip'.*beyond me"):
        shared[0].predict(photos, "part", 1)


def test_a_detector_that_was_not_planned_is_served_too(alone: Load, photos: list[Path]) -> None:
    planned, other = alone(PLAIN, WITHIN)
    expected = other.predict(photos, "part", 2)
    found = other.on(SharedBackbone([planned])).predict(photos, "part", 2)
    assert [each.score for each in found] == [each.score for each in expected]


def test_texts_are_encoded_once_for_all_detectors(
    alone: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, backbone = together(alone(WINDOWS, ONE_SIZE, {"prompts": "plain"}))
    encoded: list[int] = []
    plain = backbone.plain.encode_text

    def encode_text(prompts: Any) -> Any:
        encoded.append(len(prompts))
        return plain(prompts)

    monkeypatch.setattr(backbone.plain, "encode_text", encode_text)
    for detector in shared:
        detector.text("part")
    assert len(encoded) == 2
    shared[1].text("other part")
    assert len(encoded) == 3
    assert torch.equal(backbone.encode_text(["a", "b"]), plain(["a", "b"]))


def test_detectors_with_other_weights_share_nothing(alone: Load) -> None:
    one, other = alone(PLAIN, {"options": {"backbone": {"weights": "random:1"}}})
    shared = share({"one": one, "other": other})
    assert shared["one"].backbone is not shared["other"].backbone
