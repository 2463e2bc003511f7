"""What the server does when more comes than it can judge, and when it is told to stop."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vlmad.types import Result
from vlmad_line.line_products import LineProduct, open_product
from vlmad_run.references import References
from vlmad_serve import listening
from vlmad_serve.batching import BatchedJudging
from vlmad_serve.figures import resident_bytes
from vlmad_serve.listening import allow_many_files
from vlmad_serve.newest import Newest

from .conftest import SMALL, noise
from .test_serve import CHOICE, IMAGE, Running, answer_of, nut, problem, serving

__all__ = ["nut"]
PNG = {"Content-Type": "image/png"}
QUICK = replace(CHOICE, detector="clip")


class Gate:
    """A detector that scores nothing before it is opened."""

    def __init__(self, product: LineProduct) -> None:
        self.detector = product.detector
        self.asked, self.open = threading.Event(), threading.Event()
        self.together, self.notes, self.class_name = False, (), "nut"

    def describe(self, images: Any = None, threshold: float | None = None) -> Any:
        return self.detector.describe(images, threshold)

    def stream(self, images: Sequence[Any], batch_size: int) -> Iterator[Result]:
        self.asked.set()
        assert self.open.wait(60)
        yield from self.detector.stream(images, batch_size)


@pytest.fixture
def gate(nut: LineProduct) -> Gate:
    return Gate(nut)


@pytest.fixture
def gated(gate: Gate, nut: LineProduct) -> LineProduct:
    return replace(nut, detector=gate)


def send(running: Running) -> http.client.HTTPConnection:
    connection = running.connect()
    connection.request("POST", "/score", IMAGE, PNG)
    return connection


def wait_for(judging: BatchedJudging, count: int, reading: int = 0) -> None:
    """Wait until so many images are accepted, and so many requests are being read."""

    def there() -> bool:
        accepted = len(judging._waiting) + judging._working
        return (accepted, judging._reading) == (count, reading)

    with judging._changed:
        assert judging._changed.wait_for(there, 60)


def test_what_finds_no_place_is_told_when_to_come_again_and_the_rest_is_judged_together(
    gate: Gate, gated: LineProduct, tmp_path: Path
) -> None:
    with serving(tmp_path, [gated], queue=4) as running:
        accepted = [send(running)]
        assert gate.asked.wait(60)
        accepted += [send(running) for _ in range(3)]
        wait_for(running.served.judging, 4)
        status, said, headers = running.ask("POST", "/score", IMAGE, PNG)
        assert problem((status, said)) == 429
        assert int(headers["retry-after"]) >= 1
        assert running.ask("GET", "/health")[1]["waiting"] == 4
        gate.open.set()
        assert [answer_of(each)[0] for each in accepted] == [200] * 4
        text = running.ask("GET", "/metrics")[1].decode()
        assert 'vlmad_images_total{product="nut",answer="OK"} 4' in text
        assert "vlmad_batches_total 2" in text
        assert 'vlmad_refused_total{status="429"} 1' in text
        assert running.score()[0] == 200


def test_a_stop_answers_what_was_accepted_and_takes_nothing_more(
    gate: Gate, gated: LineProduct, tmp_path: Path
) -> None:
    with serving(tmp_path, [gated]) as running:
        events = running.connect()
        events.request("GET", "/events")
        told = events.getresponse()
        assert told.readline() == b"retry: 1000\n"
        accepted = [send(running) for _ in range(3)]
        wait_for(running.served.judging, 3)
        running.stop()
        told.read()  # until the stream ends, when the server does not listen any more
        told.close()
        events.close()
        with pytest.raises(ConnectionRefusedError):
            running.connect().connect()
        gate.open.set()
        assert [answer_of(each)[0] for each in accepted] == [200] * 3
    assert running.served.figures.images == 3


def test_a_client_that_goes_away_costs_nothing(
    gate: Gate, gated: LineProduct, tmp_path: Path
) -> None:
    with serving(tmp_path, [gated], queue=1) as running:
        send(running).close()
        wait_for(running.served.judging, 1)
        gate.open.set()
        wait_for(running.served.judging, 0)
        head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(head + b"Content-Length: 1000\r\n\r\nhalf")
            wait_for(running.served.judging, 0, reading=1)
        wait_for(running.served.judging, 0)
        assert running.score()[0] == 200
        assert running.ask("GET", "/history")[1]["judgements"][1]["answer"] == "OK"


def test_a_fault_of_the_server_is_an_error_and_never_ok(
    nut: LineProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, [nut]) as running:

        def fail(*_: Any) -> None:
            raise RuntimeError("broken")

        with monkeypatch.context() as broken:
            broken.setattr(running.served.station, "judge", fail)
            assert problem(running.ask("POST", "/score", IMAGE, PNG)) == 500
        assert running.ask("GET", "/health")[1]["alarms"] == [
            "the last image could not be scored: RuntimeError: broken"
        ]
        assert running.score()[0] == 200
        assert running.ask("GET", "/health")[1]["alarms"] == []


def test_what_is_refused_is_an_alarm_like_what_could_not_be_scored(
    nut: LineProduct, tmp_path: Path
) -> None:
    with serving(tmp_path, [nut], most_megabytes=1) as running:
        large, elsewhere = bytes(2 << 20), "/score?product=screw"
        for body in (IMAGE, large, iter([large]), IMAGE, large, iter([large])):
            health = running.ask("GET", "/health")[1]
            running.ask("POST", elsewhere if body is IMAGE else "/score", body, PNG)
        assert (health["alarms"], health["unjudged"]) == (
            ["the last 5 images could not be scored: the request has more than 1 MiB"],
            5,
        )
        running.score(b"no image")  # this one has a judgement: NG
        health = running.ask("GET", "/health")[1]
        assert (health["alarms"], health["unjudged"]) == (
            ["the last 7 images could not be scored"],
            0,
        )
        running.score()
        assert running.ask("GET", "/health")[1]["alarms"] == []


def test_whatever_is_refused_nothing_holds_that_was_said_before(
    nut: LineProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[tuple[str, str, dict[str, str]]] = [
        ("POST", "/score?map=jpg", PNG),
        ("POST", "/score?product=screw", PNG),
        ("POST", "/score/", PNG),
        ("PUT", "/score", PNG),
        ("POST", "/score", {**PNG, "Host": "camera.example"}),
        ("POST", "/score", {**PNG, "Sec-Fetch-Site": "cross-site"}),
        ("POST", "/score", {"Content-Type": "text/plain"}),
    ]
    with serving(tmp_path, [nut]) as running:
        newest = running.served.newest
        assert newest.id == ""
        for method, path, headers in refused:
            said = running.score()[1]["judgements"][0]["id"]
            assert running.ask("GET", "/health")[1]["newest"] == said
            assert problem(running.ask(method, path, IMAGE, headers)) >= 400, path
            assert (newest.id, newest.refused) == ("", 1), path
        for pieces, most in (([b"\x16\x03\x01 hello\r\n\r\n"], 9), ([], -1)):
            assert running.score()[0] == 200
            monkeypatch.setattr(listening, "MOST_CONNECTIONS", most)
            assert running.raw(*pieces)[9:12] in (b"400", b"503")
            assert (newest.id, newest.refused) == ("", 1)
        assert running.served.figures.text({}).count('vlmad_refused_total{status="503"} 1') == 1


def test_an_image_that_waited_does_not_hide_that_a_newer_one_got_nothing(
    gate: Gate, gated: LineProduct, tmp_path: Path
) -> None:
    with serving(tmp_path, [gated], queue=1) as running:
        waiting = send(running)
        assert gate.asked.wait(60)
        assert running.score()[0] == 429
        gate.open.set()
        assert answer_of(waiting)[1]["judgements"][0]["answer"] == "OK"
        health = running.ask("GET", "/health")[1]
        assert (health["unjudged"], health["newest"]) == (1, "")
        said = running.score()[1]["judgements"][0]["id"]
        health = running.ask("GET", "/health")[1]
        assert (health["unjudged"], health["newest"]) == (0, said)


@pytest.mark.parametrize("slow_part", [False, True])
def test_what_is_said_later_of_an_image_that_was_sent_before_takes_no_newer_one_s_place(
    slow_part: bool,
) -> None:
    newest = Newest()
    newest.judge("older view", True, 1.0)
    newest.judge("newer view", True, 2.0)
    newest.show("part of the newer", 2.0)
    if slow_part:
        newest.show("part of the older", 1.0)
    else:
        newest.judge("another view of the older", True, 1.0)
    assert newest.id == "part of the newer"
    newest.judge("newest view", True, 3.0)
    assert newest.id == "newest view"


def test_a_disk_that_takes_no_image_is_an_alarm_at_once(nut: LineProduct, tmp_path: Path) -> None:
    with serving(tmp_path / "gone", [nut]) as running:
        assert problem(running.ask("POST", "/score", IMAGE, PNG)) == 507
        [alarm] = running.ask("GET", "/health")[1]["alarms"]
        assert alarm.startswith("the last image could not be scored: the image could not be kept")


@pytest.mark.slow
def test_a_thousand_at_once_get_an_answer_each(nut: LineProduct, tmp_path: Path) -> None:
    allow_many_files()
    with serving(tmp_path, [nut], queue=64) as running:
        connections = [running.connect() for _ in range(1000)]
        for each in connections:
            each.connect()
        for each in connections:
            each.request("POST", "/score", IMAGE, PNG)
        statuses = Counter(answer_of(each)[0] for each in connections)
        assert statuses.keys() <= {200, 429}
        assert statuses[200] + statuses[429] == 1000
        assert statuses[200] == running.served.figures.images >= 64


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_requests(nut: LineProduct, tmp_path: Path) -> None:
    """After those that fill what is kept; examples/serve/soak.py measures many more."""
    quick = replace(open_product(QUICK, References()), threshold=nut.threshold)
    with serving(tmp_path, [quick], keep=8) as running:
        used = []

        def ask(count: int) -> None:
            connection = running.connect()
            for _ in range(count):
                connection.request("POST", "/score", IMAGE, PNG)
                response = connection.getresponse()
                assert response.status == 200
                response.read()
            connection.close()

        for _ in range(2):  # 2,000 images in all
            with ThreadPoolExecutor(4) as clients:
                list(clients.map(ask, [250] * 4))
            used.append(resident_bytes())
    assert used[1] - used[0] < 16 << 20


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_command_well(number: int, tmp_path: Path) -> None:
    noise(tmp_path / "photos", 1)
    command = [sys.executable, "-m", "vlmad", "serve", "--port", "0", "--detector", "winclip"]
    with subprocess.Popen(
        [*command, *SMALL, "--threshold", "2"], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as server:
        assert server.stderr is not None
        try:
            line = next(line for line in server.stderr if "serving" in line)
            found = re.search(r"serving object at http://127\.0\.0\.1:(\d+);", line)
            assert found is not None, line
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
            connection.request("POST", "/score", (tmp_path / "photos/0000.png").read_bytes(), PNG)
            assert answer_of(connection)[1]["judgements"][0]["answer"] == "OK"
            os.kill(server.pid, number)
            assert server.stderr.read() == "vlmad: stopped; 1 images were judged\n"
            assert server.wait() == 0
        finally:
            server.kill()  # also where something above failed: leaving waits for it
