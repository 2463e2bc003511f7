"""Plugins are listed without being imported, and never as they were before."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vlmad import Recipe
from vlmad.errors import PluginError
from vlmad.registry import Registry

Install = Callable[..., Path]

PLUGIN = """
from vlmad import Recipe, Scorer, hookimpl

@hookimpl
def register_scorers(register):
    register("direct", Scorer, "a class of the plugin's own")
    register("hidden", lambda: None)
    register("named", "{module}:Scorer", "text with 'quotes' and ümlauts")

@hookimpl
def register_detectors(register):
    parts = {{"scorer": "direct"}}
    register("plain", Recipe(parts, {{"extractor": {{"scales": (2, 3), "x": None}}}}, "words"))
    register("path", Recipe(parts, {{"prompts": {{"file": __import__("pathlib").Path("a")}}}}))
"""


def forget(*modules: str) -> None:
    """Make this process one that has not imported a plugin."""
    for name in list(sys.modules):
        if name.partition(".")[0] in modules:
            del sys.modules[name]


def listed(plugin: str) -> tuple[str, list[str]]:
    """List what is installed, with the plugin not imported before; return it and its names."""
    forget(plugin)
    found = next(p for p in Registry.discover().plugins if p.name == plugin)
    return found.status, [r.name for r in found.registrations]


@pytest.fixture
def acme(install: Install, cache: Path) -> Path:
    """A plugin that was listed once, and its file."""
    path = install("acme", PLUGIN.format(module="acme")) / "acme.py"
    listed("acme")
    return path


def test_a_plugin_that_did_not_change_is_not_imported(acme: Path) -> None:
    assert listed("acme") == ("ok", ["direct", "hidden", "named", "plain", "path"])
    assert "acme" not in sys.modules


def test_what_the_index_lists_is_what_the_plugin_registers(
    acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget("acme")
    indexed = Registry.discover()
    monkeypatch.setenv("VLMAD_CACHE", "off")
    loaded = Registry.discover()
    for plugin, other in zip(indexed.plugins, loaded.plugins, strict=True):
        assert (plugin.name, plugin.status, plugin.reason) == (
            other.name,
            other.status,
            other.reason,
        )
        for a, b in zip(plugin.registrations, other.registrations, strict=True):
            assert (a.kind, a.name, a.summary, a.origin) == (b.kind, b.name, b.summary, b.origin)
            if a.name != "hidden":  # a new function each time
                assert a.resolve() == b.resolve()


def test_only_the_plugin_of_a_wanted_part_is_imported(acme: Path, install: Install) -> None:
    install("other", PLUGIN.format(module="other"))
    listed("other")
    forget("acme", "other")
    registry = Registry.discover()
    assert registry.get("scorer", "acme:direct").resolve().__name__ == "Scorer"
    assert callable(registry.get("scorer", "acme:hidden").resolve())
    assert "acme" in sys.modules
    assert "other" not in sys.modules


def test_what_is_behind_a_name_comes_from_the_plugin(acme: Path) -> None:
    forget("acme")
    registry = Registry.discover()
    recipe = registry.get("detector", "plain").resolve()
    options = {"extractor": {"scales": (2, 3), "x": None}}
    assert recipe == Recipe({"scorer": "direct"}, options, "words")
    path = registry.get("detector", "path").resolve().options["prompts"]["file"]
    assert path == Path("a")


HOSTILE = [
    ["scorer", "wipe", "words", "shutil:rmtree"],
    ["scorer", "wipe", "words"],
    ["scorer", "--wipe", "words"],
    ["telescope", "wipe", "words"],
    [],
]


@pytest.mark.parametrize("line", HOSTILE, ids=repr)
def test_a_hostile_index_runs_nothing_that_the_plugin_does_not_register(
    line: list[object], acme: Path, cache: Path
) -> None:
    for entry in (cache / "index").glob("acme-*.json"):
        entry.write_text(json.dumps([[line], 0.1]))
    forget("acme")
    registry = Registry.discover()
    if line != HOSTILE[1]:
        assert "wipe" not in registry.names("scorer")  # it is no index at all
        return
    with pytest.raises(PluginError, match="the plugin no longer registers it"):
        registry.get("scorer", "acme:wipe").resolve()


def test_an_edited_plugin_is_listed_anew(acme: Path) -> None:
    acme.write_text(PLUGIN.format(module="acme").replace('"direct", ', '"renamed", '))
    assert listed("acme")[1][0] == "renamed"
    assert listed("acme")[1][0] == "renamed"
    assert "acme" not in sys.modules


def test_an_edit_of_the_same_length_is_noticed(acme: Path) -> None:
    before = acme.stat()
    acme.write_text(PLUGIN.format(module="acme").replace('"direct"', '"DIRECT"'))
    os.utime(acme, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert listed("acme")[1][0] == "DIRECT"


def test_a_plugin_that_breaks_is_broken_and_once_repaired_is_listed(acme: Path) -> None:
    acme.write_text("import no_such_module_anywhere")
    for _ in range(2):
        assert listed("acme") == ("broken", [])
    acme.write_text(PLUGIN.format(module="acme"))
    assert listed("acme")[0] == "ok"


def test_a_plugin_whose_dependency_arrives_is_repaired(install: Install, cache: Path) -> None:
    folder = install("needy", "import a_dependency_of_needy\n" + PLUGIN.format(module="needy"))
    assert listed("needy") == ("broken", [])
    (folder / "a_dependency_of_needy.py").write_text("")
    importlib.invalidate_caches()
    assert listed("needy")[0] == "ok"
    forget("a_dependency_of_needy")


def test_a_file_that_a_plugin_imports_is_watched_too(install: Install, cache: Path) -> None:
    folder = install("pack", "")
    (folder / "pack.py").unlink()
    (folder / "pack").mkdir()
    (folder / "pack" / "names.py").write_text("NAME = 'first'\n")
    source = PLUGIN.format(module="pack").replace('"direct"', "NAME")
    (folder / "pack" / "__init__.py").write_text("from pack.names import NAME\n" + source)
    assert listed("pack")[1][0] == "first"
    assert listed("pack")[1][0] == "first"
    assert "pack" not in sys.modules
    (folder / "pack" / "names.py").write_text("NAME = 'second-longer'\n")
    assert listed("pack")[1][0] == "second-longer"


def test_a_module_deep_in_a_package_is_found_without_an_import(
    install: Install, cache: Path
) -> None:
    folder = install("deep", "")
    (folder / "deep.py").unlink()
    (folder / "deep" / "inner").mkdir(parents=True)
    (folder / "deep" / "__init__.py").write_text("")
    (folder / "deep" / "inner" / "__init__.py").write_text("")
    (folder / "deep" / "inner" / "plugin.py").write_text(PLUGIN.format(module="deep"))
    entry = folder / "deep-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[vlmad]\ndeep = deep.inner.plugin\n")
    for _ in range(2):
        status, names = listed("deep")
        assert (status, len(names)) == ("ok", 5)
    assert "deep" not in sys.modules


def test_two_plugins_of_one_package_are_both_listed_without_an_import(
    install: Install, cache: Path
) -> None:
    folder = install("pair", PLUGIN.format(module="pair"))
    (folder / "pair.py").rename(folder / "twin.py")
    (folder / "pair").mkdir()
    for name in ("__init__.py", "one.py", "two.py"):
        text = "" if name.startswith("_") else (folder / "twin.py").read_text()
        (folder / "pair" / name).write_text(text)
    entries = "[vlmad]\npair = pair.one\nother = pair.two\n"
    (folder / "pair-1.0.dist-info" / "entry_points.txt").write_text(entries)
    for _ in range(3):  # in the first the second plugin finds its package imported already
        assert listed("pair")[0] == "ok"
    assert "pair" not in sys.modules


def test_a_module_that_was_imported_before_is_not_written_down(
    install: Install, cache: Path
) -> None:
    """It may be older than its file: in a notebook, say, whose user edits the plugin."""
    folder = install("stale", PLUGIN.format(module="stale"))
    __import__("stale")
    source = PLUGIN.format(module="stale").replace('"direct"', '"edited"')
    (folder / "stale.py").write_text(source)
    Registry.discover()
    assert listed("stale")[1][0] == "edited"


def test_a_plugin_in_another_place_is_another(
    acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a copy of the sources comes before the installed one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    source = PLUGIN.format(module="acme").replace('"direct", ', '"moved", ')
    (elsewhere / "acme.py").write_text(source)
    monkeypatch.syspath_prepend(elsewhere)
    assert listed("acme")[1][0] == "moved"


@pytest.mark.parametrize("content", [b"", b"{}x", b"[1]", b"[[1], 0]", b"[[], {}]", b"\xff\xfe"])
def test_a_damaged_index_is_made_anew(content: bytes, acme: Path, cache: Path) -> None:
    for entry in (cache / "index").glob("acme-*.json"):
        entry.write_bytes(content)
    assert listed("acme") == ("ok", ["direct", "hidden", "named", "plain", "path"])


def test_another_version_of_a_distribution_is_listed_anew(acme: Path) -> None:
    info = acme.with_name("acme-1.0.dist-info")
    text = (info / "METADATA").read_text().replace("Version: 1.0", "Version: 1.1")
    (info / "METADATA").write_text(text)
    info.rename(acme.with_name("acme-1.1.dist-info"))
    forget("acme")
    assert Registry.discover().get("scorer", "acme:direct").origin == "acme 1.1"


def test_a_part_whose_plugin_broke_after_it_was_listed_is_an_error_of_its_own(
    acme: Path,
) -> None:
    forget("acme")
    registration = Registry.discover().get("scorer", "acme:direct")
    acme.write_text("1 / 0")
    with pytest.raises(PluginError, match=r"scorer 'direct' of acme 1.0 cannot be loaded: Zero"):
        registration.resolve()
    forget("acme")
    acme.write_text("")
    with pytest.raises(PluginError, match="no longer registers it"):
        registration.resolve()


def test_blocked_plugins_are_blocked_whatever_the_index_says(
    acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLMAD_PLUGINS", "")
    assert listed("acme") == ("blocked", [])


def test_without_a_cache_folder_plugins_are_imported(
    acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLMAD_CACHE", "off")
    assert listed("acme")[0] == "ok"
    assert "acme" in sys.modules


# what the command line imports


IMPORTED = """
import contextlib, sys
from vlmad_cli.frame import main
with contextlib.suppress(SystemExit):
    main()
print("\\n".join(sys.modules), file=sys.stderr)
"""


def imported(*words: str) -> set[str]:
    """Return the modules that a command has imported when it is done."""
    command = [sys.executable, "-c", IMPORTED, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "plugins",
        "cache",
        "run --help",
        "review --help",
        "merge --help",
        "bench-speed --help",
    ],
)
def test_looking_around_imports_nothing_heavy(words: str) -> None:
    Registry.discover()
    modules = imported(*words.split())
    assert "vlmad_cli.frame" in modules
    heavy = {"torch", "numpy", "PIL", "matplotlib", "open_clip", "safetensors", "sklearn"}
    assert not heavy & modules


@pytest.mark.slow
def test_help_and_list_import_no_plugin_that_is_indexed(cache: Path) -> None:
    assert any(name.startswith("vlmad_") for name in imported("plugins"))  # makes the index
    choosing = {"vlmad_run", "vlmad_run.choosing"}  # the words that complete names
    for word, own in (("plugins", choosing), ("--help", set())):
        loaded = {name for name in imported(word) if name.startswith("vlmad_")}
        assert {
            name for name in loaded if not name.startswith(("vlmad_cli", "vlmad_doctor"))
        } == own


@pytest.mark.slow
def test_a_command_of_a_plugin_imports_that_plugin_alone(cache: Path) -> None:
    imported("plugins")
    modules = imported("prompts", "--help")
    packages = {name.partition(".")[0] for name in modules if name.startswith("vlmad_")}
    assert packages == {"vlmad_anomalyclip", "vlmad_cli"}


def test_threads_that_want_names_of_one_plugin_load_it_once(acme: Path) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they meet in the middle
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(20):
                [plugin] = [p for p in Registry.discover().plugins if p.name == "acme"]
                assert not plugin.targets
                wanted = [r for r in plugin.registrations if r.kind == "scorer"] * 4
                assert all(pool.map(lambda each: each.resolve(), wanted))
    finally:
        sys.setswitchinterval(before)
