"""Which promises each kind makes, and whether what is installed keeps them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad.errors import VlmadError
from vlmad.hookspecs import KINDS
from vlmad.options import check_options, options_of
from vlmad.plugin import BUILT_IN
from vlmad_conformance import _attention_promises as attention
from vlmad_conformance import _backbone_promises as backbone
from vlmad_conformance import _extractor_promises as extractor
from vlmad_conformance import _making_promises as making
from vlmad_conformance import _offered_promises as offered
from vlmad_conformance import _other_promises as other
from vlmad_conformance import _prompts_promises as prompts
from vlmad_conformance import _scorer_promises as scorer
from vlmad_conformance.conformance_document import BrokenPromise
from vlmad_conformance.examples import TWO_LAYERS
from vlmad_conformance.promises import Subject, broken_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vlmad.parts import Backbone
    from vlmad.plugin import Registration
    from vlmad_conformance.promises import Tiers

TIERS: Mapping[str, Tiers] = {
    "backbone": backbone.PROMISES,
    "prompts": prompts.PROMISES,
    "extractor": extractor.PROMISES,
    "attention": attention.PROMISES,
    "scorer": (
        (scorer.traits,),
        (scorer.needs, scorer.fits),
        (scorer.is_quick,),
        (scorer.predicts,),
        (*scorer.REST, *offered.REST),
    ),
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "backbone:openclip": {"model": str(TWO_LAYERS), "weights": "random:0"},
    "backbone:timm": {"model": "test_resnet", "weights": "random:0"},
}
"""Of built-in parts that are not made without a published model."""
WITH_OPTIONS = (*KINDS, "dataset", "defect")
"""Kinds whose factories are given options; of others the factory is all that there is."""


def tiers_of(kind: str) -> Tiers:
    """Return the promises of what is registered for a kind."""
    if kind not in TIERS:
        return other.PROMISES.get(kind, other.OF_ANY_KIND)
    *first, last = TIERS[kind]
    rest = (making.uses_known_words, making.learns, *last, *making.SETTING)
    return ((making.has_its_members,), *first, rest)


def subject_of(
    registration: Registration,
    options: Mapping[str, Any] | None = None,
    backbone: Backbone | None = None,
) -> Subject:
    """Return an installed part as a subject.

    Args:
        registration: of the registry.
        options: as after ``--set``, without the kind.
        backbone: one that prompts or an extractor fit.

    Raises:
        VlmadError: it cannot be imported, or has no such option.
    """
    kind, factory = registration.kind, registration.resolve()
    name, package = registration.full_name, registration.plugin.package
    known = {} if registration.distribution != BUILT_IN else OPTIONS
    given = {**known.get(f"{kind}:{registration.name}", {}), **(options or {})}
    if kind not in WITH_OPTIONS:
        made = factory if isinstance(factory, type) else lambda: factory
        return Subject(made, kind, name, factory, package)
    has = options_of(factory, registration)
    for word, value in (("precision", "float32"), ("anew", True)):
        if word in has:  # the tolerance is that of float32; what is learned is drawn
            given.setdefault(word, value)
    checked = check_options(str(registration), has, given)
    make = partial(factory, **checked)
    return Subject(make, kind, name, factory, package, checked, backbone)


def check_registered(
    registration: Registration,
    options: Mapping[str, Any] | None = None,
    backbone: Backbone | None = None,
) -> list[BrokenPromise]:
    """Return the promises that an installed part breaks; see `subject_of`."""
    try:
        subject = subject_of(registration, options, backbone)
    except VlmadError as error:
        return [BrokenPromise(promise="can-be-made", what=str(error))]
    return list(broken_by(subject, tiers_of(registration.kind)))


def beside_expected(
    found: Iterable[BrokenPromise], expected: Mapping[str, str]
) -> list[BrokenPromise]:
    """Return what is broken, with why that was expected; what is kept nevertheless is, too."""
    broken = [each.model_copy(update={"expected": expected.get(each.promise)}) for each in found]
    kept = sorted(expected.keys() - {each.promise for each in broken})
    return broken + [
        BrokenPromise(promise=p, what=f"it is kept, though expected to be broken: {expected[p]}")
        for p in kept
    ]
