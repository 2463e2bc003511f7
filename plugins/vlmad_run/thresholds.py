"""From a score to a verdict: a threshold, given as a number or kept in a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from vlmad.errors import InputError
from vlmad_documents.documents import Document
from vlmad_run.identity import Identity

GIVEN = "given"
"""The rule of a threshold that is a bare number."""


class Threshold(Document):
    """From which score on an image is anomalous; `vlmad calibrate` writes it as a file."""

    format: Literal["vlmad threshold 2"] = "vlmad threshold 2"
    value: float
    rule: str = GIVEN
    """How it was chosen."""
    evidence: dict[str, JsonValue] = Field(default_factory=dict)
    """What it was chosen on, and the error rates to expect with their intervals."""
    identity: Identity | None = None
    """Of the detector whose scores it was chosen on."""

    def verdict(self, score: float) -> Literal["ok", "anomalous"]:
        """Judge a score."""
        return "anomalous" if score >= self.value else "ok"

    def check(self, identity: Identity) -> list[str]:
        """Refuse a detector whose scores it was not chosen on; return what to know of its code.

        Raises:
            InputError: the detector differs in substance.
        """
        if self.identity is None:
            return []
        other = self.identity.differences(identity, threshold=False)
        if other:
            raise InputError(
                f"the threshold was calibrated on other scores: {'; '.join(other[:3])}; "
                "calibrate anew, or give the number itself"
            )
        return self.identity.remarks(identity)


def read_threshold(text: str) -> Threshold:
    """Read a number, or a file that `vlmad calibrate` wrote.

    Raises:
        InputError: it is neither.
    """
    try:
        value = float(text)
    except ValueError:
        return _read_file(Path(text))
    if not math.isfinite(value):
        raise InputError(f"a threshold is a finite number, not {text}")
    return Threshold(value=value)


def _read_file(path: Path) -> Threshold:
    try:
        return Threshold.read(path)
    except InputError as error:
        raise InputError(f"neither a number nor the file of a threshold: {error}") from error
