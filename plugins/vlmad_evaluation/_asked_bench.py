"""What a bench or grid was asked for: enough to make it ready, here or on another machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_evaluation._measuring_options import open_checked, split_settings
from vlmad_run.kinds import cluster_for

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from vlmad import Problem
    from vlmad.detector import Detector
    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._measuring_options import Measuring
    from vlmad_evaluation.result_documents import BenchSettings, GridAxes
    from vlmad_run.choosing import Choice
    from vlmad_run.opening import OpenDataset


@dataclass(frozen=True)
class AskedBench:
    """The words of a command that measures, read but not yet followed."""

    choice: Choice
    measuring: Measuring
    data: Path
    detectors: tuple[str, ...] = ()
    """Recipes of a bench."""
    conditions: str = ""
    """Of a bench."""
    is_grid: bool = False
    baseline: str = ""
    """Of a grid."""
    choose_by: str = ""
    """The metric by which a combination of a grid is chosen, if one is."""

    def ready(self, console: Console) -> Bench:
        """Look at the whole data set, and load what is measured on it.

        Raises:
            VlmadError: the data set cannot be used, or what is asked for cannot be.
        """
        self._settings()
        if self.measuring.engine is not None:
            cluster_for(self.measuring.engine)
        _, options = split_settings(self.choice)
        # first, because a data set that cannot be used needs no torch to be refused
        opened, categories, problems = open_checked(self.data, self.measuring, options, console)
        return self._of(opened, categories, problems)

    def again(self, categories: tuple[str, ...]) -> Bench:
        """Return what `ready` did on another machine, without looking at the data set."""
        from vlmad_run.opening import open_dataset

        _, options = split_settings(self.choice)
        opened = open_dataset(self.data, self.measuring.dataset, options)
        return self._of(opened, categories, ())

    def _of(
        self, opened: OpenDataset, categories: tuple[str, ...], problems: tuple[Problem, ...]
    ) -> Bench:
        from vlmad_evaluation._bench_document import Bench

        settings = self._settings()
        if self.is_grid:
            detectors, axes = self._combinations()
            return Bench(opened, categories, detectors, settings, problems, axes)
        from vlmad_evaluation._bench_plan import load_detectors

        fitted = {shots > 0 for shots in settings.shots}
        choice, _ = split_settings(self.choice)
        few = fitted.pop() if len(fitted) == 1 else None
        loaded = load_detectors(choice, [*self.detectors] or None, few)
        return Bench(opened, categories, loaded, settings, problems)

    def _settings(self) -> BenchSettings:
        return self.measuring.settings(self.conditions, self.choice.align)

    def _combinations(self) -> tuple[dict[str, Detector], GridAxes]:
        from vlmad.registry import installed
        from vlmad_evaluation._grid_combinations import combine, parse_space, with_baseline

        choice, _ = split_settings(self.choice)
        registry = installed()
        space = parse_space(choice, registry)
        found, axes = combine(space, registry, choice.resize, choice.reading())
        return with_baseline(found, axes, self.baseline or None), axes
