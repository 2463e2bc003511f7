"""A run: a detector over image files, and the folder that tells what came of it.

- ``scores.jsonl``: a line for each image, written as soon as it is done
- ``maps/``: each map as a 16-bit PNG of the original's size
- ``overlays/``: each image as a JPEG beside its heat map, all on one colour scale
- ``scores.csv``: the same lines as a table, in the order in which the images were given
- ``manifest.json``: what is needed to repeat the run
- ``.lock``: keeps a second run out while one writes

A run that was stopped at any moment goes on where it was: see `vlmad.runs.folder`.
"""

from vlmad.runs.execute import Progress, Summary, execute, execute_together
from vlmad.runs.folder import RunFolder
from vlmad.runs.places import (
    RUNS,
    describe_images,
    new_folder,
    open_folder,
    remove_if_empty,
    unfinished,
)
from vlmad.runs.rows import Row, file_stem
from vlmad.runs.scoring import Task

__all__ = [
    "RUNS",
    "Progress",
    "Row",
    "RunFolder",
    "Summary",
    "Task",
    "describe_images",
    "execute",
    "execute_together",
    "file_stem",
    "new_folder",
    "open_folder",
    "remove_if_empty",
    "unfinished",
]
