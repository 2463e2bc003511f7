"""The command ``vlmad calibrate``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmad.errors import InputError, OutputError
from vlmad_calibration.rules import Rule, settle
from vlmad_run.choosing import Choice, choosing
from vlmad_run.progress import progress_bars, speaking, tell_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from vlmad.datasets import Label
    from vlmad_calibration.calibration import Calibration
    from vlmad_calibration._labelled_scores import Scores, Selection
    from vlmad_run.choosing import Assembled
    from vlmad_run.thresholds import Threshold

FAILED = 1
"""The exit status where some images could not be read."""
NAMED = 20
"""Unreadable images that are named; the others are counted."""
SMALLER_MEMORY = (
    "each reference was judged by a memory of the others, which is one smaller: its score tends to "
    "be higher than that of a new good image, and scores of one memory depend on each other"
)
ALL_REFERENCES = "all good images are references too: each reference is judged by the others"
SET_SCORES = (
    "scores of this scorer depend on all images that are judged together: the threshold holds for "
    "sets like this one only"
)


@dataclass(frozen=True, slots=True)
class Scored:
    """Labelled scores, what they are scores of, and what is to be said of them."""

    scores: Scores
    selection: Selection
    identity: dict[str, Any]
    remarks: tuple[str, ...]


@choosing
def calibrate(
    choice: Choice,
    good: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="Good images: a folder, file or pattern; repeatable."),
    ] = None,
    bad: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="Anomalous images, likewise.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The folder of a run that scored them, and its detector."),
    ] = None,
    rule: Annotated[
        Rule | None,
        typer.Option(help="quantile of good images; f1, false-alarms or misses with --bad."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="The false-alarm rate, or of misses the miss rate; 0.05 by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("threshold.json"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images encoded together.")] = 8,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Choose from which score on an image is anomalous, for `vlmad run --threshold`.

    From good images alone: the quantile for a false-alarm rate. Without --good, each of the
    references is judged by the others. With bad images too: the largest F1 (default), or a
    limit to the rate of false alarms or misses.

    Exit status: 0 all done, 1 some images could not be read, 2 nothing could be done.

    Examples:
    vlmad calibrate --good good/ --class-name "metal nut" --rate 0.01

    vlmad calibrate --references good/ --shots 40

    vlmad calibrate --fitted nut.safetensors --good good/ --bad scratched/ --rule misses

    vlmad calibrate --scores vlmad-runs/night --good line/good/ --bad line/rejected/

    vlmad run photos/ --fitted nut.safetensors --threshold threshold.json --fail-on anomalous
    """
    from vlmad_calibration.calibration import calibrate as calibrated

    if out.exists() and not force:
        raise OutputError(f"{out} exists; choose another --out or add --force")
    settle(rule, rate, bool(bad))
    say = speaking(quiet or as_json)
    if scores is None:
        scored = _score(choice, good, bad, batch_size, say)
    else:
        scored = _look_up(scores, choice, good, bad, say)
    _tell_failures(scored.scores.failures)
    if bad and not scored.scores.bad:
        raise InputError("no bad image could be scored: leave out --bad, or name others")
    found = calibrated(scored.scores.good, scored.scores.bad, rule, rate, choice.seed)
    threshold = _threshold(found, scored)
    _write(threshold, out)
    if as_json:
        print(json.dumps(_document(threshold, out, scored), indent=2))
    elif not quiet:
        _show(found, threshold, out)
    if scored.scores.failures:
        raise typer.Exit(FAILED)


def _score(
    choice: Choice,
    good: Sequence[str] | None,
    bad: Sequence[str] | None,
    batch_size: int,
    say: Console,
) -> Scored:
    """Score good and bad images by the detector of the command line."""
    from vlmad_calibration._labelled_scores import score_images, score_references, select, with_digests
    from vlmad_run.manifest import identity

    if not good and not choice.references and choice.fitted is None:
        raise InputError("no good images: name them with --good DIR, or --references DIR")
    (good_images, bad_images), others = _find(good, bad, say)
    with progress_bars(say) as progress:
        assembled = choice.assemble()
        detector, class_name = assembled.detector, assembled.class_name
        references = assembled.references
        selection = select(with_digests(good_images), with_digests(bad_images), references)
        by_references = not selection.good
        if by_references and good:
            say.print(f"warning: {ALL_REFERENCES}", markup=False, soft_wrap=True)
            judged = set(map(str, good_images))
            selection.references = [image for image in selection.references if image not in judged]
        selection.others = others
        _warn(selection, say)
        whose = identity(detector, class_name, [sha256 for _, sha256 in references])
        scores = score_images(detector, class_name, selection, batch_size, progress)
        if by_references:
            scores.good = score_references(detector, class_name, references, batch_size, progress)
    tell_choice(say, assembled)
    return Scored(scores, selection, whose, _remarks(assembled, by_references))


def _look_up(
    run: Path,
    choice: Choice,
    good: Sequence[str] | None,
    bad: Sequence[str] | None,
    say: Console,
) -> Scored:
    """Take the scores that a run has written."""
    from vlmad_calibration.earlier import scores_of_run

    for field in fields(choice):
        if field.name != "seed" and getattr(choice, field.name) != field.default:
            name = field.name.replace("_", "-")
            raise InputError(f"--scores brings its own detector: leave out --{name}")
    if not good:
        raise InputError("no good images: name those of the run that are good with --good DIR")
    images, others = _find(good, bad, say)
    scores, selection, whose = scores_of_run(run, *images)
    selection.others = others
    _warn(selection, say)
    return Scored(scores, selection, whose, ())


def _find(
    good: Sequence[str] | None, bad: Sequence[str] | None, say: Console
) -> tuple[tuple[list[Path], list[Path]], list[str]]:
    """Find good and bad images; those that a data set calls otherwise are told and left out."""
    from vlmad_calibration.labels import part_by_label
    from vlmad_run.finding import find_images

    found: list[list[Path]] = []
    others: list[str] = []
    asked: tuple[tuple[Sequence[str] | None, Label, str], ...] = (
        (good, "normal", "--bad"),
        (bad, "anomalous", "--good"),
    )
    for paths, label, option in asked:
        kept, wrong = part_by_label(paths, find_images(paths), label) if paths else ([], [])
        found.append(kept)
        others += map(str, wrong)
        if wrong:
            folders = ", ".join(dict.fromkeys(str(image.parent) for image in wrong))
            text = f"left out: {len(wrong)} images in {folders}, which the data set calls not "
            text += f"{label}; {option} takes such"
            say.print(f"warning: {text}", markup=False, soft_wrap=True)
    return (found[0], found[1]), others


def _remarks(assembled: Assembled, by_references: bool) -> tuple[str, ...]:
    remarks = (SMALLER_MEMORY,) if by_references else ()
    return remarks + ((SET_SCORES,) if assembled.detector.scorer.scope == "set" else ())


def _threshold(found: Calibration, scored: Scored) -> Threshold:
    from vlmad_run.thresholds import Threshold

    evidence = found.to_dict()
    evidence["remarks"] = [*found.remarks, *scored.remarks]
    evidence["unreadable"] = len(scored.scores.failures)
    evidence["references_left_out"] = len(scored.selection.references)
    evidence["others_left_out"] = len(scored.selection.others)
    evidence["repeated_left_out"] = len(scored.selection.repeated)
    evidence["command"] = sys.argv[1:]
    return Threshold(found.threshold, found.name, scored.identity, evidence)


def _write(threshold: Threshold, out: Path) -> None:
    """Write the file; where that fails, the number is not lost with the time it took."""
    from vlmad_run.thresholds import write_threshold

    try:
        write_threshold(threshold, out)
    except OutputError as error:
        raise OutputError(f"{error}; the threshold is {threshold.value!r}") from error


def _document(threshold: Threshold, out: Path, scored: Scored) -> dict[str, Any]:
    return {
        "threshold": threshold.value,
        "rule": threshold.rule,
        "file": str(out),
        "evidence": dict(threshold.evidence),
        "failures": scored.scores.failures,
    }


def _warn(selection: Selection, say: Console) -> None:
    """Say which images were left out, and why."""
    for images, why in (
        (selection.references, "also a reference, so that its score would be too low"),
        (selection.repeated, "there twice"),
    ):
        for image in images[:NAMED]:
            say.print(f"warning: left out: {image} is {why}", markup=False, soft_wrap=True)
        if len(images) > NAMED:
            say.print(f"warning: left out: {len(images) - NAMED} more, {why}", markup=False)


def _tell_failures(failures: Sequence[str]) -> None:
    for reason in failures[:NAMED]:
        print(f"vlmad: not scored: {' '.join(reason.split())}", file=sys.stderr)
    if len(failures) > NAMED:
        print(f"vlmad: and {len(failures) - NAMED} more could not be scored", file=sys.stderr)


def _show(found: Calibration, threshold: Threshold, out: Path) -> None:
    """Print the threshold, the error rates to expect, and what limits them."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)

    def tell(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    bad = f", {found.bad} bad; AUROC {found.auroc:.3f}" if found.auroc is not None else ""
    tell(f"anomalous from {threshold.value!r} on: {threshold.rule}")
    tell(f"scored: {found.good} good{bad}\n")
    table = Table("rates (95 % interval)", "false alarms", "misses", box=None)
    for errors in found.errors:
        misses = "unknown" if errors.misses is None else str(errors.misses)
        table.add_row(errors.source, str(errors.false_alarms), misses)
    console.print(table)
    console.print()
    for remark in threshold.evidence["remarks"]:
        tell(f"note: {remark}")
    file = str(out).encode("utf-8", "backslashreplace").decode("utf-8")
    tell(f"use it with: vlmad run … --threshold {file}")
