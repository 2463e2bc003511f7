"""Scoring the categories of a bench on the machines of a cluster.

Each scores whole categories into the folder of the bench, as the command would; the command finds
their cells done, and makes the documents of them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.progress import Progress

from vlmad.errors import InputError
from vlmad_evaluation._bench_folder import BENCH_MANIFEST, BenchFolder, BenchManifest
from vlmad_evaluation._bench_running import describe, results_of
from vlmad_evaluation.result_folders import read_result
from vlmad_run.kinds import SpreadsWork, cluster_for

if TYPE_CHECKING:
    from vlmad_evaluation._asked_bench import AskedBench
    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_plan import Plan


def score_on_cluster(
    bench: Bench, plan: Plan, folder: BenchFolder, asked: AskedBench, progress: Progress
) -> None:
    """Have the categories scored that are not finished; what cannot be is left to the command.

    Raises:
        VlmadError: a machine cannot score them, or would score something else.
    """
    name = asked.measuring.engine or ""
    cluster = cluster_for(name)
    if not isinstance(cluster, SpreadsWork):
        raise InputError(f"--engine {name} scores the images of runs only")
    missing = dict.fromkeys(
        cell.category for cell in plan.cells if read_result(folder.cell(cell)) is None
    )
    task = progress.add_task("categories", total=len(missing))
    for _ in cluster.spread(CategoryScoring(bench, asked, folder), [*missing]):
        progress.advance(task)


class CategoryScoring:
    """Scores a category of a bench into its folder, on whichever machine it is called.

    Args:
        bench: what is measured.
        asked: what makes it anew elsewhere.
        folder: that of the bench, which all machines see.
    """

    def __init__(self, bench: Bench, asked: AskedBench, folder: BenchFolder) -> None:
        self.asked, self.folder = asked, folder.path.absolute()
        self.here, self.command = os.getcwd(), sys.argv
        self.categories = bench.categories
        self.readings = {name: each.reading for name, each in bench.detectors.items()}
        self._bench: Bench | None = None

    def __call__(self, category: str) -> None:
        """Score one; its cells are done then, or those that fail are left as they are.

        Raises:
            VlmadError: it would be something else than the command's.
        """
        if self._bench is None:
            try:
                os.chdir(self.here)
            except OSError as error:
                raise InputError(f"{self.here}: {error.strerror or error}") from error
            sys.argv = self.command
            self._bench = self.asked.again(self.categories)
            for name, reading in self.readings.items():
                self._bench.detectors[name].reading = reading
        bench, progress = replace(self._bench, categories=(category,)), Progress(disable=True)
        plan, now = describe(bench, progress)
        folder = BenchFolder(self.folder, self._manifest(category, now))
        for _ in results_of(bench, plan, folder, progress):
            pass

    def _manifest(self, category: str, now: BenchManifest) -> BenchManifest:
        """Return that of the command, if it measures the same."""
        manifest = BenchManifest.read(self.folder / BENCH_MANIFEST)
        known = manifest.identity.categories
        own = {name: each for name, each in known.items() if name == category}
        same = manifest.identity.model_copy(update={"categories": own})
        if other := same.differences(now.identity):
            raise InputError(f"another bench than the command's: {'; '.join(other[:4])}")
        return manifest
