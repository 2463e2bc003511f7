"""The operator's page in a real browser, and what only it asks of the server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from vlmad_drift.stored_drift import StoredDrift
from vlmad_line.judgements import Alarm, Judgement
from vlmad_line.ledger import Ledger
from vlmad_line.line_products import LineProduct, open_product
from vlmad_line.station import Station
from vlmad_run.choosing import Choice
from vlmad_run.references import References
from vlmad_run.rows import read_rows
from vlmad_run.thresholds import Threshold
from vlmad_serve import operator_verdicts, reviewing
from vlmad_serve.access import Access
from vlmad_serve.answers import KnownRows
from vlmad_serve.operator_verdicts import IMAGES, RUN, VERDICTS, OperatorVerdicts
from vlmad_serve.refusals import Refusal
from vlmad_serve.reviewing import Reviewing

from .report.test_report_browser import CONTRASTS
from .test_serve import CHOICE, Running, answer_of, form, png, serving
from .test_serve_under_load import Gate, send

SOON = 30_000
"""Milliseconds: a machine may be busy."""
NONE = "\N{EN DASH}"
EVIL = '<img src=x onerror="document.title=1">.png'


@pytest.fixture(scope="module")
def nut() -> LineProduct:
    product = open_product(CHOICE, References(), name="nut")
    return replace(product, threshold=Threshold(value=1.0))


@pytest.fixture
def running(nut: LineProduct, tmp_path: Path) -> Iterator[Running]:
    spool = tmp_path / "spool"
    spool.mkdir()
    with serving(spool, [nut, replace(nut, name="bolt")]) as started:
        yield started


@pytest.fixture
def page(browser: Any, running: Running) -> Iterator[Any]:
    opened = browser.new_page()
    opened.clock.install()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(f"http://127.0.0.1:{running.port}/")
    shows(opened, "state", "judges nut")
    yield opened
    opened.close()
    assert faults == []


def shows(page: Any, place: str, text: str) -> None:
    """Wait until it does."""
    expect(page.locator(f"#{place}")).to_have_text(text, timeout=SOON)


def tells(page: Any, place: str, part: str) -> None:
    """Wait until a text is there, with a part of it."""
    expect(page.locator(f"#{place}")).to_have_text(re.compile(part or "."), timeout=SOON)


def truth(running: Running, judgement: str, said: str) -> tuple[int, Any]:
    body = json.dumps({"truth": said})
    return running.ask("POST", f"/judgements/{judgement}/truth", body)[:2]


def judged(running: Running, image: bytes, query: str = "") -> Any:
    return running.score(image, query)[1]["judgements"][0]


@pytest.mark.xdist_group("browser")
def test_the_page_shows_what_is_said_and_nothing_as_ok_that_is_not(
    page: Any, running: Running
) -> None:
    judged(running, png(), "?name=first.png")
    shows(page, "answer", "✓ OK")
    judged(running, b"no image", "?name=broken.png")
    shows(page, "answer", "✕ NG")
    assert "not an image" in page.inner_text("#why")
    assert page.get_attribute("#verdict", "class") == "NG"
    assert page.is_disabled("[data-truth=normal]")  # nothing can be learned of what has no score
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("#verdict", "class") == "none"
    assert "an earlier image, ✓ OK" in page.inner_text("#why")
    assert page.inner_text("#name") == "first.png"
    page.keyboard.press("Home")
    assert page.inner_text("#answer") == "✕ NG"
    page.click("[data-show=NG]")
    expect(page.locator("#history button")).to_have_count(1)
    page.click("[data-show=all]")
    expect(page.locator("#history button")).to_have_count(2)
    page.click("[data-show=OK]")
    expect(page.locator("#history button")).to_have_count(1)
    assert page.inner_text("#answer") == "✕ NG"  # whatever the list shows
    running.stop()
    shows(page, "answer", "?")
    tells(page, "alarm", "not heard")
    assert page.get_attribute("#verdict", "class") == "none"


@pytest.mark.xdist_group("browser")
def test_what_the_station_said_a_while_ago_is_not_shown_as_ok_though_nothing_fails(
    page: Any, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, hangs = running.served, threading.Event()
    judged(running, png())
    shows(page, "answer", "✓ OK")
    for hidden, answer in (("true", "?"), ("false", "✓ OK")):  # a telephone may sleep meanwhile
        is_so = f"{{value: {hidden}, writable: true}}"
        page.evaluate(f"Object.defineProperty(document, 'hidden', {is_so})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))")
        assert page.inner_text("#answer") == answer
    served._started += 10  # as if what comes had been on its way for so long
    served.events.beat_soon()
    shows(page, "answer", "?")
    page.clock.fast_forward(7000)  # a late stream is left for a new one
    shows(page, "answer", "✓ OK")
    later = {**running.ask("GET", "/health")[1], "seconds": 1e4}
    page.route("**/health", lambda route: route.fulfill(json=later))  # what a stream holds back
    page.reload()
    tells(page, "alarm", "not heard")
    page.unroute("**/health")
    page.clock.fast_forward(7000)
    shows(page, "answer", "✓ OK")
    monkeypatch.setattr(served.events, "_health", hangs.wait)
    page.clock.fast_forward(7000)
    shows(page, "answer", "?")
    tells(page, "alarm", "not heard")
    hangs.set()


@pytest.mark.xdist_group("browser")
def test_what_was_said_before_the_start_is_not_shown_as_ok(
    browser: Any, nut: LineProduct, tmp_path: Path
) -> None:
    (spool := tmp_path / "spool").mkdir()
    settings = {"ledger": tmp_path / "line.sqlite", "to": f"csv:{tmp_path / 'out.csv'}"}
    with serving(spool, [nut], **settings) as running:
        judged(running, png(), "?name=yesterday.png")
    settings["to"] = f"csv:{tmp_path / 'other.csv'}"
    with serving(spool, [nut], **settings) as running:
        page, failed = browser.new_page(), list[str]()
        page.route(
            "**/history?*",
            lambda route: route.continue_() if failed else failed.append(route.abort() or "once"),
        )
        page.goto(f"http://127.0.0.1:{running.port}/")
        tells(page, "why", "an earlier image, ✓ OK")
        assert page.get_attribute("#verdict", "class") == "none"
        judged(running, png())
        shows(page, "answer", "✓ OK")
        assert failed
        page.close()


@pytest.mark.xdist_group("browser")
def test_what_comes_while_the_history_is_asked_for_is_not_lost(page: Any, running: Running) -> None:
    judged(running, png(), "?name=first.png")
    shows(page, "answer", "✓ OK")
    held: list[Any] = []
    page.route("**/history?limit=100*", lambda route: held.append(route))  # playwright marks it
    page.click("[data-show=all]")
    judged(running, b"no image", "?name=broken.png")
    shows(page, "answer", "✕ NG")
    answer = held[0].fetch()
    old = [each for each in answer.json()["judgements"] if each["image"] == "first.png"]
    held[0].fulfill(response=answer, json={**answer.json(), "judgements": old})
    expect(page.locator("#history button")).to_have_count(2)
    assert page.inner_text("#answer") == "✕ NG"


@pytest.mark.xdist_group("browser")
def test_another_threshold_holds_for_the_images_that_come_then(page: Any, running: Running) -> None:
    for seed in range(3):
        said = judged(running, png(seed=seed))
        assert truth(running, said["id"], "normal")[0] == 200
        assert said["answer"] == "OK"
    page.clock.fast_forward(1500)
    tells(page, "expected", "Of 3 known")
    page.locator("#slider").fill("0")
    assert "3 would be a false alarm" in page.inner_text("#expected")
    far = running.served.recent
    far.scores = lambda product: [1e3]  # type: ignore[method-assign]  # another range of scores
    judged(running, png(seed=4))
    page.clock.fast_forward(1500)
    expect(page.locator("#slider")).not_to_have_value("0", timeout=SOON)  # in the new range
    assert "3 would be a false alarm" in page.inner_text("#expected")
    page.click("#apply")
    tells(page, "applied", "")
    assert running.served.station.products["nut"].threshold.value < said["score"]  # type: ignore[union-attr]
    assert judged(running, png(seed=0))["answer"] == "NG"
    assert running.served.station.products["bolt"].threshold.value == 1.0  # type: ignore[union-attr]


@pytest.mark.xdist_group("browser")
def test_a_person_says_what_a_part_is_by_a_key(page: Any, running: Running, tmp_path: Path) -> None:
    judged(running, png(), f"?name={EVIL.replace(' ', '%20')}")
    expect(page.locator("[data-truth=normal]")).to_be_enabled()
    for key, said in (("g", "good"), ("d", "defective")):
        page.clock.fast_forward(1000)
        page.keyboard.press(key)
        shows(page, "heard", f"noted: {EVIL} is {said}")
    [folder] = (tmp_path / "verdicts").iterdir()
    [image] = (folder / IMAGES).iterdir()
    assert image.read_bytes() == png()
    assert (folder / VERDICTS).read_text() == f"image,verdict\nimages/{image.name},anomalous\n"
    assert "called good: 0, defective: 1" in page.inner_text("#said")
    assert page.inner_text("#name") == EVIL
    assert page.title() == "vlmad station"


@pytest.mark.xdist_group("browser")
def test_what_got_no_judgement_takes_the_green_away(page: Any, running: Running) -> None:
    judged(running, png())
    shows(page, "answer", "✓ OK")
    assert running.ask("POST", "/score", b"", {"Content-Type": "image/png"})[0] == 400
    shows(page, "answer", "?")
    judged(running, png())
    shows(page, "answer", "✓ OK")


@pytest.mark.xdist_group("browser")
def test_of_views_the_page_shows_what_is_said_of_their_part(
    page: Any, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = form(("top.png", png()), ("side.png", png(seed=1)))
    with monkeypatch.context() as silent:
        silent.setattr(running.served, "conclude", lambda parts, sent: None)
        running.ask("POST", "/score?part=6", *two)
    tells(page, "why", "a view of part 6, which is not judged yet")
    assert page.inner_text("#answer") == NONE
    running.ask("POST", "/score?part=7", *two)
    shows(page, "answer", "✓ OK")
    assert page.inner_text("#why") == "part 7: all its views are OK"
    broken = form(("top.png", b"no image"), ("side.png", png()))
    running.ask("POST", "/score?part=8&views=2", *broken)
    shows(page, "answer", "✕ NG")
    assert "part 8: top.png: not an image" in page.inner_text("#why")
    assert page.inner_text("[data-truth=normal]") == "The view is good"
    page.click("[data-show=NG]")
    expect(page.locator("#history button")).to_have_count(4)  # what counts is said of parts
    page.click("[data-show=all]")
    expect(page.locator("#history button")).to_have_count(6)
    for _ in range(2):  # as it comes, and of the history
        seen = page.locator("#history button b").all_inner_texts()
        assert seen == ["NG", "NG", "OK", "OK", NONE, NONE]
        page.reload()
        shows(page, "answer", "✕ NG")
        expect(page.locator("#history button")).to_have_count(6)


@pytest.mark.xdist_group("browser")
def test_a_person_ends_the_alarm_of_images_that_have_changed(
    browser: Any, nut: LineProduct, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    named = replace(nut, name=EVIL)
    settings = {"ledger": tmp_path / "line.sqlite", "to": f"csv:{tmp_path / 'out.csv'}"}
    with serving(tmp_path / "spool", [named], **settings) as running:
        drift = running.served.drift
        for number in range(60):
            score, own = 0.01 * (number % 7) + (number > 30), f"{number:08d}"
            at = "2026-05-01T06:00:00+00:00"
            said = Judgement(
                id=own, at=at, image=own, answer="OK", score=score, threshold=9.0, product=EVIL
            )
            drift.see(said, None, named)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/")
        tells(page, "alarm", "drift: scores higher by")
        for value, done in (("", False), ("anew", True)):
            page.keyboard.press("a")
            assert page.inner_text("#whose") == EVIL
            page.focus(f"#anew [value='{value}']")
            page.keyboard.press("Enter")
            expect(page.locator("#anew")).not_to_be_visible()
            expect(page.locator("#changed")).to_be_visible(visible=not done, timeout=SOON)
        expect(page.locator("#alarm")).not_to_be_visible(timeout=SOON)
        assert (page.title(), drift.alarms) == ("vlmad station", [])
        page.close()
    with Ledger(tmp_path / "line.sqlite") as ledger:
        [back, changed] = [each for _, each in ledger.latest(9) if isinstance(each, Alarm)]
    assert (changed.state, changed.reason[:20]) == ("changed", "drift: scores higher")
    assert (back.state, back.reason) == ("back", "begun anew by 127.0.0.1")
    [kept] = StoredDrift.read(tmp_path / "line.sqlite.drift").watches
    assert (kept.because, kept.state) == (back.reason, None)


@pytest.mark.xdist_group("browser")
def test_the_page_says_that_a_newer_image_waits(
    browser: Any, nut: LineProduct, tmp_path: Path
) -> None:
    gate = Gate(nut)
    gate.open.set()
    (spool := tmp_path / "spool").mkdir()
    with serving(spool, [replace(nut, detector=gate)]) as running:  # type: ignore[arg-type]
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/")
        judged(running, png())
        shows(page, "answer", "✓ OK")
        gate.open.clear()
        gate.asked.clear()
        waiting = send(running)
        assert gate.asked.wait(60)
        running.served.judging.since -= 10
        shows(page, "why", "a newer image waits for its judgement")
        gate.open.set()
        assert answer_of(waiting)[0] == 200
        shows(page, "answer", "✓ OK")
        page.close()


@pytest.mark.xdist_group("browser")
def test_what_was_said_before_a_pause_or_of_another_product_is_not_shown_as_ok(
    page: Any, running: Running
) -> None:
    judged(running, png())
    shows(page, "answer", "✓ OK")
    page.keyboard.press("p")
    shows(page, "answer", "PAUSED")
    status, said = running.score()
    assert (status, said["error"]) == (503, "the station is paused")
    assert running.ask("GET", "/health")[0] == 503
    page.click("#pause")
    shows(page, "answer", "?")
    assert running.score()[0] == 200
    shows(page, "answer", "✓ OK")
    page.keyboard.press("p")
    shows(page, "answer", "PAUSED")
    page.keyboard.press("p")  # also where nothing came meanwhile
    tells(page, "why", "an earlier image, ✓ OK")
    assert running.score()[0] == 200
    shows(page, "answer", "✓ OK")
    running.ask("PUT", "/products/bolt", '{"chosen": true}')  # as another page does
    tells(page, "why", "an earlier image, ✓ OK")
    assert page.inner_text("#answer") == NONE
    shows(page, "state", "judges bolt")
    expect(page.locator("#product")).to_have_value("bolt", timeout=SOON)
    page.select_option("#product", "nut")
    shows(page, "state", "judges nut")
    judged(running, png())
    shows(page, "answer", "✓ OK")


@pytest.mark.xdist_group("browser")
def test_all_text_can_be_read_on_a_phone_and_on_a_screen_by_day_and_by_night(
    page: Any, running: Running
) -> None:
    judged(running, png(), "?name=" + "long_" * 40)
    shows(page, "answer", "✓ OK")
    for scheme in ("light", "dark"):
        for width in (390, 1280):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            disabled = {each.strip() for each in page.locator("button:disabled").all_inner_texts()}
            faint = [f for f in page.evaluate(CONTRASTS) if f["ratio"] < 4.5]
            assert {f["text"] for f in faint} <= disabled


@pytest.mark.xdist_group("browser")
def test_the_page_asks_for_the_token_and_follows_then(
    browser: Any, nut: LineProduct, tmp_path: Path
) -> None:
    access = Access("a-token-of-the-station")
    with serving(tmp_path, [nut], access=access) as running:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/")
        page.fill("#secret", "wrong")
        page.click("#session button")
        tells(page, "refused", "")
        page.fill("#secret", "a-token-of-the-station")
        page.click("#session button")
        shows(page, "state", "judges nut")
        running.score(**{"Authorization": "Bearer a-token-of-the-station"})
        shows(page, "answer", "✓ OK")
        access._sessions.clear()  # as after twelve hours
        shows(page, "answer", "?")
        page.fill("#secret", "a-token-of-the-station")
        page.click("#session button")
        shows(page, "answer", "✓ OK")
        page.close()


def test_what_a_person_says_is_known_by_the_content_of_the_image(
    running: Running, nut: LineProduct, tmp_path: Path
) -> None:
    for said in ("normal", "anomalous"):
        status, state = truth(running, judged(running, png())["id"], said)
        assert status == 200
    assert (state["normal"], state["anomalous"]) == (0, 1)
    first = judged(running, png(seed=1))
    truth(running, first["id"], "normal")
    scores = running.ask("GET", "/products/nut/scores")[1]
    assert scores["good"] == [first["score"]]
    assert len(scores["bad"]) == 1
    assert len(scores["open"]) == 3
    [folder] = (tmp_path / "verdicts").iterdir()
    rows = read_rows(folder / RUN)
    assert [row.score for row in rows if row.score == first["score"]] == [first["score"]]
    pages = [running.ask("GET", "/products/nut/rows?limit=1")[1]]
    pages += [running.ask("GET", f"/products/nut/rows?after={pages[0]['more']}")[1]]
    told = [KnownRows.of(page, "rows") for page in pages]
    assert {page.rows[0].score for page in told} == {row.score for row in rows}
    assert sorted(truth for page in told for truth in page.truth.values()) == [
        "anomalous",
        "normal",
    ]
    assert (len(told[1].rows), told[1].more) == (1, "")
    assert str(tmp_path) not in json.dumps(pages)
    schemas = running.ask("GET", "/openapi.json")[1]["components"]["schemas"]
    assert {"ScoreRow", "Manifest", "PartJudgement", "ReviewDocument"} <= schemas.keys()
    running.ask("PUT", "/products/nut", '{"threshold": 0.9}')
    assert (
        running.ask("GET", "/products/nut/review")[1]["normal"] == 1
    )  # another is no other folder
    assert running.ask("GET", "/products/bolt/review")[1]["normal"] == 0


def test_what_is_said_scores_that_image_alone_and_in_turn_with_the_station(
    running: Running, nut: LineProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = running.served.station
    scored = list[tuple[list[Path], bool]]()

    class Seen:
        def __getattr__(self, name: str) -> Any:
            return getattr(nut.detector, name)

        def stream(self, images: list[Path], batch_size: int) -> Any:
            scored.append((images, station._working.locked()))
            return nut.detector.stream(images, batch_size)

    verdicts = OperatorVerdicts(tmp_path / "said", station)
    monkeypatch.setattr(operator_verdicts, "MOST_IMAGES", 2)
    product = replace(nut, detector=Seen())  # type: ignore[arg-type]
    files = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, file in enumerate(files):
        file.write_bytes(png(seed=seed))
    for file in (files[0], files[1], files[0]):
        verdicts.say(product, file, "x.png", "normal")
    assert [len(images) for images, _ in scored if images] == [1, 1]
    assert all(in_turn for _, in_turn in scored)
    assert len(verdicts.scores(product).good) == 2
    with pytest.raises(Refusal, match="2 images are kept of this detector"):
        verdicts.say(product, files[2], "x.png", "normal")


def test_nothing_can_be_said_of_what_is_not_kept_or_has_no_score(running: Running) -> None:
    assert truth(running, "0" * 32, "normal")[0] == 404
    assert truth(running, judged(running, b"no image")["id"], "normal")[0] == 409
    assert truth(running, judged(running, png())["id"], "perhaps")[0] == 422
    assert running.ask("POST", "/products/nut/review")[0] == 409
    assert running.ask("POST", "/products/nut/review/adopt")[0] == 409
    assert running.ask("GET", "/products/screw/scores")[0] == 404
    assert running.ask("GET", "/page/../cli.py")[0] == 404


def patterned(seed: int, defective: bool) -> bytes:
    """Return stripes with noise, which a hole interrupts where they are defective."""
    noise = np.random.default_rng(seed).integers(0, 30, (48, 48, 1))
    pixels = (np.indices((48, 48))[1][..., None] // 6 % 2 * 150 + 40 + noise).repeat(3, 2)
    if defective:
        pixels[12:36, 12:36] = [255, 0, 0]
    file = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_review_that_does_not_end_when_told_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; echo started; exec sleep 600"]
    monkeypatch.setattr(reviewing, "PATIENCE", 0.05)
    station = Station()
    review = Reviewing(station, OperatorVerdicts(tmp_path, station), Choice())
    with subprocess.Popen(stubborn, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        trial = review._trials["nut"] = reviewing._Trial(process, tmp_path)
        review._watching = [threading.Thread(target=reviewing._finish, args=[trial])]
        review._watching[0].start()
        review.stop()
        assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_what_was_learned_is_used_when_it_gains_on_images_held_out(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vlmad.py").write_text("raise SystemExit('code of the working folder ran')")
    for seed in range(8):
        for said in ("normal", "anomalous"):
            image = patterned(seed, said == "anomalous")
            truth(running, judged(running, image)["id"], said)
    assert running.ask("POST", "/products/nut/review")[1]["state"] == "running"
    assert running.ask("POST", "/products/nut/review")[0] == 409
    until = time.monotonic() + 300
    while (state := running.ask("GET", "/products/nut/review")[1])["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert state["state"] == "done", state["reason"]
    assert state["review"]["references"]["adopted"], state["review"]
    before = running.served.station.products["nut"].digest
    assert state["adoptable"]
    assert running.ask("POST", "/products/nut/review/adopt")[0] == 200
    assert running.served.station.products["nut"].digest != before
    assert judged(running, patterned(99, defective=True))["answer"] == "NG"
    assert judged(running, patterned(98, defective=False))["answer"] == "OK"
