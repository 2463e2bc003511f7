"""Parts at a line: OK when all their views are, NG whatever else happens."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import InputError
from vlmad_groups.combining import Combine, PartRule
from vlmad_line.endpoints import Arrival
from vlmad_line.judgements import PartJudgement, read_message
from vlmad_line.ledger import Ledger
from vlmad_line.line import Line
from vlmad_line.line_parts import LineParts
from vlmad_line.line_products import LineProduct, open_product
from vlmad_line.sinks import open_sink
from vlmad_line.station import Station
from vlmad_run.choosing import Choice
from vlmad_run.part_grouping import parse_grouping
from vlmad_run.references import References
from vlmad_run.thresholds import Threshold

from ..conftest import SMALL  # noqa: TID252 (tests are no package)
from .conftest import judgement

NG: dict[str, Any] = {"answer": "NG", "score": 0.9, "reason": "its score is 0.5 or more"}
LOST: dict[str, Any] = {"answer": "NG", "score": None, "threshold": None, "reason": "no image"}
ODD: dict[str, Any] = {**NG, "product": "unknown", "reason": "it shows none of nut, bolt"}
NOTHING: dict[str, Any] = {"answer": "", "threshold": None, "reason": "no threshold"}


class Clock:
    """Tells the time that a test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parts(clock: Clock) -> LineParts:
    return LineParts(
        parse_grouping("pattern:([0-9]+)_"), PartRule(views=2), patience=5, clock=clock
    )


@pytest.mark.parametrize(
    ("last", "answer", "reason"),
    [
        ({}, "OK", ""),
        (NG, "NG", "1_b is NG"),
        (LOST, "NG", "1_b: no image"),
        (ODD, "NG", "1_b shows no known product"),
        (NOTHING, "", "nothing says from which score on an image is anomalous"),
    ],
)
def test_a_part_is_ok_if_both_its_views_are(
    parts: LineParts, last: dict[str, Any], answer: str, reason: str
) -> None:
    assert parts.take([judgement("1_a")]) == []
    [said] = parts.take([judgement("1_b", **last)])
    assert (said.part, said.answer, said.reason, said.images) == (
        "1",
        answer,
        reason,
        ["1_a", "1_b"],
    )
    assert read_message(said.to_json(), "message") == said


@pytest.mark.parametrize(
    ("p_values", "answer", "reason"),
    [
        ((0.5, 0.5), "OK", ""),
        ((0.5, 0.01), "NG", "its p-value is 0.02"),
        ((0.5, None), "NG", "2 has no p-value"),
    ],
)
def test_p_values_of_views_decide_where_they_are_combined(
    clock: Clock, p_values: tuple[float, float | None], answer: str, reason: str
) -> None:
    rule = PartRule(Combine.bonferroni, 2)
    parts = LineParts(parse_grouping("pattern:()"), rule, clock=clock)
    parts._part_of = lambda judgement: "1"  # type: ignore[method-assign]
    views = [judgement(f"{n}", p_value=p) for n, p in enumerate(p_values, 1)]
    [said] = parts.take(views)
    assert (said.answer, said.reason) == (answer, reason)


def test_a_part_that_lacks_a_view_is_ng_after_a_while_and_when_the_line_stops(
    parts: LineParts, clock: Clock
) -> None:
    parts.take([judgement("1_a"), judgement("2_a")])
    clock.now = 4.9
    assert parts.overdue() == []
    parts.take([judgement("3_a")])
    clock.now = 5
    late = parts.overdue()
    assert [(each.part, each.answer, each.reason) for each in [*late, *parts.finish()]] == [
        (part, "NG", "1 of 2 views") for part in "123"
    ]


def test_an_image_of_no_part_and_a_view_that_comes_too_late_are_ng(parts: LineParts) -> None:
    [said] = parts.take([judgement("lid")])
    assert (said.part, said.answer, said.reason) == (
        "lid",
        "NG",
        "it belongs to no part by --group; 1 of 2 views",
    )
    [whole] = parts.take([judgement("1_a"), judgement("1_b")])
    [late] = parts.take([judgement("1_c")])
    assert (whole.answer, late.answer) == ("OK", "NG")


def test_a_part_of_which_a_table_names_another_number_of_images_is_never_ok(
    tmp_path: Path,
) -> None:
    table = tmp_path / "parts.csv"
    rows = ["image,part", *(f"{n}.png,lid" for n in range(3)), "8.png,nut", "9.png,nut"]
    table.write_text("\n".join(rows))
    parts = LineParts(parse_grouping(f"table:{table}"), PartRule(views=2))
    said = parts.take([judgement(str(tmp_path / f"{number}.png")) for number in (0, 1, 2, 8, 9)])
    assert [(each.part, each.answer) for each in said] == [*[("lid", "NG")] * 3, ("nut", "OK")]
    assert said[0].reason == "the table names 3 images of it, not 2; 1 of 2 views"


def test_a_pattern_finds_what_it_does_in_a_run_from_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here := tmp_path / "line 2026").mkdir()
    monkeypatch.chdir(here)
    parts = LineParts(parse_grouping("pattern:([0-9]+)"), PartRule(views=1))
    [said] = parts.take([judgement(str(here / "photos" / "0042_top.png"))])
    assert (said.part, said.answer) == ("0042", "OK")


def test_where_nobody_says_how_many_views_there_are_parts_cannot_be_judged_at_a_line() -> None:
    with pytest.raises(InputError, match="--views N"):
        LineParts(parse_grouping("folder"), PartRule())


@pytest.mark.parametrize("change", [{"score": None}, {"images": []}, {"reason": "odd"}])
def test_no_document_says_ok_of_a_part_without_its_views(
    parts: LineParts, change: dict[str, Any]
) -> None:
    [good] = parts.take([judgement("1_a"), judgement("1_b")])
    with pytest.raises(InputError, match="a part is OK only if its views were scored"):
        PartJudgement.of({**good.model_dump(), **change}, "part")


@pytest.fixture(scope="module")
def product() -> LineProduct:
    choice = Choice(detector="winclip", backbone=SMALL[1], settings=[SMALL[3]])
    return replace(open_product(choice, References()), threshold=Threshold(value=9))


def test_a_part_is_written_down_and_delivered_like_its_images(
    product: LineProduct, clock: Clock, photos: Path, tmp_path: Path
) -> None:
    parts = LineParts(
        parse_grouping("pattern:(000|gone)"), PartRule(views=2), patience=5, clock=clock
    )
    names = [*sorted(photos.glob("*.png"))[:2], photos / "gone.png"]
    arrivals = [Arrival(str(path), path, 0.0, "photos") for path in names]
    table = tmp_path / "judged.csv"
    sinks = [open_sink(f"csv:{table}")]
    with Line(Station([product]), Ledger(tmp_path / "line"), sinks, parts=parts) as line:
        images = [each.judgement for each in line.judge(arrivals)]
        [first] = line.said_of_parts()
        assert line.said_of_parts() == []
        clock.now = 9
        [second] = line.said_of_parts()
        assert [message for _, message in line.ledger.latest(9)] == [second, first, *images[::-1]]
    with table.open(newline="") as file:
        rows = [(row["part"], row["answer"]) for row in csv.DictReader(file)]
    of_images = [("000", "OK"), ("000", "OK"), ("gone", "NG")]
    assert rows == [*of_images, ("000", "OK"), ("gone", "NG")]
    assert [first.views, second.views] == [[images[0].id, images[1].id], [images[2].id]]
