"""The command `vlmad review`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.console import console, messages, write_json
from vlmad.errors import InputError, OutputError
from vlmad.hookspecs import KINDS
from vlmad.options import check_options, options_of
from vlmad_calibration.rules import Rule  # noqa: TC001 (typer reads the signature)
from vlmad_review.review_document import Adoptable  # noqa: TC001 (likewise)
from vlmad_run.choosing import parse_settings

if TYPE_CHECKING:
    from vlmad_review._learned_review import MistakeTrials
    from vlmad_review.review_document import LearnedReview, ReviewDocument

LEARN = "learn"
"""What takes options in `--set` beside the parts: how something is learned."""
FAILED = 1
"""The exit status where lines are wrong, or reviewed images are gone or have changed."""


def review(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    verdicts: Annotated[
        Path | None, typer.Argument(metavar="VERDICTS", help="A table: image, verdict.")
    ] = None,
    *,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table, to be filled in.")
    ] = None,
    rule: Annotated[
        Rule | None,
        typer.Option(metavar="RULE", help="How the threshold is chosen, as by vlmad calibrate."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="The rate that the rule takes; 0.05 by default.")
    ] = None,
    adopt: Annotated[
        Adoptable | None, typer.Option(help="What to adopt, whatever the intervals are.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KIND.OPTION=VALUE", help="What differs from the run."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The folder to write what is adopted into, such as RUN/review."
        ),
    ] = None,
    learn: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Let prompts or an extractor learn instead, and write them; options by "
            "--set learn.OPTION=VALUE.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Learn from your verdicts on a run's images: references, misses and a threshold.

    Shows by cross-validation what each would gain, with its interval. Nothing is written
    without --out; then it is what gains for certain, or what --adopt names.

    Exit status: 0 all done, 1 lines are wrong, or reviewed images are gone or have changed,
    2 nothing could be done.

    Examples:
    vlmad review vlmad-runs/night --init verdicts.csv

    vlmad review vlmad-runs/night verdicts.csv

    vlmad review vlmad-runs/night verdicts.csv --rule misses --rate 0.02

    vlmad review vlmad-runs/night verdicts.csv --adopt references --out better

    vlmad review vlmad-runs/night verdicts.csv --learn tile.safetensors --set learn.contrast=0.5
    """
    if init is not None:
        _init(run, init, verdicts, force)
        return
    if verdicts is None:
        raise InputError(
            "no verdicts: write a table with --init FILE, fill it in, and name it after RUN"
        )
    from vlmad_review._keeping import check_folder, keep
    from vlmad_review._learned_review import MistakeTrials
    from vlmad_review._material import gather
    from vlmad_review._practice import Practice
    from vlmad_review._proposals import propose, settle_rule
    from vlmad_review._trials import Trials
    from vlmad_review._verdicts import read_verdicts
    from vlmad_run.rows import TABLE
    from vlmad_run.stored_run import read_run

    if out is not None:
        check_folder(out, force)
    _check_learned(learn, out, force)
    stored = read_run(run)
    if verdicts.resolve() == (stored.folder / TABLE).resolve():
        raise InputError(f"{verdicts} holds the run's own verdicts: write yours with --init FILE")
    judged, wrong = read_verdicts(verdicts, stored)
    chosen = parse_settings(settings or [], (*KINDS, LEARN))
    practice = Practice(**check_options("learning", options_of(Practice), chosen.pop(LEARN, {})))
    material = gather(stored, judged, chosen, wrong)
    if learn is not None:
        _learn(MistakeTrials(material, practice), verdicts, learn, as_json)
        return
    trials = Trials(material, *settle_rule(material, rule, rate))
    found = propose(trials, adopt)
    if out is not None:
        found = keep(trials, found, out)
    _print(found, as_json)
    if found.missing_or_changed or found.wrong_lines:
        raise typer.Exit(FAILED)


def _check_learned(learn: Path | None, out: Path | None, force: bool) -> None:
    for path in () if learn is None else (learn, learn.with_suffix(".toml")):
        if out is not None:
            raise InputError("--learn FILE and --out FOLDER keep different things: name one")
        if path.exists() and not force:
            raise OutputError(f"{path} exists; choose another --learn or add --force")
    if learn is not None and learn.suffix == ".toml":
        raise OutputError(f"{learn} would be its own recipe; call it FILE.safetensors")


def _learn(trials: MistakeTrials, verdicts: Path, file: Path, as_json: bool) -> None:
    """Let a part learn, and say what it gained."""
    from vlmad_review._learned_review import learn_from_mistakes, told

    found = learn_from_mistakes(trials, verdicts, file)
    _print_left_out(found)
    if as_json:
        write_json(found.to_json())
    else:
        for line in told(found):
            console().print(line)
    if found.missing_or_changed or found.wrong_lines:
        raise typer.Exit(FAILED)


def _init(run: Path, file: Path, verdicts: Path | None, force: bool) -> None:
    from vlmad_review._verdicts import write_blank
    from vlmad_run.stored_run import read_run

    if verdicts is not None:
        raise InputError("--init writes a table to be filled in: leave out the other one")
    if file.exists() and not force:
        raise OutputError(f"{file} exists; choose another name or add --force")
    stored = read_run(run)
    count = write_blank(stored, file)
    order = "those nearest to the threshold" if stored.threshold else "the highest scores"
    console().print(f"{file}: {count} images, {order} first; write normal or anomalous")
    console().print(f"then: vlmad review {run} {file}")


def _print_left_out(found: ReviewDocument | LearnedReview) -> None:
    for reason in [*found.wrong_lines, *found.missing_or_changed, *found.left_out]:
        messages().print(f"left out: {reason}")


def _print(found: ReviewDocument, as_json: bool) -> None:
    from rich.markdown import Markdown

    from vlmad_review._keeping import page
    from vlmad_review._proposals import learned_of

    _print_left_out(found)
    if as_json:
        write_json(found.to_json())
        return
    console().print(Markdown(page(found)))
    if found.use:
        console().print(f"use it with: {found.use}")
    elif not found.files and (any(learned_of(found)) or found.threshold.adopted):
        console().print("nothing is written; --out FOLDER keeps what is adopted")
