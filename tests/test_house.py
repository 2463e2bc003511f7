"""The house as it is drawn: who may import whom, one name for one thing, no way around."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DESIGN = ROOT / "docs" / "design.md"
FILES = sorted(path for top in ("core", "plugins") for path in (ROOT / top).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


@cache
def imports_of(path: Path) -> set[str]:
    """Return vlmad's modules that a file imports anywhere, type checking included."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & MODULES.keys()) or {node.module}
    return (found & MODULES.keys()) - {module_of(path)}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def drawn() -> dict[str, set[str]]:
    """Return which rooms each room may import, by the table of the design."""
    rows = re.findall(
        r"^\| `(vlmad\w*)` \| ([^|]*) \|", DESIGN.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {room: set(re.findall(r"vlmad\w*", others)) for room, others in rows}


def test_every_room_is_drawn_and_imports_only_what_its_line_names() -> None:
    table, actual = drawn(), defaultdict(set)
    for module, path in MODULES.items():
        others = {room_of(other) for other in imports_of(path)} - {room_of(module)}
        actual[room_of(module)] |= others - {"vlmad"}
    assert table.keys() == actual.keys()
    beyond = {room: others - table[room] for room, others in actual.items()}
    assert {room: others for room, others in beyond.items() if others} == {}
    unused = {room: others - actual[room] for room, others in table.items()}
    assert {room: others for room, others in unused.items() if others} == {}


def test_rooms_use_only_the_public_modules_of_others() -> None:
    private = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imports_of(path)
        if room_of(module) != room_of(other) and re.search(r"\._", other)
    ]
    assert private == []


def test_no_two_modules_import_each_other() -> None:
    graph = {module: imports_of(path) for module, path in MODULES.items()}
    assert set(TopologicalSorter(graph).static_order()) == graph.keys()  # it raises at a circle


def test_one_name_is_one_class_and_one_module() -> None:
    classes, modules = defaultdict(list), defaultdict(list)
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(module_of(path))
        if path.stem not in ("__init__", "__main__", "cli"):
            modules[path.stem].append(module_of(path))
    assert {name: where for name, where in classes.items() if len(where) > 1} == {}
    assert {name: where for name, where in modules.items() if len(where) > 1} == {}


@pytest.mark.slow
def test_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_commands_are_declared_in_the_cli_of_their_room(registry: object) -> None:
    from vlmad.plugin import BUILT_IN
    from vlmad.registry import Registry

    for registration in Registry.discover().of_kind("command"):
        if registration.distribution == BUILT_IN:
            target = registration.resolve()
            module = getattr(target, "__module__", "")
            assert module.endswith(".cli") or module.startswith("typer"), registration
