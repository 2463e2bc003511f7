"""`vlmad doctor` finds what keeps vlmad from working, each with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vlmad_doctor import health
from vlmad_doctor.health import Health, HealthCheck, check_health

from .conftest import vlmad


@pytest.fixture
def no_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> Iterator[HealthCheck]:
        yield from ()

    monkeypatch.setattr(health, "_detection", nothing)


def checks() -> dict[str, HealthCheck]:
    return {check.name: check for check in check_health()}


@pytest.mark.slow
def test_it_finds_that_vlmad_works_here_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = vlmad("doctor", "--json", cwd=tmp_path, VLMAD_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    document = Health.parse(done.stdout, "doctor")
    found = {check.name: check for check in document.checks}
    assert document.works
    assert found["vlmad cache"].found.startswith(str(tmp_path / "cache"))
    assert found["output folder"].found.startswith(f"{tmp_path} is writable, ")
    assert "torch 2" in found["libraries"].found
    assert found["detection"].status == "ok"
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder no one can write to")
@pytest.mark.usefixtures("no_detection")
def test_a_folder_that_takes_no_file_is_wrong_and_ends_with_status_1() -> None:
    done = vlmad("doctor", cwd=Path("/proc"))
    assert done.returncode == 1, done.stdout + done.stderr
    [line] = [text for text in done.stdout.splitlines() if text.startswith("wrong ")]
    assert "output folder: /proc: " in line
    assert line.endswith("work in another folder, or give --out FOLDER")
    assert done.stdout.splitlines()[-1] == "wrong: output folder"


@pytest.mark.usefixtures("no_detection")
def test_a_cache_that_others_could_write_is_a_note_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = tmp_path / "cache"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("VLMAD_CACHE", str(open_to_all))
    check = checks()["vlmad cache"]
    assert (check.status, check.remedy) == ("note", f"chmod go-w {open_to_all}")
    monkeypatch.setenv("VLMAD_CACHE", "off")
    assert checks()["vlmad cache"].status == "ok"


@pytest.mark.slow
def test_a_broken_plugin_of_someone_else_is_a_note_and_stops_no_other_check(
    install: Callable[..., Path],
) -> None:
    install("odd-lens", "raise RuntimeError('no licence')")
    found = checks()
    assert found["plugin odd_lens"].status == "note"
    assert "no licence" in found["plugin odd_lens"].found
    assert "pip install --upgrade odd-lens" in found["plugin odd_lens"].remedy
    assert found["detection"].status == "ok"


@pytest.mark.usefixtures("no_detection")
def test_a_check_that_fails_is_itself_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> str:
        raise OSError(f"no metadata of {name}")

    monkeypatch.setattr("vlmad_doctor.health.version", fails)
    check = checks()["python"]
    assert (check.status, check.found) == ("wrong", "OSError: no metadata of vlmad")
