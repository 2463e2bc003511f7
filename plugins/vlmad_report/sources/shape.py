"""What a bench's document must look like for a report: whatever else a file holds is refused.

A shape is written as the thing itself: a dict of the keys that must be there, or of `ANY` key; a
list of one shape; or a function that returns a value as it shall be, or raises ValueError.
"""

from __future__ import annotations

import math
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.results import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

ANY = "*"
"""Stands for all keys of a table that has any."""


def checked(value: Any, shape: Any, place: str = "") -> Any:
    """Return a value of JSON in a shape; keys of which the shape says nothing stay as they are.

    Raises:
        ValueError: it has another shape; the message says where.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{place or 'it'} is no table")
        return {**value, **_items(value, shape, f"{place}." if place else "")}
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise ValueError(f"{place} is no list")
        return [checked(each, shape[0], f"{place}[{i}]") for i, each in enumerate(value)]
    try:
        return shape(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{place} is {error}") from error


def _items(value: dict[str, Any], shape: dict[str, Any], place: str) -> dict[str, Any]:
    if ANY in shape:
        return {key: checked(each, shape[ANY], f"{place}{key}") for key, each in value.items()}
    missing = next((key for key in shape if key not in value), None)
    if missing is not None:
        raise ValueError(f"{place}{missing} is missing")
    return {key: checked(value[key], each, f"{place}{key}") for key, each in shape.items()}


def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def inside(value: Any) -> str:
    """Return the name of something in the folder that the document is in, and nowhere else."""
    path = PureWindowsPath(text(value))  # which knows both slashes
    if path.drive or path.root or ".." in path.parts or "\0" in value:
        raise ValueError("not inside its folder")
    return str(value)


def truth(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def count(value: Any) -> int:
    """Return a whole number that is not below 0, and that could be one of images."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**9:
        raise ValueError("no count")
    return value


def number(value: Any) -> float | None:
    """Return a finite number; others, which JSON may hold, are unknown."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("no number")
    return float(value) if math.isfinite(value) else None


def share(value: Any) -> float | None:
    """Return a number from 0 to 1, up to rounding."""
    found = number(value)
    if found is not None and not -1e-6 <= found <= 1 + 1e-6:
        raise ValueError("not from 0 to 1")
    return found


def optional(shape: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the shape of what may be null."""
    return lambda value: None if value is None else shape(value)


def anything(value: Any, depth: int = 8) -> Any:
    """Return whatever it is, if it is not nested absurdly deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inner and not depth:
        raise ValueError("nested too deep")
    for each in inner:
        anything(each, depth - 1)
    return value


METRIC = {
    "value": optional(share),
    "reason": text,
    "low": optional(share),
    "high": optional(share),
    "error": optional(number),
}
OVER_SEEDS = {**METRIC, "deviation_over_seeds": optional(number), "seeds": count}
AVERAGE = {**OVER_SEEDS, "categories": [text], "left_out": {ANY: text}}
OF_CELL = {**METRIC, "threshold": optional(number)}
CATEGORY = {"class_name": text, "train": count, "normal": count, "anomalous": count, "masks": count}
PROBLEM = {"path": text, "what": text, "severity": text}
DETECTOR = {
    "recipe": optional(text),
    "parts": dict.fromkeys(("backbone", "prompts", "extractor", "attention", "scorer"), text),
    "options": {ANY: {ANY: anything}},
    "notes": [text],
    "backbone": text,
    "licence": optional(text),
    "weights_sha256": optional(text),
    "device": text,
    "precision": text,
    "seconds_per_image": optional(number),
}
COMPARISON = {
    "metric": text,
    "shots": count,
    "category": optional(text),
    "detector": text,
    "against": text,
    **dict.fromkeys(("difference", "low", "high"), optional(number)),
    **dict.fromkeys(("p_value", "p_value_holm", "p_value_max_t"), optional(number)),
    "method": text,
    "reason": text,
}
PUBLISHED = {
    "detector": text,
    "shots": count,
    "label": text,
    "source": text,
    "backbone": text,
    "notes": [text],
    "categories": {ANY: {ANY: share}},
    "averages": {ANY: {"stated": optional(share), "recomputed": optional(share)}},
}
CELL = {
    "detector": text,
    "category": text,
    "shots": count,
    "seed": optional(count),
    "run": inside,
    "threshold": optional(inside),
    "failed": count,
    "pixels": {ANY: anything},
    "metrics": dict.fromkeys(NAMES, OF_CELL),
}
GRID = {"illegal": {ANY: text}, "same": {ANY: text}}
"""Of a grid's document alone."""
DOCUMENT = {
    "vlmad": text,
    "finished": truth,
    "dataset": {"reader": text, "root": text, "categories": {ANY: CATEGORY}, "problems": [PROBLEM]},
    "settings": {
        "shots": [count],
        "seeds": count,
        "resolution": text,
        "replicates": count,
        "confidence": share,
    },
    "detectors": {ANY: DETECTOR},
    "averages": [
        {"detector": text, "shots": count, "metrics": dict.fromkeys(NAMES, AVERAGE)},
    ],
    "categories": [
        {
            "detector": text,
            "category": text,
            "shots": count,
            "metrics": dict.fromkeys(NAMES, OVER_SEEDS),
        },
    ],
    "comparisons": [COMPARISON],
    "published": [PUBLISHED],
    "skipped": [
        {"detector": optional(text), "category": optional(text), "shots": count, "reason": text}
    ],
    "cells": [CELL],
}
