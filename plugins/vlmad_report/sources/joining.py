"""The document of several folders together, computed from their stored cells as a bench does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.document import describe_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_report.sources.pool import Names, Pool


def joined(pool: Pool) -> dict[str, Any]:
    """Return one document of all folders of a pool.

    Raises:
        InputError: a stored cell is not there, or damaged.
    """
    documents = [source.document for source in pool.sources]
    document = {
        **documents[0],
        "vlmad": ", ".join(dict.fromkeys(each["vlmad"] for each in documents)),
        "finished": all(each["finished"] for each in documents),
        "dataset": _dataset(pool, documents),
        "settings": _settings(documents),
        "detectors": _renamed(pool.detectors, [each["detectors"] for each in documents]),
        "published": _entries(pool, "published"),
        "skipped": _entries(pool, "skipped"),
        "cells": [{**cell, "run": str(s.results.run(cell))} for s, _, cell in pool.cells()],
    }
    if any("grid" in each for each in documents):
        document["grid"] = _grid(pool)
    named = documents[0].get("baseline")
    document["baseline"] = None if named is None else pool.detectors[0, named]
    return document | _computed(pool, document)


def _renamed(names: Names, tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, table in enumerate(tables):
        for name, value in table.items():
            found.setdefault(names[number, name], value)
    return found


def _dataset(pool: Pool, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sets = [document["dataset"] for document in documents]
    problems = [problem for each in sets for problem in each["problems"]]
    return {
        "reader": ", ".join(dict.fromkeys(each["reader"] for each in sets)),
        "root": ", ".join(dict.fromkeys(each["root"] for each in sets)),
        "categories": _renamed(pool.categories, [each["categories"] for each in sets]),
        "problems": [p for i, p in enumerate(problems) if p not in problems[:i]],
    }


def _grid(pool: Pool) -> dict[str, dict[str, str]]:
    """Return the combinations that cannot be, and those that are others, of all grids."""
    illegal: dict[str, str] = {}
    same: dict[str, str] = {}
    for number, source in enumerate(pool.sources):
        grid = source.document.get("grid", {})
        illegal |= grid.get("illegal", {})
        same |= {
            name: pool.detectors.get((number, other), other)
            for name, other in grid.get("same", {}).items()
        }
    return {"illegal": illegal, "same": same}


def _settings(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    settings = [document["settings"] for document in documents]
    return {
        **settings[0],
        "shots": sorted({shots for each in settings for shots in each["shots"]}),
        "seeds": max(each["seeds"] for each in settings),
    }


def _entries(pool: Pool, part: str) -> list[dict[str, Any]]:
    """Return the published figures, or what was skipped, with the names of the report; once."""
    found: list[dict[str, Any]] = []
    for number, source in enumerate(pool.sources):
        for entry in source.document[part]:
            named = dict(entry)
            for key, names in (("detector", pool.detectors), ("category", pool.categories)):
                if entry.get(key) is not None:
                    named[key] = names.get((number, entry[key]), entry[key])
            if "categories" in entry:
                named["categories"] = {
                    pool.categories.get((number, category), category): figures
                    for category, figures in entry["categories"].items()
                }
            if named not in found:
                found.append(named)
    return found


def _computed(pool: Pool, document: Mapping[str, Any]) -> dict[str, Any]:
    """Average and compare; the first detector is the one that the others are compared with."""
    order = list(document["detectors"])
    baseline = document["baseline"] or order[0]
    results = pool.stored()
    results.sort(key=lambda result: order.index(result.facts["detector"]))
    results.sort(key=lambda result: result.facts["detector"] != baseline)
    return describe_metrics(results, document["settings"]["confidence"])
