"""What a manifest names is used only where it is the file that was recorded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad.files import digest
from vlmad_run.fitted import rebuild
from vlmad_run.manifest import describe_run
from vlmad_run.recorded import recorded_file
from vlmad_run.repeating import Earlier


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A file of learned prompts of one's own."""
    shipped = load_detector("anomalyclip").backbone.spec.learned_prompts
    return Path(shutil.copy(shipped, tmp_path / "learned.safetensors"))


@pytest.fixture
def manifest(prompts: Path) -> dict[str, Any]:
    detector = load_detector("anomalyclip", options={"prompts": {"file": prompts}})
    return describe_run(detector, "object")


def test_a_file_that_is_an_option_is_recorded_and_used_again(
    manifest: dict[str, Any], prompts: Path
) -> None:
    assert manifest["files"] == {"prompts.file": digest(prompts)}
    assert rebuild(manifest, {}).assembly.parts["prompts"].options["file"] == prompts


def test_a_file_that_changed_is_not_read(manifest: dict[str, Any], prompts: Path) -> None:
    prompts.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"not known to be the file it was; .*--set prompts.file"):
        rebuild(manifest, {})


def test_a_file_that_the_user_names_need_not_be_the_recorded_one(
    manifest: dict[str, Any], prompts: Path
) -> None:
    other = prompts.rename(prompts.with_name("moved.safetensors"))
    with pytest.raises(InputError, match="which is not there"):
        rebuild(manifest, {})
    assert rebuild(manifest, {"prompts": {"file": other}})


@pytest.mark.parametrize("listed", [None, [], {"backbone.weights": 3}], ids=repr)
def test_a_file_whose_digest_is_not_recorded_is_not_read(
    listed: object, manifest: dict[str, Any], prompts: Path
) -> None:
    foreign = {**manifest, "files": listed}
    with pytest.raises(InputError, match="not known to be the file it was"):
        rebuild(foreign, {})


ELSEWHERE = {
    "pipe": ("{folder}/pipe", "is no regular file"),
    "device": ("/dev/zero", "is no regular file"),
    "folder": ("{folder}", "is no regular file"),
    "share": ("\\\\server\\share\\weights.pt", "is not on this machine"),
    "windows device": ("\\\\.\\pipe\\weights", "is not on this machine"),
    "slashes": ("//server/share/weights.pt", "is not on this machine"),
    "missing": ("/no/such/weights.pt", "is not there"),
}


@pytest.mark.parametrize(("name", "reason"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_no_file_of_this_machine_is_not_touched(
    name: str, reason: str, manifest: dict[str, Any], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    name = name.format(folder=tmp_path)
    manifest["options"]["backbone"]["weights"] = name
    with pytest.raises(InputError, match=reason):
        rebuild(manifest, {})
    with pytest.raises(InputError, match=reason):
        Earlier(tmp_path, {**manifest, "fitted": name}).build({})


def test_a_name_that_no_file_can_have_is_not_there() -> None:
    with pytest.raises(InputError, match="is not there"):
        recorded_file("/a\0b", "0" * 64)


def test_the_digest_of_a_pipe_is_refused_and_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is no regular file"):
        digest(tmp_path / "pipe")
