"""A line: what was judged is written down before anyone hears it, and goes to every sink."""

from __future__ import annotations

import csv
import math
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import OutputError
from vlmad.images import decode
from vlmad.types import Result
from vlmad_line import _run_sink
from vlmad_line._run_sink import to_run_folders, waiting_row
from vlmad_line.endpoints import Arrival
from vlmad_line.judgements import Judgement
from vlmad_line.ledger import Ledger
from vlmad_line.line import Line
from vlmad_line.line_products import LineProduct, open_product
from vlmad_line.sinks import open_sink
from vlmad_line.station import Station
from vlmad_run.choosing import Choice
from vlmad_run.references import References
from vlmad_run.stored_run import read_run
from vlmad_run.thresholds import Threshold

from ..conftest import SMALL  # noqa: TID252 (tests are no package)


@pytest.fixture(scope="module")
def product() -> LineProduct:
    choice = Choice(detector="winclip", backbone=SMALL[1], settings=[SMALL[3]])
    return replace(open_product(choice, References()), threshold=Threshold(value=9))


def arrival(path: Path, judged: Callable[[Judgement], None] | None = None) -> Arrival:
    return Arrival(str(path), path, time.time(), "photos", f"1 {path}", judged)


def test_a_judgement_goes_to_the_ledger_to_every_sink_and_to_who_brought_it(
    product: LineProduct, photos: Path, tmp_path: Path
) -> None:
    told: list[Judgement] = []
    tables = [tmp_path / "a.csv", tmp_path / "b.csv"]
    sinks = [open_sink(f"csv:{table}") for table in tables]
    with Line(Station([product]), Ledger(tmp_path / "line.sqlite"), sinks) as line:
        given = [arrival(photos / "0000.png", told.append), arrival(photos / "gone.png")]
        judged = [each.judgement for each in line.judge(given)]
        line.alarm("photos", "stopped", "it is silent")
        assert [message for _, message in line.ledger.latest(9)][:0:-1] == judged
        assert line.ledger.seen("photos") == {each.key for each in given}
    assert told == judged[:1]
    assert [each.answer for each in judged] == ["OK", "NG"]
    for table in tables:
        with table.open(newline="") as file:
            answers = [row["answer"] for row in csv.DictReader(file)]
        assert answers == ["OK", "NG", "ALARM stopped"]


def test_who_waits_hears_of_no_judgement_that_could_not_be_written_down(
    product: LineProduct, photos: Path, tmp_path: Path
) -> None:
    told: list[Judgement] = []
    with Line(Station([product]), Ledger(tmp_path / "line.sqlite")) as line:
        with sqlite3.connect(tmp_path / "line.sqlite") as other:
            other.execute("DROP TABLE seen")
        other.close()
        with pytest.raises(OutputError, match="cannot write"):
            line.judge([arrival(photos / "0000.png", told.append)])
    assert told == []


def test_a_machine_that_hangs_up_costs_no_judgement(
    product: LineProduct, photos: Path, tmp_path: Path
) -> None:
    def hang_up(judgement: Judgement) -> None:
        raise ConnectionResetError("it hung up")

    told, heard = list[str](), list[Judgement]()
    ledger = Ledger(tmp_path / "line.sqlite")
    with Line(Station([product]), ledger, tell=told.append) as line:
        line.judge(
            [arrival(photos / f"000{n}.png", each) for n, each in ((0, hang_up), (1, heard.append))]
        )
    assert told == ["photos was not told: it hung up"]
    assert len(heard) == 1


def test_what_was_told_stands_though_what_is_old_cannot_be_deleted(
    product: LineProduct, photos: Path, tmp_path: Path
) -> None:
    with Line(Station([product]), Ledger(tmp_path / "line.sqlite", kept=0)) as line:
        with sqlite3.connect(tmp_path / "line.sqlite") as other:
            full = "SELECT RAISE(ABORT, 'disk full')"
            other.execute(f"CREATE TRIGGER full BEFORE DELETE ON message BEGIN {full}; END")
        other.close()
        [judged] = line.judge([arrival(photos / "0000.png")])
        with pytest.raises(OutputError, match="disk full"):
            line.ledger.trim()
    assert judged.judgement.answer == "OK"


def test_a_second_farewell_waits_no_longer(tmp_path: Path) -> None:
    untils = list[float]()
    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        line._deliveries = [SimpleNamespace(stop=untils.append)]  # type: ignore[list-item]
        line.farewell()
    assert untils == [untils[0]] * 2


def with_threshold(product: LineProduct, value: float) -> LineProduct:
    identity = product.identity.model_copy(update={"threshold": value})
    manifest = product.manifest.model_copy(update={"identity": identity})
    return replace(product, threshold=Threshold(value=value), manifest=manifest)


def test_rows_wait_for_the_disk_of_their_run_folders_each_of_one_detector(
    product: LineProduct, photos: Path, tmp_path: Path
) -> None:
    disk, told, lines = tmp_path / "disk", list[str](), list[Line]()
    for value in (9.0, 0.0, 0.0):
        sink = open_sink(f"folder:{disk}/runs")
        station = Station([with_threshold(product, value)])
        lines.append(Line(station, Ledger(tmp_path / "line.sqlite"), [sink], told.append))
        with lines[-1] as line:
            if not disk.exists():
                frame = Arrival("frame", Image.new("RGB", (32, 24)), time.time())
                line.judge([arrival(photos / "0000.png"), arrival(photos / "gone/1.png"), frame])
            line.alarm("photos", "stopped", "it is silent")
            line.farewell()
            waiting = line.sinks[0].waiting
            assert line.ledger.trim() == 0
            rows = [line.ledger.row(number) for number in range(1, 8)]
        assert (waiting == 0, any(rows)) == ((True, False) if disk.exists() else (False, True))
        if len(lines) == 2:
            disk.mkdir()
    runs = [read_run(path) for path in (disk / "runs").iterdir()]
    assert {run.threshold and run.threshold.value for run in runs} == {9.0, 0.0}
    for run in runs:
        done, failed = run.rows()
        assert (done.verdict == "ok") == (run.threshold is not None and run.threshold.value == 9)
        assert failed.status == "failed"
        assert decode(run.folder / done.map).size == decode(photos / "0000.png").size
        assert run.manifest.result is not None
        assert (run.manifest.result.finished, run.manifest.result.images) == (True, 2)
    assert "make it, or mount its disk" in told[0]


def test_the_empty_folder_that_a_disk_leaves_is_not_written(
    product: LineProduct, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = to_run_folders(f"folder:{tmp_path}/runs")
    judged = Station([product]).judge([arrival(photos / "0000.png")])[0]
    assert judged.result is not None
    row = waiting_row(product, judged.result)
    with monkeypatch.context() as there:
        there.setattr(_run_sink, "mount_of", lambda path: (f"{tmp_path}/runs", "ext4"))
        folders.take_row(row)
    shutil.rmtree(tmp_path / "runs")
    with pytest.raises(OutputError, match=f"nothing is mounted at {tmp_path}/runs any more"):
        folders.take_row(row)
    assert not (tmp_path / "runs").exists()
    with monkeypatch.context() as back:
        back.setattr(_run_sink, "mount_of", lambda path: (f"{tmp_path}/runs", "ext4"))
        folders.take_row(row)
        folders.close()
    assert len(list(tmp_path.glob("runs/*/maps/*.png"))) == 1


@pytest.mark.parametrize("result", [(0.1, np.zeros((0, 0))), (math.nan, np.zeros((2, 2)))])
def test_what_is_scored_and_cannot_be_judged_has_no_row_and_stops_no_line(
    result: tuple[float, Any], product: LineProduct, photos: Path, tmp_path: Path
) -> None:
    path = photos / "0000.png"
    odd = SimpleNamespace(stream=lambda images, size: [Result(str(path), *result)])
    station = Station([replace(product, detector=odd)])  # type: ignore[arg-type]
    sink = open_sink(f"folder:{tmp_path}/runs")
    with Line(station, Ledger(tmp_path / "line.sqlite"), [sink]) as line:
        assert line.judge([arrival(path)])[0].judgement.answer == "NG"
    assert not (tmp_path / "runs").exists()
