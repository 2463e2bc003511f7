"""Images in order of time, with their scores and statistics: of runs, or of photographs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, printable
from vlmad.images import Source
from vlmad_drift.image_statistics import statistics_of
from vlmad_formats.reading import Reading
from vlmad_line.judgements import Judgement
from vlmad_line.ledger import read_ledger
from vlmad_run.manifest import MANIFEST
from vlmad_run.stored_run import read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vlmad_run.kinds import Runnable
    from vlmad_run.manifest import Manifest


@dataclass(frozen=True, slots=True)
class DriftImage:
    """An image, and what is known of it."""

    path: Path
    taken: float
    """The time of its file, in seconds since 1970."""
    sha256: str | None = None
    score: float | None = None
    product: str = ""
    failure: str = ""
    """Why there is no score, or no statistics."""
    threshold: float | None = None
    """By which it was judged at a line."""
    reading: Reading = field(default_factory=Reading)
    statistics: dict[str, float] = field(default_factory=dict)

    @property
    def at(self) -> str:
        """When it was taken, in UTC as ISO 8601."""
        return datetime.fromtimestamp(self.taken, UTC).isoformat(timespec="seconds")

    @property
    def values(self) -> dict[str, float]:
        """Its score and statistics, those that are known."""
        return self.statistics | ({} if self.score is None else {"score": self.score})

    def measured(self) -> DriftImage:
        """Return it with its statistics, if its file is still the same."""
        if not self.path.exists():
            return self
        source = Source(str(self.path), self.path, reading=self.reading)
        try:
            statistics = statistics_of(source.open())
        except InputError as error:
            return replace(self, failure=printable(error))
        if self.sha256 not in (None, source.sha256):
            return replace(self, failure=f"{self.path} has changed since it was scored")
        return replace(self, sha256=source.sha256, statistics=statistics)


def is_run(path: str) -> bool:
    """Return whether a path is the folder of a run."""
    return (Path(path) / MANIFEST).is_file()


def of_runs(folders: Iterable[str]) -> tuple[Manifest, list[DriftImage]]:
    """Return what scored the images of runs, and the images.

    Raises:
        InputError: one is no run, or was scored by another detector than the first.
    """
    images, first = list[DriftImage](), None
    for folder in folders:
        run = read_run(Path(folder))
        first = first or run.manifest
        check_same(first, run.manifest, folder)
        reading = Reading.parse(run.manifest.identity.reading)
        images += [
            DriftImage(
                path=run.file_of(row), taken=(row.modified or 0) / 1e9, sha256=row.sha256,
                score=row.score, product=row.product, failure=row.reason, reading=reading,
            )
            for row in run.rows()
        ]  # fmt: skip
    if first is None or not images:
        raise InputError("no images: the run has scored none yet")
    return first, images


def of_ledgers(paths: Iterable[Path]) -> list[DriftImage]:
    """Return the images that were judged at a line.

    Raises:
        InputError: one is no ledger, or holds no judgement.
    """
    judged = [m for path in paths for m in read_ledger(path) if isinstance(m, Judgement)]
    if not judged:
        raise InputError("no images: the ledger holds no judgement yet")
    return [
        DriftImage(
            path=Path(each.file or each.image), taken=_seconds(each.at), sha256=each.sha256,
            score=each.score, product=each.product, failure="" if each.score is not None
            else f"{each.image}: {each.reason}", threshold=each.threshold,
        )
        for each in judged
    ]  # fmt: skip


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def check_same(one: Manifest, other: Manifest, name: str) -> None:
    """Refuse scores of another detector, which mean something else.

    Raises:
        InputError: the two differ.
    """
    differing = one.identity.differences(other.identity, threshold=False)
    if differing:
        why = "; ".join(differing[:3])
        raise InputError(f"{name} was scored by another detector, {why}: score both with one")


def of_files(paths: Iterable[Path], reading: Reading) -> list[DriftImage]:
    """Return photographs that are not scored yet."""
    return [DriftImage(path, _taken(path), reading=reading) for path in paths]


def scored(images: Sequence[DriftImage], detector: Runnable) -> Iterator[DriftImage]:
    """Yield images with their scores."""
    results = detector.stream([image.path for image in images], batch_size=8)
    for image, result in zip(images, results, strict=True):
        score = None if result.error else float(result.score)
        yield replace(image, score=score, sha256=result.sha256, failure=result.error or "")


def _taken(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # reading it tells why
        return 0.0


def in_order(images: Iterable[DriftImage], by_name: bool) -> list[DriftImage]:
    """Return images in order of their time, or of their names with numbers as numbers."""
    return sorted(images, key=lambda each: (0 if by_name else each.taken, _natural(each.path)))


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", os.fspath(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
