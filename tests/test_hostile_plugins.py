"""Plugins that do harm where they are imported, register or describe themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlmad import load_detector
from vlmad.plugin import Plugin
from vlmad.registry import Registry, installed

pytestmark = pytest.mark.usefixtures("cache")
Install = Callable[..., Path]
Command = Callable[..., Any]

HOOK = "from vlmad import hookimpl, Recipe, Scorer, Prediction\n@hookimpl\n"


def listed(name: str) -> Plugin:
    return next(plugin for plugin in Registry.discover().plugins if plugin.name == name)


def assert_one_line(ended: Any, *expected: str) -> None:
    """Assert that a command ended with status 2 and one line that says all that is expected."""
    assert ended.status == 2, ended
    assert ended.error.startswith("vlmad: ")
    assert ended.error.count("\n") == 1, ended.error
    for words in expected:
        assert words in ended.error


def assert_tool_works(command: Command, name: str = "hostile") -> None:
    """Assert that looking around works and names the plugin."""
    assert "run" in command("--help").out
    plugins = command("plugins")
    assert (plugins.status, "winclip" in plugins.out) == (0, True), plugins
    assert name in plugins.out
    described = command("describe", "scorer:harmonic", "--json")
    assert json.loads(described.out)["described"][0]["distribution"] == "vlmad"
    plan = command("grid", "--plan", "--scorer", "harmonic,max-cosine", "x")
    assert "hostile" not in plan.out


# at import

RAISING = {
    "exception": ("raise Exception('made to fail')", "Exception: made to fail"),
    "leaves": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "own": ("class Own(BaseException): pass\nraise Own('x')", "Own: x"),
    "vlmad's own": ("from vlmad.errors import InputError\nraise InputError('x')", "InputError: x"),
    "recursion": ("def f(): f()\nf()", "RecursionError: maximum recursion depth"),
    "syntax": ("def (", "SyntaxError"),
    "cyclic": ("from vlmad.detector import no_such", "ImportError: cannot import name 'no_such'"),
    "message raises": (
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
        "E: its message cannot be read: SystemExit",
    ),
    "escapes": ("raise Exception('a\\x1b[31m\\n[/red]b')", r"Exception: a\x1b[31m [/red]b"),
    "long": ("raise Exception('long ' * 10**6)", "Exception: long long"),
}


@pytest.mark.parametrize(("source", "reason"), RAISING.values(), ids=RAISING)
def test_a_plugin_that_raises_anything_is_listed_with_its_reason(
    source: str, reason: str, install: Install, command: Command
) -> None:
    install("hostile", source)
    plugin = listed("hostile")
    assert plugin.status == ("incompatible" if "import no_such" in source else "broken")
    assert plugin.reason.startswith(reason)
    assert len(plugin.reason) < 400
    done = command("plugins", "--json")
    reasons = {each["name"]: each["reason"] for each in json.loads(done.out)["plugins"]}
    assert reasons["hostile"] == plugin.reason
    assert_one_line(command("describe", "nothing-like-it"), "no", "nothing-like-it")


def test_a_plugin_that_is_no_utf_8_or_is_gone_is_broken(install: Install) -> None:
    folder = install("hostile", "")
    (folder / "hostile.py").write_bytes(b"x = '\xff'")
    assert "SyntaxError" in listed("hostile").reason
    (folder / "hostile.py").unlink()
    assert listed("hostile").reason == "ModuleNotFoundError: No module named 'hostile'"


def test_looking_around_works_beside_a_plugin_that_interrupts_and_prints(
    install: Install, command: Command
) -> None:
    install("hostile", "print('chatter')\nraise KeyboardInterrupt")
    assert_tool_works(command)
    assert "chatter" not in command("plugins").out


# at registration


NO_NAMES = ["--x", "-x", "a=b", "a,b", "a|b", "../x", "a:b", "a b", "a\x1b[31m", "x\n", 3, None]


@pytest.mark.parametrize("name", [*NO_NAMES, "x" * 101], ids=ascii)
def test_names_that_are_none_are_refused(name: object, install: Install) -> None:
    install("hostile", f"{HOOK}def register_scorers(register): register({name!r}, Scorer)")
    plugin = listed("hostile")
    assert plugin.status == "broken"
    assert "is no name for a scorer" in plugin.reason
    assert plugin.reason.isprintable()


WORDS = [None, 3, "[/red] [bold", "\x1b[2J\nwords", "\ud800", "x" * 10**6]


@pytest.mark.parametrize("summary", WORDS, ids=["none", "int", "markup", "escapes", "half", "long"])
def test_summaries_of_any_kind_leave_the_lists_working(
    summary: object, install: Install, command: Command
) -> None:
    install(
        "hostile",
        f"{HOOK}def register_commands(register): register('act', print, {summary!r})",
    )
    assert_tool_works(command)
    out = command("plugins").out
    assert "\x1b[2J" not in out
    assert (summary == WORDS[2]) == ("[/red] [bold" in out)


ODD = {
    "hints that raise": "class Odd(Scorer):\n    def __init__(self, x: '1/0' = 1): pass",
    "no hints": "class Odd(Scorer):\n    def __init__(self, x=1): pass",
    "positional": "class Odd(Scorer):\n    def __init__(self, x: int = 1, /): pass",
    "signature": "class Odd(Scorer): __signature__ = property(lambda self: 1/0)\nOdd = Odd()",
    "init raises": "class Odd(Scorer):\n    def __init__(self): raise SystemExit(0)",
    "needs no words": "class Odd(Scorer):\n    needs = 3",
    "needs raise": "class Odd(Scorer):\n    needs = property(lambda self: 1/0)",
    "no class": "def Odd(): return None",
    "unknown type": "class Odd(Scorer):\n    def __init__(self, x: dict[str, int]): pass",
}


@pytest.mark.parametrize("source", ODD.values(), ids=ODD)
def test_a_part_that_cannot_be_built_is_named_in_one_line(
    source: str, install: Install, command: Command, photos: Path
) -> None:
    hook = "@hookimpl\ndef register_scorers(register): register('odd', Odd)"
    install("hostile", f"from vlmad import hookimpl, Scorer\n{source}\n{hook}")
    assert_one_line(command("run", photos, "--scorer", "odd", "--out", "o"), "odd")
    described = command("describe", "scorer:odd")
    if described.status:
        assert_one_line(described, "odd")
    assert not Path("o").exists()


HARD_TO_DESCRIBE = {
    "no docs": "__doc__ = None",
    "docs that raise": "__doc__ = property(lambda self: 1/0)",
    "long docs": "__doc__ = 'words ' * 10**6",
    "markup": "__doc__ = '[/red]\\n\\nArgs:\\n    x: [/red] \\x1b[2J'",
    "default no text": "def __init__(self, x: int = object()): pass",
    "default infinite": "def __init__(self, x: float = float('inf')): pass",
    "default no value": "def __init__(self, x: int = type('T', (), {'__repr__': 3})()): pass",
    "needs": "needs = frozenset({3, 'text'})",
}


@pytest.mark.parametrize("body", HARD_TO_DESCRIBE.values(), ids=HARD_TO_DESCRIBE)
def test_describing_is_an_answer_or_one_line(body: str, install: Install, command: Command) -> None:
    source = f"from vlmad import hookimpl, Scorer\nclass Odd(Scorer):\n    {body}\n"
    hook = "@hookimpl\ndef register_scorers(register): register('odd', Odd)"
    install("hostile", source + hook)
    for words in ((), ("--json",)):
        described = command("describe", "scorer:odd", *words)
        if described.status:
            assert_one_line(described, "scorer 'odd' of hostile 1.0 cannot be described")
        elif words:
            text = json.dumps(json.loads(described.out))
            assert "Infinity" not in text
            assert "u001b" not in text


def test_a_recipe_that_takes_the_default_ones_name_changes_nothing(
    install: Install, command: Command
) -> None:
    install("hostile", f"{HOOK}def register_detectors(register): register('winclip', Recipe({{}}))")
    registry = Registry.discover()
    assert load_detector(registry=registry).assembly.recipe.distribution == "vlmad"
    done = command("plugins")
    assert "write hostile:winclip or vlmad:winclip" in " ".join(done.out.split())


NO_RECIPES = ["Recipe(3)", "Recipe({'scorer': 3})", "Recipe({}, {'scorer': 1})", "Recipe({}, 1)"]


@pytest.mark.parametrize(
    "recipe", [*NO_RECIPES, "print", "Recipe({'scorer': 'dense'})", "Recipe({}, {}, None)"]
)
def test_a_recipe_that_is_none_is_told_in_one_line(
    recipe: str, install: Install, command: Command, photos: Path
) -> None:
    install("hostile", f"{HOOK}def register_detectors(register): register('odd', {recipe})")
    assert_one_line(command("run", photos, "--detector", "odd"), "detector 'odd' of hostile 1.0")
    assert_one_line(command("describe", "odd"), "detector 'odd' of hostile 1.0")


# metadata


def test_metadata_that_cannot_be_read_is_a_broken_plugin(
    install: Install, command: Command
) -> None:
    folder = install("hostile", "")
    (folder / "hostile-1.0.dist-info" / "entry_points.txt").write_bytes(b"[vlmad]\n\xff = x\n")
    plugin = listed("hostile-1.0")
    place = folder / "hostile-1.0.dist-info"
    assert plugin.status == "broken"
    assert plugin.reason.startswith(f"entry_points.txt or METADATA in {place} cannot be read: Uni")
    assert_tool_works(command)


@pytest.mark.parametrize("value", ["", "no such!", "hostile:nothing", "a.b.c:d", ":", "os:system"])
def test_an_entry_point_that_leads_nowhere_is_a_plugin_without_names(
    value: str, install: Install, command: Command
) -> None:
    folder = install("hostile", "")
    entry = folder / "hostile-1.0.dist-info" / "entry_points.txt"
    entry.write_text(f"[vlmad]\nhostile = {value}\n")
    assert not listed("hostile").registrations
    assert_tool_works(command, "")


@pytest.mark.parametrize("value", ["", "vlmad-hostile", "no such!", ":"])
def test_an_entry_point_that_names_no_module_says_so(value: str, install: Install) -> None:
    folder = install("hostile", "")
    entry = folder / "hostile-1.0.dist-info" / "entry_points.txt"
    entry.write_text(f"[vlmad]\nhostile = {value}\n")
    assert listed("hostile").reason == f"PluginError: its entry point names no module: {value!r}"


@pytest.mark.parametrize("text", ["", "Name: \nVersion: \n", "Name: [/red]\x1b[2J\n", "\xff"])
def test_odd_names_and_versions_are_shown_and_harm_nothing(
    text: str, install: Install, command: Command
) -> None:
    folder = install("hostile", f"{HOOK}def register_scorers(register): register('x', Scorer)")
    (folder / "hostile-1.0.dist-info" / "METADATA").write_bytes(text.encode("latin-1"))
    assert_tool_works(command, "")
    assert "\x1b[2J" not in command("plugins").out


def test_no_name_of_an_entry_point_escapes_being_blocked(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install("hostile", "raise SystemExit")
    entry = folder / "hostile-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[vlmad]\nvlmad = hostile\n")
    monkeypatch.setenv("VLMAD_PLUGINS", "")
    assert listed("vlmad").status == "blocked"


# commands


COMMANDS = "def register_commands(register):\n    register('{name}', {target}, 'words')\n"


def test_a_command_of_a_name_that_is_taken_is_reached_by_its_whole_name(
    install: Install, command: Command
) -> None:
    source = "def act() -> None:\n    print('acted')\n" + HOOK
    install("hostile", source + COMMANDS.format(name="plugins", target="act"))
    listing = command("plugins").out
    assert "hostile:plugins" in listing
    assert command("hostile:plugins").out == "acted\n"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("'hostile_more:act'", "cannot be loaded from 'hostile_more:act': KeyboardInterrupt"),
        ("lambda x: None", "hostile"),
        ("type('T', (), {'__call__': 3})()", "hostile"),
        ("(lambda: 1 / 0)", "plugin 'hostile' of hostile 1.0 failed: ZeroDivisionError"),
    ],
)
def test_a_command_that_cannot_be_run_is_one_line(
    target: str, reason: str, install: Install, command: Command
) -> None:
    folder = install("hostile", HOOK + COMMANDS.format(name="act", target=target))
    (folder / "hostile_more.py").write_text("raise KeyboardInterrupt")
    assert "act" in command("--help").out
    done = command("act")
    assert done.error.count("\n") == 1
    assert done.status == 2
    if "lambda x" not in target:
        assert reason in done.error


def test_a_command_may_choose_its_own_status(install: Install, command: Command) -> None:
    source = "import sys\ndef act() -> None:\n    sys.exit(7)\n" + HOOK
    install("hostile", source + COMMANDS.format(name="act", target="act"))
    assert command("act").status == 7


# interruptions by the user


def test_who_interrupts_a_plugin_that_hangs_is_told_which_it_is(
    install: Install, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLMAD_PLUGINS", "hostile")  # what --no-plugins sets then ends with the test
    install("hostile", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass")
    done = command("plugins")
    assert done.status == 130
    assert done.error == (
        "vlmad: interrupted: while plugin 'hostile' of hostile 1.0 was loaded; "
        "--no-plugins leaves it out\n"
    )
    installed.cache_clear()
    assert "hostile (hostile 1.0): blocked" in command("plugins", "--no-plugins").out
