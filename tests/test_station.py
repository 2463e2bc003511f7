"""A station: a judgement of each image whatever happens to it, OK only below a threshold."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad import images
from vlmad.errors import InputError
from vlmad.types import Result
from vlmad_line.endpoints import Arrival
from vlmad_line.line_products import LineProduct, open_product
from vlmad_line.standing_places import standing_places
from vlmad_line.station import Station
from vlmad_line.watched_folder import stamp_of
from vlmad_run.choosing import Choice
from vlmad_run.manifest import Manifest
from vlmad_run.references import References
from vlmad_run.thresholds import Threshold

from .conftest import SMALL
from .test_products import DETECTOR, parts

CHOICE = Choice(detector="winclip", backbone=SMALL[1], settings=[SMALL[3]])


@pytest.fixture(scope="module")
def nut() -> LineProduct:
    return open_product(CHOICE, References(), name="nut")


def arrival(content: Path | Image.Image, name: str = "") -> Arrival:
    return Arrival(name or str(content), content, time.time())


def at(product: LineProduct, value: float) -> LineProduct:
    return replace(product, threshold=Threshold(value=value))


class Odd:
    """An engine of someone else's that does what it is told to with each batch."""

    together, notes, class_name = False, (), "object"

    def __init__(self, answer: Callable[[Sequence[Any]], Iterable[Result]]) -> None:
        self.answer = answer

    def describe(self, images: Any = None, threshold: float | None = None) -> Manifest:
        raise NotImplementedError

    def stream(self, images: Sequence[Any], batch_size: int) -> Iterator[Result]:
        yield from self.answer(images)


def odd(product: LineProduct, answer: Callable[[Sequence[Any]], Iterable[Result]]) -> Station:
    return Station([replace(at(product, 0.5), detector=Odd(answer))])


def test_an_image_is_ok_only_if_its_score_lies_below_the_threshold(
    nut: LineProduct, photos: Path
) -> None:
    photo = [arrival(photos / "0000.png")]
    [judged] = Station([nut]).judge(photo)
    score = judged.judgement.score
    assert score is not None
    assert judged.judgement.answer == ""
    assert "from which score on" in judged.judgement.reason
    assert judged.map is not None
    assert judged.map.shape == (24, 32)
    above, exactly = (np.nextafter(score, 9), "OK"), (score, "NG")
    for value, answer in (above, exactly):
        [judged] = Station([at(nut, float(value))]).judge(photo)
        assert (judged.judgement.answer, judged.judgement.score) == (answer, score)


def test_what_cannot_be_read_is_ng_with_its_reason_and_costs_no_other(
    nut: LineProduct, photos: Path
) -> None:
    (photos / "cut.png").write_bytes((photos / "0001.png").read_bytes()[:200])
    given = [photos / "0000.png", photos / "cut.png", photos / "gone.png", photos / "0001.png"]
    said = [each.judgement for each in Station([at(nut, 9)]).judge([*map(arrival, given)])]
    assert [each.answer for each in said] == ["OK", "NG", "NG", "OK"]
    assert "cut.png: damaged" in said[1].reason
    assert "No such file" in said[2].reason
    assert [each.score is None for each in said] == [False, True, True, False]


def test_images_in_memory_and_images_of_one_name_are_judged_each_by_itself(
    nut: LineProduct, photos: Path
) -> None:
    files = [arrival(photos / f"000{number}.png") for number in (0, 1)]
    held = [arrival(Image.open(each.content), "part") for each in files]  # type: ignore[arg-type]
    station = Station([nut])
    alone = [station.judge([each])[0].judgement.score for each in (*files, *held)]
    assert alone[:2] == alone[2:]
    assert alone[0] != alone[1]
    together = station.judge([*held, files[0], files[0]])
    scores = [each.judgement.score for each in together]
    assert scores == pytest.approx([alone[0], alone[1], alone[0], alone[0]], abs=1e-5)


def test_an_image_of_a_product_that_is_not_there_is_ng(nut: LineProduct, photos: Path) -> None:
    photo = [arrival(photos / "0000.png")]
    [judged] = Station([at(nut, 9)]).judge(photo, "nutt")
    assert (judged.judgement.answer, judged.judgement.score) == ("NG", None)
    assert judged.judgement.reason == "no product 'nutt'; did you mean 'nut'?"
    [judged] = Station().judge(photo)
    assert (judged.judgement.answer, judged.judgement.reason) == ("NG", "no product is chosen")


def test_a_part_that_fails_with_one_image_costs_the_others_nothing(
    nut: LineProduct, photos: Path
) -> None:
    def answer(images: Sequence[Any]) -> Iterator[Result]:
        for image in images:
            if str(image).endswith("0001.png"):
                raise RuntimeError("out of\nmemory")
            yield Result(str(image), 0.2, np.zeros((4, 4), np.float32))

    given = [arrival(photos / f"000{number}.png") for number in range(3)]
    said = [each.judgement for each in odd(nut, answer).judge(given)]
    assert [each.answer for each in said] == ["OK", "NG", "OK"]
    assert said[1].reason == "RuntimeError: out of memory"


@pytest.mark.parametrize("count", [0, 2])
def test_an_engine_that_loses_or_adds_results_answers_ng(
    nut: LineProduct, photos: Path, count: int
) -> None:
    result = Result("one", 0.2, np.zeros((4, 4), np.float32))
    [judged] = odd(nut, lambda _: [result] * count).judge([arrival(photos / "0000.png")])
    assert judged.judgement.answer == "NG"
    assert judged.judgement.reason == f"{count} results came of 1 images"


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_a_score_that_is_no_number_is_ng(nut: LineProduct, photos: Path, score: float) -> None:
    result = Result("one", score, np.zeros((4, 4), np.float32))
    [judged] = odd(nut, lambda _: [result]).judge([arrival(photos / "0000.png")])
    assert (judged.judgement.answer, judged.judgement.reason) == ("NG", "it got no score")


def test_products_are_exchanged_while_images_are_judged(nut: LineProduct, photos: Path) -> None:
    station, answers = Station([at(nut, 9)]), list[set[str]]()
    given = [arrival(photos / "0000.png"), arrival(photos / "0001.png")]

    def work() -> None:
        for _ in range(3):
            answers.append({each.judgement.answer for each in station.judge(given, "nut")})

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for value in (-9.0, 9.0, -9.0):
        station.add(at(nut, value))
    for thread in threads:
        thread.join()
    assert len(answers) == 9
    assert all(len(each) == 1 for each in answers)  # never half of one product, half of another
    station.add(replace(at(nut, 9), name="bolt"))
    station.choose("bolt")
    station.remove("nut")
    assert (station.chosen, [*station.products]) == ("bolt", ["bolt"])
    with pytest.raises(InputError, match="no product 'nut'; known: bolt"):
        station.choose("nut")


def test_a_file_of_several_products_judges_each_by_its_own_references(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    named = []
    for seed, product in enumerate(("nut", "bolt")):
        named.append(f"{product}={parts(tmp_path / 'good' / product, product, 4, seed)}")
    ended = command("fit", *named, *DETECTOR, "--quiet", "--out", "line.safetensors")
    assert ended.status == 0, ended.error
    product = open_product(Choice(), References(model=tmp_path / "line.safetensors"))
    assert (product.name, product.judges, product.threshold) == ("line", True, None)
    shown = [parts(tmp_path / each, each, 1, 10) / f"{each}0.png" for each in ("bolt", "film")]
    bolt, film = (each.judgement for each in Station([product]).judge([*map(arrival, shown)]))
    assert (bolt.product, bolt.threshold is None, bolt.p_value is None) == ("bolt", False, False)
    assert (film.product, film.answer) == ("unknown", "NG")
    assert film.reason == "it shows none of nut, bolt"


def test_a_threshold_belongs_to_what_a_product_is(nut: LineProduct) -> None:
    given = open_product(CHOICE, References(), "0.4", "nut")
    assert given.threshold == Threshold(value=0.4)
    assert given.digest != nut.digest


def test_a_detector_that_compares_images_with_each_other_is_refused() -> None:
    choice = replace(CHOICE, detector="musc")
    with pytest.raises(InputError, match="compares the images of a set"):
        open_product(choice, References())


def test_the_places_that_are_told_of_hold_what_is_highest() -> None:
    heat = np.full((1200, 900), 0.1, np.float32)
    heat[600:700, 300:340], heat[10:40, 800:900] = 0.9, 0.7
    heat[1100:1110, 5:100] = 0.3  # less than half of the way
    first, second = standing_places(heat)
    assert (first.left, first.top, first.width, first.height) == (300, 600, 42, 102)
    assert (first.peak, second.peak) == pytest.approx((0.9, 0.7))
    assert second.left + second.width == 900
    assert standing_places(np.zeros((5, 5), np.float32)) == []


def test_an_image_that_is_none_is_ng_with_its_reason(nut: LineProduct, photos: Path) -> None:
    given = [Arrival("1", None, 0.0, fault="damaged"), arrival(photos / "0000.png")]
    said = [each.judgement for each in Station([at(nut, 9)]).judge(given)]
    assert [(each.answer, each.reason) for each in said] == [("NG", "damaged"), ("OK", "")]


def test_an_image_that_was_replaced_before_it_was_judged_is_ng(
    nut: LineProduct, photos: Path
) -> None:
    path = photos / "0000.png"
    came = replace(arrival(path), stamp=stamp_of(path))
    station = Station([at(nut, 9)])
    assert [each.judgement.answer for each in station.judge([came])] == ["OK"]
    os.replace(photos / "0001.png", path)
    os.utime(path, ns=(0, 1))
    silent = odd(nut, lambda images: [Result("x", 0.1, np.zeros((2, 2)))])  # says not what it read
    for each in (station, silent):
        [judged] = each.judge([came])
        assert judged.judgement.answer == "NG"
        assert "replaced before it was judged" in judged.judgement.reason
        assert (judged.judgement.score, judged.result) == (None, None)  # it has no row, too


def test_an_image_that_is_replaced_while_it_is_read_is_ng_and_one_that_went_then_is_not(
    nut: LineProduct, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other, read = photos / "0000.png", photos / "0001.png", images.read_file
    came = replace(arrival(path), stamp=stamp_of(path))

    def gone(place: Path) -> bytes:
        content = read(place)
        place.rename(photos / "away.png")
        return content

    def replaced(place: Path) -> bytes:
        place.write_bytes(other.read_bytes())
        return read(place)

    monkeypatch.setattr(images, "read_file", gone)
    assert Station([at(nut, 9)]).judge([came])[0].judgement.answer == "OK"
    (photos / "away.png").rename(path)
    monkeypatch.setattr(images, "read_file", replaced)
    [judged] = Station([at(nut, 9)]).judge([came])
    assert (judged.judgement.answer, judged.judgement.score) == ("NG", None)
