"""Measure detectors: exact metrics, intervals, comparisons, with numpy and scipy alone.

    metric.py          a value or the reason why there is none; averages; spread over seeds
    validation.py      what is refused of labels, scores, maps and masks
    resolution.py      the size at which maps and masks are compared
    curves.py          AUROC, average precision, F1-max and AUPRO of cumulative counts
    image_metrics.py   from one score for each image
    pixel_metrics.py   from maps and masks, with one sort
    regions.py         defective regions and their weight in AUPRO
    streaming.py       the same from bounded memory, with a bound on the error
    image_curves.py    counts of every image over shared thresholds, so that images can be weighted
    bootstrap.py       intervals by resampling images
    comparison.py      two detectors on the same images: DeLong, paired bootstrap, Holm
    bench/             the command ``vlmad bench``, which needs torch as well
    grid/              the command ``vlmad grid``, a bench of every combination

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
    register(
        "bench", "vlmad_evaluation.bench.command:bench", "Measure detectors on a data set."
    )
    register(
        "grid", "vlmad_evaluation.grid.command:grid", "Measure every combination of parts."
    )
