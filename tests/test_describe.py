"""Listing and describing what is installed, and completion as shells ask for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vlmad.options import options_of
from vlmad.registry import Registry

from .conftest import Done, vlmad

PLAIN = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


# completion

ASKING = """
import os, sys
os.environ.update(_VLMAD_COMPLETE="complete_bash", COMP_WORDS={words!r}, COMP_CWORD={index!r})
sys.argv = ["vlmad"]
from vlmad_cli.frame import main
try:
    main()
except SystemExit:
    pass
print("torch" in sys.modules, file=sys.stderr)
"""


def completed(words: str) -> list[str]:
    """Ask as bash does what the last word may become, and check that torch stays out of it."""
    script = ASKING.format(words=words, index=str(words.count(" ")))
    done = subprocess.run(
        [sys.executable, "-c", script], env=PLAIN, capture_output=True, text=True, timeout=300
    )
    assert done.stderr.strip() == "False"
    return done.stdout.split()


@pytest.mark.slow
def test_the_names_of_parts_are_completed_from_the_registry_without_torch(
    registry: Registry,
) -> None:
    assert completed("vlmad explain --scorer h") == ["harmonic"]
    assert completed("vlmad explain --prompt ") == registry.names("prompts")
    assert set(completed("vlmad describe win")) == {"window", "winclip"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_can_be_installed_into_bash_and_is_then_known_there(tmp_path: Path) -> None:
    def bash(script: str) -> Done:
        return subprocess.run(
            ["bash", "-c", f"{script}; true"],  # the last word keeps bash the caller's parent
            env={**PLAIN, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    installed = bash(f"'{sys.executable}' -m vlmad --install-completion")
    assert "bash completion installed" in installed.stdout, installed.stderr
    known = bash("source ~/.bashrc; complete -p vlmad")
    assert "_vlmad_completion vlmad" in known.stdout, known.stderr
    assert {"--install-completion", "--show-completion"} <= set(completed("vlmad --"))


# plugins and describe as JSON


def test_plugins_as_json_holds_every_registration_and_plugin(
    registry: Registry, tmp_path: Path
) -> None:
    done = vlmad("plugins", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document.keys() == {"registered", "plugins", "clashes"}
    expected = {(kind, r.name) for kind in registry.kinds for r in registry.of_kind(kind)}
    assert {(row["kind"], row["name"]) for row in document["registered"]} == expected
    assert {p["name"]: p["status"] for p in document["plugins"]}["winclip"] == "ok"


def test_describe_as_json_holds_options_with_types_and_defaults(
    registry: Registry, tmp_path: Path
) -> None:
    [part] = json.loads(vlmad("describe", "scorer:harmonic", "--json", cwd=tmp_path).stdout)[
        "described"
    ]
    options = options_of(registry.get("scorer", "harmonic").resolve())
    assert {option["name"]: option["default"] for option in part["options"]} == {
        name: option.default for name, option in options.items()
    }
    assert part["needs"] == ["class token", "regions", "text"]
    assert part["recipe"] is None


def test_describe_as_json_tells_the_parts_of_a_recipe(tmp_path: Path) -> None:
    [found] = json.loads(vlmad("describe", "comparison", "--json", cwd=tmp_path).stdout)[
        "described"
    ]
    assert found["recipe"]["parts"]["scorer"] == "max-cosine"
    assert found["recipe"]["options"]["extractor"] == {"scales": [2, 3, 5]}


def test_describe_shows_the_help_of_a_command_that_is_a_typer_app(tmp_path: Path) -> None:
    done = vlmad("describe", "command:prompts", cwd=tmp_path)
    assert "Import learned prompts and look at them." in done.stdout
    assert "Typer" not in done.stdout


def test_at_80_columns_no_name_is_cut_and_meanings_have_room(
    registry: Registry, tmp_path: Path
) -> None:
    done = vlmad("plugins", cwd=tmp_path, COLUMNS="80")
    assert set(registry.names("scorer")) <= set(done.stdout.split())
    for words in (("describe", "extractor:window"), ("run", "--help")):
        out = vlmad(*words, cwd=tmp_path, COLUMNS="80").stdout
        assert max(map(len, out.splitlines())) <= 80
        assert min(line.index(line.split()[0]) for line in out.splitlines() if line.split()) == 0
