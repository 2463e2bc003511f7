"""The parts of a run: a verdict on each, in its folder, on the screen and as lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from vlmad.errors import InputError
from vlmad.files import write_atomically
from vlmad_groups.part_rows import SEVERITY, PartRow, PartView, judge_part
from vlmad_run.csv_cells import csv_line
from vlmad_run.possible_parts import why_never_anomalous
from vlmad_run.stored_run import PARTS
from vlmad_run.thresholds import GIVEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from vlmad_groups.combining import PartRule
    from vlmad_run.kinds import Runnable
    from vlmad_run.manifest import Manifest
    from vlmad_run.part_grouping import FoundPart
    from vlmad_run.run_folder import RunFolder
    from vlmad_run.thresholds import Threshold

TABLE = "parts.csv"
ROWS_SHOWN = 40
COLUMNS = tuple(name for name in PartRow.model_fields if name != "views")


class RunParts:
    """The parts of a run, judged when its images are."""

    def __init__(self, found: Sequence[FoundPart], rule: PartRule) -> None:
        self.found, self.rule = found, rule
        self.rows: list[PartRow] = []

    def count(self, verdict: str) -> int:
        """Return how many parts have a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def broken(self) -> int:
        """How many parts are not whole."""
        return sum(row.status == "not whole" for row in self.rows)

    @property
    def most_views(self) -> int:
        """How many views the part with the most has, or is to have."""
        return max(self.rule.views or 0, *(len(part.images) for part in self.found))

    def check(self, detector: Runnable, manifest: Manifest) -> None:
        """Refuse a rule by which no part could ever be anomalous.

        Raises:
            InputError: there are no p-values, or their smallest is not small enough.
        """
        why = why_never_anomalous(self.rule, self.most_views, detector, manifest)
        if why:
            raise InputError(why)

    def judge(self, folder: RunFolder) -> list[PartRow]:
        """Judge all parts by the rows of a run, and write them into its folder.

        Raises:
            OutputError: they cannot be written.
        """
        self.rows = [
            judge_part(part.name, [_view(image, folder) for image in part.images], self.rule,
                       part.faults)
            for part in self.found
        ]  # fmt: skip
        write_atomically(folder.path / PARTS, (row.to_json(indent=None) for row in self.rows))
        cells = ([*(getattr(r, name) for name in COLUMNS), len(r.views)] for r in self.rows)
        write_atomically(folder.path / TABLE, map(csv_line, [[*COLUMNS, "views"], *cells]))
        return self.rows


def rate_notes(threshold: Threshold | None, parts: RunParts | None) -> list[str]:
    """Say where a threshold promises a rate of false alarms for something else than is judged."""
    if threshold is None or threshold.rule == GIVEN:
        return []
    of_parts = bool(threshold.evidence.get("group"))
    if parts is None:
        return ["the threshold was chosen for parts: see --group"] if of_parts else []
    views = parts.most_views
    if of_parts or parts.rule.combine.of_p_values or views < 2:
        return []
    return [
        f"the threshold was chosen for single images: a good part of {views} views is called "
        f"anomalous up to {views} times as often; vlmad calibrate --group chooses one for parts"
    ]


def forget_parts(folder: Path) -> None:
    """Delete what was said of parts before images are scored anew, so that it is never stale."""
    for name in (PARTS, TABLE):
        (folder / name).unlink(missing_ok=True)


def print_parts(parts: RunParts, folder: Path, console: Console) -> None:
    """Print a table of parts, the worst first, and what they come to."""
    rows = sorted(parts.rows, key=_order, reverse=True)
    table = Table(box=None, header_style="bold")
    names = ["score", *(["p"] if parts.rule.combine.of_p_values else [])]
    names += ["verdict"] if any(row.verdict for row in rows) else []
    lacks = ["lacks"] if parts.broken else []
    for name in [*names, "part", "views", "worst view", *lacks]:
        table.add_column(name, overflow="fold")
    for row in rows[:ROWS_SHOWN]:
        cells = {
            "score": "" if row.score is None else f"{row.score:.3f}",
            "p": f"{row.p_value or 1:.2g}",
            "verdict": row.verdict,
        }
        shown = [cells[name] for name in names]
        shown += [row.part, str(len(row.views)), Path(row.worst).name]
        table.add_row(*shown, *([row.reason] if lacks else []))
    console.print(table)
    if len(rows) > ROWS_SHOWN:
        console.print(f"… and {len(rows) - ROWS_SHOWN} more parts")
    console.print("", f"{_summary(parts)}; all parts: {folder}/{TABLE}", sep="\n")


def _summary(parts: RunParts) -> str:
    said = [f"{len(parts.rows)} {'part' if len(parts.rows) == 1 else 'parts'}"]
    if any(row.verdict for row in parts.rows):
        said += [f"{parts.count('anomalous')} anomalous", f"{parts.count('ok')} ok"]
    if parts.count("unknown"):
        said.append(f"{parts.count('unknown')} neither")
    if parts.broken:
        said.append(f"{parts.broken} not whole")
    return ", ".join(said)


def _order(row: PartRow) -> tuple[int, float, float]:
    return SEVERITY[row.verdict], -(row.p_value or 1.0), row.score or 0.0


def _view(image: Path, folder: RunFolder) -> PartView:
    row = next(folder.rows([image]), None)
    if row is None:
        return PartView(str(image), reason=f"{image} was not scored")
    return PartView(row.image, row.score, row.verdict, row.p_value, row.reason)
