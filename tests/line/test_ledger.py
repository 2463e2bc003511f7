"""The ledger: what was said is there until every sink has it, and no longer than it must be."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from vlmad.errors import InputError, OutputError
from vlmad_line.delivery import Delivery
from vlmad_line.endpoints import WaitingRow
from vlmad_line.judgements import Alarm
from vlmad_line.ledger import Ledger

from .conftest import judgement

ALARM = Alarm(id="0" * 32, at="2026-11-30T08:00:00Z", source="photos", state="stopped")


def images(ledger: Ledger, sink: str) -> list[str]:
    return [getattr(each, "image", "alarm") for _, each in ledger.missing(sink, 99)]


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    said = [judgement("a\nb.png"), ALARM, judgement("\udcff.png", answer="NG", reason="x")]
    with Ledger(tmp_path / "line.sqlite") as ledger:
        ledger.join("csv:a")
        ledger.write(said, [("photos", "1-2 a.png")])
    with Ledger(tmp_path / "line.sqlite") as ledger:
        ledger.join("csv:a")
        assert [message for _, message in ledger.missing("csv:a", 99)] == said
        assert [message for _, message in ledger.latest(2)] == said[:0:-1]
        assert [message for _, message in ledger.latest(2, before=2)] == said[:1]
        assert ledger.seen("photos") == {"1-2 a.png"}
        assert ledger.seen("others") == set()


def test_each_sink_goes_on_where_it_was_and_a_new_one_begins_with_what_comes(
    tmp_path: Path,
) -> None:
    with Ledger(tmp_path / "line.sqlite") as ledger:
        ledger.join("first")
        ledger.write([judgement("a"), judgement("b")])
        ledger.has("first", ledger.missing("first", 1)[0][0])
        ledger.join("second")
        ledger.write([judgement("c")])
        assert (images(ledger, "first"), images(ledger, "second")) == (["b", "c"], ["c"])
        assert (ledger.waiting("first"), ledger.waiting("second")) == (2, 1)
        ledger.join("first")
        assert images(ledger, "first") == ["b", "c"]


def test_only_what_every_sink_has_is_trimmed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "line.sqlite", kept=2) as ledger:
        ledger.join("slow")
        ledger.join("quick")
        ledger.write([judgement(str(number)) for number in range(10)])
        last = ledger.missing("slow", 99)[-1][0]
        ledger.has("quick", last)
        assert ledger.trim() == 0
        ledger.has("slow", last - 5)
        assert ledger.trim() == 5
        assert images(ledger, "slow") == list("56789")
        ledger.has("slow", last)
        assert ledger.trim() == 3
        assert [getattr(each, "image", "") for _, each in ledger.latest(99)] == ["9", "8"]


def test_a_sink_that_was_left_out_for_a_while_hears_how_much_it_has_lost(tmp_path: Path) -> None:
    path = tmp_path / "line.sqlite"
    with Ledger(path) as ledger:
        assert ledger.join("left out") == 0
        ledger.write([judgement("0")])
    with Ledger(path, kept=3) as ledger:
        ledger.write([judgement(str(number)) for number in range(1, 10)])
        ledger.trim()
    told: list[str] = []
    with Ledger(path) as ledger:
        late = Delivery("left out", lambda messages: None, ledger, told.append)
        late.stop(time.monotonic() + 60)
    with Ledger(path) as ledger:
        assert ledger.join("left out") == 0
    assert told == ["7 messages for left out are no longer kept: it was left out meanwhile"]


def test_what_waits_for_a_sink_that_was_left_out_is_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "line.sqlite"
    with Ledger(path) as ledger:
        ledger.join("left out")
    with Ledger(path, kept=3) as ledger:
        ledger.write([judgement(str(number)) for number in range(10)])
        ledger.trim()
        assert ledger.join("left out") == 7
        assert (ledger.waiting("left out"), images(ledger, "left out")) == (3, list("789"))


def test_rows_wait_for_a_sink_that_is_left_out_and_what_is_gone_is_counted(tmp_path: Path) -> None:
    path, row = tmp_path / "line.sqlite", WaitingRow("nut", b"{}", b"row")

    def write(ledger: Ledger, image: str) -> None:
        said = judgement(image)
        ledger.write([said], rows={said.id: row})

    with Ledger(path) as ledger:
        ledger.join("folder:monday", takes_rows=True)
        write(ledger, "1")
    for day in ("tuesday", "wednesday"):
        with Ledger(path) as ledger:
            ledger.join(f"folder:{day}", takes_rows=True)
            write(ledger, day)
            ledger.has(f"folder:{day}", ledger.latest(1)[0][0])
            ledger.trim()
    with Ledger(path) as ledger:
        assert ledger.join("folder:monday", takes_rows=True) == 2
        assert [ledger.row(number) for number in (1, 2, 3)] == [row, None, None]
        ledger.has("folder:monday", 3)
        ledger.trim()
        assert ledger.row(1) is None
        assert ledger.join("folder:monday", takes_rows=True) == 0


def test_all_of_a_batch_is_written_or_nothing(tmp_path: Path) -> None:
    twice = judgement()
    with Ledger(tmp_path / "line.sqlite") as ledger:
        with pytest.raises(OutputError, match=r"cannot write .*UNIQUE"):
            ledger.write([judgement(), twice, twice], [("photos", "a")])
        assert ledger.latest(9) == []
        assert ledger.seen("photos") == set()


def test_what_is_there_at_the_start_of_a_source_can_be_marked(tmp_path: Path) -> None:
    with Ledger(tmp_path / "line.sqlite") as ledger:
        assert ledger.is_new("photos")
        ledger.mark("photos", ["a", "b"])
        assert not ledger.is_new("photos")
        ledger.forget("photos", ["a", ""])
        assert ledger.seen("photos") == {"b"}
        assert not ledger.is_new("photos")


def test_a_second_line_on_one_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "line.sqlite"
    with Ledger(path), pytest.raises(OutputError, match="another line writes to"), Ledger(path):
        pass
    with Ledger(path):
        pass


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    text.write_text("not a database, but longer than the head of one" * 10)
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE message (text)")
    database.close()
    for path, reason in ((text, "file is not a database"), (other, "no ledger of this vlmad")):
        before = path.read_bytes()
        with pytest.raises(InputError, match=reason), Ledger(path):
            pass
        assert path.read_bytes()[100:] == before[100:]
