"""From a score to a verdict: a threshold, given as a number or kept in a file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vlmad.errors import InputError
from vlmad.files import read_text, write_atomically
from vlmad_run.manifest import differences

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "vlmad threshold 1"


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which score on an image is anomalous."""

    value: float
    rule: str = "given"
    """How it was chosen."""
    identity: Mapping[str, Any] | None = None
    """Of the detector whose scores it was chosen on (`vlmad_run.manifest.identity`)."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """What it was chosen on, and the error rates to expect with their intervals."""

    def verdict(self, score: float) -> Literal["ok", "anomalous"]:
        """Judge a score."""
        return "anomalous" if score >= self.value else "ok"

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse a detector whose scores it was not chosen on.

        Raises:
            InputError: the detector differs in substance.
        """
        if self.identity is None:
            return
        other = differences(
            {**self.identity, "threshold": None}, {**identity, "threshold": None}
        )
        if other:
            raise InputError(
                f"the threshold was calibrated on other scores: {'; '.join(other[:3])}; "
                "calibrate anew, or give the number itself"
            )


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
    return Threshold(value)


def write_threshold(threshold: Threshold, path: Path) -> None:
    """Write a threshold to a file of JSON.

    Raises:
        OutputError: it cannot be written.
    """
    table = {
        "format": FORMAT,
        "threshold": threshold.value,
        "rule": threshold.rule,
        "evidence": dict(threshold.evidence),
        "identity": threshold.identity,
    }
    text = json.dumps(table, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode("utf-8", "backslashreplace"))  # names that are no text


def _read_file(path: Path) -> Threshold:
    try:
        table: Any = json.loads(read_text(path))
    except OSError as error:
        raise InputError(
            f"threshold {path} is neither a number nor a file that can be read: "
            f"{error.strerror or error}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"threshold {path} is no JSON") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise InputError(f"{path} is no threshold file; vlmad calibrate writes them")
    try:
        value = float(table["threshold"])
        identity, evidence = table["identity"], dict(table["evidence"])
        fits = math.isfinite(value) and isinstance(identity, dict | None)
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(f"{path} is a damaged threshold file")
    return Threshold(value, str(table.get("rule", "")), identity, evidence)
