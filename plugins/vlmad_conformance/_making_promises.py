"""What all parts promise of how they are made: imports, options, members, words."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import torch

from vlmad.assembly import GIVERS, missing_attributes
from vlmad.errors import did_you_mean
from vlmad.hookspecs import KINDS
from vlmad.options import REQUIRED, convert, options_of
from vlmad.parts import PROTOCOLS
from vlmad.registry import installed
from vlmad_conformance._small_backbone import SmallBackbone
from vlmad_conformance.facts import given, require, require_close, require_quick
from vlmad_documents.learned_file import Learns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.options import Option
    from vlmad.types import BackboneSpec
    from vlmad_conformance.promises import Subject

LONG_IMPORT = 1.0
"""Seconds that the modules of a plugin take, without those of others, to be imported."""
ROOT = "root"
"""What every reader of data sets is given first."""
PLAIN = (bool, int, float, str, Path, type(None))
"""Types of options, beside Literal, tuple[X, ...] and unions of these."""


def is_documented(subject: Subject) -> None:
    """Its factory has a docstring of its own, and says under ``Args:`` what each option does."""
    if subject.factory is None:
        return
    own = getattr(subject.factory, "__doc__", None)
    if inspect.isclass(subject.factory):
        own = vars(subject.factory).get("__doc__")
    require(bool(own and own.strip()), "it has no docstring of its own")
    for option in options_of(subject.factory).values():
        known = subject.kind == "dataset" and option.name == ROOT
        require(
            known or bool(option.doc), f"option '{option.name}' is not documented under 'Args:'"
        )


def has_options_that_can_be_set(subject: Subject) -> None:
    """Each option has a type that a command line can say, and a default of that type."""
    if subject.factory is None:
        return
    for option in options_of(subject.factory).values():
        with given(f"option '{option.name}'"):
            require(_can_be_said(option.type), f"its type {_shown(option.type)} is none of options")
            if option.default is not REQUIRED:
                _check_default(option)


def _shown(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _can_be_said(kind: Any) -> bool:
    origin, within = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _can_be_said(within[0])
    if origin in (Union, types.UnionType):
        return all(map(_can_be_said, within))
    if origin is Literal:
        return all(isinstance(word, str) for word in within)
    if origin is tuple:
        return len(within) == 2 and within[1] is Ellipsis and _can_be_said(within[0])
    return kind in PLAIN


def _check_default(option: Option) -> None:
    try:
        converted = convert(option.type, option.default)
    except Exception:
        converted = REQUIRED
    alike = bool(converted == option.default)
    kinds = [type(each) for each in (converted, option.default)]
    number = kinds == [float, int]
    right = alike and (kinds[0] is kinds[1] or number)
    require(right, f"its default {option.default!r} is no {option.type_name}")


def has_its_members(subject: Subject) -> None:
    """It can be built, and has what the protocol of its kind asks for."""
    part = subject.make()
    lacks = missing_attributes(part, PROTOCOLS[subject.kind])
    require(not lacks, f"it lacks {', '.join(lacks)}")
    for word in ("needs", "gives"):
        words: Any = getattr(part, word, frozenset())
        right = not isinstance(words, str) and all(isinstance(each, str) for each in words)
        require(right, f"{word} is no set of words")


def learns(subject: Subject) -> None:
    """What it has to learn are named tensors that gradients can reach, the seed's own."""
    part = subject.make()
    if isinstance(part, Learns):
        check_learning(part, (subject.backbone or SmallBackbone()).spec)


def check_learning(part: Learns, spec: BackboneSpec) -> None:
    """Check what a part has to learn, for a backbone of that spec."""
    first, again = (dict(part.learnable(spec, 0)) for _ in range(2))
    require(bool(first), "learnable: it has nothing to learn")
    for name, tensor in first.items():
        floating = isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
        require(isinstance(name, str) and floating, f"learnable: '{name}' is no floating tensor")
        require(tensor.is_leaf and not tensor.is_inference(), f"learnable: '{name}' cannot learn")
        require(bool(tensor.isfinite().all()), f"learnable: '{name}' is not finite")
    require_close(again, first, "learnable: the same seed draws other values")
    texts = [*part.facts().keys(), *part.facts().values()]
    require(all(isinstance(text, str) for text in texts), "facts must be texts by name")


def needs_known_words(subject: Subject) -> None:
    """Its words are those of `vlmad.parts`, or some part gives them."""
    part = subject.make()
    known = set(GIVERS) | _words_of(part)
    for word in getattr(part, "needs", ()):
        if word not in known:
            known |= _given_by_parts()
        hint = did_you_mean(str(word), known)
        require(word in known, f"it needs {word!r}, which no part gives; {hint}")


def _words_of(part: Any) -> set[str]:
    spec = getattr(part, "spec", None)
    return {*getattr(part, "gives", ()), *getattr(spec, "provides", ())}


def _given_by_parts() -> set[str]:
    """Return what parts say that they give, of those that can be made without options."""
    words: set[str] = set()
    for kind in KINDS:
        for registration in installed().of_kind(kind):
            try:
                words |= _words_of(registration.resolve()())
            except Exception:
                continue
    return words


@contextmanager
def _forgotten(package: str) -> Iterator[None]:
    """Forget the modules of a package meanwhile."""
    kept = {name: m for name, m in sys.modules.items() if _is_of(name, package)}
    for name in kept:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _is_of(name, package)]:
            del sys.modules[name]
        sys.modules.update(kept)


def imports_quickly(subject: Subject) -> None:
    """Its plugin is imported soon; the libraries that it uses do not count."""
    if not subject.package:
        return
    module = getattr(subject.factory, "__module__", "")
    names = [name for name in (subject.package, module) if _is_of(name, subject.package)]
    with given(f"import {names[-1]}"):
        what = f"importing {subject.package}"
        require_quick(lambda: _import_anew(subject.package, names), what, LONG_IMPORT)


def _is_of(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _import_anew(package: str, names: list[str]) -> None:
    with _forgotten(package):
        for name in names:
            importlib.import_module(name)
