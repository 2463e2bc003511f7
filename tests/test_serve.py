"""A station that is asked over HTTP: what it answers, what it refuses, and how it stops."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError, OutputError
from vlmad.images import decode
from vlmad_formats._pillow_format import PillowFormat
from vlmad_formats.reading import Reading
from vlmad_groups.combining import Combine, PartRule
from vlmad_line import delivery
from vlmad_line.judgements import Judgement, PartJudgement
from vlmad_line.ledger import Ledger
from vlmad_line.line import Line
from vlmad_line.line_products import LineProduct, open_product
from vlmad_line.sinks import OpenSink, open_sink
from vlmad_line.station import Station
from vlmad_run.choosing import Choice
from vlmad_run.manifest import GoodScores
from vlmad_run.part_grouping import parse_grouping
from vlmad_run.references import References
from vlmad_run.thresholds import Threshold
from vlmad_serve import batching, listening, thumbnails
from vlmad_serve.access import Access
from vlmad_serve.application import make_app
from vlmad_serve.cli import _line
from vlmad_serve.listening import bind, make_server
from vlmad_serve.offered_products import offer
from vlmad_serve.operator_verdicts import OperatorVerdicts
from vlmad_serve.reviewing import Reviewing
from vlmad_serve.sent_views import ONE_BY_ONE, sent_views
from vlmad_serve.served import Served
from vlmad_serve.settings import Record, ServeLimits
from vlmad_serve.uploads import Upload, pixels_of
from vlmad_serve.written import written

from .conftest import SMALL

CHOICE = Choice(detector="winclip", backbone=SMALL[1], settings=[SMALL[3]])


def png(size: tuple[int, int] = (32, 24), seed: int = 0) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


IMAGE = png()
PNG = {"Content-Type": "image/png"}


class Running:
    """A server that runs, and clients of it."""

    def __init__(self, served: Served, port: int, stop: Callable[[], None]) -> None:
        self.served, self.port, self.stop = served, port, stop

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, body (JSON read) and headers, from a connection of its own."""
        connection = self.connect()
        connection.request(method, path, body, headers or {})
        return answer_of(connection)

    def score(self, image: bytes = IMAGE, query: str = "", **headers: str) -> tuple[int, Any]:
        status, said, _ = self.ask(
            "POST", f"/score{query}", image, {"Content-Type": "image/png", **headers}
        )
        return status, said

    def raw(self, *pieces: bytes) -> bytes:
        """Send bytes that may be no HTTP, and return what comes until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            for piece in pieces:
                client.sendall(piece)
            return b"".join(iter(lambda: client.recv(65536), b""))


def answer_of(connection: http.client.HTTPConnection) -> tuple[int, Any, dict[str, str]]:
    response = connection.getresponse()
    content, headers = response.read(), {k.lower(): v for k, v in response.getheaders()}
    connection.close()
    said = json.loads(content) if headers.get("content-type") == "application/json" else content
    return response.status, said, headers


@pytest.fixture(scope="module")
def nut() -> LineProduct:
    product = open_product(CHOICE, References(), name="nut")
    return replace(product, threshold=Threshold(value=1.0))


Serve = Callable[..., Running]


@contextmanager
def serving(folder: Path, products: list[LineProduct], **settings: Any) -> Iterator[Running]:
    access = settings.pop("access", Access(None))
    offered, ledger = settings.pop("offered", None), settings.pop("ledger", None)
    views = settings.pop("views", ONE_BY_ONE)
    station = Station(products)
    line = ledger and Line(station, Ledger(ledger), [open_sink(settings.pop("to"))])
    with line or nullcontext():
        served = Served(station, ServeLimits(**settings), folder, line, views)
        yield from _served(served, offered, access)


def _served(served: Served, offered: Path | None, access: Access) -> Iterator[Running]:
    verdicts = OperatorVerdicts(served.spool._folder.with_name("verdicts"), served.station)
    reviewing = Reviewing(served.station, verdicts, Choice())
    offering = offer(served.station, offered, Choice(), served.newest.forget)
    app = make_app(served, offering, reviewing, access)
    bound = bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    server = make_server(app, served.events.stop, served.refuse_unread)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.002)

    def stop() -> None:
        server.should_exit = True

    try:
        yield Running(served, port, stop)
    finally:
        stop()
        thread.join()
        served.stop()
        reviewing.stop()


@pytest.fixture(scope="module")
def serve(nut: LineProduct, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start servers with limits; those of the same limits are one."""
    started: dict[str, Running] = {}
    with ExitStack() as stack:

        def start(**settings: Any) -> Running:
            if repr(settings) not in started:
                folder = tmp_path_factory.mktemp("spool")
                running = serving(folder, [nut, replace(nut, name="bolt")], **settings)
                started[repr(settings)] = stack.enter_context(running)
            return started[repr(settings)]

        yield start


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Return a form with files, and its header."""
    parts = [
        b'--limit\r\nContent-Disposition: form-data; name="image"; filename="%b"\r\n'
        b"Content-Type: image/png\r\n\r\n%b\r\n" % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--limit--\r\n", {
        "Content-Type": "multipart/form-data; boundary=limit"
    }


def problem(answer: tuple[int, Any] | tuple[int, Any, Any]) -> int:
    """Return the status of a refusal, which says what is wrong and what to do."""
    assert set(answer[1]) == {"error", "remedy"}, answer
    assert answer[1]["error"]
    assert answer[1]["remedy"]
    return answer[0]


def test_an_image_is_judged_as_by_the_station_itself(
    serve: Serve, nut: LineProduct, tmp_path: Path
) -> None:
    path = tmp_path / "nut.png"
    path.write_bytes(IMAGE)
    [expected] = nut.detector.stream([path], 1)
    status, said = serve().score(query="?name=nut.png")
    [judgement] = said["judgements"]
    assert status == 200
    assert judgement["score"] == pytest.approx(expected.score, rel=1e-6)
    assert (judgement["answer"], judgement["image"], judgement["product"]) == (
        "OK",
        "nut.png",
        "nut",
    )


def test_several_images_are_answered_in_order_and_a_broken_one_is_ng(serve: Serve) -> None:
    images = [(f"{n}.png", png(seed=n)) for n in range(9)]
    body, headers = form(*images[:5], ("broken.png", b"no image"), *images[5:])
    status, said, _ = serve().ask("POST", "/score?map=png&product=bolt", body, headers)
    judgements = said["judgements"]
    assert status == 200
    assert [j["image"] for j in judgements] == [
        *(f"{n}.png" for n in range(5)),
        "broken.png",
        *(f"{n}.png" for n in range(5, 9)),
    ]
    assert [j["answer"] for j in judgements].count("OK") == 9
    broken = judgements[5]
    assert (broken["answer"], broken["score"]) == ("NG", None)
    assert broken["reason"] == "broken.png: not an image of a known format"
    assert {j["product"] for j in judgements} == {"bolt"}
    assert set(said["maps"]) == {j["id"] for j in judgements} - {broken["id"]}
    single = [serve().score(content)[1]["judgements"][0]["score"] for _, content in images]
    assert single == pytest.approx([j["score"] for j in judgements if j["score"]], rel=1e-5)


def test_what_cannot_be_scored_is_ng_with_a_status_of_its_own(serve: Serve) -> None:
    status, said = serve().score(b"no image")
    assert status == 422
    assert said["error"]
    assert said["judgements"][0]["answer"] == "NG"


def test_several_views_of_one_part_get_one_verdict(serve: Serve) -> None:
    views = [(f"{n}.png", png(seed=n)) for n in range(9)]  # more than are judged together
    status, said, _ = serve().ask("POST", "/score?part=0042&views=9", *form(*views))
    [part] = said["parts"]
    assert (status, part["part"], part["answer"], part["worst"]) == (
        200,
        "0042",
        "OK",
        max(said["judgements"], key=lambda each: float(each["score"]))["image"],
    )
    assert part["views"] == [each["id"] for each in said["judgements"]]
    assert {each["part"] for each in said["judgements"]} == {"0042"}
    history = serve().ask("GET", "/history?answer=OK&limit=3")[1]
    assert [each["id"] for each in history["parts"]] == [part["id"]]
    assert [each["part"] for each in history["judgements"]] == ["0042"] * 3
    assert 'vlmad_parts_total{answer="OK"} 1' in serve().ask("GET", "/metrics")[1].decode()


@pytest.mark.parametrize(
    ("files", "query", "reason"),
    [
        ([("a", b"no image"), ("b", IMAGE)], "", "a: not an image of a known format"),
        ([("a", IMAGE)], "&views=2", "1 of 2 views"),
        ([("a", IMAGE), ("a", IMAGE)], "&views=2", "1 of 2 views"),
        ([("a", IMAGE), ("b", IMAGE), ("c", IMAGE)], "&views=2", "3 of 2 views"),
    ],
)
def test_a_part_that_is_not_whole_is_ng(
    serve: Serve, files: list[tuple[str, bytes]], query: str, reason: str
) -> None:
    said = serve().ask("POST", f"/score?part=1{query}", *form(*files))[1]
    [part] = said["parts"]
    assert (part["answer"], part["reason"]) == ("NG", reason)


def test_parts_are_found_in_the_names_of_the_images_of_a_request(
    nut: LineProduct, tmp_path: Path
) -> None:
    (spool := tmp_path / "spool").mkdir()
    (tmp_path / "parts.csv").write_text("image,part\n1_a.png,1\n1_b.png,1\n2/c.png,2\n2/d.png,2\n")
    files = [(name, IMAGE) for name in ("1_a.png", "1_b.png", "2/c.png", "lid.png")]
    found = {}
    for how in ("pattern:^([0-9])", "folder", f"table:{tmp_path}/parts.csv"):
        views = sent_views(parse_grouping(how), PartRule(views=2))
        with serving(spool, [nut], views=views) as running:
            found[how[:5]] = running.ask("POST", "/score", *form(*files))[1]["parts"]
            assert problem(running.ask("POST", "/score?part=1&views=1", *form(*files))) == 400
    answers = {
        how: [(part["part"], part["answer"], part["reason"]) for part in parts]
        for how, parts in found.items()
    }
    whole, lone = ("1", "OK", ""), "it belongs to no part by --group; 1 of 2 views"
    assert answers == {
        "patte": [whole, ("2", "NG", "1 of 2 views"), ("lid.png", "NG", lone)],
        "folde": [(".", "NG", "3 of 2 views"), ("2", "NG", "1 of 2 views")],
        "table": [whole, ("2", "NG", "without /2/d.png; 1 of 2 views"), ("lid.png", "NG", lone)],
    }


def test_a_part_is_never_ok_by_p_values_that_could_never_be_an_alarm(
    nut: LineProduct, tmp_path: Path
) -> None:
    views = sent_views(parse_grouping("folder"), PartRule(Combine.harmonic, 2))
    with pytest.raises(InputError, match="needs p-values, as of --model of vlmad fit"):
        views.require_possible(nut)
    good = GoodScores.model_construct(scores=[0.1] * 12)  # as of a product exchanged meanwhile
    product = replace(nut, manifest=nut.manifest.model_copy(update={"good": good}))
    with serving(tmp_path, [product], views=views) as running:
        said = running.ask("POST", "/score?part=1", *form(("a", IMAGE), ("b", png(seed=1))))[1]
    [part] = said["parts"]
    assert (part["answer"], part["p_value"]) == ("NG", pytest.approx(2 / 13))
    assert "could never be anomalous: --combine harmonic at --level 0.05 needs 39" in part["reason"]


def test_maps_and_images_of_the_last_judgements_can_be_had(serve: Serve) -> None:
    running = serve(keep=2)
    ids = [running.score(png(seed=n))[1]["judgements"][0]["id"] for n in range(3)]
    status, content, headers = running.ask("GET", f"/maps/{ids[2]}.png")
    heat = Image.open(BytesIO(content))
    assert (status, heat.size, heat.mode) == (200, (32, 24), "I;16")
    assert np.asarray(heat).min() == 0
    assert float(headers["x-map-low"]) == float(heat.info["map_low"]) < float(heat.info["map_high"])
    _, content, _ = running.ask("GET", f"/images/{ids[1]}.jpg")
    assert Image.open(BytesIO(content)).format == "JPEG"
    assert problem(running.ask("GET", f"/maps/{ids[0]}.png")) == 404
    _, said, _ = running.ask("GET", "/history")
    assert [each["id"] for each in said["judgements"]] == ids[::-1]
    assert said["kept"] == [ids[2], ids[1]]
    assert len(list(running.served.spool._folder.iterdir())) == 2


def test_the_history_comes_in_pages_and_by_answer(serve: Serve) -> None:
    running = serve(keep=3)
    ids = [running.score(query="?product=bolt")[1]["judgements"][0]["id"] for _ in range(3)]
    running.score(b"no image")
    first = running.ask("GET", "/history?answer=OK&limit=2")[1]
    assert [each["id"] for each in first["judgements"]] == [ids[2], ids[1]]
    rest = running.ask("GET", f"/history?answer=OK&limit=2&before={first['more']}")[1]
    assert [each["id"] for each in rest["judgements"]] == [ids[0]]
    assert rest["more"] == ""
    assert len(running.ask("GET", "/history?product=bolt")[1]["judgements"]) == 3


REFUSED: list[tuple[int, str, str, Any, dict[str, str]]] = [
    (404, "GET", "/nothing", None, {}),
    (405, "GET", "/score", None, {}),
    (404, "POST", "/score?product=screw", IMAGE, {"Content-Type": "image/png"}),
    (400, "POST", "/score?views=2", IMAGE, {"Content-Type": "image/png"}),
    (400, "POST", "/score?part=%20", IMAGE, {"Content-Type": "image/png"}),
    (422, "POST", "/score?map=gif", IMAGE, {"Content-Type": "image/png"}),
    (415, "POST", "/score", IMAGE, {"Content-Type": "text/plain"}),
    (400, "POST", "/score", b"", {"Content-Type": "image/png"}),
    (400, "POST", "/score", *form()),
    (400, "POST", "/score", b"--limit", {"Content-Type": "multipart/form-data"}),
    (400, "POST", "/score", *form(*[("x.png", b"")] * 3)),
    (413, "POST", "/score", bytes(2 << 20), {"Content-Type": "image/png"}),
    (413, "POST", "/score", iter([bytes(1 << 19)] * 4), {"Content-Type": "image/png"}),
    (403, "POST", "/score", IMAGE, {"Content-Type": "image/png", "Origin": "http://evil.test"}),
    (403, "POST", "/score", IMAGE, {"Content-Type": "image/png", "Origin": "null"}),
    (403, "GET", "/history", None, {"Host": "evil.test:8000"}),
    (403, "GET", "/history", None, {"Sec-Fetch-Site": "cross-site"}),
    (400, "GET", "/history", None, {"Host": "a@localhost"}),
    (422, "PUT", "/products/nut", b"{", {}),
    (404, "PUT", "/products/screw", b'{"threshold": 1.0}', {}),
    (403, "PUT", "/products/screw", b'{"file": "../x.safetensors"}', {}),
    (409, "DELETE", "/products/nut", None, {}),
    (422, "GET", "/history?limit=1000000", None, {}),
]


@pytest.mark.parametrize(
    "case", range(len(REFUSED)), ids=[f"{each[0]} {each[2]}" for each in REFUSED]
)
def test_each_refusal_says_what_is_wrong_and_what_to_do(serve: Serve, case: int) -> None:
    status, method, path, body, headers = REFUSED[case]
    running = serve(most_megabytes=1, most_images=2)
    assert problem(running.ask(method, path, body, headers)) == status
    assert not list(running.served.spool._folder.iterdir())


def test_a_decompression_bomb_is_ng_and_not_decoded(serve: Serve) -> None:
    running = serve(most_megapixels=1)
    bomb = BytesIO()
    Image.new("1", (3000, 3000)).save(bomb, "PNG")
    status, said = running.score(bomb.getvalue())
    [judgement] = said["judgements"]
    assert status == 422
    assert judgement["answer"] == "NG"
    assert "more than 1 million pixels" in judgement["reason"]
    assert problem(running.ask("GET", f"/images/{judgement['id']}.jpg")) == 404


def test_images_are_decoded_together_by_their_pixels_and_none_to_learn_its_size(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, decoded = serve(), list[int]()
    monkeypatch.setattr(batching, "MOST_PIXELS", 2 * 300 * 200)
    judging, judge = running.served.judging, running.served.judging._judge

    def counting(batch: Any) -> Any:
        decoded.append(len(batch))
        return judge(batch)

    def fail(*_: Any) -> None:
        raise AssertionError("it is decoded while it is asked for its size")

    monkeypatch.setattr(judging, "_judge", counting)
    files = []
    for kind in ("WebP", "GIF", "BMP", "TIFF", "JPEG", "PPM"):
        file = BytesIO()
        Image.new("RGB", (300, 200)).save(file, kind)
        path = running.served.spool._folder / kind
        path.write_bytes(content := file.getvalue())
        with monkeypatch.context() as unread:
            unread.setattr(PillowFormat, "raster", fail)
            assert pixels_of(Upload(kind, path, 0), Reading()) == 60_000
        assert isinstance(pixels_of(Upload(kind, path, 0), Reading(most_pixels=9)), str)
        path.unlink()
        files.append((kind, content))
    said = running.ask("POST", "/score", *form(*files))[1]
    assert {each["answer"] for each in said["judgements"]} == {"OK"}
    assert decoded == [2, 2, 2]


def test_an_image_is_made_small_once_however_often_it_is_asked_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, decoded = serve(), list[Path]()
    name = running.score(png((1300, 20)))[1]["judgements"][0]["id"]

    def counting(path: Path, **how: Any) -> Image.Image:
        decoded.append(path)
        return decode(path, **how)

    monkeypatch.setattr(thumbnails, "decode", counting)
    with ThreadPoolExecutor(4) as clients:
        asked = clients.map(lambda _: running.ask("GET", f"/images/{name}.jpg"), range(4))
        [(content, width)] = {(each[1], each[2]["x-image-width"]) for each in asked}
    assert (Image.open(BytesIO(content)).width, width) == (640, "1300")
    assert len(decoded) == 1


def test_what_is_no_http_is_refused_in_json(serve: Serve) -> None:
    answer = serve().raw(b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "remedy"}


def test_a_body_that_does_not_come_is_refused_and_its_place_given_back(serve: Serve) -> None:
    running = serve(body_seconds=0.1, queue=1)
    head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    answer = running.raw(head + b"Connection: close\r\nContent-Length: 9\r\n\r\n", b"half")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert running.score()[0] == 200


def test_a_head_that_does_not_come_ends_the_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "HEADER_SECONDS", 0.05)
    newest = serve().served.newest
    assert serve().raw() == b""
    before = newest.refused
    assert serve().raw(b"POST /score HT") == b""
    assert newest.refused == before + 1  # it may have been an image


def test_too_many_connections_are_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST_CONNECTIONS", -1)
    answer = serve().raw()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "remedy"}


@pytest.mark.slow
def test_what_the_documentation_asks_by_curl_is_answered(serve: Serve, tmp_path: Path) -> None:
    """Each line of each page, against one server."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    pages = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
    texts = [page.read_text(encoding="utf-8") for page in pages]
    commands = [line for text in texts for line in re.findall(r"^curl .*$", text, re.MULTILINE)]
    for name in re.findall(r"@([\w.]+)", " ".join(commands)):
        (tmp_path / name).write_bytes(IMAGE)
    (tmp_path / "token").write_text("secret")
    running = serve(queue=99)
    where = f"127.0.0.1:{running.port}"
    running.score()
    while "nut" not in running.ask("GET", "/drift")[1]["products"]:  # a page begins anew with it
        assert running.served.drift.report().fault == ""
    assert len(commands) > 8
    for line in commands:
        command, count = re.subn(r"(127\.0\.0\.1|station):8000", where, line)
        assert count, line
        subprocess.run(
            ["sh", "-c", f"{command} -sS --fail"], cwd=tmp_path, check=True, capture_output=True
        )


def test_a_ledger_has_each_judgement_before_it_is_told(
    nut: LineProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, table = tmp_path / "spool", tmp_path / "line.csv"
    spool.mkdir()
    for _ in range(2):  # the second goes on with what the first wrote
        with serving(spool, [nut], ledger=tmp_path / "ledger", to=f"csv:{table}") as running:
            for n in range(2):
                running.score(query=f"?name={n}.png")
            running.score(b"no image", "?part=7")
            running.score(IMAGE, "?part=8&views=2")
            for history in (running.served.history, running.served.recent.history):
                lone, broken = history(2, "", "NG", None).parts
                assert (lone.part, broken.part) == ("8", "7")
            with monkeypatch.context() as broken:
                broken.setattr(line_of(running).ledger, "write", full)
                assert problem(running.ask("POST", "/score", IMAGE, PNG)) == 507
            assert "no space left" in running.ask("GET", "/health")[1]["alarms"][0]
            first = running.ask("GET", "/history?answer=OK&limit=1")[1]
            rest = running.ask("GET", f"/history?answer=OK&before={first['more']}")[1]
            assert running.ask("GET", f"/history?before={'9' * 30}")[0] == 200
    assert [each["image"] for each in first["judgements"]] == ["1.png"]
    assert [each["image"] for each in rest["judgements"]] == ["0.png", "1.png", "0.png"]
    assert rest["judgements"][0]["file"] == ""
    assert table.read_text().count("nut,") == 8


def test_a_page_of_the_history_may_end_between_the_views_of_a_part(tmp_path: Path) -> None:
    views = [
        Judgement(
            id=f"view-{n:06}", at="", image=f"{n}.png", answer="OK", part="8",
            score=0.1, threshold=0.5,
        )
        for n in range(2)
    ]  # fmt: skip
    ids, images = [each.id for each in views], [each.image for each in views]
    part = PartJudgement(
        id="part-000008", at="", part="8", answer="OK", images=images, views=ids, score=0.1
    )
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.write([*views, part])
        first = written(ledger, 1, "", "OK", None)
        rest = written(ledger, 1, first.more, "OK", None)
        assert written(ledger, 1, first.more, "NG", None).judgements == []
        assert written(ledger, 9, "9" * 18, None, None).parts == [part]  # once
    assert [each.id for page in (first, rest) for each in page.judgements] == ids[::-1]
    assert first.parts == rest.parts == [part]


def test_a_sink_of_run_folders_is_refused_since_what_is_sent_is_no_file(tmp_path: Path) -> None:
    record = Record(to=[f"folder:{tmp_path}/runs"], ledger=tmp_path / "ledger")
    with (
        pytest.raises(InputError, match="takes files, and none are sent"),
        _line(record, Station()),
    ):
        pass


def line_of(running: Running) -> Line:
    assert running.served.line is not None
    return running.served.line


def full(_: object) -> None:
    raise OutputError("cannot write the ledger: no space left")


def test_a_sink_that_hangs_is_an_alarm(
    nut: LineProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "HANGS", -1.0)
    began, ends = threading.Event(), threading.Event()

    def deliver(_: object) -> None:
        began.set()
        ends.wait(60)

    sink = OpenSink("csv:far", deliver)
    with Line(Station([nut]), Ledger(tmp_path / "ledger"), [sink]) as line:
        served = Served(line.station, ServeLimits(), tmp_path, line)
        line.alarm("camera", "stopped", "it is gone")
        assert began.wait(60)
        [alarm] = served.health().alarms
        ends.set()
        served.stop()
    assert alarm.startswith("csv:far lacks 1 messages: a delivery has not ended for")


def test_it_tells_whether_images_are_like_the_usual_ones(serve: Serve) -> None:
    running = serve()
    assert running.score(query="?product=bolt")[0] == 200
    while "bolt" not in (found := running.ask("GET", "/drift")[1]["products"]):
        assert running.served.drift.report().fault == ""
    assert (found["bolt"]["drift"], found["bolt"]["words"][:8]) == (False, "no drift")
    assert running.ask("POST", "/drift/bolt/anew")[0] == 200
    assert running.ask("POST", "/drift/screw/anew")[0] == 404
