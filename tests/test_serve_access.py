"""Who may ask the server, and what it offers beside judgements."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.types import Scope

from vlmad.errors import InputError
from vlmad_line.line_products import LineProduct
from vlmad_serve.access import Access, read_token
from vlmad_serve.refusals import Refusal

from .conftest import SMALL, Ended
from .test_serve import IMAGE, Running, answer_of, nut, problem, serving

__all__ = ["nut"]
TOKEN = "a-token-of-the-tests"
PNG = {"Content-Type": "image/png"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def locked(nut: LineProduct, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that wants a token, with a folder of fitted files."""
    spool, files = tmp_path_factory.mktemp("spool"), tmp_path_factory.mktemp("files")
    (files / "damaged.safetensors").write_bytes(b"nothing")
    (files / "link.safetensors").symlink_to(files / "damaged.safetensors")
    bolt = replace(nut, name='<b>"bolt"')
    with serving(spool, [nut, bolt], access=Access(TOKEN), offered=files) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"vlmad_session_0={TOKEN}"},
    ],
)
@pytest.mark.parametrize("path", ["/health", "/metrics", "/openapi.json", "/products", "/nothing"])
def test_without_the_token_nothing_is_told(
    locked: Running, path: str, headers: dict[str, str]
) -> None:
    assert problem(locked.ask("GET", path, headers=headers)) == 401


def test_the_token_opens_a_session_for_what_cannot_send_it(locked: Running) -> None:
    assert locked.score(**BEARER)[0] == 200
    assert problem(locked.ask("POST", "/session", headers={"Authorization": "Bearer no"})) == 401
    status, _, headers = locked.ask("POST", "/session", headers=BEARER)
    cookie = headers["set-cookie"]
    assert status == 204
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert locked.ask("GET", "/health", headers=session)[0] == 200
    elsewhere = {"Cookie": session["Cookie"].replace(str(locked.port), "8000")}
    assert problem(locked.ask("GET", "/health", headers=elsewhere)) == 401  # of another station
    other = {**session, "Origin": f"http://localhost:{locked.port}"}
    assert problem(locked.ask("GET", "/health", headers=other)) == 403


def asked(access: Access, **headers: str) -> int:
    """Return the status by which a request with such headers passes or not."""
    named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": named}
    try:
        access.check(scope)
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("host", "here", "elsewhere"),
    [
        ("localhost:8000", 200, 200),
        ("127.0.0.1", 200, 200),
        ("[::1]:8000", 200, 200),
        ("LOCALHOST", 200, 200),
        ("10.1.2.3:8000", 403, 200),
        ("station.example", 200, 200),
        ("localhost.evil.test", 403, 403),
        ("evil.test", 403, 403),
        ("localhost:x", 400, 400),
        ("", 400, 400),
    ],
)
def test_the_server_answers_to_its_own_names_only(host: str, here: int, elsewhere: int) -> None:
    names = ["Station.example"]
    assert asked(Access(None, names), host=host) == here
    assert asked(Access(TOKEN, names, loopback=False), host=host, **LOWER) == elsewhere


LOWER = {"authorization": BEARER["Authorization"]}


def test_only_its_own_page_may_ask_it() -> None:
    access, host = Access(None), "localhost:8000"
    assert asked(access, host=host, origin="http://localhost:8000") == 200
    assert asked(access, host=host, origin="https://localhost:8000") == 200
    assert asked(access, host=host, origin="http://localhost:9000") == 403
    assert asked(access, host=host, origin="file://localhost:8000") == 403
    assert asked(access, host=host, sec_fetch_site="same-origin") == 200
    assert asked(access, host=host, sec_fetch_site="same-site") == 403
    assert asked(access, host=host, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200


def test_products_change_while_the_server_runs(locked: Running) -> None:
    def put(name: str, **change: object) -> tuple[int, dict[str, object]]:
        status, said, _ = locked.ask("PUT", f"/products/{name}", json.dumps(change), BEARER)
        return status, said

    status, said = put("nut", threshold=0.0)
    assert status == 200
    assert locked.score(**BEARER)[1]["judgements"][0]["answer"] == "NG"
    assert put("nut", threshold=1.0)[0] == 200
    assert locked.score(**BEARER)[1]["judgements"][0]["answer"] == "OK"
    status, said = put("%3Cb%3E%22bolt%22", chosen=True)
    assert said["chosen"] == '<b>"bolt"'
    assert locked.score(**BEARER)[1]["judgements"][0]["product"] == '<b>"bolt"'
    text = locked.ask("GET", "/metrics", headers=BEARER)[1].decode()
    assert r'product="<b>\"bolt\"",answer="OK"' in text
    assert put("nut", chosen=True)[1]["chosen"] == "nut"
    assert locked.ask("DELETE", "/products/%3Cb%3E%22bolt%22", headers=BEARER)[0] == 200
    assert locked.score(query="?product=%3Cb%3E%22bolt%22", **BEARER)[0] == 404


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (422, "damaged.safetensors"),
        (404, "link.safetensors"),
        (404, "../files/damaged.safetensors"),
        (404, "/etc/passwd"),
        (404, ""),
    ],
)
def test_a_file_that_is_not_offered_or_damaged_changes_nothing(
    locked: Running, status: int, name: str
) -> None:
    before = locked.ask("GET", "/products", headers=BEARER)[1]
    assert before["files"] == ["damaged.safetensors"]
    body = json.dumps({"file": name, "chosen": True})
    assert problem(locked.ask("PUT", "/products/new", body, BEARER)) == status
    assert locked.ask("GET", "/products", headers=BEARER)[1] == before


def test_the_manifest_and_the_documents_are_published(locked: Running) -> None:
    manifest = locked.ask("GET", "/products/nut", headers=BEARER)[1]
    assert manifest["recipe"] == "winclip"
    published = locked.ask("GET", "/openapi.json", headers=BEARER)[1]
    assert {"Judgement", "ScoreAnswer", "Manifest", "RequestProblem"} <= set(
        published["components"]["schemas"]
    )
    assert "image/*" in published["paths"]["/score"]["post"]["requestBody"]["content"]


def test_judgements_are_told_as_they_are_made(locked: Running) -> None:
    connection = locked.connect()
    connection.request("GET", "/events", headers=BEARER)
    told = connection.getresponse()
    assert told.readline() == b"retry: 1000\n"
    other = locked.connect()
    other.request("POST", "/score?name=told.png", IMAGE, {**PNG, **BEARER})
    judgement = answer_of(other)[1]["judgements"][0]
    lines = iter(told.readline, b"")
    data = next(line for line in lines if b"told.png" in line)
    assert json.loads(data.removeprefix(b"data: ")) == judgement
    told.close()
    connection.close()


def test_a_token_is_one_long_line(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert read_token(path) == TOKEN
    for text in ("short", "x" * 20 + "\n" + "y" * 20, "ä" * 20):
        path.write_text(text)
        with pytest.raises(InputError, match="holds no token"):
            read_token(path)
    with pytest.raises(InputError, match="No such file"):
        read_token(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "who need a token; add --token-file"),
        (["--allow-host", "station.example"], "--allow-host is for who comes by another name"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["none.safetensors"], "there is no none.safetensors: vlmad fit --out"),
        (["a=x.safetensors", "a=y.safetensors"], "a name of its own"),
        (["--threshold", "bolt=0.5"], "no product 'bolt' is served"),
        (["--products", "nowhere"], "nowhere is no folder"),
        (["--token-file", "nowhere"], "nowhere: No such file"),
        (["--scorer", "mutual", *SMALL], "compares the images of a set"),
    ],
)
def test_the_command_refuses_what_cannot_be_served(
    command: Callable[..., Ended], words: list[str], said: str
) -> None:
    ended = command("serve", "--port", "0", *words)
    assert ended.status == 2
    assert said in ended.error
    assert "Traceback" not in ended.error
