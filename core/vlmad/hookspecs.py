"""The hooks that a plugin may implement, all found through the entry-point group ``vlmad``.

Each hook gets a function ``register(name, factory, summary="")``. `factory` is a callable, or,
so that listing plugins imports nothing heavy, the string ``"module:attribute"`` of one. The
factory's keyword arguments are the options of the part. Hooks only ever gain arguments, so a
plugin written for this version goes on working with later ones that have the same `API`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

API = 1
"""Rises when a public name (docs/public_names.txt) goes or changes so that plugins must too; one
that says ``vlmad_api = 1`` in its package is loaded by an API of that number only."""
GROUP = "vlmad"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Register(Protocol):
    """What every hook is given: it takes one name and what makes the part of that name."""

    def __call__(
        self, name: str, factory: Any, summary: str = "", formerly: Sequence[str] = ()
    ) -> None:
        """Register `factory` (a callable or ``"module:attribute"``) under `name`.

        Args:
            name: letters, digits and ``-``.
            factory: what makes the part, or a recipe.
            summary: a line for lists.
            formerly: names that it had before, by which files and users may still know it.
        """


@hookspec
def register_backbones(register: Register) -> None:
    """Register image-text models: factories of `vlmad.Backbone`."""


@hookspec
def register_prompts(register: Register) -> None:
    """Register prompt strategies: factories of `vlmad.Prompts`."""


@hookspec
def register_extractors(register: Register) -> None:
    """Register feature extractors: factories of `vlmad.Extractor`."""


@hookspec
def register_attention(register: Register) -> None:
    """Register attention modifiers: factories of `vlmad.Attention`."""


@hookspec
def register_scorers(register: Register) -> None:
    """Register scorers: factories of `vlmad.Scorer`."""


@hookspec
def register_detectors(register: Register) -> None:
    """Register recipes: `vlmad.Recipe` objects that name five parts and their options."""


@hookspec
def register_datasets(register: Register) -> None:
    """Register readers of labelled images: factories of `vlmad.Dataset`, given a root."""


@hookspec
def register_commands(register: Register) -> None:
    """Register subcommands of ``vlmad``: functions or Typer apps."""


HOOKS = {
    "backbone": "register_backbones",
    "prompts": "register_prompts",
    "extractor": "register_extractors",
    "attention": "register_attention",
    "scorer": "register_scorers",
    "detector": "register_detectors",
    "dataset": "register_datasets",
    "command": "register_commands",
}
"""From the kind of a registration to the hook that collects it."""

KINDS = ("backbone", "prompts", "extractor", "attention", "scorer")
"""The five kinds of part, in the order in which data flows through them."""
