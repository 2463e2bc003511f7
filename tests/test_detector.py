"""A detector takes what people have, keeps faults where they are, and remembers references."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vlmad import Detector, ImageBatch, load_detector
from vlmad.errors import IncompatiblePartsError, InputError
from vlmad.registry import Registry
from vlmad.testing import example_images


@pytest.fixture(scope="module")
def detector(registry: Registry) -> Detector:
    return load_detector("clip", registry=registry)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return example_images(1).sources[0].open()


@pytest.fixture
def file(image: Image.Image, tmp_path: Path) -> Path:
    image.save(tmp_path / "image.png")
    return tmp_path / "image.png"


@pytest.mark.slow
def test_an_image_is_the_same_as_path_text_pil_image_and_array(
    detector: Detector, image: Image.Image, file: Path
) -> None:
    forms = [file, str(file), image, np.asarray(image)]
    results = [detector.predict(form) for form in forms]
    assert [len(result) for result in results] == [1] * 4
    assert len({result.score for [result] in results}) == 1
    for [result] in results:
        assert np.array_equal(result.map, results[0][0].map)


def test_a_batch_array_is_a_sequence_of_images(detector: Detector, image: Image.Image) -> None:
    array = np.stack([np.asarray(image)] * 3)
    assert len(detector.predict(array)) == 3


def test_prepared_pixels_are_taken_as_they_are(detector: Detector, image: Image.Image) -> None:
    pixels = example_images(1).pixels(detector.backbone.spec.preprocessing)
    [prepared] = detector.predict([pixels[0]])
    [usual] = detector.predict(image)
    assert prepared.score == usual.score
    assert prepared.map.shape == (240, 240)


def test_prepared_pixels_of_another_size_are_refused(detector: Detector) -> None:
    with pytest.raises(InputError, match=r"have shape \(3, 100, 240\), the model takes \(3, 240"):
        detector.predict([torch.zeros(3, 100, 240)])


def test_grey_and_transparent_arrays_are_images(detector: Detector) -> None:
    grey = np.zeros((20, 30), np.uint8)
    [one] = detector.predict([grey])
    [three] = detector.predict([np.stack([grey] * 3, -1)])
    assert one.score == three.score
    assert one.map.shape == (20, 30)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (3, "image 0 is a int; give paths"),
        (None, "image 0 is a NoneType"),
        (np.zeros((4, 4, 3)), r"array of float64 and shape \(4, 4, 3\); give uint8"),
        (np.zeros((4, 4, 7), np.uint8), r"shape \(4, 4, 7\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (torch.zeros(2, 2), "image 0 is a Tensor"),
    ],
)
def test_what_is_no_image_is_refused(detector: Detector, item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detector.predict([item])


def test_no_images_give_no_results(detector: Detector) -> None:
    assert detector.predict([]) == []


def test_a_broken_file_becomes_a_result_and_the_others_are_scored(
    detector: Detector, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    paths = [file, tmp_path / "broken.png", tmp_path / "none.png", file]
    results = detector.predict(paths, batch_size=4)
    assert [result.name for result in results] == [str(path) for path in paths]
    assert [result.error is None for result in results] == [True, False, False, True]
    assert math.isnan(results[1].score)
    assert results[1].map is None
    assert "broken.png" in str(results[1].error)
    assert "No such file" in str(results[2].error)
    assert results[0].score == results[3].score


@pytest.mark.slow
def test_flat_parts_of_images_do_not_depend_on_the_batch(detector: Detector) -> None:
    flat = Image.new("RGB", (60, 60), (40, 80, 120))
    corner = flat.copy()
    corner.paste((250, 250, 250), (0, 0, 20, 20))
    together = detector.predict([corner, flat, corner, flat, flat])
    for one, alone in zip(together, (corner, flat, corner, flat, flat), strict=True):
        [single] = detector.predict(alone)
        assert one.score == pytest.approx(single.score, abs=1e-5)
        np.testing.assert_allclose(one.map, single.map, atol=1e-5)


@pytest.mark.slow
def test_maps_have_the_size_of_their_originals(detector: Detector) -> None:
    for resize in ("squash", "pad"):
        other = load_detector("clip", resize=resize)
        results = other.predict(example_images(3).sources)
        assert [result.map.shape for result in results] == [(80, 80), (60, 120), (70, 33)]


@pytest.mark.slow
def test_padding_and_squashing_differ_where_the_format_is_not_square() -> None:
    wide = example_images(3).sources[1:]
    scores = [
        [r.score for r in load_detector("clip", resize=resize).predict(wide)]
        for resize in ("squash", "pad")
    ]
    assert scores[0] != scores[1]


@pytest.mark.slow
def test_fitting_changes_scores_and_needs_a_scorer_that_remembers(
    detector: Detector, registry: Registry
) -> None:
    with pytest.raises(IncompatiblePartsError, match="scorer 'dense' makes no use of references"):
        detector.fit(example_images(1).sources)
    winclip = load_detector("winclip", registry=registry)
    [before] = winclip.predict(example_images(1).sources)
    assert winclip.fit(example_images(2, seed=5).sources) is winclip
    [after] = winclip.predict(example_images(1).sources)
    assert after.score != before.score
    [self_same] = winclip.fit(example_images(1).sources).predict(example_images(1).sources)
    assert self_same.score == pytest.approx(before.score / 2, abs=1e-4)


def test_fitting_needs_at_least_one_readable_reference(registry: Registry, tmp_path: Path) -> None:
    winclip = load_detector("winclip", registry=registry)
    with pytest.raises(InputError, match="no references were given"):
        winclip.fit([])
    with pytest.raises(InputError, match="No such file"):
        winclip.fit([tmp_path / "none.png"])
    assert winclip.memory is None


@pytest.mark.slow
def test_references_in_any_order_and_batch_give_the_same_scores(registry: Registry) -> None:
    winclip = load_detector("winclip", registry=registry)
    references = list(example_images(3, seed=5).sources)
    sources = example_images(2).sources
    first = [r.score for r in winclip.fit(references).predict(sources)]
    second = [r.score for r in winclip.fit(references[::-1], batch_size=1).predict(sources)]
    assert first == pytest.approx(second, abs=1e-5)


def left_half(batch: ImageBatch, size: tuple[int, int]) -> Tensor:
    inside = torch.zeros(len(batch), *size, dtype=torch.bool)
    inside[:, :, : size[1] // 2] = True
    return inside


def test_a_scorer_of_whole_images_is_refused_by_name_where_a_part_of_them_counts(
    detector: Detector,
) -> None:
    with pytest.raises(IncompatiblePartsError, match="scorer 'dense' looks at whole images"):
        detector.look_inside(left_half)


def test_references_of_which_nothing_counts_are_refused(registry: Registry) -> None:
    detector = load_detector("patchcore", registry=registry)
    detector.inside = lambda batch, size: torch.zeros_like(left_half(batch, size))
    with pytest.raises(InputError, match="what counts of the references is less than a level"):
        detector.fit(example_images(1).sources)


def test_maps_are_lowest_outside_of_what_counts(registry: Registry) -> None:
    detector = load_detector("patchcore", registry=registry)
    detector.inside = left_half
    image, *references = example_images(3).sources
    [result] = detector.fit(references).predict([image])
    assert result.map is not None
    right = result.map[:, result.map.shape[1] // 2 + 1 :]
    assert (right == result.map.min()).all()
    assert result.map.max() > result.map.min()
