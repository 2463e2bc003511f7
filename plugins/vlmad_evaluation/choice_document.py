"""What `vlmad grid --choose` writes: `chosen.json`."""

from __future__ import annotations

from typing import Literal

from vlmad.errors import InputError
from vlmad_documents.documents import Document, FileName
from vlmad_evaluation.metric import Count, Metric, Share
from vlmad_evaluation.result_documents import InnerName

CHOSEN_BY = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
CHOICE_FILE, RECIPE_FILE = "chosen.json", "chosen.toml"


class Candidate(Document):
    """A combination with a number of references that was to choose from."""

    detector: FileName
    shots: Count
    figure: Share
    """The mean of the metric over all folds."""
    times: Count
    """How often folds chose it, for one that had no say."""


class ChoiceDocument(Document):
    """`chosen.json`: which combination was chosen, and how good it is."""

    format: Literal["vlmad choice 1"] = "vlmad choice 1"
    metric: str
    folds: Count
    partitions: Count
    """How often images were dealt to folds anew."""
    categories: list[FileName]
    left_out: dict[FileName, FileName]
    """Categories and combinations that had no part in it, and why."""
    candidates: list[Candidate]
    chosen: FileName
    shots: Count
    honest: Metric
    """Of folds that had no say in what was judged on them."""
    optimistic: Metric
    """Of the chosen combination on the folds that chose it, all of them."""
    recipe: InnerName
    command: list[FileName]
    """What runs the chosen one, with names to put in place of `photos/` and `good/`."""


def check_metric(choose: bool, by: str | None) -> str:
    """Return what is chosen by; nothing if nothing is chosen.

    Raises:
        InputError: it cannot be chosen by that.
    """
    if by is not None and not choose:
        raise InputError("--by says what --choose chooses by: add --choose")
    if by not in (None, *CHOSEN_BY):
        raise InputError(f"--by takes {', '.join(CHOSEN_BY)}, not {by}")
    return (by or CHOSEN_BY[0]) if choose else ""
