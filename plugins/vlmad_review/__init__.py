"""Learn from mistakes: the command `vlmad review`.

    verdicts.py     what a person says of the images of a run, and which image each row means
    asking.py       the table that is to be filled in
    material.py     the run's detector and the reviewed images, each encoded once
    folds.py        which images judge which: no image is ever in the memory that it is judged by
    states.py       changes to the words of compositional prompts
    trials.py       scores and verdicts out of fold, of the detector as it is and as it may become
    gains.py        what these are worth, and the gain with its interval
    decisions.py    what may be learned, and which of it is adopted
    proposals.py    what is proposed, and what it gains
    keeping.py      files that `vlmad run` uses at once
    staging.py      files of one folder that change together or not at all
    page.py         all of it in words
    wanted.py       the options of the command
    command.py      the command line

It stands on the rules of `vlmad_calibration`, the metrics of `vlmad_evaluation`, the tables of
`vlmad_datasets` and the prompts of `vlmad_winclip`. Importing the package loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad review`."""
    register("review", "vlmad_review.command:review", "Learn from verdicts on a run's images.")
