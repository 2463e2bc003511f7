"""The folder of a bench: one process writes to it, and it stays a bench of the same things.

- ``bench.json``, ``bench.csv``, ``bench.md``: what came of it
- ``cells/DETECTOR/CATEGORY/SHOTS-SEED/``: run folders, each with its ``metrics.json``; with
  ``-CONDITION-SEVERITY`` those of changed images
- ``thresholds/DETECTOR/CATEGORY/SHOTS-SEED.json``: for ``vlmad run --threshold``
- ``learned/DETECTOR/CATEGORY/SHOTS-SEED/``: what scorers learned of the references, that learn;
  without ``SHOTS-SEED`` what they learned of the other categories
- ``samples.json``: the test images with their labels, defects and masks, for the cells' scores
- ``bench-manifest.json``: what is measured
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vlmad.errors import InputError, OutputError
from vlmad.files import refuse_links
from vlmad_documents.documents import Document, FileName
from vlmad_evaluation.result_documents import BenchSettings
from vlmad_run.differences import differences
from vlmad_run.identity import Identity
from vlmad_run.places import RUNS, folder_name, locked, new_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad_evaluation._bench_plan import Cell

BENCH_MANIFEST = "bench-manifest.json"


class CategoryIdentity(Document):
    """A category that is measured: the SHA-256 of its files, and what prompts call it."""

    content: str
    class_name: FileName


class BenchIdentity(Document):
    """What the numbers of a bench depend on."""

    reader: str
    categories: dict[FileName, CategoryIdentity]
    detectors: dict[FileName, Identity]
    settings: BenchSettings

    def differences(self, now: BenchIdentity) -> list[str]:
        """Return where another one differs otherwise than by having more.

        Cells stand on their own: more detectors, shots, seeds or conditions leave those that are
        there alone.
        """
        own, other = self.settings, now.settings
        shots = [number for number in other.shots if number in own.shots]
        conditions = {n: each for n, each in other.conditions.items() if n in own.conditions}
        seeds = min(own.seeds, other.seeds)
        more = {"shots": shots, "seeds": seeds, "conditions": conditions}
        same = now.model_copy(update={"settings": other.model_copy(update=more)})
        left_out = {"detectors"}
        of_all = differences(self.model_dump(exclude=left_out), same.model_dump(exclude=left_out))
        return [*of_all, *(d for n in self.detectors for d in self._of_detector(n, now))]

    def _of_detector(self, name: str, now: BenchIdentity) -> list[str]:
        if name not in now.detectors:
            return [f"detectors.{name} is left out"]
        own = self.detectors[name].differences(now.detectors[name])
        return [f"detectors.{name}: {each}" for each in own]


class BenchManifest(Document):
    """What a bench is."""

    format: Literal["vlmad bench manifest 3"] = "vlmad bench manifest 3"
    command: list[FileName]
    images_sha256: str
    """Of the whole names of all test images."""
    identity: BenchIdentity
    finished: bool = False


@dataclass(frozen=True, slots=True)
class BenchFolder:
    """A bench's folder that this process may write to; `open_bench` gives it."""

    path: Path
    manifest: BenchManifest

    def finish(self) -> None:
        """Note that everything is done."""
        done = self.manifest.model_copy(update={"finished": True})
        done.write(self.path / BENCH_MANIFEST)

    def cell(self, cell: Cell) -> Path:
        """Return a cell's run folder."""
        return self._place("cells", cell_place(cell))

    def threshold(self, cell: Cell) -> Path:
        """Return a cell's threshold file."""
        return self._place("thresholds", f"{cell_place(cell)}.json")

    def learned(self, cell: Cell) -> Path:
        """Return where what a cell's scorer learns is kept, whatever is done to test images."""
        place = cell_place(replace(cell, change=None))
        return self._place("learned", place if cell.others is None else str(Path(place).parent))

    def _place(self, *names: str) -> Path:
        place = self.path.joinpath(*names)
        refuse_links(step for step in (place, *place.parents) if self.path in step.parents)
        return place


@contextmanager
def open_bench(out: Path | None, manifest: BenchManifest, name: str) -> Iterator[BenchFolder]:
    """Open the folder `out`, or else the one where this bench was stopped, or a new one."""
    with ExitStack() as stack:
        path = out or _stopped(manifest) or stack.enter_context(new_folder(RUNS, name))
        stack.enter_context(locked(path, BENCH_MANIFEST))
        _check_identity(path, manifest)
        manifest.write(path / BENCH_MANIFEST)
        yield BenchFolder(path, manifest)


def _stopped(manifest: BenchManifest) -> Path | None:
    for path in sorted(RUNS.glob(f"*/{BENCH_MANIFEST}"), reverse=True):
        with suppress(InputError):
            before = BenchManifest.read(path)
            same = before.model_copy(update={"command": manifest.command}) == manifest
            if same:  # also in that it is not finished
                return path.parent
    return None


def _check_identity(path: Path, manifest: BenchManifest) -> None:
    if not (path / BENCH_MANIFEST).exists():
        return
    try:
        before = BenchManifest.read(path / BENCH_MANIFEST)
    except InputError as error:
        raise OutputError(f"{error}; choose another --out") from error
    other = before.identity.differences(manifest.identity)
    if other:
        raise OutputError(
            f"{path} holds a bench that differs: {'; '.join(other[:4])}; choose another --out"
        )


def cell_place(cell: Cell) -> str:
    """Return where in a bench's folders a cell lies."""
    last = "zero-shot" if cell.seed is None else f"{cell.shots}-shot-seed-{cell.seed}"
    if cell.change is not None:
        last += f"-{cell.change.condition}-{cell.change.severity}"
    return f"{folder_name(cell.detector)}/{folder_name(cell.category)}/{last}"
