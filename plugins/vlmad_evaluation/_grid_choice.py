"""`vlmad grid --choose`: from the cells of a grid to the combination that is best by nested folds.

All is computed from stored scores and maps: no image is encoded again.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from vlmad.files import write_atomically
from vlmad.recipes import Recipe
from vlmad_evaluation._choice_figures import judge
from vlmad_evaluation.averaging import average, of_categories, over_seeds
from vlmad_evaluation.choice_document import CHOICE_FILE, RECIPE_FILE, Candidate, ChoiceDocument
from vlmad_evaluation.metric import Metric
from vlmad_evaluation.nested_folds import choose_nested
from vlmad_evaluation.notation import TITLES, figure, metric_text, shots_name
from vlmad_run.part_options import options_in_full

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float, Int

    from vlmad.detector import Detector
    from vlmad_evaluation._choice_figures import FoldFigures
    from vlmad_evaluation.nested_folds import NestedChoice
    from vlmad_evaluation.result_folders import Results


def choose(results: Results, detectors: Mapping[str, Detector], metric: str) -> ChoiceDocument:
    """Choose by nested folds, write `chosen.json` and the recipe `chosen.toml`, return the former.

    Raises:
        InputError: there are too few labelled images, or every combination failed somewhere.
        OutputError: the folder cannot be written.
    """
    judging = judge(results, metric)
    nested = choose_nested(judging.figures)
    document = _document(results, judging, nested, metric)
    recipe = _recipe(detectors[document.chosen])
    write_atomically(results.folder / RECIPE_FILE, recipe.encode("utf-8"))
    document.write(results.folder / CHOICE_FILE)
    return document


def _document(
    results: Results, judging: FoldFigures, nested: NestedChoice, metric: str
) -> ChoiceDocument:
    on_all = [_on_all(results, judging, place, metric) for place in judging.candidates]
    chosen, shots = judging.candidates[nested.best]
    candidates = [
        Candidate(detector=name, shots=few, figure=float(mean), times=int(times))
        for (name, few), mean, times in zip(
            judging.candidates, nested.figures, nested.times, strict=True
        )
    ]
    return ChoiceDocument(
        metric=metric,
        folds=nested.chosen.shape[1],
        partitions=len(nested.chosen),
        categories=[*judging.categories],
        left_out=dict(judging.left_out),
        candidates=candidates,
        chosen=chosen,
        shots=shots,
        honest=_with_reach(nested.judged, nested.times, on_all),
        optimistic=_with_reach(
            float(nested.figures[nested.best]), np.eye(len(on_all))[nested.best], on_all
        ),
        recipe=RECIPE_FILE,
        command=_command(results, chosen, shots),
    )


def _on_all(results: Results, judging: FoldFigures, place: tuple[str, int], metric: str) -> Metric:
    """Return the average of a candidate over all images, as the tables have it."""
    cells = results.cells(detector=place[0], shots=place[1])
    stored = [found for cell in cells if (found := results.stored(cell)) is not None]
    by_place = over_seeds(stored, results.document.settings.confidence)
    group = of_categories(by_place, *place, judging.categories, metric)
    return average(group, results.document.settings.confidence).metric


def _with_reach(
    value: float, times: Float[np.ndarray, " c"] | Int[np.ndarray, " c"], on_all: Sequence[Metric]
) -> Metric:
    """Return a figure; its interval reaches as far as those of the chosen do on average."""
    ends = []
    for end in ("low", "high"):
        reach = [_or_zero(getattr(each, end), each.value) for each in on_all]
        ends.append(float(np.clip(value + times @ np.array(reach) / times.sum(), 0, 1)))
    if ends[0] == ends[1]:
        return Metric(value=value, reason="every resampled set gives the same value")
    return Metric(value=value, low=ends[0], high=ends[1])


def _or_zero(end: float | None, value: float | None) -> float:
    """Return how far an end of an interval is from its value, where there is one."""
    return 0.0 if end is None or value is None else end - value


def _recipe(detector: Detector) -> str:
    """Return a detector's parts with all their options as a recipe file."""
    parts = {kind: each.registration.name for kind, each in detector.assembly.parts.items()}
    return Recipe(parts, options_in_full(detector), resize=str(detector.resizing)).to_toml()


def _command(results: Results, chosen: str, shots: int) -> list[str]:
    document = results.document
    words = ["vlmad", "run", "photos/", "--detector", str(results.folder / RECIPE_FILE)]
    [*names] = {each.class_name for each in document.dataset.categories.values()}
    if "prompts" in document.detectors[chosen].parts and len(names) == 1:
        words += ["--class-name", *names]
    if shots:
        words += ["--references", "good/", "--shots", str(shots)]
    return [*words, "--align"] if document.settings.align else words


def sentences(document: ChoiceDocument) -> Iterator[str]:
    """Say what was chosen and how good that is, and name the command that runs it."""
    title = TITLES[document.metric]
    yield (
        f"Chosen by nested folds: {document.chosen}, {shots_name(document.shots)}, with {title} "
        f"{metric_text(document.honest)} on images that had no say in it. On the images that "
        f"chose it, it has {figure(document.optimistic.value)}, which is optimistic."
    )
    figures = [each.figure for each in document.candidates]
    even = figures.count(max(figures))
    if even > 1:
        yield f"{even} are equal by {title}, of which this is the first; --by takes other metrics."
    yield shlex.join(document.command)
