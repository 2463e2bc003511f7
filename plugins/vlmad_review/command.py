"""The command ``vlmad review``."""

from __future__ import annotations

import functools
import json
import sys
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from vlmad_run.choosing import Choice, choosing

from vlmad.errors import InputError, OutputError
from vlmad_review.wanted import Keeping, Wanted  # noqa: TC001 (typer reads the signature)
from vlmad_run.progress import progress_bars, speaking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_run.execute import Progress

    from vlmad_review.decisions import Name
    from vlmad_review.material import Material
    from vlmad_review.page import Told
    from vlmad_review.states import Change
    from vlmad_review.verdicts import Verdicts
    from vlmad_run.repeating import Earlier

OFFERED = ("settings", "weights", "precision")
"""The run brings its detector; only where its weights are, and how it computes, may differ."""
NOT_OFFERED = tuple(f.name for f in fields(Choice) if f.name not in OFFERED)
FAILED = 1
"""The exit status where reviewed images are gone or have changed."""


@functools.partial(choosing, without=NOT_OFFERED)
def review(
    choice: Choice,
    wanted: Wanted,
    keeping: Keeping,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    table: Annotated[
        Path | None, typer.Argument(metavar="VERDICTS", help="CSV: image, verdict.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table, to be filled in.")
    ] = None,
) -> None:
    """Learn from your verdicts on a run's images: references, a threshold, words.

    Shows by cross-validation what each would gain, with its interval. Nothing is written
    without --keep or --out; then it is what gains for certain, or what --adopt names.

    Exit status: 0 all done, 1 reviewed images are gone or have changed, 2 nothing could be done.

    Examples:
    vlmad review vlmad-runs/night --init verdicts.csv

    vlmad review vlmad-runs/night verdicts.csv

    vlmad review vlmad-runs/night verdicts.csv --state 'scratched {}' --rule misses --rate 0.02

    vlmad review vlmad-runs/night verdicts.csv --adopt references --out better
    """
    from vlmad_review.decisions import parse_adopted
    from vlmad_review.verdicts import read_verdicts
    from vlmad_run.repeating import read_earlier

    earlier, asked = read_earlier(run), parse_adopted(wanted.adopt)
    if init is not None:
        _init(earlier, init, table, keeping)
        return
    if table is None:
        raise InputError(
            "no verdicts: write a table with --init FILE, fill it in, and name it after RUN"
        )
    folder = keeping.folder(earlier.folder)
    _check_own(earlier, table)
    verdicts = read_verdicts(table, earlier)
    say = speaking(keeping.quiet or keeping.as_json)
    with _harmless(), progress_bars(say) as progress:
        told, changes = _find(earlier, verdicts, choice.options(), wanted, asked, progress)
    if folder is not None:
        told = _keep(told, changes, folder)
    _show(told, folder, keeping)
    if told.selection.gone:
        raise typer.Exit(FAILED)


@contextmanager
def _harmless() -> Iterator[None]:
    """Tell who interrupts the work that nothing has been written yet."""
    try:
        yield
    except KeyboardInterrupt:
        print("vlmad: interrupted; nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None


def _init(earlier: Earlier, file: Path, table: Path | None, keeping: Keeping) -> None:
    from vlmad_review.asking import write_blank

    if table is not None:
        raise InputError("--init writes a table to be filled in: leave out the other one")
    if file.exists() and not keeping.force:
        raise OutputError(f"{file} exists; choose another name or add --force")
    count = write_blank(earlier, file)
    if not keeping.quiet:
        order = "those nearest to the threshold" if earlier.threshold else "the highest scores"
        print(f"{_printable(file)}: {count} images, {order} first; write normal or anomalous")
        print(f"then: vlmad review {_printable(earlier.folder)} {_printable(file)}")


def _check_own(earlier: Earlier, table: Path) -> None:
    """Refuse the run's own table: its verdicts are what is in question."""
    from vlmad_run.run_folder import TABLE

    if table.exists() and table.resolve() == (earlier.folder / TABLE).resolve():
        raise InputError(f"{table} holds the run's own verdicts: write yours with --init FILE")


def _find(
    earlier: Earlier,
    verdicts: Verdicts,
    options: Mapping[str, Mapping[str, Any]],
    wanted: Wanted,
    asked: frozenset[Name] | None,
    progress: Progress,
) -> tuple[Told, Sequence[Change]]:
    """Encode what was reviewed and measure what can be learned from it."""
    from vlmad_review.folds import make_folds
    from vlmad_review.material import check_scores, prepare
    from vlmad_review.page import Told
    from vlmad_review.proposals import Review, settle_rule
    from vlmad_review.states import texts_of
    from vlmad_review.trials import Trials
    from vlmad_run.repeating import TOLERANCE

    material, selection = prepare(earlier, verdicts, options, wanted.batch_size, progress)
    rule = settle_rule(wanted.rule, wanted.rate, int(material.anomalous.sum()))
    changes, no_changes = _changes(material, wanted.normal_state or (), wanted.state or ())
    texts = texts_of(material.detector, material.class_name, changes) if changes else []
    folds = make_folds(material.anomalous, wanted.seed)
    trials = Trials(material, texts, folds, rule, wanted.most, progress)
    findings = Review(trials, changes, no_changes, rule, wanted.seed).find(asked)
    differing = check_scores(material, trials.as_it_is().tolist(), TOLERANCE)
    notes = (*material.notes, *([differing] if differing else []))
    change = changes[findings.change - 1].words if findings.change else ""
    told = Told(
        str(earlier.folder),
        material,
        selection,
        verdicts.undecided,
        findings,
        change=change,
        notes=notes,
    )
    return told, changes


def _changes(
    material: Material, normal: Sequence[str], anomalous: Sequence[str]
) -> tuple[Sequence[Change], str]:
    """Return the changes of words to try, or why there are none."""
    from vlmad_review.states import changes_of, no_states

    why = no_states(material.detector)
    if not why:
        return changes_of(material.detector.prompts.prompts, normal, anomalous), ""
    if normal or anomalous:
        raise InputError(f"{why}: leave out --state and --normal-state")
    return (), why


def _keep(told: Told, changes: Sequence[Change], folder: Path) -> Told:
    """Write everything at once, now that it is known."""
    from vlmad_review.keeping import FILES, keep_detector, keep_document
    from vlmad_review.page import markdown
    from vlmad_review.staging import staged

    with staged(folder, FILES) as place:
        kept = keep_detector(told.material, told.findings, changes, place, folder)
        told = replace(told, kept=kept)
        keep_document(told.to_dict(), markdown(told), place)
    return told


def _show(told: Told, folder: Path | None, keeping: Keeping) -> None:
    from vlmad_review.page import left_out

    for line in left_out(told.selection):
        print(f"vlmad: {_printable(line)}", file=sys.stderr)
    if keeping.as_json:
        print(json.dumps(told.to_dict(), indent=2))
    elif not keeping.quiet:
        _print(told, folder)


def _print(told: Told, folder: Path | None) -> None:
    """Print the figures, what is adopted and why, and what limits it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vlmad_review.page import COLUMNS, decisions, remarks, rows, summary

    console = Console(highlight=False)

    def tell(text: str) -> None:
        console.print(_printable(text), markup=False, soft_wrap=True)

    tell(summary(told))
    console.print()
    found = list(rows(told.findings))
    # two tables, for one of so many intervals is wider than a terminal
    for columns in ((0, 1, 2, 3, 4), (0, 5, 6, 7)) if found else ():
        table = Table(*(COLUMNS[column] for column in columns), box=None, header_style="bold")
        for cells in found:
            if cells[columns[-1]]:
                table.add_row(*(escape(cells[column]) for column in columns))
        console.print(table)
        console.print()
    for line in decisions(told.findings):
        tell(line)
    console.print()
    for line in remarks(told):
        tell(f"note: {line}")
    if folder is None:
        adopted = ", ".join(told.findings.adopted)
        if adopted:
            tell(f"nothing is written; --keep or --out FOLDER keeps: {adopted}")
        else:
            tell("nothing is worth keeping; --adopt keeps it all the same")
    elif told.kept is not None and told.kept.use:
        tell(f"use it with: {told.kept.use}")
    else:
        tell(f"nothing is adopted; what was measured is in {folder}")


def _printable(name: object) -> str:
    """Return a text that does nothing to a terminal: what does not show is escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(name)
    )
