"""A new distribution, made of the templates: the files of a plugin called vlmad-sprout.

Of its hooks and modules those of the wanted kinds are kept, and the new name takes the place of the
old one.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import OptionError, UnknownPartError, did_you_mean
from vlmad.hookspecs import HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vlmad.registry import Registry

TEMPLATES = Path(__file__).with_name("templates")
PREFIX = "vlmad-"
HOOKS_MODULE = "vlmad_sprout/__init__.py"
PLACES = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "tests/test_promises.py": "tests/test_promises.py",
    "workflow.yml": ".github/workflows/check.yml",
    HOOKS_MODULE: HOOKS_MODULE,
    "vlmad_sprout/py.typed": "vlmad_sprout/py.typed",
}
"""The templates that are wanted whatever a plugin brings, and where they go."""
LONGEST = 34
"""Letters of a name, so that no line becomes too long."""
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
HOOK = re.compile(r"\n\n\n@hookimpl\ndef register_(\w+)\(.*?(?=\n\n\n|\n\Z)", re.DOTALL)
MODULE = re.compile(r'"(vlmad_sprout)\.(\w+):')
ROW = re.compile(r"^\| `(\w+):sprout` .*\n", re.MULTILINE)


def check_name(name: str, kinds: Iterable[str], registry: Registry) -> str:
    """Return the name of a distribution as pip spells it, if a new one can have it.

    Raises:
        OptionError: it is no name, or it or that of a part is taken.
    """
    name = re.sub(r"[-_.]+", "-", name).lower()
    part = part_of(name)
    if not (NAME.fullmatch(name) and NAME.fullmatch(part) and len(name) <= LONGEST):
        raise OptionError(
            f"'{name}' is no name for a plugin: letters, digits and '-', a letter first, "
            f"also after '{PREFIX}', {LONGEST} at most"
        )
    package = name.replace("-", "_")
    if iskeyword(package) or package == "tests" or find_spec(package) is not None:
        raise OptionError(f"'{package}' is already something to Python; choose another name")
    for kind in kinds:
        for taken in registry.named(kind, part):
            raise OptionError(f"{taken.origin} has a {kind} '{part}'; choose another name")
    return name


def part_of(name: str) -> str:
    """Return what the parts of a distribution are called.

    >>> part_of("vlmad-foo"), part_of("our-parts")
    ('foo', 'our-parts')
    """
    return name.removeprefix(PREFIX)


def offered_kinds() -> list[str]:
    """Return the kinds that a new plugin can bring."""
    return list(_modules())


def distribution_of(name: str, kinds: Iterable[str]) -> dict[str, str]:
    """Return the files of a distribution, by their paths in it.

    Raises:
        UnknownPartError: there is no template for a kind.
    """
    wanted = list(kinds)
    for kind in wanted:
        if kind not in _modules():
            hint = did_you_mean(kind, offered_kinds())
            raise UnknownPartError(f"--part {kind}: there is no template for that; {hint}")
    places = {**PLACES, **{path: path for path in (_modules()[kind] for kind in wanted)}}
    return {
        _named(place, name): _named(_only(_template(path), wanted), name)
        for path, place in places.items()
    }


def _template(path: str) -> str:
    return (TEMPLATES / path).read_text(encoding="utf-8")


@cache
def _modules() -> Mapping[str, str]:
    """Return the module with the part of each kind that there is a template for."""
    return {
        _kind_of(hook[1]): "{}/{}.py".format(*MODULE.findall(hook[0])[0])
        for hook in HOOK.finditer(_template(HOOKS_MODULE))
    }


def _kind_of(registered: str) -> str:
    kinds = {hook: kind for kind, hook in HOOKS.items()}
    return kinds.get(f"register_{registered}", registered.removesuffix("s"))


def _only(content: str, kinds: list[str]) -> str:
    """Leave out hooks and rows of other kinds."""
    content = HOOK.sub(lambda hook: hook[0] if _kind_of(hook[1]) in kinds else "", content)
    return ROW.sub(lambda row: row[0] if row[1] in kinds else "", content)


def _named(content: str, name: str) -> str:
    part = part_of(name)
    words = {
        "vlmad-sprout": name,
        "vlmad_sprout": name.replace("-", "_"),
        "SPROUT": part.replace("-", "_").upper(),
        "Sprout": "".join(word.capitalize() for word in part.split("-")),
        "sprout": part,
    }
    for word, ours in words.items():
        content = content.replace(word, ours)
    return content
