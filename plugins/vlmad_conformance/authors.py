"""What `vlmad.testing` has for authors of parts."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad.registry import Registry
from vlmad_conformance._making_promises import check_learning as check_learning
from vlmad_conformance.checking import beside_expected, check_registered, tiers_of
from vlmad_conformance.examples import TWO_LAYERS as TWO_LAYERS
from vlmad_conformance.examples import UsualAttention as UsualAttention
from vlmad_conformance.examples import example_features as example_features
from vlmad_conformance.examples import example_images as example_images
from vlmad_conformance.examples import example_text as example_text
from vlmad_conformance.examples import two_layer_backbone as two_layer_backbone
from vlmad_conformance.facts import require
from vlmad_conformance.promises import Subject, broken_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

    from vlmad.parts import Attention, Backbone, Extractor, Prompts, Scorer
    from vlmad_conformance.conformance_document import BrokenPromise


def check_part(
    kind: str,
    name: str,
    options: Mapping[str, Any] | None = None,
    backbone: Backbone | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Find an installed part, and hold it to all that its kind promises.

    Args:
        kind: backbone, prompts, extractor, attention or scorer, or any other that can be
            registered.
        name: as on the command line.
        options: as after ``--set``, without the kind; of a data set, its `root`.
        backbone: one that prompts or an extractor fit; by default small ones.
        expected_failures: by the name of a promise, why it is known to be broken. One that is
            not broken any more fails the check.

    Raises:
        VlmadError: there is no such part.
        AssertionError: it breaks promises; the message says which, and with what input.
    """
    registration = Registry.discover().get(kind, name)
    broken = check_registered(registration, options, backbone)
    _raise_unless_expected(f"{kind} '{name}'", broken, expected_failures or {})


def _raise_unless_expected(
    owner: str, found: Iterable[BrokenPromise], expected: Mapping[str, str]
) -> None:
    broken = beside_expected(found, expected)
    complaints = [f"{owner}: {each}" for each in broken if not each.expected]
    if complaints:
        raise AssertionError("\n".join(complaints))
    if broken:
        import pytest

        pytest.xfail("; ".join(f"{each.promise}: {each.expected}" for each in broken))


def parametrize_parts(
    distribution: str,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
) -> pytest.MarkDecorator:
    """Return a decorator that makes a test for each part that a distribution registers.

    The test takes one argument, ``check``, and calls it::

        @parametrize_parts("vlmad-top-share")
        def test_parts_keep_the_contract(check):
            check()

    Args:
        distribution: its name, as pip has it.
        options: by ``kind:name``, for parts that need some.
        expected_failures: by ``kind:name``, what `check_part` takes.
    """
    import pytest

    parameters, registry = [], Registry.discover()
    for registration in (r for kind in registry.kinds for r in registry.of_kind(kind)):
        if registration.distribution == distribution:
            place = f"{registration.kind}:{registration.name}"
            known = (expected_failures or {}).get(place)
            name, own = registration.full_name, (options or {}).get(place)
            check = partial(check_part, registration.kind, name, own, expected_failures=known)
            parameters.append(pytest.param(check, id=place))
    require(bool(parameters), f"{distribution} registers no part; is it installed?")
    return pytest.mark.parametrize("check", parameters)


def _check(kind: str, part: Any, backbone: Backbone | None = None) -> None:
    """Hold a part to its promises; copies of it as it is now are the fresh ones."""
    pristine = copy.deepcopy(part)
    subject = Subject(lambda: copy.deepcopy(pristine), kind, backbone=backbone)
    _raise_unless_expected(kind, broken_by(subject, tiers_of(kind)), {})


def check_backbone(backbone: Backbone) -> None:
    """Check everything that a backbone's spec promises (loads its weights)."""
    subject = Subject(lambda: backbone, "backbone")  # a copy of a model would be much
    _raise_unless_expected("backbone", broken_by(subject, tiers_of("backbone")), {})


def check_prompts(prompts: Prompts, backbone: Backbone | None = None) -> None:
    """Check prompts, on a backbone that they fit."""
    _check("prompts", prompts, backbone)


def check_extractor(extractor: Extractor, backbone: Backbone | None = None) -> None:
    """Check an extractor, on a backbone that gives what it needs."""
    _check("extractor", extractor, backbone)


def check_attention(attention: Attention) -> None:
    """Check an attention modifier."""
    _check("attention", attention)


def check_scorer(scorer: Scorer) -> None:
    """Check a scorer."""
    _check("scorer", scorer)
