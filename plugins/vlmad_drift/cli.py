"""The command ``vlmad drift``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.console import console, messages, say, write_json
from vlmad.files import write_atomically
from vlmad_drift.drift_watch import ALPHA, DEFECTS

if TYPE_CHECKING:
    from vlmad_drift.drift_documents import DriftReport

DRIFTED, FAILED = 3, 1
"""Exit statuses."""
WARNINGS = 20
"""As many of a kind are written out."""


class Order(StrEnum):
    """What says in which order images were taken."""

    time = "time"
    name = "name"


class FailOnDrift(StrEnum):
    """What makes the command end with a status of its own."""

    drift = "drift"


def drift(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…|LEDGER…|PATH…",
            help="Runs, ledgers of a line, or photographs to score with --model.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A detector in a file, as vlmad fit stores it."),
    ] = None,
    usual: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN|PATH", help="Good images: a run, or photographs; repeatable."),
    ] = None,
    product: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which product, where a run has several.")
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="The probability of any false alarm ever, at most.")
    ] = ALPHA,
    defects: Annotated[
        float, typer.Option(help="The largest share of defective images that is no drift.")
    ] = DEFECTS,
    order: Annotated[
        Order, typer.Option(help="By the time of change of the files, or by their names.")
    ] = Order.time,
    scores_only: Annotated[
        bool, typer.Option("--scores-only", help="Do not look at the images themselves.")
    ] = False,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw scores and evidence.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="By which ties are broken.")] = 0,
    fail_on: Annotated[
        FailOnDrift | None, typer.Option(help=f"Exit with {DRIFTED} if there is drift.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
    reset: Annotated[
        bool,
        typer.Option(
            "--reset",
            help="End the alarm of a line, named by its ledger, and begin anew: of all its "
            "products, or of --product. A line that runs takes note with its next images.",
        ),
    ] = False,
) -> None:
    """Tell whether images are still like the usual ones, since when not, and what has changed.

    Watched are scores, brightness, contrast, sharpness, colour and place. The usual ones are the
    references of the fitted detector, or what --usual names; without them only changes among
    the images themselves are found.

    Exit status: 0 all done, 1 some images could not be scored or measured, 2 nothing could be
    done, 3 there is drift and --fail-on asks.

    Examples:
    vlmad drift vlmad-runs/2026-05-01-120000-change

    vlmad drift vlmad-runs/this-week --usual vlmad-runs/calibration --chart drift.png

    vlmad drift photos/ --model nut.safetensors --fail-on drift

    vlmad drift line.sqlite --model nut.safetensors

    vlmad drift line.sqlite --reset
    """
    if reset:
        from vlmad_drift.stored_drift import begin_anew

        for path in paths:
            say(f"{path}: begun anew with {', '.join(begin_anew(Path(path), product))}")
        return
    from vlmad_drift._drift_chart import drift_chart
    from vlmad_drift._looking import Asked, look

    asked = Asked(
        paths, model, usual or [], product, alpha, defects, order is Order.name, scores_only, seed
    )
    report = look(asked, messages())
    if chart is not None:
        write_atomically(chart, drift_chart(report))
    if as_json:
        write_json(report.to_json())
    else:
        _print(report)
    for failure in report.failures[:WARNINGS]:
        say(failure)
    if len(report.failures) > WARNINGS:
        say(f"and {len(report.failures) - WARNINGS} more, see --json")
    if report.drift and fail_on is not None:
        raise typer.Exit(DRIFTED)
    if report.failures:
        raise typer.Exit(FAILED)


def _print(report: DriftReport) -> None:
    from rich.table import Table

    alarms = {alarm.quantity: alarm for alarm in report.alarms}
    table = Table("quantity", "usual", "now", "shift (95 %)", "evidence", "", box=None)
    evidence = report.points[-1].evidence if report.points else {}
    for each in report.shifts:
        alarm = alarms.get(each.quantity)
        shift = f"{each.shift:+.1f} ({each.low:+.1f} to {each.high:+.1f})"
        won = f"{evidence.get(each.quantity, 0.0):.2g}"
        found = f"alarm at image {alarm.number}" if alarm else ""
        cells = (f"{each.usual:.4g}", f"{each.level:.4g}", shift, won, found)
        table.add_row(each.quantity, *cells)
    screen = console()
    screen.print(report.words, "", sep="\n")
    screen.print(table)
    needed = f"an alarm from an evidence of {report.needed:.0f} on"
    promise = f"false alarms ever: at most {report.alpha:g}"
    notes = [f"note: {remark}" for remark in report.remarks]
    screen.print("", f"shift in usual spreads; {needed} ({promise})", *notes, sep="\n")
