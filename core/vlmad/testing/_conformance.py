"""One check for a registered part of any kind, and a test for each part of a distribution."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad.assembly import missing_attributes
from vlmad.hookspecs import KINDS
from vlmad.options import check_options, options_of
from vlmad.parts import PROTOCOLS, Learns
from vlmad.registry import Registry
from vlmad.testing._backbone_checks import check_backbone
from vlmad.testing._examples import two_layer_backbone
from vlmad.testing._facts import good_manners, require
from vlmad.testing._part_checks import (
    check_attention,
    check_extractor,
    check_learning,
    check_prompts,
    check_scorer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    from vlmad.parts import Backbone

CHECKS: Mapping[str, Callable[..., None]] = {
    "backbone": check_backbone,
    "prompts": check_prompts,
    "extractor": check_extractor,
    "attention": check_attention,
    "scorer": check_scorer,
}


def check_part(
    kind: str,
    name: str,
    options: Mapping[str, Any] | None = None,
    backbone: Backbone | None = None,
) -> None:
    """Find an installed part, build it, and check all that its kind must keep.

    Of a kind that a plugin brings, the members of its protocol are checked.

    Args:
        kind: backbone, prompts, extractor, attention or scorer, or a plugin's own kind.
        name: as on the command line.
        options: as after ``--set``, without the kind.
        backbone: one that prompts or an extractor fit; by default `two_layer_backbone()`.

    Raises:
        VlmadError: it cannot be found or built.
        AssertionError: it breaks the contract; the message says where.
    """
    owner = f"{kind} '{name}'"
    registry = Registry.discover()
    factory = registry.get(kind, name).resolve()
    if kind not in KINDS:
        protocol = registry.protocol(kind)
        lacks = missing_attributes(factory, protocol) if protocol else []
        require(not lacks, f"{owner} lacks {', '.join(lacks)}")
        return
    offered = options_of(factory)
    for option in offered.values():
        require(bool(option.doc), f"option '{option.name}' is not documented under 'Args:'")
    settings = dict(options or {})
    if kind == "backbone" and "precision" in offered:
        settings.setdefault("precision", "float32")  # the checks' tolerance is that of float32
    two_layer_backbone()  # what its libraries set when first imported is no part's doing
    with good_manners(owner):
        part = factory(**check_options(owner, offered, settings))
        lacks = missing_attributes(part, PROTOCOLS[kind])
        require(not lacks, f"{owner} lacks {', '.join(lacks)}")
        if isinstance(part, Learns):
            check_learning(part, (backbone or two_layer_backbone()).spec)
        given = (backbone,) if kind in ("prompts", "extractor") else ()
        CHECKS[kind](part, *given)


def parametrize_parts(
    distribution: str,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Return a decorator that makes a test for each part that a distribution registers.

    The test takes one argument, ``check``, and calls it::

        @parametrize_parts("vlmad-top-share")
        def test_parts_keep_the_contract(check):
            check()

    Args:
        distribution: its name, as pip has it.
        options: by ``kind:name``, for parts that need some.
        expected_failures: by ``kind:name``, why a check is known to fail; one that does not
            fail any more fails the test.
    """
    import pytest

    parameters = []
    registry = Registry.discover()
    for registration in (r for kind in KINDS for r in registry.of_kind(kind)):
        if registration.distribution == distribution:
            place = f"{registration.kind}:{registration.name}"
            name = f"{distribution}:{registration.name}"
            check = partial(check_part, registration.kind, name, (options or {}).get(place))
            reason = (expected_failures or {}).get(place)
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            parameters.append(pytest.param(check, id=place, marks=marks))
    require(bool(parameters), f"{distribution} registers no part; is it installed?")
    return pytest.mark.parametrize("check", parameters)
