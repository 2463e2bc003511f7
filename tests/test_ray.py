"""Runs on the machines of a Ray cluster: the same rows, whoever is killed meanwhile."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad_run.rows import ScoreRow, read_rows

from .conftest import SMALL, noise, vlmad

pytest.importorskip("ray", reason="Ray is not installed: pip install 'vlmad[ray]'")
pytest.importorskip("pyarrow", reason="Ray Data is not installed: pip install 'vlmad[ray]'")
from pyarrow import parquet

from vlmad_ray._row_files import read_row_files, write_row_file
from vlmad_ray._scoring_actor import ScoringActor

pytestmark = pytest.mark.slow
DETECTOR = ("photos", "--detector", "clip", *SMALL, "--threshold", "0.5")
RUN = ("run", *DETECTOR, "--batch-size", "2", "--overlays", "anomalous")
IMAGES, FILES = 16, 9
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, one of them unreadable and each worth some time, and a plain run over them."""
    place = tmp_path_factory.mktemp("scored")
    rng = np.random.default_rng(0)
    (place / "photos").mkdir()
    for index in range(IMAGES):
        values = rng.integers(0, 256, (700, 1000), dtype=np.uint8)
        Image.fromarray(values).save(place / "photos" / f"{index:02d}.png", compress_level=1)
    (place / "photos" / "03b.png").write_text("no image")
    assert vlmad(*RUN, "--quiet", "--out", "plain", cwd=place).returncode == 1
    return place


def results(out: Path) -> dict[str, object]:
    """Return all that is in a run folder but for times, commands and Parquet files."""
    found: dict[str, object] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in (*out.glob("maps/*"), *out.glob("overlays/*"))
    }
    table = list(csv.DictReader(io.StringIO((out / "scores.csv").read_text())))
    found["scores.csv"] = [{**row, "milliseconds": ""} for row in table]
    rows = [row.model_dump() for row in read_rows(out)]
    found["scores.jsonl"] = [{**row, "milliseconds": ""} for row in rows]
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["result"] |= {"seconds": 0}
    found["manifest.json"] = manifest | {"created": "", "command": []}
    return found


class Nodes:
    """Nodes of a cluster of this machine, each a process group of its own."""

    def __init__(self, place: Path) -> None:
        (place / "token").write_text(secrets.token_hex(32))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(place / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_register_timeout_seconds": "600",  # where all is slow
            "COLUMNS": "200",
        }
        self.place, self.running = place, list[subprocess.Popen[bytes]]()

    def start(self, *words: str) -> None:
        """Start a node, and wait until it is one; Ray gives up by itself where all is slow."""
        program = Path(sys.executable).with_name("ray")
        usual = ("--block", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000")
        own: dict[str, Any] = {"env": self.environment, "start_new_session": True}
        for _ in range(5):
            log = self.place / f"node{len(self.running)}.log"
            with log.open("wb") as out:
                command = [program, "start", *usual, *words]
                self.running.append(subprocess.Popen(command, stdout=out, stderr=out, **own))
            while self.running[-1].poll() is None:
                if "Ray runtime started" in log.read_text():
                    return
                time.sleep(0.05)
            self.kill()  # with what it has left
        if "timed out during startup" in log.read_text():
            pytest.skip("Ray gave up starting a node five times: this machine is too busy for it")
        pytest.fail(log.read_text())

    def head(self) -> None:
        """Start the node that all others and the commands know; it has no processors."""
        port, folder = self.address.partition(":")[2], f"--temp-dir={self.place}/ray"
        self.start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", folder)

    def worker(self) -> None:
        """Start a node with a processor."""
        self.start(f"--address={self.address}", "--num-cpus=1")

    def kill(self, node: int = -1) -> None:
        """Kill a node, by default the last, with all that runs on it."""
        with suppress(ProcessLookupError):
            os.killpg(self.running[node].pid, signal.SIGKILL)
        self.running[node].wait()

    def command(self, place: Path, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start vlmad on the cluster."""
        engine = ("--engine", f"ray:address={self.address}")
        program = [sys.executable, "-m", "vlmad", *map(str, words), *engine]
        with (self.place / "command.log").open("ab") as out:
            return subprocess.Popen(
                program, cwd=place, env=self.environment, stdout=out, stderr=out
            )


def until(true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is true, however long it takes, while a process runs."""
    while not true():
        assert process.poll() is None, process.args
        time.sleep(0.02)


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    place = Path("/tmp") / f"vlmad-ray-{secrets.token_hex(4)}"  # sockets bear no long names
    place.mkdir(mode=0o700)
    cluster = Nodes(place)
    try:
        yield cluster
    finally:
        for index in range(len(cluster.running)):
            cluster.kill(index)
        shutil.rmtree(place)


def test_rows_are_those_of_a_plain_run_though_a_machine_is_killed(
    scored: Path, tmp_path: Path, nodes: Nodes
) -> None:
    out = tmp_path / "out"

    def files() -> int:
        return len(list((out / "rows").glob("*.parquet")))

    nodes.head()
    nodes.worker()
    command = nodes.command(scored, *RUN, "--out", out)
    until(lambda: files() >= 2, command)
    nodes.kill()
    assert files() < FILES
    nodes.worker()
    assert command.wait() == 1, (nodes.place / "command.log").read_text()  # one is no image
    assert results(out) == results(scored / "plain")
    images = [row.image for row in read_row_files(out)]
    assert len(images) == len(set(images)) == IMAGES + 1


@pytest.fixture
def begun(scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with nothing done, as machines find it."""
    out = tmp_path / "begun"
    out.mkdir()
    shutil.copy(scored / "plain" / "manifest.json", out)
    monkeypatch.chdir(scored)  # an actor changes to the folder of the command
    return out


def test_an_actor_writes_the_rows_and_maps_of_a_plain_run(scored: Path, begun: Path) -> None:
    actor = ScoringActor(str(begun), 2, "cpu", ())
    told = actor({"names": [b"photos/02.png", b"photos/03.png", b"photos/03b.png"]})
    assert told["fault"] == ""
    rows = {row.image: row for row in read_row_files(begun)}
    plain = {row.image: row for row in read_rows(scored / "plain")}
    for name in ("photos/03.png", "photos/03b.png"):
        assert rows[name].model_copy(update={"milliseconds": None}) == plain[name].model_copy(
            update={"milliseconds": None}
        )
    stored = plain["photos/03.png"].map
    assert (begun / stored).read_bytes() == (scored / "plain" / stored).read_bytes()


def test_what_machines_have_written_is_not_scored_again(
    scored: Path, begun: Path, tmp_path: Path
) -> None:
    names = [os.fsencode(row.image) for row in read_rows(scored / "plain")]
    ScoringActor(str(begun), 2, "cpu", ())({"names": names})
    when = {path: path.stat().st_mtime_ns for path in (begun / "maps").iterdir()}
    (scored / "photos" / "03b.png").rename(tmp_path / "03b.png")
    try:  # with nothing left to do, it asks for no cluster
        images = ("--engine", "ray:address=127.0.0.1:1", "--out", begun)
        done = vlmad(*RUN, "--quiet", *images, cwd=scored)
    finally:
        (tmp_path / "03b.png").rename(scored / "photos" / "03b.png")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in (begun / "maps").iterdir()} == when
    scores = {row.image: row.score for row in read_rows(begun)}
    assert scores == {row.image: row.score for row in read_rows(scored / "plain")}


def test_a_machine_without_the_images_fails_the_run_and_no_image(begun: Path) -> None:
    names = {"names": [b"elsewhere/1.png"]}
    told = ScoringActor(str(begun), 2, "cpu", ())(names)
    assert told["lines"] == []
    assert "elsewhere is not there; all machines must see the images" in told["fault"]
    assert not (begun / "rows").exists()
    told = ScoringActor(str(begun), 2, "cpu", ["elsewhere"])(names)
    assert told["fault"] == ""
    assert json.loads(told["lines"][0])["status"] == "failed"


def test_a_machine_with_another_detector_scores_nothing(begun: Path) -> None:
    manifest = json.loads((begun / "manifest.json").read_text())
    manifest["identity"]["weights_sha256"] = "0" * 64
    (begun / "manifest.json").write_text(json.dumps(manifest))
    told = ScoringActor(str(begun), 2, "cpu", ())({"names": [b"photos/03.png"]})
    assert told["lines"] == []
    assert "another detector than the command's: weights_sha256" in told["fault"]


def test_rows_are_read_back_and_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    rows = [
        ScoreRow(image="a.png", status="failed", reason="no image", notes=["one", "two"]),
        ScoreRow(image="\udcff.png", status="failed", reason="of a name that is no text"),
    ]
    write_row_file(tmp_path, ["a.png", "\udcff.png"], rows)
    write_row_file(tmp_path, ["a.png", "\udcff.png"], rows)
    [file] = (tmp_path / "rows").iterdir()
    assert list(read_row_files(tmp_path)) == rows[:1]
    table = parquet.read_table(file)
    assert table["image"].to_pylist() == ["a.png", None]  # an escape would be another's name
    (tmp_path / "rows" / "b.parquet").write_bytes(file.read_bytes()[:-9])
    parquet.write_table(table.drop_columns(["score"]), tmp_path / "rows" / "c.parquet")
    os.mkfifo(tmp_path / "rows" / "d.parquet")
    assert list(read_row_files(tmp_path)) == rows[:1]


def test_of_several_rows_of_an_image_the_newest_is_read(tmp_path: Path) -> None:
    for reason, others in (("old", ["x"]), ("new", ["y"]), ("older", ["z"])):
        row = ScoreRow(image="a.png", status="failed", reason=reason)
        before = set((tmp_path / "rows").glob("*"))
        write_row_file(tmp_path, ["a.png", *others], [row])
        [written] = set((tmp_path / "rows").iterdir()) - before
        os.utime(written, (age := {"old": 200, "new": 300, "older": 100}[reason], age))
    assert [row.reason for row in read_row_files(tmp_path)] == ["new"]


def test_engines_and_options_that_cannot_be_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(tmp_path / "photos", 1)
    for engine, words in (
        ("spark", "no cluster is called 'spark'"),
        ("ray:workers=-1", "option 'workers' takes"),
        ("ray:memory=1", "has no option 'memory'"),
    ):
        refused = vlmad(*RUN, "--engine", engine, cwd=tmp_path)
        assert refused.returncode == 2
        assert words in refused.stderr
    together = ("run", "photos", "--detector", "musc", *SMALL, "--engine", "ray")
    assert "leave out --engine" in vlmad(*together, cwd=tmp_path).stderr
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'vlmad[ray]'" in vlmad(*RUN, "--engine", "ray", cwd=tmp_path).stderr
    assert not list(tmp_path.glob("vlmad-runs/*"))
