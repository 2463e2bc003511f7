"""The command ``vlmad doctor``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from vlmad.console import console, output
from vlmad.errors import printable
from vlmad_doctor.health import Health, check_health

MARKS = {"ok": "[green]ok[/]   ", "note": "[yellow]note[/] ", "wrong": "[red]wrong[/]"}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Check whether vlmad can work here, and what to do about what is wrong.

    Exit status: 0 it can work, 1 something essential is wrong.
    """
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
