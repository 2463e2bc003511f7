"""Images in a bucket of a real server: the same rows as of files, and no word of who asks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import InputError
from vlmad_run.rows import read_rows
from vlmad_s3._client import as_of_files
from vlmad_s3.bucket_finding import BUCKETS
from vlmad_s3.bucket_objects import BucketObject

from .conftest import SMALL, noise, vlmad

SECRET = "a-secret-that-nobody-may-see"
DETECTOR = ("--detector", "clip", *SMALL, "--threshold", "0.5", "--batch-size", "2")
OTHERS = {"shot_mask.png": b"", "shot.txt": b"", ".hidden.png": b"", "ground_truth/a.png": b""}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of S3 in a process of its own."""
    pytest.importorskip("moto.server", reason="no server of S3: pip install 'moto[s3,server]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out) as process:
        try:
            while "Running on" not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An empty bucket that the environment leads to, and what may be asked of it."""
    boto3 = pytest.importorskip("boto3", reason="not installed: pip install 'vlmad[s3]'")
    monkeypatch.setattr("vlmad_s3._client._clients", {})
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    resource = boto3.resource("s3")
    for each in resource.buckets.all():
        each.objects.all().delete()
        each.delete()
    return resource.create_bucket(Bucket="photos")


def put(bucket: Any, folder: Path) -> None:
    """Put a folder into a bucket."""
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put_object(Key=str(path.relative_to(folder.parent)), Body=path.read_bytes())


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return rows but for what a place gives them: times, and names of files."""
    return [
        row.model_dump(exclude={"milliseconds", "modified", "image", "map", "overlay"})
        | {"name": row.image.partition("parts/")[2], "reason": row.reason.rpartition(": ")[2]}
        for row in read_rows(out)
    ]


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def parts(bucket: Any, tmp_path: Path) -> Path:
    """Images in folders, one of them unreadable, as files and in the bucket."""
    noise(tmp_path / "parts", 5)
    noise(tmp_path / "parts" / "0002", 2)  # a folder beside a file of nearly its name
    (tmp_path / "parts" / "0002b.png").write_text("no image")
    put(bucket, tmp_path / "parts")
    for name, content in OTHERS.items():
        bucket.put_object(Key=f"parts/{name}", Body=content)
    bucket.put_object(Key="parts/shot.png", Body=(tmp_path / "parts/0001.png").read_bytes())
    shutil.copy(tmp_path / "parts/0001.png", tmp_path / "parts/shot.png")
    return tmp_path


@pytest.mark.slow
def test_a_run_over_a_bucket_has_the_rows_of_a_run_over_files(parts: Path, bucket: Any) -> None:
    assert vlmad("run", "parts", *DETECTOR, "--out", "plain", cwd=parts).returncode == 1
    done = vlmad("run", "s3://photos/parts", *DETECTOR, "--out", "remote", cwd=parts)
    assert done.returncode == 1, done.stderr  # one is no image
    assert rows_of(parts / "remote") == rows_of(parts / "plain")
    assert "s3://photos/parts/0002b.png: not an image" in done.stderr
    images = [row.image for row in read_rows(parts / "remote")]
    assert images[0] == "s3://photos/parts/0000.png"
    overlays = {len(list((parts / out / "overlays").iterdir())) for out in ("plain", "remote")}
    assert len(overlays) == 1
    told = done.stderr.encode() + done.stdout.encode() + everything_in(parts / "remote")
    assert b"someone" not in told
    assert SECRET.encode() not in told


@pytest.mark.slow
def test_a_run_over_a_bucket_goes_on_from_anywhere_and_sees_what_changed(
    parts: Path, bucket: Any
) -> None:
    words = ("run", "s3://photos/parts/", *DETECTOR, "--out", parts / "out")
    vlmad(*words, "--quiet", cwd=parts)
    when = {path: path.stat().st_mtime_ns for path in (parts / "out" / "maps").iterdir()}
    content = (parts / "parts/0003.png").read_bytes()
    bucket.put_object(Key="parts/0002b.png", Body=content)
    bucket.put_object(Key="parts/0001.png", Body=content)
    (parts / "elsewhere").mkdir()
    done = vlmad(*words, cwd=parts / "elsewhere")
    assert done.returncode == 0, done.stderr
    now = {path: path.stat().st_mtime_ns for path in (parts / "out" / "maps").iterdir()}
    anew = {path.name.rpartition("-")[0] for path in now if now[path] != when.get(path)}
    assert anew == {"parts_0001", "parts_0002b"}
    again = vlmad("run", "--manifest", "out", "--out", "again", "--quiet", cwd=parts)
    assert "scores agree: 9 compared" in again.stderr


@pytest.mark.slow
def test_a_listed_object_that_is_missing_is_a_row(parts: Path, bucket: Any) -> None:
    names = ("0000.png", "lost.png", "0001.png")
    (parts / "list.txt").write_text("".join(f"s3://photos/parts/{name}\n" for name in names))
    done = vlmad("run", "@list.txt", *DETECTOR, "--out", "out", cwd=parts)
    assert done.returncode == 1, done.stderr
    rows = {row.image.rpartition("/")[2]: row for row in read_rows(parts / "out")}
    assert [rows[name].status for name in names] == ["done", "failed", "done"]
    assert rows["lost.png"].reason == "s3://photos/parts/lost.png: no such object"


@pytest.mark.slow
def test_actors_fetch_the_objects_of_a_run_and_a_missing_one_is_a_row(
    parts: Path, process: Any
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vlmad[ray]'")
    names = [*(f"{n:04d}" for n in range(3)), "lost", "0003", "0002/0000", "0002b", "0004"]
    (parts / "files.txt").write_text("".join(f"parts/{name}.png\n" for name in names))
    (parts / "objects.txt").write_text("".join(f"s3://photos/parts/{n}.png\n" for n in names))
    out, engine = ("--overlays", "none", "--out"), ("--engine", "ray:workers=1")
    vlmad("run", "@files.txt", *DETECTOR, *out, "plain", cwd=parts)
    done = process("run", "@objects.txt", *DETECTOR, *out, "remote", *engine, cwd=parts)
    assert done.returncode == 1, done.stderr
    remote, plain = rows_of(parts / "remote"), rows_of(parts / "plain")
    lost = {row["name"]: row.pop("reason") for row in remote}["lost.png"]
    assert [row["name"] for row in remote] == [f"{name}.png" for name in names]
    assert lost == "no such object"
    assert remote == [{k: v for k, v in row.items() if k != "reason"} for row in plain]
    told = done.stderr.encode() + everything_in(parts / "remote")
    assert SECRET.encode() not in told


@pytest.mark.slow
def test_a_run_ends_where_the_bucket_goes_away(bucket: Any, tmp_path: Path) -> None:
    out = ("--quiet", "--out", "out")
    noise(tmp_path / "parts", 1)
    put(bucket, tmp_path / "parts")
    found = BUCKETS("s3://photos/parts")
    bucket.objects.all().delete()
    bucket.delete()
    with pytest.raises(FileNotFoundError, match="no such bucket"):
        next(found[0].absolute().parent.iterdir())
    done = vlmad("run", "s3://photos/parts", *DETECTOR, *out, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "vlmad: s3://photos/parts: no such bucket\n"


@pytest.mark.slow
def test_large_objects_are_refused_and_not_fetched_ahead(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmad_s3.bucket_objects.MOST_BYTES", 1 << 20)
    monkeypatch.setattr("vlmad_s3.bucket_objects.MOST_AHEAD", 9)
    bucket.put_object(Key="large.png", Body=b"0" * ((1 << 20) + 1))
    bucket.put_object(Key="small.png", Body=b"0" * 9)
    bucket.put_object(Key="middle.png", Body=b"0" * 10)
    large, small, middle = (
        BucketObject(f"s3://photos/{n}.png") for n in ("large", "small", "middle")
    )
    with pytest.raises(OSError, match="is larger than 1 MiB"):
        large.read_bytes()
    small.fetch()
    middle.fetch()
    bucket.objects.all().delete()
    assert small.read_bytes() == b"0" * 9
    for each in (small, middle):  # what was fetched is kept once
        with pytest.raises(FileNotFoundError, match="no such object"):
            each.read_bytes()


@pytest.mark.slow
def test_names_that_are_no_paths_are_counted(bucket: Any) -> None:
    for key in ("a//b.png", "a//c/d.png", "a/ü 1.png", "a/b.png", "a/"):
        bucket.put_object(Key=key, Body=b"")
    found = BUCKETS("s3://photos")
    assert list(map(str, found)) == ["s3://photos/a/b.png", "s3://photos/a/ü 1.png"]
    [note] = found.notes
    assert note.startswith("1 names of objects or folders in buckets are not taken")


@pytest.mark.parametrize("name", ["s3://someone:secret@photos/parts", "s3:///parts", "s3://a b"])
def test_credentials_in_a_name_are_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InputError, match=r"told by the environment") as refused:
        BUCKETS(name)
    assert "secret" not in str(refused.value)


@pytest.mark.slow
def test_who_may_not_ask_is_told_what_to_set(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match="nobody is named who asks; set AWS_PROFILE"):
        BUCKETS("s3://photos")


@pytest.mark.slow
def test_an_address_that_answers_nothing_is_not_repeated(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://someone:secret@127.0.0.1:9")
    with pytest.raises(InputError, match="no whole answer from S3") as refused:
        BUCKETS("s3://photos")
    assert "secret" not in str(refused.value)
    monkeypatch.setenv("AWS_PROFILE", "secret")
    monkeypatch.setattr("vlmad_s3._client._clients", {})
    with pytest.raises(InputError, match="cannot be used as AWS_… is set") as refused:
        BUCKETS("s3://photos")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [("PermanentRedirect", "; set AWS_REGION to the bucket's"), ("AccessDenied", "")],
)
def test_messages_hold_the_code_of_an_answer_and_none_of_its_words(code: str, words: str) -> None:
    botocore = pytest.importorskip("botocore.exceptions", reason="boto3 is not installed")
    answer = {"Error": {"Code": code, "Message": SECRET}}
    with pytest.raises(PermissionError) as refused, as_of_files():
        raise botocore.ClientError(answer, "GetObject")
    assert refused.value.strerror == f"S3 answered {code}{words}"


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmad_s3._client._clients", {})
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InputError, match=r"pip install 'vlmad\[s3\]'"):
        BUCKETS("s3://photos")
