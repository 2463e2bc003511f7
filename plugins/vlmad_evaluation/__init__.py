"""Measure detectors: exact metrics, intervals, comparisons; benches and grids of detectors.

What others may import (all else is private and on its way to names with an underscore):

    metric.py            a value or the reason why there is none; averages; spread over seeds
    labelled_maps.py     maps with masks, checked, at one size; defective regions
    curves.py            AUROC, average precision, F1-max and AUPRO of cumulative counts
    image_metrics.py     from one score for each image
    pixel_metrics.py     from maps and masks, with one sort
    streaming.py         the same from bounded memory, with a bound on the error
    image_curves.py      counts of every image over shared thresholds, so that images are weighted
    bootstrap.py         intervals by resampling images
    comparison.py        two detectors on the same images: DeLong, paired bootstrap, max-T
    conditions.py        what is done to images and masks under a condition
    result_tables.py     the tables of a bench or a grid
    condition_tables.py  how detectors hold under conditions, as tables and in sentences
    result_documents.py  what bench and grid write: the models, `read_document`
    result_folders.py    a bench's folder, read: its document, samples, cells and their scores
    choice_document.py   what `grid --choose` writes
    nested_folds.py      choosing by some folds of images, judging on others
    averaging.py         over seeds, then over categories
    notation.py          how figures are written: `UNDEFINED`, `TITLES`, `figure`, `escaped`

Importing the package loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad bench` and `vlmad grid`."""
    register("bench", "vlmad_evaluation.cli:bench", "Measure detectors on a data set.")
    register("grid", "vlmad_evaluation.cli:grid", "Measure every combination of parts.")
