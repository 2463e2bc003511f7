"""Whether what comes is still like what a detector was calibrated on: ``vlmad drift``.

martingales.py       evidence against "nothing has changed", one number after another
drift_watch.py       scores and statistics of images, watched as they come; what a server keeps
quantities.py        what is watched, and how a change of it is said
image_statistics.py  brightness, contrast, sharpness, colour and place of an image
drift_documents.py   what is written for others
station_drift.py     the same at a station, for each of its products
stored_drift.py      what a station keeps of it on disk
_product_watch.py    the watch of one of them
usual_images.py      what images are compared with; a watch for a fitted detector
drift_images.py      images of runs and folders in order of time
_shifts.py           since when, and by how much
_looking.py          what the command does
_drift_chart.py      the picture
cli.py               the command
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad drift`."""
    register("drift", "vlmad_drift.cli:drift", "Tell whether images are still like the usual ones.")


@hookimpl
def register_onlookers(register: Register) -> None:
    """Register what watches the images of a line."""
    summary = "Tells when images are no longer like the usual ones."
    register("drift", "vlmad_drift.station_drift:look_on", summary)
