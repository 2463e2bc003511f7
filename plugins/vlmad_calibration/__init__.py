"""From which score on an image is anomalous: the command `vlmad calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad calibrate`."""
    register("calibrate", "vlmad_calibration.cli:calibrate", "Choose a threshold from images.")
