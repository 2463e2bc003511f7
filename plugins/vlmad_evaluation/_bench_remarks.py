"""What stands below the tables of a bench: comparisons, sources, what is missing and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad_evaluation.notation import UNDEFINED, escaped, shots_name, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TOLD = 0.05
WORDS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro_30": "AUPRO",
}


def remarks(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sections below the tables."""
    yield from _detectors(document)
    yield from _comparisons(document)
    yield from _sources(document)
    missing = list(what_is_missing(document))
    if missing:
        yield "## What is missing"
        yield "\n".join(f"- {escaped(line)}" for line in missing)


def _detectors(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## Detectors"
    yield table(
        ["detector", "backbone", "prompts", "extractor", "attention", "scorer", "seconds"],
        [
            [escaped(name), escaped(each["backbone"])]
            + [
                escaped(each["parts"][kind])
                for kind in ("prompts", "extractor", "attention", "scorer")
            ]
            + [_seconds(each["seconds_per_image"])]
            for name, each in document["detectors"].items()
        ],
    )
    memory = document["peak_memory_bytes"]
    held = "unknown" if memory is None else f"{memory / 1e9:.2f} GB"
    devices = sorted({each["device"] for each in document["detectors"].values()})
    yield (
        f"Seconds are the model's for an image, one at a time on {escaped(', '.join(devices))}, "
        "nothing read from caches (median, measured apart). Peak memory of any process of this "
        f"bench: {held}."
    )
    notes = [
        f"- {escaped(name)}: {escaped(note)}"
        for name, each in document["detectors"].items()
        for note in each["notes"]
    ]
    if notes:
        yield "\n".join(notes)


def _seconds(seconds: float | None) -> str:
    return UNDEFINED if seconds is None else f"{seconds:.3f}"


def _comparisons(document: Mapping[str, Any]) -> Iterator[str]:
    entries = [entry for entry in document["comparisons"] if _is_told(entry)]
    if not entries:
        return
    smallest = 2 / (document["settings"]["replicates"] + 1)
    yield f"## Against {escaped(entries[0]['against'])}, on the same images"
    yield table(
        ["metric", "references", "category", "detector", "difference", "p", "p, Holm", "test"],
        [_comparison(entry) for entry in entries],
    )
    yield (
        "Differences are those detectors' minus the first's. "
        "Holm's correction is over all pairs of one metric, categories and averages apart. "
        "DeLong's test needs ten images of each class; elsewhere the paired bootstrap is used, "
        f"whose smallest p is {smallest:.2g}. Single categories are listed where the corrected p "
        f"is below {TOLD}; bench.json has all."
    )


def _is_told(entry: Mapping[str, Any]) -> bool:
    corrected = entry["p_value_holm"]
    is_clear = corrected is not None and corrected < TOLD
    return entry["difference"] is not None and (entry["category"] is None or is_clear)


def _comparison(entry: Mapping[str, Any]) -> list[str]:
    difference = f"{entry['difference']:+.3f}"
    if entry["low"] is not None:
        difference += f" [{entry['low']:+.3f}, {entry['high']:+.3f}]"
    category = "**average**" if entry["category"] is None else escaped(entry["category"])
    return [
        WORDS[entry["metric"]],
        shots_name(entry["shots"]),
        category,
        escaped(entry["detector"]),
        difference,
        *(_probability(entry[name]) for name in ("p_value", "p_value_holm")),
        entry["method"],
    ]


def _probability(p_value: float | None) -> str:
    return UNDEFINED if p_value is None else f"{p_value:.2g}"


def _sources(document: Mapping[str, Any]) -> Iterator[str]:
    lines: dict[str, None] = {}
    for entry in document["published"]:
        notes = "".join(f"; {note}" for note in entry["notes"])
        source = f"{entry['label']}, {shots_name(entry['shots'])}: {entry['source']}{notes}"
        lines[source] = None
    if lines:
        yield "## Sources of published figures"
        yield "\n".join(f"- {escaped(line)}" for line in lines)


def _problems(problems: Sequence[Mapping[str, Any]], most: int = 20) -> Iterator[str]:
    """Name what may mislead: without it the tables would look sounder than they are."""
    doubtful = [problem for problem in problems if problem["severity"] != "note"]
    for problem in doubtful[:most]:
        yield f"{problem['severity']}: {problem['path']}: {problem['what']}"
    if len(doubtful) > most:
        yield f"and {len(doubtful) - most} more problems, see bench.json"


def what_is_missing(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in plain words, what was not measured or is undefined, and what may mislead."""
    for skipped in document["skipped"]:
        who = skipped["detector"] or skipped["category"]
        yield f"{who}, {shots_name(skipped['shots'])}: not measured, {skipped['reason']}"
    reasons: dict[str, None] = {}
    for entry in document["averages"]:
        for name, metric in entry["metrics"].items():
            for category, reason in metric["left_out"].items():
                task = "image metrics" if name.startswith("image") else name
                task = "pixel metrics" if name.startswith("pixel") and "no" in reason else task
                reasons[f"{category}: {task} are undefined and not averaged, {reason}"] = None
    yield from reasons
    yield from _problems(document["dataset"]["problems"])
    for cell in document["cells"]:
        if cell["failed"]:
            yield (
                f"{cell['detector']} on {cell['category']}: not scored, images: "
                f"{cell['failed']}; see {cell['run']}/scores.csv"
            )
        if cell["pixels"].get("without_mask"):
            yield (
                f"{cell['category']}: {cell['pixels']['without_mask']} anomalous images without "
                "a mask are not in the pixel metrics"
            )
