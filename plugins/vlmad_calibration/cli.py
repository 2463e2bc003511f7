"""The command ``vlmad calibrate``."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vlmad.console import console, messages, write_json
from vlmad.errors import InputError, OutputError, printable
from vlmad.files import read_bounded
from vlmad_calibration import calibration
from vlmad_calibration._labelled_images import (
    ScoredImages,
    find_labelled,
    look_up_scores,
    score_images,
)
from vlmad_calibration._labelled_parts import as_parts
from vlmad_calibration.rules import Rule, settle
from vlmad_run.choosing import Choice, choosing
from vlmad_run.part_grouping import Grouped
from vlmad_run.passed_over import in_words
from vlmad_run.progress import print_notes
from vlmad_run.references import References, assemble, check_unused
from vlmad_run.thresholds import Threshold

if TYPE_CHECKING:
    from vlmad_calibration.calibration import Evidence

FAILED = 1
"""The exit status where some images could not be read."""
WHY = {
    "references": "are references too, so that their scores would be too low",
    "repeated": "are there twice",
    "others": "the data set they lie in labels otherwise",
}
JUDGED = (
    "note: no good image but references, {} of them named: each reference that the detector has "
    "is judged without its own part in the memory"
)


@choosing
def calibrate(
    choice: Choice,
    references: References,
    grouped: Grouped,
    good: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Good images: a folder, file or pattern; repeatable."),
    ] = None,
    bad: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Anomalous images, likewise.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The folder of a run that scored them, and its detector."),
    ] = None,
    rule: Annotated[
        Rule | None,
        typer.Option(
            metavar="RULE",
            help="quantile of good ones, margin above few; f1, false-alarms or misses with --bad.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="The false-alarm rate, or of misses the miss rate; 0.05 by default."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path(
        "threshold.json"
    ),
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Choose from which score on an image is anomalous, for `vlmad run --threshold`.

    From good images alone: the quantile for a false-alarm rate. Without --good, each of the
    references is judged by the others. With bad images too: the largest F1 (default), or a
    limit to the rate of false alarms or misses.

    With --group the threshold is for parts, as vlmad run --group judges them: a part scores as its
    worst view does, and is anomalous if any of its views is.

    Exit status: 0 all done, 1 some images could not be read, 2 nothing could be done.

    Examples:
    vlmad calibrate --good good/ --class-name "metal nut" --rate 0.01

    vlmad calibrate --references good/ --shots 40

    vlmad calibrate --model nut.safetensors --good good/ --bad scratched/ --rule misses

    vlmad calibrate --scores vlmad-runs/night --good line/good/ --bad line/rejected/
    """
    command = [printable(word) for word in sys.argv[1:]]
    _check_repeated(out, command)
    settle(rule, rate, bool(bad))
    grouping = grouped.grouping()
    if grouping and not good:
        raise InputError("--group takes good parts that are no references: name them with --good")
    scored = _score(choice, references, good or [], bad or [], scores)
    if grouping:
        scored = as_parts(scored, grouping, grouped.views)
    _warn(scored)
    normal, anomalous = scored.scores(bad=False), scored.scores(bad=True)
    if bad and not anomalous:
        raise InputError("no bad image could be scored: leave out --bad, or name others")
    found = calibration.calibrate(normal, anomalous, rule, rate, references.seed, scored.how)
    evidence = found.evidence.model_copy(
        update={
            "remarks": [*found.evidence.remarks, *scored.remarks],
            "left_out": scored.left_out,
            "failures": scored.failures,
            "passed_over": list(scored.passed_over),
            "command": command,
            "group": grouped.group or "",
            "views": grouped.views,
        }
    )
    threshold = Threshold(
        value=found.threshold,
        rule=found.name,
        evidence=evidence.model_dump(),
        identity=scored.identity,
    )
    _keep(threshold, out)
    try:
        if as_json:
            write_json(threshold.to_json())
        else:
            _print(threshold, evidence, out)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{out} is written, but standard output is not: {reason}") from error
    if scored.failures:
        raise typer.Exit(FAILED)


def _check_repeated(out: Path, command: list[str]) -> None:
    """Refuse a file that is there already, unless this command made it, which then may again."""
    if out.exists():
        with suppress(InputError):
            if Threshold.read(out).evidence.get("command") == command:
                return
        raise OutputError(f"{out} exists; delete it or choose another --out")


def _keep(threshold: Threshold, out: Path) -> None:
    """Write a threshold, or find the very same one in its place."""
    if not out.exists():
        threshold.write(out)
    elif read_bounded(out) != threshold.to_json():
        raise OutputError(f"{out} exists and is another; delete it or choose another --out")


def _score(
    choice: Choice, references: References, good: list[str], bad: list[str], run: Path | None
) -> ScoredImages:
    """Find the images, and score them or look their scores up in a run."""
    if run is not None:
        check_unused("--scores", choice)
        check_unused("--scores", references, "seed")
    if not good and (run or not (references.references or references.model)):
        raise InputError("no good images: name them with --good PATH, or --references PATH")
    normal, passed_over = find_labelled(good, "normal")
    anomalous, also = find_labelled(bad, "anomalous")
    images, passed_over = [*normal, *anomalous], [*passed_over, *also]
    if run is not None:
        return replace(look_up_scores(run, images), passed_over=tuple(passed_over))
    assembled = assemble(choice, references, [image.path for image in images])
    print_notes(assembled.notes, messages())
    return replace(score_images(assembled, images), passed_over=tuple(passed_over))


def _warn(scored: ScoredImages) -> None:
    """Print which images do not count."""
    told = dict(scored.left_out)
    lines = []
    if scored.how is not None and "references" in told:  # which are scored, but in another way
        lines = [JUDGED.format(told.pop("references"))]
    lines += [f"warning: left out: {n} that {WHY[why]}" for why, n in told.items()]
    lines += filter(None, [in_words(scored.passed_over)])
    lines += [f"vlmad: not scored: {reason}" for reason in scored.failures]
    for line in lines:
        messages().print(line)


def _print(threshold: Threshold, evidence: Evidence, out: Path) -> None:
    """Print the threshold, the error rates to expect, and what limits them."""
    bad = "" if evidence.auroc is None else f", {evidence.bad} bad; AUROC {evidence.auroc:.3f}"
    table = Table("rates (95 % interval)", "false alarms", "misses", box=None)
    for errors in evidence.errors:
        table.add_row(errors.source, str(errors.false_alarms), str(errors.misses or "unknown"))
    screen = console()
    screen.print(f"anomalous from {threshold.value!r} on: {threshold.rule}")
    what = "parts scored" if evidence.group else "scored"
    screen.print(f"{what}: {evidence.good} good{bad}", "", sep="\n")
    screen.print(table)
    lines = ["", *(f"note: {remark}" for remark in evidence.remarks)]
    lines.append(f"use it with: vlmad run … --threshold {out}")
    screen.print(*lines, sep="\n")
