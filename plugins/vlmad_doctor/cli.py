"""The commands ``vlmad plugins``, ``vlmad describe`` and ``vlmad doctor``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from vlmad.choosing import completing
from vlmad.console import console, output
from vlmad.errors import printable
from vlmad.hookspecs import HOOKS
from vlmad.registry import Registry

MARKS = {"ok": "[green]ok[/]   ", "note": "[yellow]note[/] ", "wrong": "[red]wrong[/]"}
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def plugins(as_json: AsJson = False) -> None:
    """List all parts, recipes and commands, and the plugins they come from.

    Example: vlmad plugins
    """
    from vlmad_doctor._catalogue import catalogue, list_plugins

    registry = Registry.discover()
    if as_json:
        _write_json(catalogue(registry))
    else:
        list_plugins(console(), registry)


def describe(
    name: Annotated[
        str,
        typer.Argument(
            help="NAME, or KIND:NAME such as scorer:dense.", autocompletion=completing(*HOOKS)
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what a part or recipe is, its options, and where it comes from.

    Examples: vlmad describe winclip, vlmad describe extractor:window
    """
    from vlmad_doctor._catalogue import describe_registration, find_named, print_description

    registry = Registry.discover()
    found = find_named(registry, name)
    if as_json:
        _write_json({"described": [describe_registration(registry, each) for each in found]})
        return
    for registration in found:
        print_description(console(), registry, registration)


def _write_json(document: Any) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    output().write(f"{text}\n")


def doctor(as_json: AsJson = False) -> None:
    """Check whether vlmad can work here, and what to do about what is wrong.

    Exit status: 0 it can work, 1 something essential is wrong.
    """
    from rich.markup import escape

    from vlmad_doctor.health import Health, check_health

    out, checks = console(), []
    for check in check_health():
        checks.append(check)
        remedy = f"; {check.remedy}" if check.remedy else ""
        line = escape(printable(f"{check.name}: {check.found}{remedy}"))
        if not as_json:
            out.print(f"{MARKS[check.status]} {line}", soft_wrap=True)
    wrong = [check.name for check in checks if check.status == "wrong"]
    if as_json:
        output().write(Health(works=not wrong, checks=checks).to_json().decode())
    else:
        out.print(f"\nwrong: {', '.join(wrong)}" if wrong else "\nvlmad can work here")
    if wrong:
        raise typer.Exit(1)
