"""Learning from verdicts on a run: the work of ``vlmad review``, a floor above."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.registry import installed
from vlmad_run.choosing import Choice
from vlmad_train._options import LearningOptions, TrainingSource

if TYPE_CHECKING:
    from pathlib import Path

    from vlmad_train._options import TrainingOutput


def learn_from_review(
    run: Path,
    verdicts: Path,
    choice: Choice,
    source: TrainingSource,
    learning: LearningOptions,
    kept: TrainingOutput,
) -> None:
    """Let the command ``review`` learn, with what was said of how.

    Raises:
        InputError: something is said that the run or the verdicts decide.
    """
    schedule = learning.suiting("").schedule()
    own = {
        "epochs": schedule.epochs,
        "batch": schedule.batch,
        "rate": schedule.rate,
        "seed": schedule.seed,
    }
    same = LearningOptions(
        epochs=learning.epochs,
        batch_size=learning.batch_size,
        rate=learning.rate,
        seed=learning.seed,
    )
    said = replace(choice, settings=None), source, learning
    if said != (Choice(), TrainingSource(), same):
        raise InputError(
            "with --from-review the run is what says which detector learns, from whole images: "
            "leave out all but --epochs, --batch-size, --learning-rate, --seed, --set and --out"
        )
    settings = [f"learn.{name}={value}" for name, value in own.items()]
    review = installed().get("command", "review").resolve()
    review(run, verdicts, settings=[*settings, *(choice.settings or [])], learn=kept.out)
