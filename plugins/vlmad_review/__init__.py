"""Learn from mistakes: the command `vlmad review`.

`_verdicts` reads what a person judged, `_material` encodes it once, `_trials` scores each image by
memories and thresholds that it had no part in, `gains` measures that, `_proposals` decides what is
adopted, `_keeping` writes it. `review_document` is all of it, as `review.json` holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad review`."""
    register("review", "vlmad_review.cli:review", "Learn from verdicts on a run's images.")
