"""Detectors side by side: each image is encoded once, and each detector says what it says alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vlmad.streaming import Stream, encode_together, stream_together

from vlmad import Detector, Prediction, Scorer, load_detector
from vlmad.errors import PluginError
from vlmad.images import as_source
from vlmad.registry import Registry
from vlmad.types import ClassToken, Patches, Windows
from vlmad_evaluation._bench_detectors import share_backbone
from vlmad_evaluation.sharing import Shared, plan_passes

ODD_PARTS = (Path(__file__).parent / "plugins" / "odd_parts.py").read_text()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(5)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(path)
    return paths


def together(*choices: dict[str, Any], registry: Registry | None = None) -> list[Detector]:
    """Return detectors with one backbone object."""
    backbones: list[Any] = []
    loaded = [load_detector(**choice, keep="nothing", registry=registry) for choice in choices]
    return [Detector(share_backbone(d.assembly, backbones), keep="nothing") for d in loaded]


class Counted:
    """What calls of `encode` were made on an object."""

    def __init__(self, backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[int, list[Any]]] = []
        plain = backbone.encode

        def encode(batch: Any, requests: Any, attention: Any) -> Any:
            self.calls.append((len(batch), list(requests)))
            return plain(batch, requests, attention)

        monkeypatch.setattr(backbone, "encode", encode)


WINDOWS = {"detector": "winclip"}
MORE_WINDOWS = {"detector": "winclip", "options": {"extractor": {"scales": (2, 3, 5)}}}
BESIDE = {"detector": "anomalyclip"}
PLAIN = {"detector": "clip"}
WITHIN = {"detector": "winclip", "attention": "diagonal"}
GAMMA_ZERO = {**WITHIN, "options": {"attention": {"gamma": 0}}}


def test_plain_and_second_path_features_come_from_one_pass() -> None:
    detectors = together(WINDOWS, MORE_WINDOWS, BESIDE, PLAIN, GAMMA_ZERO)
    passes, routes = plan_passes(detectors)
    (only,) = passes
    assert only.attention.registration.name == "vv"
    depth = detectors[0].backbone.spec.depth
    assert set(only.requests) == {
        ClassToken(),
        Windows(2),
        Windows(3),
        Windows(5),
        Patches(depth, stage="normed"),
        Patches(depth),
        Patches(depth, "beside"),
    }
    assert all(answering is only for route in routes for answering in route.values())


def test_attention_within_the_stream_has_a_pass_of_its_own() -> None:
    detectors = together(WINDOWS, WITHIN, PLAIN, WITHIN)
    passes, routes = plan_passes(detectors)
    assert [each.attention.registration.name for each in passes] == ["none", "diagonal"]
    assert set(routes[1].values()) == set(routes[3].values()) == {passes[1]}
    assert set(routes[0].values()) == set(routes[2].values()) == {passes[0]}


@pytest.mark.slow
def test_a_second_path_to_which_nothing_is_written_is_not_that_of_another(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, full = together(BESIDE, {**BESIDE, "attention": "kk"})
    monkeypatch.setattr(empty.attention, "blocks", lambda depth: range(0))
    shared = Shared([empty, full], keep=False)
    streams = [Stream(detector, "part", 2) for detector in shared.detectors]
    both = stream_together(streams, map(as_source, photos), after_batch=shared.forget)
    maps = [result.map for stream, result in both if stream is streams[0]]
    alone = [result.map for result in empty.predict(photos, "part", 2)]
    np.testing.assert_allclose(np.stack(maps), np.stack(alone), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2])
def test_each_image_is_encoded_once_for_each_pass(
    batch_size: int, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = together(WINDOWS, MORE_WINDOWS, BESIDE, PLAIN, WITHIN)
    counted = Counted(detectors[0].backbone, monkeypatch)
    shared = Shared(detectors, keep=False)
    streams = [Stream(detector, "part", batch_size) for detector in shared.detectors]
    sources = map(as_source, photos)
    results = list(stream_together(streams, sources, after_batch=shared.forget))
    assert len(results) == len(photos) * len(detectors)
    assert sum(images for images, _ in counted.calls) == len(photos) * len(shared.passes)
    for images, requests in counted.calls:
        assert images <= batch_size
        assert len(requests) == len(set(requests))


@pytest.mark.slow
def test_side_by_side_they_say_what_they_say_alone(photos: list[Path]) -> None:
    detectors = together(WINDOWS, MORE_WINDOWS, BESIDE, PLAIN, WITHIN)
    shared = Shared(detectors, keep=False)
    streams = [Stream(detector, "part", 2) for detector in shared.detectors]
    found: dict[Stream, list[Any]] = {stream: [] for stream in streams}
    for stream, result in stream_together(
        streams, map(as_source, photos), after_batch=shared.forget
    ):
        found[stream].append(result)
    for stream, detector in zip(streams, detectors, strict=True):
        for side_by_side, alone in zip(
            found[stream], detector.predict(photos, "part", 2), strict=True
        ):
            assert side_by_side.name == alone.name
            assert side_by_side.score == pytest.approx(alone.score, abs=1e-5)
            np.testing.assert_allclose(side_by_side.map, alone.map, atol=1e-5)


@pytest.mark.slow
def test_references_are_encoded_once_too(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = together(WINDOWS, MORE_WINDOWS)
    counted = Counted(detectors[0].backbone, monkeypatch)
    shared = Shared(detectors, keep=False)
    encoded = list(
        encode_together(shared.detectors, map(as_source, photos), 1, after_image=shared.forget)
    )
    assert len(counted.calls) == len(photos)
    for detector, alone in zip(shared.detectors, detectors, strict=True):
        detector.remember([each[detector] for each in encoded], [])
        alone.fit(photos)
        for name, tensor in (alone.memory or {}).items():
            np.testing.assert_allclose((detector.memory or {})[name], tensor, atol=1e-5)


def failing(score: Callable[..., Prediction]) -> Scorer:
    """Return a scorer that scores like this."""

    class Failing(Scorer):
        def __call__(self, *given: Any) -> Prediction:
            return score(*given)

    return Failing()


@pytest.mark.slow
def test_a_part_that_fails_leaves_the_others_alone(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = together(WINDOWS, PLAIN, MORE_WINDOWS)
    broken = detectors[1]
    times = 0

    def fail(*given: Any) -> Prediction:
        nonlocal times
        times += 1
        if times == 3:
            raise ValueError("out of order")
        return plain(*given)

    plain = broken.scorer.__call__
    monkeypatch.setattr(broken, "scorer", failing(fail))
    shared = Shared(detectors, keep=False)
    streams = [Stream(detector, "part", 1) for detector in shared.detectors]
    left: list[tuple[Stream, PluginError]] = []
    results = list(
        stream_together(
            streams, map(as_source, photos), lambda s, e: left.append((s, e)), shared.forget
        )
    )
    counts = [sum(stream is each for each, _ in results) for stream in streams]
    assert counts == [len(photos), 2, len(photos)]
    ((stream, error),) = left
    assert stream is streams[1]
    assert "out of order" in str(error)


@pytest.mark.slow
def test_a_pass_that_fails_is_asked_again_by_each_detector_alone(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = together(WINDOWS, PLAIN)
    backbone = detectors[0].backbone
    plain = backbone.encode

    def encode(batch: Any, requests: Any, attention: Any) -> Any:
        if len(requests) > 3:  # more than either asks for by itself, but for windows
            raise RuntimeError("so many at once are beyond me")
        return plain(batch, requests, attention)

    monkeypatch.setattr(backbone, "encode", encode)
    shared = Shared(detectors, keep=False)
    streams = [Stream(detector, "part", 1) for detector in shared.detectors]
    left: list[PluginError] = []
    results = list(
        stream_together(
            streams, map(as_source, photos), lambda s, e: left.append(e), shared.forget
        )
    )
    assert [stream for stream, _ in results] == [streams[1]] * len(photos)
    assert len(left) == 1
    assert "beyond me" in str(left[0])


@pytest.mark.slow
def test_a_scorer_of_sets_runs_beside_one_of_images(
    photos: list[Path], install: Callable[..., Path]
) -> None:
    install("odd-parts", ODD_PARTS)
    odd = Registry.discover()
    detectors = together(PLAIN, {**PLAIN, "scorer": "mutual"}, registry=odd)
    shared = Shared(detectors, keep=False)
    streams = [Stream(detector, "part", 2) for detector in shared.detectors]
    (photos[0].parent / "damaged.png").write_bytes(b"no image")
    images = [*photos[:2], photos[0].parent / "damaged.png", *photos[2:]]
    found: dict[Stream, list[Any]] = {stream: [] for stream in streams}
    for stream, result in stream_together(
        streams, map(as_source, images), after_batch=shared.forget
    ):
        found[stream].append(result)
    for stream, detector in zip(streams, detectors, strict=True):
        assert [r.name for r in found[stream]] == list(map(str, images))
        assert [r.error is None for r in found[stream]] == [True, True, False, True]
        alone = detector.predict(images, "part", 2)
        for one, other in zip(found[stream], alone, strict=True):
            if one.error is None:
                assert one.score == pytest.approx(other.score, abs=1e-5)


def test_scorers_of_sets_hold_the_features_of_all_images_once_for_all(
    photos: list[Path], install: Callable[..., Path]
) -> None:
    install("odd-parts", ODD_PARTS)
    mutual = {**PLAIN, "scorer": "mutual"}
    few, many = (
        held_bytes(together(*[mutual] * count, registry=Registry.discover()), photos)
        for count in (2, 6)
    )
    assert few == many > 0


def held_bytes(detectors: list[Detector], photos: list[Path]) -> int:
    """Return how large the distinct tensors are that wait when the first set is scored."""
    shared = Shared(detectors, keep=False)
    streams = [Stream(detector, "part", 2) for detector in shared.detectors]
    first, *waiting = streams
    ended, _ = next(stream_together(streams, map(as_source, photos), after_batch=shared.forget))
    assert ended is first
    assert first.features.parts == []
    parts = [part for stream in waiting for part in stream.features.parts]
    assert [len(part) for part in parts] == [2, 1] * len(waiting)
    tensors = [t for p in parts for t in (p.image, *(r.embeddings for r in p.regions))]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage() for each in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def test_what_a_scorer_of_a_set_writes_to_its_features_no_other_sees(
    photos: list[Path], install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("odd-parts", ODD_PARTS)
    mutual = {**PLAIN, "scorer": "mutual"}
    detectors = together(mutual, mutual, registry=Registry.discover())
    scorer, plain = detectors[0].scorer, type(detectors[0].scorer).__call__

    def spoil(self: Scorer, features: Any, text: Any, memory: Any) -> Prediction:
        found = plain(self, features, text, memory)
        if self is scorer:
            for regions in features.regions:
                regions.embeddings.zero_()
        return found

    for images in (photos[:2], photos):  # in one batch, and in two that are joined
        alone = [result.score for result in detectors[1].predict(images, "part", 2)]
        monkeypatch.setattr(type(scorer), "__call__", spoil)
        shared = Shared(detectors, keep=False)
        streams = [Stream(detector, "part", 2) for detector in shared.detectors]
        found = list(stream_together(streams, map(as_source, images), after_batch=shared.forget))
        beside = [result.score for stream, result in found if stream is streams[1]]
        assert beside == pytest.approx(alone, abs=1e-5)
        monkeypatch.undo()


@pytest.mark.slow
def test_texts_are_encoded_once_for_all_detectors(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = together(WINDOWS, MORE_WINDOWS, {"detector": "clip-ac"})
    backbone = detectors[0].backbone
    encoded: list[int] = []
    plain = backbone.encode_text

    def encode_text(prompts: Any) -> Any:
        encoded.append(len(prompts))
        return plain(prompts)

    monkeypatch.setattr(backbone, "encode_text", encode_text)
    shared = Shared(detectors, keep=False)
    for detector in shared.detectors:
        detector.text("part", None)
    alone = len(encoded)
    shared.detectors[1].text("other part", None)
    assert len(encoded) == 2 * alone
