"""What does other work than scoring a run on each machine, such as a category of a bench."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from vlmad.errors import VlmadError

if TYPE_CHECKING:
    from collections.abc import Callable


class WorkingActor:
    """Calls one function for many items, on the machine where it is made."""

    def __init__(self, work: Callable[[str], None]) -> None:
        self._work = work

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Call it for the item of a row; return the item, and why it could not be done."""
        try:
            self._work(row["item"])
        except VlmadError as error:  # a value, because Ray would wrap and retry it
            return {"item": row["item"], "fault": f"on {platform.node()}: {error}"}
        return {"item": row["item"], "fault": ""}
