"""One check for a registered part of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad.assembly import missing_attributes
from vlmad.options import check_options, options_of
from vlmad.parts import PROTOCOLS
from vlmad.registry import Registry
from vlmad.testing.backbones import check_backbone
from vlmad.testing.facts import require
from vlmad.testing.parts import check_attention, check_extractor, check_prompts, check_scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

    Args:
        kind: backbone, prompts, extractor, attention or scorer.
        name: as on the command line.
        options: as after ``--set``, without the kind.
        backbone: one that prompts or an extractor fit; by default `two_layer_backbone()`.

    Raises:
        VlmadError: it cannot be found or built.
        AssertionError: it breaks the contract; the message says where.
    """
    registration = Registry.discover().get(kind, name)
    factory = registration.resolve()
    offered = options_of(factory)
    for option in offered.values():
        require(bool(option.doc), f"option '{option.name}' is not documented under 'Args:'")
    settings = dict(options or {})
    if kind == "backbone" and "precision" in offered:
        settings.setdefault("precision", "float32")  # the checks' tolerance is that of float32
    part = factory(**check_options(f"{kind} '{name}'", offered, settings))
    lacks = missing_attributes(part, PROTOCOLS[kind])
    require(not lacks, f"{kind} '{name}' lacks {', '.join(lacks)}")
    given = (backbone,) if kind in ("prompts", "extractor") else ()
    CHECKS[kind](part, *given)
