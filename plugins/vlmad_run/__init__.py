"""Runs: a detector over image files, and the folder that keeps what came of it.

- ``scores.jsonl``: a line for each image, written as soon as its batch is done
- ``maps/``: each map as a 16-bit PNG of the original's size
- ``overlays/``: each image as a JPEG beside its heat map, all on one colour scale
- ``scores.csv``: the same lines as a table, in the order in which the images were given
- ``manifest.json``: what is needed to repeat the run
- ``.lock``: keeps a second run out while one writes

A run that was stopped at any moment goes on where it was: see `vlmad_run.run_folder`. Other
plugins can bring engines and sources of images: see `vlmad_run.kinds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register ``vlmad run``, ``vlmad fit`` and ``vlmad cache``."""
    register("run", "vlmad_run.cli:run", "Score photographs and draw a heat map beside each.")
    register("fit", "vlmad_run.cli:fit", "Store a detector and what it remembers of good images.")
    register("cache", "vlmad_run.cli:cache", "Show what is kept on disk between runs, or clear it.")


@hookimpl
def register_engines(register: Register) -> None:
    """Register what opens the files of ``vlmad fit``."""
    register(
        "safetensors", "vlmad_run.fitted_products:open_fitted", "A detector that vlmad fit stored."
    )
