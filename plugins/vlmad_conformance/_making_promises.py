"""What all parts promise of how they are made: imports, options, members, words."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from contextlib import suppress
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import torch

from vlmad.assembly import missing_attributes
from vlmad.datasets import Dataset
from vlmad.errors import did_you_mean
from vlmad.fitting import GIVERS
from vlmad.hookspecs import KINDS
from vlmad.options import REQUIRED, convert, options_of
from vlmad.parts import PROTOCOLS
from vlmad.registry import installed
from vlmad_conformance._small_backbone import SmallBackbone
from vlmad_conformance.facts import given, require, require_close, require_quick
from vlmad_documents.learned_file import Learns

if TYPE_CHECKING:
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
    for name, option in options_of(subject.factory).items():
        known = bool(option.doc) or (subject.kind == "dataset" and name == ROOT)
        require(known, f"option '{name}' is not documented under 'Args:'")


def has_options_that_can_be_set(subject: Subject) -> None:
    """Each option has a type that a command line can say, and a default of that type."""
    for name, option in options_of(subject.factory).items() if subject.factory else ():
        with given(f"option '{name}'"):
            kind = option.type
            shown = kind.__name__ if isinstance(kind, type) and not get_args(kind) else kind
            require(_can_be_said(kind), f"its type {shown} is none of options")
            right = option.default is REQUIRED or _is_of_its_type(option)
            require(right, f"its default {option.default!r} is no {option.type_name}")


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


def _is_of_its_type(option: Option) -> bool:
    try:
        converted = convert(option.type, option.default)
    except Exception:
        return False
    kinds = type(converted), type(option.default)
    return bool(converted == option.default) and (kinds[0] is kinds[1] or kinds == (float, int))


def has_its_members(subject: Subject) -> None:
    """It can be built, and has what the protocol of its kind asks for."""
    kind = subject.kind
    protocol = Dataset if kind == "dataset" else PROTOCOLS.get(kind) or installed().protocol(kind)
    part = subject.factory if kind == "dataset" else subject.make()
    lacks = missing_attributes(part, protocol) if protocol is not None else ()
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


def uses_known_words(subject: Subject) -> None:
    """Its words are those of `vlmad.parts`, or others use them too."""
    part = subject.make()
    for word in getattr(part, "needs", ()):
        known = {*GIVERS, *_words(part, "gives")}
        if word not in known:
            known |= _words_of_all("gives")
        hint = did_you_mean(word, known)
        require(word in known, f"it needs {word!r}, which no part gives; {hint}")
    for word in _words(part, "gives") - GIVERS.keys():
        misspelt = get_close_matches(word, GIVERS, cutoff=0.8)
        own = not misspelt or word in _words_of_all("needs")
        require(own, f"it gives {word!r}, which no part needs; {did_you_mean(word, misspelt)}")


def _words(part: Any, field: str) -> set[str]:
    provided = getattr(getattr(part, "spec", None), "provides", ()) if field == "gives" else ()
    return {*getattr(part, field, ()), *provided}


def _words_of_all(field: str) -> set[str]:
    """Return what parts say, of those that can be made without options."""
    words: set[str] = set()
    for registration in chain.from_iterable(map(installed().of_kind, KINDS)):
        with suppress(Exception):
            words |= _words(registration.resolve()(), field)
    return words


def imports_quickly(subject: Subject) -> None:
    """Its plugin is imported soon; the libraries that it uses do not count."""
    package = subject.package
    if not package:
        return
    module = getattr(subject.factory, "__module__", "")
    names = [name for name in (package, module) if _is_of(name, package)]
    with given(f"import {names[-1]}"):
        require_quick(lambda: _import_anew(package, names), f"importing {package}", LONG_IMPORT)


def _is_of(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _import_anew(package: str, names: list[str]) -> None:
    """Import modules once more, and put back those that there were."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_of(name, package)}
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        for name in [name for name in sys.modules if _is_of(name, package)]:
            del sys.modules[name]
        sys.modules.update(kept)


SETTING = (is_documented, has_options_that_can_be_set, imports_quickly)
"""What everything with options promises."""
