"""A plugin whose import kills or holds up the process is named at the next start and left out."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vlmad import plugin as plugin_module
from vlmad._import_mark import LAPSES, ImportMark
from vlmad.plugin import Plugin
from vlmad.registry import Registry

from .conftest import Process

pytestmark = pytest.mark.usefixtures("cache")
Install = Callable[..., Path]
Command = Callable[..., Any]
HOOK = """
from vlmad import Scorer, hookimpl

@hookimpl
def register_scorers(register):
    register("blunt", Scorer)
"""
LEFT_OUT = (
    "vlmad ended, or was ended, while it imported this; 'vlmad plugins --retry' tries it again"
)


def listed(retry: bool = False) -> Plugin:
    """List what is installed by a process that has not imported the plugin."""
    sys.modules.pop("deadly", None)
    found = Registry.discover(retry=retry).plugins
    return next(plugin for plugin in found if plugin.name == "deadly")


def listed_elsewhere() -> int:
    """List what is installed in a process of its own and return how it ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forks beside threads, none of which is needed
        child = os.fork()
    if child == 0:
        listed()
        os._exit(0)
    return os.waitpid(child, 0)[1]


DEADLY = {
    "exit": "import os\nos._exit(3)",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "timeout": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass",
}


@pytest.mark.parametrize("source", DEADLY.values(), ids=DEADLY)
def test_a_plugin_that_ended_the_process_is_left_out_until_it_is_retried_or_edited(
    source: str, install: Install
) -> None:
    path = install("deadly", source) / "deadly.py"
    assert listed_elsewhere() != 0
    for _ in range(2):
        assert (listed().status, listed().reason) == ("broken", LEFT_OUT)
    path.write_text(HOOK)
    assert listed().status == "ok"


def test_a_plugin_that_died_once_by_no_fault_of_its_own_is_retried(
    install: Install, command: Command, tmp_path: Path
) -> None:
    dying = f"import os\nif os.path.exists({str(tmp_path / 'once')!r}): os._exit(1)\n"
    install("deadly", dying + HOOK)
    (tmp_path / "once").touch()
    assert listed_elsewhere() != 0
    (tmp_path / "once").unlink()
    _, out, error = command("plugins")
    assert f"not loaded: deadly (deadly 1.0): broken, {LEFT_OUT}" in out
    assert "blunt" not in out
    assert error == f"vlmad: plugin 'deadly' of deadly 1.0 is left out: {LEFT_OUT}\n"
    for words in (["--retry"], []):
        out = command("plugins", *words).out
        assert "deadly (deadly 1.0): broken" not in out
        assert "blunt" in out


def test_a_plugin_that_dies_only_once_it_is_used_is_left_out_too(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("deadly", "import os\nif 'DIE' in os.environ: os._exit(1)\n" + HOOK)
    assert listed().status == "ok"
    child = os.fork()
    if child == 0:
        os.environ["DIE"] = "1"
        sys.modules.pop("deadly", None)
        Registry.discover().get("scorer", "blunt").resolve()
        os._exit(0)
    assert os.waitpid(child, 0)[1] != 0
    assert (listed().status, listed().registrations) == ("broken", [])


INTERRUPTING = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass"


def test_a_plugin_that_hangs_while_it_is_listed_is_left_out_after_ctrl_c(
    install: Install, command: Command
) -> None:
    install("deadly", INTERRUPTING)
    assert command("plugins").status == 130
    assert f"broken, {LEFT_OUT}" in command("plugins").out
    assert command("plugins", "--retry").status == 130


def test_who_interrupts_a_plugin_that_was_sound_before_blames_it_of_nothing(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("deadly", "import os\nif 'HOLD' in os.environ: raise KeyboardInterrupt\n" + HOOK)
    registration = next(r for r in listed().registrations if r.name == "blunt")
    sys.modules.pop("deadly", None)
    monkeypatch.setenv("HOLD", "1")
    with pytest.raises(KeyboardInterrupt, match=r"while plugin 'deadly' of deadly 1.0 was loaded"):
        Registry.discover().get("scorer", registration.name).resolve()
    assert listed().status == "ok"


def test_a_plugin_that_another_vlmad_imports_at_the_moment_is_not_blamed(tmp_path: Path) -> None:
    ours, theirs = ImportMark(tmp_path / "mark"), ImportMark(tmp_path / "mark")
    file = theirs._made()
    assert file is not None
    assert not ours.stands()
    with ours.standing(sound=False):
        pass
    assert not ours.stands()
    file.close()  # as when that process is killed
    assert ours.stands()
    with ours.standing(sound=False):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "said",
    [
        str(time.time() - time.monotonic() - 60),
        str(time.time() - LAPSES - 60),
        str(time.time() + 3600),
        "",
        "nan",
        "\udcff",
    ],
    ids=["before a power cut", "two days ago", "by a clock that went wrong", "-", "nan", "bytes"],
)
def test_a_mark_of_no_meaning_any_more_blames_nobody(said: str, tmp_path: Path) -> None:
    mark = ImportMark(tmp_path / "mark")
    (tmp_path / "mark").write_bytes(said.encode("utf-8", "surrogateescape"))
    assert not mark.stands()
    with pytest.raises(KeyboardInterrupt), mark.standing(sound=False):
        raise KeyboardInterrupt
    assert mark.stands()


def test_where_nothing_can_be_kept_plugins_are_imported_without_marks(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("deadly", HOOK)
    (tmp_path / "file").touch()
    for place in ("off", str(tmp_path / "file" / "below")):
        monkeypatch.setenv("VLMAD_CACHE", place)
        assert listed().status == "ok"


# what plugins say and how long they take


PRINTING = """
import os, subprocess, sys
print("printed")
os.write(1, b"written\\n")
sys.__stdout__.write("kept back")
subprocess.run(["echo", "spawned"])
raise ValueError
"""


def test_what_a_plugin_prints_at_import_never_reaches_standard_output(
    install: Install, process: Process
) -> None:
    folder = install("deadly", PRINTING)
    done = process("plugins", "--json", cwd=folder, PYTHONPATH=str(folder))
    assert json.loads(done.stdout)["plugins"]
    for words in ("printed", "written", "kept back", "spawned"):
        assert words in done.stderr
    asked = {"_VLMAD_COMPLETE": "complete_bash", "COMP_WORDS": "vlmad plu", "COMP_CWORD": "1"}
    done = process(cwd=folder, PYTHONPATH=str(folder), **asked)
    assert done.stdout.split() == ["plugins"]


def test_an_import_that_takes_long_is_listed_with_its_seconds(
    install: Install, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("deadly", HOOK)
    assert "slow: deadly" not in command("plugins").out
    (Path(sys.path[0]) / "deadly.py").write_text(f"{HOOK}\n")
    clock = SimpleNamespace(perf_counter=itertools.count(0.0, 2.5).__next__)
    monkeypatch.setattr(plugin_module, "time", clock)
    for _ in range(2):  # imported, and as it was written down
        sys.modules.pop("deadly", None)
        assert "slow: deadly (deadly 1.0) takes 2.5 s to import" in command("plugins").out


def test_debug_shows_where_each_broken_plugin_failed(install: Install, command: Command) -> None:
    install("deadly", "def fail():\n    1 / 0\nfail()")
    plain, debug = command("plugins"), command("plugins", "--debug")
    assert debug.out == plain.out
    assert plain.error == ""
    assert debug.error.startswith("vlmad: plugin 'deadly' of deadly 1.0: ZeroDivisionError")
    assert 'deadly.py", line 2, in fail' in debug.error


def test_the_doctor_works_beside_metadata_that_stop_other_libraries(
    install: Install, process: Process
) -> None:
    folder = install("deadly", "")
    entry = folder / "deadly-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[vlmad]\nno equals sign\n")
    other = folder / "of_another_program-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Name: of-another-program\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[console_scripts]\nno equals sign\n")
    for words, said in ((["--no-plugins"], "blocked"), ([], "entry_points.txt or METADATA in")):
        done = process("doctor", *words, cwd=folder, PYTHONPATH=str(folder))
        assert done.returncode == 0, done
        assert said in done.stdout
        assert ("delete that folder and install the plugin again" in done.stdout) == (not words)
        assert "the default detector scores an image" in done.stdout
