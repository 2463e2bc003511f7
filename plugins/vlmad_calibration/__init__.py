"""From which score on an image is anomalous: the command `vlmad calibrate`.

    rules.py        the rules, and the rates that they take
    rates.py        error rates with their 95 % intervals
    cuts.py         between which scores a threshold lies, and its value there
    calibration.py  a rule applied to scores, with the error rates to expect
    scoring.py      which images are scored, and their scores
    earlier.py      scores that a run has written already
    command.py      the command line

Importing the package loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad calibrate`."""
    register(
        "calibrate", "vlmad_calibration.cli:calibrate", "Choose a threshold from images."
    )
