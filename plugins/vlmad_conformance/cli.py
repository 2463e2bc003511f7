"""The command ``vlmad check``."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmad.console import console, write_json
from vlmad.registry import Registry

if TYPE_CHECKING:
    from vlmad_conformance.conformance_document import CheckedPart


def check(
    parts: Annotated[
        list[str] | None,
        typer.Argument(help="Distributions, plugins, or KIND:NAME; everything installed if none."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, an option of the one part.")
    ] = None,
    expecting: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file: options of parts that need some, and promises known to be broken."
        ),
    ] = None,
    in_use: Annotated[
        bool,
        typer.Option(
            "--smoke", help="Also run, fit, explain, bench and plan with it; about a minute a part."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Hold parts to what they promise, with small drawn images and a small backbone.

    Exit status: 0 all is kept, or broken as expected; 1 a promise is broken.

    Examples: vlmad check scorer:top-share, vlmad check vlmad-top-share
    """
    from vlmad_conformance import _choosing_parts as choosing
    from vlmad_conformance.conformance_document import Conformance

    registry, words = Registry.discover(), parts or []
    known = choosing.read_expectations(expecting) if expecting else choosing.Expectations()
    registrations = choosing.chosen(registry, words)
    options = choosing.parse_settings(settings or [], registrations)
    held = (choosing.hold(each, known, options, in_use) for each in registrations)
    checked = []
    for part in chain(choosing.not_loaded(registry, words), held):
        checked.append(part)
        if not as_json:
            _print(console(), part)
    kept = all(part.kept for part in checked)
    if as_json:
        write_json(Conformance(kept=kept, parts=checked).to_json())
    elif kept:
        console().print(f"{len(checked)} checked, all promises kept")
    if not kept:
        raise typer.Exit(1)


def _print(out: Any, part: CheckedPart) -> None:
    status, style = ("kept", "green") if part.kept else ("broken", "red")
    out.print(status.ljust(7), style=style, end="")
    out.print(f"{part.kind}:{part.name} of {part.distribution} {part.version}")
    if part.recipes is not None:
        out.print(f"       recipes that work with it: {', '.join(part.recipes) or 'none'}")
    for each in part.broken:
        out.print(f"       {each}" + (f" (expected: {each.expected})" if each.expected else ""))
