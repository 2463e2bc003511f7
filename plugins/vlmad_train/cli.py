"""The command ``vlmad train``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.console import console, messages
from vlmad.errors import OutputError
from vlmad.watching import watched
from vlmad_run.choosing import Choice, choosing
from vlmad_run.progress import ShownProgress, bars, interruptible, print_notes
from vlmad_train._options import LearningOptions, TrainingOutput, TrainingSource

if TYPE_CHECKING:
    from vlmad_train.history import Epoch


@partial(choosing, without=("align", "class_name"))
def train(
    data: Annotated[Path, typer.Argument(help="Labelled images: a data set that a reader knows.")],
    choice: Choice,
    source: TrainingSource,
    learning: LearningOptions,
    kept: TrainingOutput,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what it takes.")
    ] = False,
    from_review: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Learn from verdicts on the images of a run: DATA is their table. As vlmad review "
            "--learn, kept only if images held out gain.",
        ),
    ] = None,
) -> None:
    """Learn prompts, or what else a part can learn, from labelled images.

    What does not change is computed once and kept beside --out while it is needed. Stopped, the
    same command goes on after the last whole epoch, to the same result. Test on another data set
    than the one that was learned from.

    Examples:
    vlmad train visa/ --prompt learned --extractor dense --out prompts.safetensors

    vlmad train visa/ --extractor window --out windows.safetensors

    vlmad run mvtec/bottle/test/ --detector anomalyclip --prompt learned:prompts.safetensors

    vlmad train --from-review vlmad-runs/night verdicts.csv --out better.safetensors
    """
    from vlmad_run.places import locked
    from vlmad_train._carrying_out import carry_out
    from vlmad_train._preparing import prepare
    from vlmad_train._reviewed import learn_from_review
    from vlmad_train._telling import epoch_line, plan_lines, result_lines
    from vlmad_train._training_facts import FACTS

    if from_review is not None:
        learn_from_review(from_review, data, choice, source, learning, kept)
        return
    terminal = messages()
    if kept.out.exists() and not (kept.folder / FACTS).exists():
        raise OutputError(f"{kept.out} exists; delete it or choose another --out")
    prepared = prepare(data, choice, source, learning, kept)
    cost = prepared.material.measure()
    print_notes(prepared.learner.detector.assembly.notes, terminal)
    for line in plan_lines(prepared, cost, prepared.step_seconds(cost) if dry_run else None):
        terminal.print(line)
    prepared.material.check_room(cost, kept.disk)
    if dry_run:
        return

    def tell(epoch: Epoch) -> None:
        terminal.print(epoch_line(epoch, prepared.learning.schedule().epochs))

    with (
        interruptible(kept.folder),
        locked(kept.folder, FACTS),
        bars(terminal) as progress,
        watched(ShownProgress(progress)),
    ):
        history, files = carry_out(prepared, kept, tell)
    for line in result_lines(history, files, prepared, kept.folder):
        console().print(line)
