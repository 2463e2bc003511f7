"""Drift: evidence that keeps its promise, the kind of change, and the command."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from tests.conftest import SMALL, Ended, noise

from vlmad.errors import InputError, OutputError
from vlmad_drift._shifts import LOOKED_BACK, spread_out
from vlmad_drift.drift_documents import DriftReport, DriftState
from vlmad_drift.drift_watch import DriftWatch
from vlmad_drift.drift_words import sentence
from vlmad_drift.image_statistics import statistics_of
from vlmad_drift.martingales import Martingale, Tally
from vlmad_drift.quantities import QUANTITIES
from vlmad_drift.station_drift import OTHER, StationDrift
from vlmad_drift.stored_drift import DriftFile, begin_anew
from vlmad_drift.usual_images import LEFT_OUT, watch_for
from vlmad_line.judgements import Judgement
from vlmad_line.ledger import Ledger
from vlmad_line.line_products import LineProduct, open_product
from vlmad_run.choosing import Choice
from vlmad_run.references import References

Command = Callable[..., Ended]


def watched(values: list[float], usual: list[float], **settings: float) -> DriftWatch:
    watch = DriftWatch({"score": usual}, ["score"], **settings)  # type: ignore[arg-type]
    for number, value in enumerate(values, start=1):
        watch.see(f"{number}.png", f"t{number}", {"score": value})
    return watch


def test_p_values_are_shares_of_higher_ones_with_ties_by_chance() -> None:
    tally = Tally([(1.0, 2), (3.0, 1)])
    tally.add(1.0)
    assert tally.p_value(1.0, 0.5) == pytest.approx((1 + 0.5 * 3) / 4)
    assert tally.items() == [(1.0, 3), (3.0, 1)]
    assert len(tally) == 4


def test_bets_are_fair_and_pay_no_more_to_the_share_of_defects_that_is_allowed() -> None:
    grid = (np.arange(1000) + 0.5) / 1000
    for defects in (0.0, 0.05):
        start = Martingale(defects, 7, 0.4, [0.3, 0.3])
        after = []
        for p in [*grid, 0.0]:
            each = Martingale(defects, 7, 0.4, [0.3, 0.3])
            each.step(p)
            after.append(each.fortune)
        mean = (1 - defects) * np.mean(after[:-1]) + defects * after[-1]
        assert mean == pytest.approx(start.fortune, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("usual", [4, 16, 64])
def test_false_alarms_are_no_more_often_than_was_said(usual: int) -> None:
    rng, alarms, runs = np.random.default_rng(usual), 0, 80
    for _ in range(runs):
        scores = rng.gamma(3, size=usual + 200)
        scores[usual:] += 9 * (rng.random(200) < 0.05)  # defects
        alarms += bool(watched([*scores[usual:]], [*scores[:usual]], alpha=0.1).alarms)
    assert alarms <= 0.1 * runs


def test_a_fixed_set_of_usual_scores_would_break_that_promise() -> None:
    """Who ranks among 20 usual scores alone bets on their peculiarities, and wins."""
    rng, broken = np.random.default_rng(0), 0
    for _ in range(20):
        usual = rng.normal(size=20)
        side = Martingale()
        for score in rng.normal(size=400):
            side.step((np.sum(usual > score) + rng.random()) / 21)
            if side.fortune >= 20:
                broken += 1
                break
    assert broken > 4  # with a promise of one


@pytest.mark.parametrize(("side", "sign"), [("more", 1), ("less", -1)])
def test_a_change_is_found_with_its_side_its_place_and_its_size(side: str, sign: int) -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(5, 0.1, 140)
    scores[100:] += sign * 0.3
    watch = watched([*scores], [*rng.normal(5, 0.1, 30)])
    [alarm] = watch.alarms
    assert (alarm.side, alarm.quantity) == (side, "score")
    assert abs(alarm.since - 101) <= 3
    assert alarm.number <= 135
    spread = (alarm.shift.level - alarm.shift.usual) / alarm.shift.shift
    assert 0.07 < spread < 0.13
    assert alarm.shift.low < sign * 0.3 / spread < alarm.shift.high
    words = "higher by 6" if sign > 0 else "lower by 6"
    assert words in sentence(watch)
    assert f"since image {alarm.since} (t{alarm.since})" in sentence(watch)


def test_a_second_change_does_not_hide_what_became_of_the_first() -> None:
    rng = np.random.default_rng(6)
    watch = DriftWatch({}, ["score", "brightness", "contrast"])
    for number in range(400):
        score, light = rng.normal(1, 0.1) + (50 <= number < 300), rng.normal(100, 2)
        values = {"score": score, "brightness": light + 12 * (number >= 300), "contrast": light}
        watch.see(f"{number}.png", f"t{number + 1}", values)
    now = {each.quantity: each.words for each in watch.shifts()}
    assert [alarm.quantity for alarm in watch.alarms] == ["score", "brightness"]
    assert now["brightness"].startswith("brighter by 12 %")
    assert re.search(
        r"higher by \d+ % since image 5\d \(t5\d\), found at image \d+, now", sentence(watch)
    )
    assert float(re.findall(r"by ([\d.]+) %", now["score"])[0]) < 5  # it is over


def test_a_change_from_the_first_image_on_is_found_by_enough_usual_scores() -> None:
    rng = np.random.default_rng(2)
    watch = watched([*rng.normal(3, 1, 60)], [*rng.normal(0, 1, 64)])
    assert [alarm.since for alarm in watch.alarms] == [1]


def test_only_a_rise_counts_where_the_usual_values_tend_to_be_higher() -> None:
    rng = np.random.default_rng(3)
    usual, lower = [*rng.normal(0, 1, 50)], rng.normal(-3, 1, 80)
    watch = DriftWatch({"score": usual}, ["score"], rises=["score"])
    for value in lower:
        watch.see("a.png", "", {"score": value})
    assert watch.alarms == []
    assert watched([*lower], usual).alarms


def test_a_watch_goes_on_from_its_document_as_if_it_had_never_stopped() -> None:
    rng = np.random.default_rng(4)
    scores = np.round(rng.normal(1, 0.1, 120), 2)  # ties
    scores[80:] += 0.3
    whole, watch = DriftWatch({}), DriftWatch({})
    for number, score in enumerate(scores):
        values = {"score": float(score), "right": float(rng.normal(0, 0.1))}
        whole.see(f"{number}.png", "", values)
        watch.see(f"{number}.png", "", values)
        if number in (50, 110):
            watch = DriftWatch.of(DriftState.parse(watch.state().to_json(), "state"))
    assert watch.state() == whole.state()
    assert watch.alarms


def test_what_is_kept_of_many_images_is_bounded() -> None:
    rng = np.random.default_rng(5)
    watch = watched([*rng.normal(2, 0.05, 3000)], [])
    state = watch.state()
    assert len(state.recent) == 256
    assert sum(state.quantities["score"].counts) == 3000
    assert len(state.quantities["score"].values) < 400


def test_a_state_that_no_watch_wrote_is_refused() -> None:
    table = json.loads(watched([1.0, 2.0], []).state().to_json())
    table["recent"][0]["values"]["score"] = 9.0
    with pytest.raises(InputError, match="last images are not among those of 'score'"):
        DriftState.of(table, "state")
    table = json.loads(watched([1.0, 2.0], []).state().to_json())
    table["quantities"]["smell"] = table["quantities"]["score"]
    with pytest.raises(InputError, match="there are the quantities score"):
        DriftState.of(table, "state")


def part() -> Image.Image:
    """Draw a textured grey-brown disc, left of the middle."""
    rows, columns = np.mgrid[:120, :160]
    inside = (rows - 60) ** 2 + (columns - 60) ** 2 < 30**2
    texture = np.random.default_rng(0).normal(0, 12, rows.shape)
    levels = np.where(inside, 120 + texture, 40)[..., None] * np.array([1.0, 0.9, 0.8])
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def moved(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(image), 16, axis=1))


def tinted(image: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(image) * np.array([1, 1, 0.8])).astype(np.uint8))


@pytest.mark.parametrize(
    ("change", "name", "factor"),
    [
        (lambda image: ImageEnhance.Brightness(image).enhance(1.1), "brightness", 1.1),
        (lambda image: image.filter(ImageFilter.GaussianBlur(1)), "sharpness", None),
        (tinted, "blue", 0.8),
        (moved, "right", None),
    ],
)
def test_each_kind_of_change_shows_in_its_own_statistic(
    change: Callable[[Image.Image], Image.Image], name: str, factor: float | None
) -> None:
    before, after = statistics_of(part()), statistics_of(change(part()))
    if factor is not None:
        assert after[name] / before[name] == pytest.approx(factor, abs=0.02)
    elif name == "right":
        assert after[name] - before[name] == pytest.approx(0.1, abs=0.002)
    else:
        assert after[name] < 0.5 * before[name]
    others = {"brightness", "sharpness", "red", "blue", "right", "down"} - {name}
    others -= {"brightness"} if name == "blue" else set()
    for other in others:
        assert after[other] == pytest.approx(before[other], rel=0.06, abs=0.005), other


def test_an_image_of_one_colour_has_statistics() -> None:
    flat = statistics_of(Image.new("RGB", (5, 3)))
    assert set(flat.values()) == {0.0, 1.0}


def photographs(folder: Path, count: int, bright_from: int) -> Path:
    """Write images of varying light, brighter from one on, each a minute after the last."""
    folder.mkdir()
    rng, image = np.random.default_rng(7), part()
    for number in range(1, count + 1):
        light = 1 + 0.02 * rng.normal() + 0.15 * (number >= bright_from)
        path = folder / f"{count - number:03d}.png"  # names tell nothing of the order
        ImageEnhance.Brightness(image).enhance(light).save(path)
        os.utime(path, (1_780_000_000 + 60 * number,) * 2)
    return folder


@pytest.mark.slow
def test_the_command_names_kind_and_time_of_a_change(command: Command, tmp_path: Path) -> None:
    photographs(tmp_path / "photos", 75, bright_from=46)
    done = command("drift", "photos", "--chart", "drift.png", "--fail-on", "drift")
    assert done.status == 3, done.error
    assert "brighter by 1" in done.out
    assert "2026-05-2" in done.out
    assert "nothing usual to compare with" in done.out
    with Image.open(tmp_path / "drift.png") as chart:
        assert chart.width == 1000
    report = DriftReport.parse(command("drift", "photos", "--json").out, "report")
    assert report.drift
    assert abs(report.alarms[0].since - 46) <= 2
    assert [point.image for point in report.points][:2] == ["photos/074.png", "photos/073.png"]


def test_photographs_as_they_always_were_are_no_drift(command: Command, tmp_path: Path) -> None:
    photographs(tmp_path / "usual", 30, bright_from=99)
    photographs(tmp_path / "photos", 40, bright_from=99)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    done = command("drift", "photos", "--usual", "usual", "--fail-on", "drift", "--order", "name")
    assert done.status == 1  # of the broken one
    assert "no drift in 40 images" in done.out
    assert "broken.png" in done.error


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fitted detector of twelve references, and a run by it."""
    from tests.conftest import vlmad

    folder = tmp_path_factory.mktemp("line")
    noise(folder / "good", 12)
    noise(folder / "photos", 8, seed=1)
    choice = ("--detector", "gaussian", *SMALL)
    assert vlmad("fit", "good", *choice, "--out", "n.safetensors", cwd=folder).returncode == 0
    done = vlmad("run", "photos", "--model", "n.safetensors", "--out", "night", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_run_is_compared_with_the_references_of_its_detector(
    line: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(line)
    report = DriftReport.parse(command("drift", "night", "--json").out, "report")
    assert (report.images, report.usual["score"], report.usual["sharpness"]) == (8, 12, 12)
    assert "of the scores only a rise counts" in report.remarks[0]
    alone = DriftReport.parse(command("drift", "night", "--scores-only", "--json").out, "report")
    assert [*alone.usual] == ["score"]
    assert alone.needed == 100


@pytest.mark.slow
def test_a_fitted_detector_has_a_watch_of_its_own(line: Path) -> None:
    from vlmad_run.stored_run import read_run

    manifest = read_run(line / "night").manifest
    watch, remarks = watch_for(manifest)
    assert [sum(watch.state().quantities[name].counts) for name in ("score", "down")] == [12, 12]
    assert [*watch.state().quantities["score"].sides] == ["more"]
    assert remarks == (LEFT_OUT,)
    few = manifest.model_copy(update={"references": manifest.references[:4]})
    watch, remarks = watch_for(few, ["brightness"])
    assert not watch.state().quantities["brightness"].counts
    assert "4 usual images tell too little" in remarks[0]


@pytest.mark.slow
def test_photographs_are_scored_by_a_model_and_beside_named_good_ones(
    line: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(line)
    words = ("drift", "photos", "--model", "n.safetensors", "--usual", "good", "--json")
    report = DriftReport.parse(command(*words).out, "report")
    assert report.usual["score"] == 0  # they are the references, which score too low
    assert "score" in report.points[0].values


def test_what_was_judged_at_a_line_is_watched_while_the_line_goes_on(
    command: Command, tmp_path: Path
) -> None:
    rng = np.random.default_rng(8)
    judgements = [
        Judgement(
            id=f"{number:08d}", at=f"2026-05-01T06:{number:02d}:00+00:00", image=f"{number}.png",
            answer="OK", score=float(rng.normal(0.2, 0.01) + 0.1 * (number > 30)), threshold=0.5,
        )
        for number in range(1, 60)
    ]  # fmt: skip
    unread = Judgement(
        id="unread-1", at="2026-05-01T07:00:00+00:00", image="x.png", answer="NG", reason="damaged"
    )
    with Ledger(tmp_path / "line.sqlite") as ledger:
        ledger.write([*judgements, unread])
        done = command("drift", "line.sqlite", "--json")
    report = DriftReport.parse(done.out, "report")
    assert [alarm.quantity for alarm in report.alarms] == ["score"]
    assert abs(report.alarms[0].since - 31) <= 1
    assert (done.status, report.failures) == (1, ["x.png: damaged"])
    (tmp_path / "other.sqlite").write_bytes(b"SQLite format 3\0")
    assert "other.sqlite" in command("drift", "other.sqlite").error


def said(number: int, score: float | None, product: str = "nut") -> Judgement:
    answer: Any = "NG" if score is None else "OK"
    return Judgement(
        id=f"{number:08d}", at="2026-05-01T06:00:00+00:00", image=f"{number}.png", answer=answer,
        reason="damaged" if score is None else "", score=score, threshold=9.0, product=product,
    )  # fmt: skip


@pytest.fixture(scope="module")
def nut() -> LineProduct:
    choice = Choice(detector="winclip", backbone=SMALL[1], settings=[SMALL[3]])
    return open_product(choice, References(), name="nut")


def shown(
    station: StationDrift, product: LineProduct, numbers: Iterable[int], changed_from: int
) -> None:
    """Let a station see images by number; those from one on score higher."""
    for number in numbers:
        score = float(np.random.default_rng(number).normal(1, 0.1)) + (number >= changed_from)
        station.see(said(number, score, product.name), None, product)


def test_a_station_watches_each_product_and_begins_anew_when_told(
    nut: LineProduct, tmp_path: Path
) -> None:
    station, bolt = StationDrift(), replace(nut, name="bolt")
    shown(station, nut, range(60), changed_from=30)
    for product, score in (("bolt", 1.0), ("unknown", 1.0), ("bolt", None)):
        station.see(said(99, score, product), tmp_path / "gone.png", bolt)
    station.stop()
    found = station.report().products
    assert {name: each.images for name, each in found.items()} == {"nut": 60, "bolt": 1}
    assert [each.quantity for each in found["nut"].alarms] == ["score"]
    assert not found["bolt"].drift
    assert station.alarms[0].startswith("'nut': drift: scores higher by")
    assert len(station.alarms) == 1
    assert [each[:2] for each in station.news()] == [("images of nut", "changed")]
    assert station.begin_anew("nut", "the night shift")
    assert station.news() == [("images of nut", "back", "begun anew by the night shift")]
    assert station.alarms == []
    assert not station.begin_anew("nut", "the night shift")
    shown(station, nut, [1], changed_from=9)  # too late: nothing is taken any more
    assert "nut" not in station.report().products


def test_a_product_that_was_begun_anew_while_an_image_of_it_is_measured_forgets_that_image(
    nut: LineProduct, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = StationDrift()

    def forget(*_: object) -> dict[str, float]:
        station.begin_anew("nut", "a person")
        return {}

    shown(station, nut, [1], changed_from=9)
    with monkeypatch.context() as measuring:
        measuring.setattr("vlmad_drift.station_drift.statistics", forget)
        shown(station, nut, [2], changed_from=9)
        station.stop()
    assert "nut" not in station.report().products


def test_a_station_goes_on_after_a_restart_where_it_was(nut: LineProduct, tmp_path: Path) -> None:
    ledger, whole = tmp_path / "line.sqlite", StationDrift()
    shown(whole, nut, range(60), changed_from=30)
    whole.stop()
    for numbers in (range(25), range(25, 45), range(45, 60)):
        station = StationDrift(ledger, {"nut": nut})
        shown(station, nut, numbers, changed_from=30)
        station.stop()
    [kept], [usual] = station.report().products.values(), whole.report().products.values()
    assert kept.model_copy(update={"begun": usual.begun}) == usual
    assert kept.drift
    again = StationDrift(ledger, {"nut": nut})
    assert [*again.changed] == ["nut"]
    assert [each[:2] for each in again.news()] == [("images of nut", "changed")]
    again.stop()


def test_what_was_not_written_when_a_station_was_killed_is_as_if_it_had_not_been_seen(
    nut: LineProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "line.sqlite"
    monkeypatch.setattr("vlmad_drift.station_drift.KEEP", 0)
    killed = StationDrift(ledger, {"nut": nut})
    shown(killed, nut, range(5), changed_from=9)
    killed._pool.shutdown()
    (ledger.parent / "line.sqlite.drift.partly").write_bytes(b"{")
    after = StationDrift(ledger, {"nut": nut})
    assert after.report().products["nut"].images == 5
    after.stop()
    Path(f"{ledger}.drift").write_bytes(b"{")
    anew = StationDrift(ledger, {"nut": nut})
    shown(anew, nut, [5], changed_from=9)
    anew.stop()
    found = anew.report().products["nut"]
    assert found.images == 1
    assert found.because.startswith("what was kept cannot be used: ")
    assert StationDrift(ledger, {"nut": nut}).report().products["nut"].images == 1


def test_a_file_that_cannot_be_used_is_put_aside_and_an_alarm_until_it_is_deleted(
    nut: LineProduct, tmp_path: Path
) -> None:
    ledger = tmp_path / "line.sqlite"
    newer = '{"format":"vlmad stored drift 2"}'
    Path(f"{ledger}.drift").write_text(newer, encoding="utf-8")
    for said in ("what was kept cannot be used: ", "what was kept before cannot be used"):
        station = StationDrift(ledger, {"nut": nut})
        assert said in station.alarms[0]
        station.stop()
    aside = Path(f"{ledger}.drift.unread")
    assert aside.read_text(encoding="utf-8") == newer
    assert DriftFile(ledger).read() == []
    aside.unlink()
    assert station.alarms == []


def test_another_detector_begins_anew_and_ends_the_alarm(nut: LineProduct, tmp_path: Path) -> None:
    ledger, identity = tmp_path / "line.sqlite", nut.identity
    other = replace(
        nut,
        manifest=nut.manifest.model_copy(
            update={"identity": identity.model_copy(update={"class_name": "x"})}
        ),
    )
    station = StationDrift(ledger, {"nut": nut})
    shown(station, nut, range(60), changed_from=30)
    station.stop()
    after = StationDrift(ledger, {"nut": other})
    assert after.alarms == []  # nothing is known of it
    shown(after, other, [60], changed_from=99)
    after.stop()
    assert after.news() == [("images of nut", "back", OTHER)]
    assert after.report().products["nut"].because == OTHER
    assert after.report().products["nut"].images == 1


def test_the_command_ends_an_alarm_of_a_line_whether_it_runs_or_not(
    nut: LineProduct, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, bolt = tmp_path / "line.sqlite", replace(nut, name="bolt")
    assert "of that line no image was watched" in command("drift", ledger, "--reset").error
    products = {"nut": nut, "bolt": bolt}
    running = StationDrift(ledger, products)
    shown(running, nut, range(60), changed_from=30)
    shown(running, bolt, [1], changed_from=9)
    running._pool.submit(running._write).result()
    assert "no image of 'screw'" in command("drift", ledger, "--reset", "--product", "screw").error
    done = command("drift", ledger, "--reset", "--product", "nut")
    assert (done.status, done.error) == (0, f"vlmad: {ledger}: begun anew with nut\n")
    monkeypatch.setattr("vlmad_drift.station_drift.KEEP", 0)
    shown(running, bolt, [2], changed_from=9)
    running.stop()
    news = running.news()
    assert [state for _, state, _ in news] == ["changed", "back"]
    assert "vlmad drift --reset (" in news[1][2]
    assert {name: each.images for name, each in running.report().products.items()} == {"bolt": 2}
    after = StationDrift(ledger, products)
    shown(after, nut, [60], changed_from=99)
    after.stop()
    found = after.report().products
    assert {name: each.images for name, each in found.items()} == {"bolt": 2, "nut": 1}
    assert found["nut"].because == news[1][2]


def test_the_command_ends_an_alarm_of_a_product_that_a_running_line_holds_and_does_not_watch(
    nut: LineProduct, tmp_path: Path
) -> None:
    ledger = tmp_path / "line.sqlite"
    before = StationDrift(ledger, {"nut": nut})
    shown(before, nut, range(60), changed_from=30)
    before.stop()
    running = StationDrift(ledger)
    begin_anew(ledger, "nut")
    running.stop()
    assert [each[:2] for each in running.news()] == [("images of nut", "back")]
    assert [each.state for each in DriftFile(ledger).read()] == [None]


def test_that_an_alarm_is_over_is_told_at_one_start_and_only_where_there_was_one(
    nut: LineProduct, tmp_path: Path
) -> None:
    ledger, bolt = tmp_path / "line.sqlite", replace(nut, name="bolt")
    before = StationDrift(ledger)
    shown(before, nut, range(60), changed_from=30)
    shown(before, bolt, [1], changed_from=9)
    before.stop()
    for _ in range(2):
        begin_anew(ledger, None)
    told = []
    for _ in range(2):
        station = StationDrift(ledger, {"nut": nut})
        told.append([each[:2] for each in station.news()])
        station.stop()
    assert told == [[("images of nut", "back")], []]


def test_that_what_was_seen_is_not_written_is_said_until_it_is(
    nut: LineProduct, tmp_path: Path
) -> None:
    ledger = tmp_path / "line.sqlite"
    station = StationDrift(ledger, {"nut": nut})
    Path(f"{ledger}.drift").mkdir()
    with pytest.raises(OutputError):
        station._pool.submit(station._write).result()
    shown(station, nut, [1], changed_from=9)
    station._pool.submit(lambda: None).result()
    [alarm] = station.alarms
    assert alarm.endswith(station.report().fault)
    Path(f"{ledger}.drift").rmdir()
    station.stop()
    assert (station.alarms, station.report().fault) == ([], "")


@pytest.mark.slow
def test_restarts_that_lose_the_latest_images_raise_no_more_false_alarms_than_promised() -> None:
    promised, streams, alarms = 0.2, 80, 0
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        usual = {"score": [*rng.gamma(9, size=16)]}
        watch, raised = DriftWatch(usual, ["score"], alpha=promised, defects=0.0), False
        for start in range(0, 160, 20):
            written = int(rng.integers(20))  # what comes later is lost
            for number in range(20):
                raised |= bool(watch.see("", "", {"score": float(rng.gamma(9))}))
                if number == written:
                    state = watch.state().to_json()
            watch = DriftWatch.of(DriftState.parse(state, f"after {start}"))
        alarms += raised
    assert 0 < alarms <= promised * streams


def test_what_was_usual_of_very_many_images_is_told_without_listing_them() -> None:
    rng, watch = np.random.default_rng(3), DriftWatch({}, ["score"])
    for number in range(300):
        watch.see(str(number), "", {"score": float(rng.normal(1, 0.1))})
    kept = watch.state()
    some = kept.quantities["score"]
    counts = [count * 10**12 for count in some.counts]
    many = kept.model_copy(
        update={"quantities": {"score": some.model_copy(update={"counts": counts})}}
    )
    [few], [shift] = watch.shifts(), DriftWatch.of(many).shifts()
    assert shift.usual == pytest.approx(few.usual, rel=0.01)
    expanded = np.repeat(some.values, np.array(some.counts) * 100)
    places = (np.arange(LOOKED_BACK) + 0.5) / LOOKED_BACK
    found = spread_out(np.array(some.values), np.array(some.counts) * 100)
    assert found == pytest.approx(np.quantile(expanded, places), rel=1e-12)


@pytest.mark.slow
def test_another_threshold_changes_nothing_and_every_quantity_is_watched(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(line)
    monkeypatch.setattr("vlmad_drift.station_drift.EVERY", 0)
    product = open_product(Choice(), References(model=Path("n.safetensors")), name="nut")
    other = replace(product, manifest=product.manifest.model_copy(
        update={"identity": product.identity.model_copy(update={"threshold": 3.0})}
    ))  # fmt: skip
    image, station = line / "photos" / "0000.png", StationDrift()
    for each in (product, other, product):
        station.see(said(1, 1.0), image, each)
    station.see(said(3, 1.0, "bolt"), image, replace(product, name="bolt"))
    station.stop()
    found = station.report()
    assert (found.products["nut"].images, found.fault) == (3, "")
    assert found.products["bolt"].remarks == [LEFT_OUT]
    assert found.products["bolt"].shifts[0].quantity in QUANTITIES
    assert {each.quantity for each in found.products["bolt"].shifts} == set(QUANTITIES)


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused_with_the_remedy(
    line: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(line)
    assert "one kind at once" in command("drift", "night", "photos").error
    assert "--alpha takes a number" in command("drift", "night", "--alpha", "0").error
    assert "needs --model FILE" in command("drift", "photos", "--scores-only").error
    other = command("run", "photos", "--detector", "rarity", *SMALL, "--out", "other")
    assert other.status == 0, other.error
    assert "another detector" in command("drift", "other", "--usual", "night").error


@pytest.mark.slow
def test_what_looks_on_at_a_line_keeps_its_promises(command: Command) -> None:
    done = command("check", "onlooker:drift")
    assert done.status == 0, done.out
