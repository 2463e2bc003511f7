"""What the detectors are made of, and which combinations of a grid there are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.tables import UNDEFINED

from vlmad.errors import printable
from vlmad_report.content import Entry, Table
from vlmad_report.sections.entries import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmad_report.sources.pool import Pool

    Detectors = Mapping[str, Mapping[str, Any]]

KINDS = ("prompts", "extractor", "attention", "scorer")
SECONDS = "Seconds are the model's for an image, nothing read from caches (median)."
NO_SECONDS = (
    "Seconds for an image were not measured: a grid computes what combinations share once for all."
)


def detectors_of(pool: Pool) -> Table:
    """Return a table of parts, with the options in which detectors with one part differ."""
    detectors = pool.document["detectors"]
    timed = any(each["seconds_per_image"] is not None for each in detectors.values())
    rows = []
    for name, each in detectors.items():
        parts = (_part(detectors, each, kind) for kind in KINDS)
        seconds = each["seconds_per_image"]
        shown = (named(UNDEFINED if seconds is None else f"{seconds:.3f}"),) if timed else ()
        rows.append((named(name), *parts, named(each["backbone"]), *shown))
    columns = ("detector", *KINDS, "backbone", *(("seconds",) if timed else ()))
    caption = f"Detectors. Below a part stand its options that differ. {_of_speed(pool, timed)}"
    return Table(caption.strip(), columns, tuple(rows), words=len(KINDS) + 2)


def _of_speed(pool: Pool, timed: bool) -> str:
    return SECONDS if timed else NO_SECONDS if "grid" in pool.document else ""


def _part(detectors: Detectors, each: Mapping[str, Any], kind: str) -> Entry:
    part = each["parts"][kind]
    own = each["options"].get(kind, {})
    differing = _differing(detectors, kind, part)
    note = ", ".join(_option(name, own[name]) for name in own if name in differing)
    return Entry(printable(part), printable(note))


def _differing(detectors: Detectors, kind: str, part: str) -> set[str]:
    """Return the options in which detectors with a part differ."""
    found = _options_of(detectors, kind, part)
    names = {name for options in found for name in options}
    return {n for n in names if any(each.get(n) != found[0].get(n) for each in found)}


def _options_of(detectors: Detectors, kind: str, part: str) -> list[Mapping[str, Any]]:
    return [d["options"].get(kind, {}) for d in detectors.values() if d["parts"][kind] == part]


def options_shared(pool: Pool) -> str:
    """Say which options all detectors with a part have, or nothing if no part has any."""
    detectors = pool.document["detectors"]
    said = []
    for kind in KINDS:
        for part in dict.fromkeys(each["parts"][kind] for each in detectors.values()):
            differing = _differing(detectors, kind, part)
            options = _options_of(detectors, kind, part)[0]
            names = [n for n, value in options.items() if n not in differing and value is not None]
            shared = [_option(name, options[name]) for name in names]
            if shared:
                said.append(f"{kind} {part}: {', '.join(shared)}")
    return f"Options that are the same wherever a part is used: {'; '.join(said)}." if said else ""


def _option(name: str, value: Any) -> str:
    """Return an option as the command line takes it."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{name}={text}"


def combinations_without(pool: Pool) -> Iterator[Table]:
    """Yield tables of the combinations of grids that cannot be, and of those that are others."""
    grid = pool.document.get("grid", {})
    for part, caption, columns in (
        ("illegal", "Combinations that cannot be.", ("combination", "why")),
        (
            "same",
            "Combinations that came out as another one, because a part that does not fit made way; "
            "they were measured once.",
            ("combination", "is the same as"),
        ),
    ):
        if grid.get(part):
            rows = tuple((named(name), named(what)) for name, what in grid[part].items())
            yield Table(caption, columns, rows, words=2)
