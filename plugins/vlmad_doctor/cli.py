"""The commands ``vlmad plugins``, ``vlmad describe`` and ``vlmad doctor``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from vlmad.console import console, say, say_traceback, write_json
from vlmad.hookspecs import HOOKS
from vlmad.registry import Registry
from vlmad_run.choosing import completing

COLOURS = {"ok": "green", "note": "yellow", "wrong": "red"}
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def plugins(
    context: typer.Context,
    as_json: AsJson = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Import all, also what ended vlmad when imported.")
    ] = False,
) -> None:
    """List all parts, recipes and commands, and the plugins they come from.

    With --debug, where each that is broken failed.

    Example: vlmad plugins
    """
    from vlmad_doctor._catalogue import catalogue, list_plugins

    registry = Registry.discover(retry=retry)
    if context.find_root().params.get("debug"):
        for plugin in registry.plugins:
            if plugin.error is not None:
                say(f"{plugin}: {plugin.reason}")
                say_traceback(plugin.error)
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
    write_json(f"{text}\n".encode("utf-8", "backslashreplace"))


def doctor(as_json: AsJson = False) -> None:
    """Check whether vlmad can work here, and what to do about what is wrong.

    Exit status: 0 it can work, 1 something essential is wrong.

    Example: vlmad doctor
    """
    from vlmad_doctor.health import Health, check_health

    out, checks = console(), []
    for check in check_health():
        checks.append(check)
        remedy = f"; {check.remedy}" if check.remedy else ""
        if not as_json:
            out.print(check.status.ljust(6), style=COLOURS[check.status], end="")
            out.print(f"{check.name}: {check.found}{remedy}")
    wrong = [check.name for check in checks if check.status == "wrong"]
    if as_json:
        write_json(Health(works=not wrong, checks=checks).to_json())
    else:
        out.print("", f"wrong: {', '.join(wrong)}" if wrong else "vlmad can work here", sep="\n")
    if wrong:
        raise typer.Exit(1)
