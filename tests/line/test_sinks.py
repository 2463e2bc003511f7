"""Sinks: each has all that was said, in order, whatever happens to the other side."""

from __future__ import annotations

import asyncio
import csv
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import InputError, OutputError
from vlmad_line import delivery
from vlmad_line.delivery import Delivery, pause
from vlmad_line.judgements import Alarm, Message
from vlmad_line.ledger import Ledger
from vlmad_line.sinks import open_sink, open_sinks, refuse_alike, without_password

from .conftest import Broker, free_port, judgement

ALARM = Alarm(id="f" * 32, at="2026-11-30T08:00:00Z", source="photos", state="stopped", reason="!")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST", 0.01)
    monkeypatch.setattr(delivery, "LONGEST", 0.05)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "line.sqlite") as opened:
        yield opened


class Receiver(HTTPServer):
    """A receiver that gives the answers it was told to, then 200, and keeps what it took."""

    def __init__(self, port: int = 0, answers: Sequence[int] = ()) -> None:
        super().__init__(("127.0.0.1", port), Post)
        self.answers, self.bodies = list(answers), list[dict[str, Any]]()
        self.heads = list[dict[str, str]]()
        self._thread = threading.Thread(target=self.serve_forever, args=[0.01])
        self._thread.start()

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Post(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        if answer == 200:
            self.server.bodies.append(json.loads(body))
            self.server.heads.append(dict(self.headers))
        self.send_response(answer)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None: ...


def wait_for(fact: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.005)


def delivered(ledger: Ledger, argument: str, messages: Sequence[Message]) -> list[str]:
    """Write messages, wait until a sink has them, and return what was told meanwhile."""
    told: list[str] = []
    sink = open_sink(argument)
    running = Delivery(sink.name, sink.deliver, ledger, told.append)
    ledger.write(messages)
    wait_for(lambda: not running.state.waiting)
    running.stop(time.monotonic() + 60)
    return told


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_line_for_each_judgement_and_alarm(tmp_path: Path, ledger: Ledger) -> None:
    bad = judgement('=1+2,"x"\n.png', answer="NG", score=0.75, reason="its score")
    path = tmp_path / "deep" / "out.csv"
    delivered(ledger, f"csv:{path}", [judgement("a.png"), bad, ALARM])
    found = rows(path)
    assert [row["answer"] for row in found] == ["OK", "NG", "ALARM stopped"]
    assert [row["image"] for row in found] == ["a.png", '\'=1+2,"x"\\n.png', ""]
    assert [row["score"] for row in found] == ["0.25", "0.75", ""]
    assert found[2]["source"] == "photos"


def test_a_table_that_was_cut_off_is_mended_and_holds_each_line_once(tmp_path: Path) -> None:
    path, said = tmp_path / "out.csv", [judgement() for _ in range(5)]
    open_sink(f"csv:{path}").deliver(said[:3])
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])  # as a machine that lost its power leaves it
    open_sink(f"csv:{path}").deliver(said)
    assert [row["id"] for row in rows(path)] == [each.id for each in said]
    assert path.read_bytes().startswith(whole)


def test_a_table_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    deliver = open_sink(f"csv:{path}").deliver
    for name in ("a", "b", "c"):
        deliver([judgement(name)])
        if name == "b":
            path.rename(tmp_path / "old.csv")
    assert [row["image"] for row in rows(tmp_path / "old.csv")] == ["a", "b"]
    assert [row["image"] for row in rows(path)] == ["c"]


def test_another_table_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("part,price\n1,2\n")
    with pytest.raises(InputError, match="is another table; choose another file"):
        open_sink(f"csv:{path}")
    assert path.read_text() == "part,price\n1,2\n"


def test_a_receiver_gets_each_judgement_in_order_though_it_fails_at_first(ledger: Ledger) -> None:
    receiver, said = Receiver(answers=[500, 404, 307]), [judgement(), ALARM, judgement()]
    url = f"http://line:se%20cret@127.0.0.1:{receiver.server_port}/parts?line=1"
    told = delivered(ledger, url, said)
    receiver.end()
    assert [each["id"] for each in receiver.bodies] == [each.id for each in said]
    assert receiver.bodies[0] == json.loads(said[0].to_json())
    assert receiver.heads[0]["Idempotency-Key"] == said[0].id
    assert receiver.heads[0]["Authorization"] == "Basic bGluZTpzZSBjcmV0"
    assert len(told) == 2
    assert "takes nothing for now" in told[0]
    assert "it answers 500" in told[0]
    assert "secret" not in told[0]
    assert "se%20cret" not in told[0]


def test_nothing_is_lost_while_a_receiver_is_away(tmp_path: Path, ledger: Ledger) -> None:
    port, said = free_port(), [judgement() for _ in range(60)]
    sink = open_sink(f"http://127.0.0.1:{port}/")
    away = Delivery(sink.name, sink.deliver, ledger)
    ledger.write(said[:50])
    wait_for(lambda: bool(away.state.reason))
    assert (away.state.waiting, away.state.sink) == (50, f"http://127.0.0.1:{port}/")
    away.stop(time.monotonic() + 60)
    receiver = Receiver(port)
    delivered(ledger, f"http://127.0.0.1:{port}/", said[50:])
    receiver.end()
    assert [each["id"] for each in receiver.bodies] == [each.id for each in said]


def test_what_is_said_while_a_delivery_looks_and_stops_is_delivered(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    got, last, begun, look = list[Message](), judgement(), threading.Event(), ledger.missing

    def say_at_the_last_moment(sink: str, most: int) -> list[tuple[int, Message]]:
        found = look(sink, most)
        assert begun.wait(60)
        if not running._stopping.is_set():
            ledger.write([last])
            running._stopping.set()
        return found

    monkeypatch.setattr(ledger, "missing", say_at_the_last_moment)
    running = Delivery("list", got.extend, ledger)
    begun.set()
    running._thread.join(60)
    assert got == [last]


def test_those_before_a_message_that_is_refused_are_delivered_twice_at_most(ledger: Ledger) -> None:
    said, got, told = [judgement(str(number)) for number in range(100)], list[str](), list[str]()

    def deliver(messages: Sequence[Message]) -> None:
        for message in messages:
            if message.id == said[60].id:
                raise OutputError("it answers 400")
            got.append(message.id)

    ledger.join("choosy")
    ledger.write(said)
    running = Delivery("choosy", deliver, ledger, told.append)
    wait_for(lambda: running._failures > 5)
    running.stop(time.monotonic() + 60)
    assert got == [each.id for each in said[:60]] * 2
    assert [text.split(",")[0] for text in told] == [
        "choosy takes nothing for now",
        "choosy takes what is said again",
        "choosy takes nothing for now",
    ]


def test_a_delivery_that_fails_again_and_again_waits_longer(monkeypatch: Any) -> None:
    monkeypatch.setattr(delivery, "LONGEST", 60.0)
    monkeypatch.setattr(delivery, "FIRST", 0.5)
    for failures, longest in ((1, 0.5), (2, 1), (5, 8), (9, 60), (10**6, 60)):
        assert longest / 2 <= pause(failures) <= longest


def test_a_delivery_that_does_not_end_is_told_while_it_hangs(ledger: Ledger) -> None:
    now, hangs, goes_on = [0.0], threading.Event(), threading.Event()

    def deliver(messages: Sequence[Message]) -> None:
        hangs.set()
        assert goes_on.wait(60)

    delivery = Delivery("disk", deliver, ledger, clock=lambda: now[0])
    ledger.write([judgement()])
    assert hangs.wait(60)
    assert (delivery.state.waiting, delivery.state.reason) == (1, "")
    now[0] += 31
    assert delivery.state.reason == "a delivery has not ended for 31 s"
    goes_on.set()
    delivery.stop(time.monotonic() + 60)
    assert (delivery.state.waiting, delivery.state.reason) == (0, "")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("cvs:out.csv", "no sink 'cvs:…'; did you mean 'csv'"),
        ("out.csv", "no sink 'out.csv:…'"),
        ("csv:", "names nothing after 'csv:'"),
        ("http://user:secret@host:none/", "is no URL"),
        ("mqtt://broker", "give a broker and a topic"),
        ("mqtt://broker/line/#", "give a broker and a topic"),
    ],
)
def test_an_argument_that_leads_nowhere_is_refused(argument: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        open_sink(argument)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        (
            "http://line:secret@cam/v?user=line&pwd=secret#x",
            "http://line@cam/v?user=***&pwd=***#***",
        ),
        ("rtsp://cam/real?channel=1&subtype=0&secret", "rtsp://cam/real?channel=1&subtype=0&***"),
        ("rtsp://line:se?cret@cam/1", "rtsp://***?***"),
        ("rtsp://line:se#cret@cam/1", "cam/1"),
        ("csv:a?b=c.csv", "csv:a?b=c.csv"),
        (
            "modbus://plc/?from=/a.b/c&base=1000&pin=4711",
            "modbus://plc/?from=/a.b/c&base=1000&pin=***",
        ),
        ("modbus://plc/?from=rtsp://me:secret@cam/1", "modbus://plc/?from=***"),
        ("modbus://plc/?from=http://cam/1%3Fpwd=secret", "modbus://plc/?from=***"),
        ("v4l2:///dev/video0", "v4l2:///dev/video0"),
    ],
)
def test_what_may_be_secret_is_in_no_name(argument: str, name: str) -> None:
    assert without_password(argument) == name


def test_sinks_that_only_a_secret_tells_apart_are_refused() -> None:
    with pytest.raises(InputError, match=r"http://a/\?token=\*\*\* is named twice"):
        open_sinks(["http://a/?token=one", "http://a/?token=two"])
    assert len(open_sinks(["http://a/", "http://a/"])) == 1
    refuse_alike([without_password(f"modbus://plc/?from=/{n}&base={n}000") for n in (1, 2)])


async def _listen(port: int, count: int, ready: threading.Event, heard: list[Any]) -> None:
    import aiomqtt

    async with aiomqtt.Client("127.0.0.1", port, identifier="test", clean_session=False) as client:
        await client.subscribe("line/1", qos=1)
        ready.set()
        async for message in client.messages:
            heard.append(json.loads(message.payload))  # type: ignore[arg-type]
            if len({each["id"] for each in heard}) == count:  # QoS 1: some may come twice
                return


def _hear(port: int, count: int, heard: list[Any]) -> threading.Thread:
    ready = threading.Event()
    listener = threading.Thread(target=lambda: asyncio.run(_listen(port, count, ready, heard)))
    listener.daemon = True
    listener.start()
    assert ready.wait(60)
    return listener


def test_a_broker_gets_all_though_it_is_away_meanwhile(broker: Broker, ledger: Ledger) -> None:
    heard, said = list[Any](), [judgement() for _ in range(30)]
    first = _hear(broker.port, 10, heard)
    address = f"mqtt://127.0.0.1:{broker.port}/line/1"
    delivered(ledger, address, said[:10])
    first.join(60)
    broker.end()
    sink = open_sink(address)
    away = Delivery(sink.name, sink.deliver, ledger)
    ledger.write(said[10:20])
    wait_for(lambda: bool(away.state.reason))
    broker.start()
    wait_for(lambda: not away.state.waiting)
    away.stop(time.monotonic() + 60)
    delivered(ledger, address, said[20:])
    _hear(broker.port, 30, heard).join(60)
    assert list(dict.fromkeys(each["id"] for each in heard)) == [each.id for each in said]


def test_a_sink_without_room_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        open_sink(f"csv:{tmp_path}/file/out.csv").deliver([judgement()])
