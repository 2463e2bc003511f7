"""The command ``vlmad doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

MARKS = {
    "ok": "[green]ok[/green]   ",
    "note": "[yellow]note[/yellow] ",
    "wrong": "[red]wrong[/red]",
}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Check whether vlmad can work here, and say what to do about what is wrong.

    Exit status: 0 it can work, 1 something essential is wrong.
    """
    from vlmad_doctor.health import check_health

    console, checks = Console(highlight=False), []
    for check in check_health():
        checks.append(check)
        if as_json:
            continue
        console.print(MARKS[check.status], end=" ")
        remedy = f"; {check.remedy}" if check.remedy else ""
        console.print(f"{check.name}: {check.found}{remedy}", markup=False, soft_wrap=True)
    wrong = [check.name for check in checks if check.status == "wrong"]
    if as_json:
        document = {"works": not wrong, "checks": [asdict(check) for check in checks]}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        found = f"wrong: {', '.join(wrong)}" if wrong else "vlmad can work here"
        console.print(f"\n{found}", markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)
