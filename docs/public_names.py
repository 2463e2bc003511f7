"""Write the list of names that plugins may rely on, with their signatures.

    python docs/public_names.py

Names may come, functions may gain arguments that can be left out, and hooks any arguments. What
would break a plugin is refused until `API` of vlmad.hookspecs rises.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.hookspecs import API

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".txt")
MODULES = (
    "vlmad.hookspecs",
    "vlmad.parts",
    "vlmad.types",
    "vlmad.recipes",
    "vlmad.datasets",
    "vlmad.errors",
    "vlmad.options",
    "vlmad.images",
    "vlmad.regions",
    "vlmad.text",
    "vlmad.files",
    "vlmad.watching",
    "vlmad_attribution.attribution",
    "vlmad_run.kinds",
)
"""Those that are for authors of plugins, whole."""
OTHERS = (
    "vlmad_documents.learned_file:Learns",
    "vlmad_explain.explanations:HasStates",
    "vlmad_formats.stored_values:Format",
    "vlmad_openclip.backbone_facts:HasIdentity",
    "vlmad_openclip.backbone_facts:HasTokenIds",
    "vlmad_synthesis.synthetic:Defect",
)
"""Single protocols: of kinds that rooms bring, and of what a part may offer to them."""
HOOK = "vlmad.hookspecs.register_"


def public_names() -> str:
    """Return the list: a line for each name, sorted within its module."""
    lines = [f"API {API}", *_reexported("vlmad"), *_reexported("vlmad.testing")]
    for module in MODULES:
        lines += sorted(_defined(module))
    for module, _, name in (place.partition(":") for place in OTHERS):
        lines += sorted(_defined(module, name))
    return "\n".join(lines) + "\n"


def broken(before: str, now: str) -> list[str]:
    """Return the lines of an earlier list that a plugin can no longer rely on."""
    after = {_name(line): line for line in now.splitlines()[1:]}
    lost = [line for line in before.splitlines()[1:] if not _kept(line, after.get(_name(line)))]
    earlier = {_name(line) for line in before.splitlines()}
    protocols = {name for name, line in after.items() if "(Protocol)" in line and name in earlier}
    asked = [n for n in after if n not in earlier and n.rpartition(".")[0] in protocols]
    return [*lost, *(f"{name} is asked of parts that do not have it" for name in asked)]


def _kept(line: str, now: str | None) -> bool:
    """Tell whether who relies on a line can rely on what stands in its place."""
    if now is None or line == now:
        return now is not None
    if "(self" in line or not ("(" in line and "(" in now) or line.startswith("class"):
        return False
    was, new = (_signature(each, _name(each)) for each in (line, now))
    given, added = was.args.args, new.args.args[len(was.args.args) :]
    optional = len(added) <= len(new.args.defaults) or line.startswith(HOOK)
    same_start = _said(given) == _said(new.args.args[: len(given)])
    named = dict(zip(_said(new.args.kwonlyargs), new.args.kw_defaults, strict=True))
    kept = _said(was.args.kwonlyargs)
    fresh = [default for name, default in named.items() if name not in kept]
    same = same_start and {*kept} <= named.keys() and None not in fresh
    return same and optional and _said([was.returns]) == _said([new.returns])


def _signature(line: str, name: str) -> ast.FunctionDef:
    [node] = ast.parse(f"def f{line.removeprefix(name)}: ...").body
    assert isinstance(node, ast.FunctionDef)
    return node


def _said(nodes: list[ast.arg] | list[ast.expr | None]) -> list[str]:
    return [ast.unparse(node) for node in nodes if node is not None]


def _name(line: str) -> str:
    words = line.removeprefix("class ").removeprefix("property ")
    return words.partition("(")[0].partition(":")[0].strip()


def _reexported(module: str) -> Iterator[str]:
    """Yield what the stub of a package offers: where it is from, or its signature."""
    stub = ast.parse(_file(f"{module}.__init__", ".pyi").read_text())
    for node in (each for each in stub.body if isinstance(each, ast.ImportFrom)):
        source = f"{module}.{node.module}" if node.level else str(node.module)
        for name in (alias.name for alias in node.names):
            if source in MODULES:
                yield f"{module}.{name}: {source}.{name}"
            else:
                yield from sorted(_defined(source, name, f"{module}.{name}"))


def _defined(module: str, only: str = "", called: str = "") -> Iterator[str]:
    """Yield what a module, or one name of it, promises."""
    for node in ast.parse(_file(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and only in [each.name for each in node.names]:
            yield from _defined(str(node.module), only, called)
        for name in _names(node):
            if not name.startswith("_") and only in ("", name):
                yield from _lines(_whole(node), called or f"{module}.{name}")


def _whole(node: ast.stmt) -> ast.stmt:
    """Let a class have what it inherits from `Method`, which only `Detector` is made of."""
    if isinstance(node, ast.ClassDef) and [ast.unparse(each) for each in node.bases] == ["Method"]:
        tree = ast.parse(_file("vlmad.method").read_text(encoding="utf-8"))
        [base] = [each for each in tree.body if _names(each) == ["Method"]]
        assert isinstance(base, ast.ClassDef)
        own = {name for each in node.body for name in _names(each)}
        more = [each for each in base.body if not own & {*_names(each)}]
        return ast.ClassDef(node.name, [], [], [*node.body, *more], [])
    return node


def _lines(node: ast.stmt, name: str) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        is_property = any(ast.unparse(each) == "property" for each in node.decorator_list)
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        kind = "property " if is_property else ""
        yield f"{kind}{name}({ast.unparse(node.args)}){result}"
    elif isinstance(node, ast.ClassDef):
        yield f"class {name}({', '.join(map(ast.unparse, node.bases))})"
        for inner in node.body:
            for word in _names(inner):
                if not word.startswith("_") or word in ("__call__", "__init__"):
                    yield from _lines(inner, f"{name}.{word}")
    elif isinstance(node, ast.AnnAssign) and "." in name:
        default = f" = {ast.unparse(node.value)}" if node.value else ""
        yield f"{name}: {ast.unparse(node.annotation)}{default}"
    else:
        yield name


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _file(module: str, suffix: str = ".py") -> Path:
    top = ROOT / ("core" if module.partition(".")[0] == "vlmad" else "plugins")
    return top.joinpath(*module.split(".")).with_suffix(suffix)


if __name__ == "__main__":
    before, now = LIST.read_text(encoding="utf-8") if LIST.exists() else "", public_names()
    lost = broken(before, now) if before.startswith(f"API {API}\n") else []
    if lost:
        sys.exit(
            f"raise API in core/vlmad/hookspecs.py, since these break plugins: {'; '.join(lost)}"
        )
    LIST.write_text(now, encoding="utf-8")
