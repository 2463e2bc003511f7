"""AU-sPRO of MVTec LOCO: regions with their saturation, and the mean over kinds of anomalies.

Each kind is measured with all normal images, over the false positive rate of these images alone;
every region counts the same within its kind, and each kind the same in the mean (Bergmann et al.,
IJCV 2022, section 5). Of some defects, such as a missing part that could lie in many places,
it is enough to find as many pixels as `saturation_threshold` says, or as large a share of the
region where that is relative. A mask is a folder of PNG files, each of one region, whose only
value above 0 says which defect it is.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from vlmad.datasets import Problem
from vlmad.errors import InputError, first_line
from vlmad.files import read_text
from vlmad_datasets.masks import fitted_mask
from vlmad_documents.documents import Document, FileName
from vlmad_evaluation.bootstrap import Replicates, average_replicates
from vlmad_evaluation.labelled_maps import SaturatedRegion
from vlmad_evaluation.metric import ANOMALIES, AU_SPRO_LIMITS, Metric, macro_average
from vlmad_formats.stored_values import read_facts, read_raster

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from vlmad.datasets import Sample

NAME = "defects_config.json"


class DefectSaturation(Document):
    """How much of a defect is enough."""

    defect_name: FileName
    pixel_value: Annotated[int, Field(ge=1, le=255)]
    saturation_threshold: Annotated[float, Field(gt=0)]
    """Pixels; or a share of the region, up to 1."""
    relative_saturation: bool

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        if self.relative_saturation and self.saturation_threshold > 1:
            raise ValueError("a share above 1")
        return self

    def area(self, region: int) -> int:
        """Return how many pixels of a region are enough: whole ones, as in MVTec's evaluation."""
        wanted = self.saturation_threshold * (region if self.relative_saturation else 1)
        return max(1, min(int(wanted), region))


class DefectsConfig(Document):
    """`defects_config.json` of a category, whose list it wraps."""

    defects: list[DefectSaturation]

    @property
    def by_value(self) -> dict[int, DefectSaturation]:
        """The defects by the value that their pixels have in masks."""
        return {each.pixel_value: each for each in self.defects}


def find_config(sample: Sample) -> Path | None:
    """Return the file for CATEGORY/ground_truth/KIND/MASK, if there is one."""
    if sample.mask is None or len(sample.mask.parents) < 3:
        return None
    path = sample.mask.parents[2] / NAME
    return path if path.is_file() else None


def kind_of(sample: Sample) -> str:
    """Return the kind of an anomaly, such as `logical`."""
    return "" if sample.mask is None else sample.mask.parent.name.removesuffix("_anomalies")


@cache
def read_config(path: Path) -> DefectsConfig:
    """Read the file.

    Raises:
        InputError: it cannot be read, or is no such list.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {first_line(error)}") from error
    return DefectsConfig.parse(f'{{"defects": {text}}}', path)


def regions_of(sample: Sample) -> tuple[SaturatedRegion, ...]:
    """Return the regions of an image, none of a normal one.

    Raises:
        InputError: a mask cannot be read, or does not fit the file.
    """
    path = find_config(sample)
    if path is None or sample.mask is None:
        return ()
    known, facts = read_config(path).by_value, read_facts(sample.image)
    found = []
    for file in sorted(sample.mask.glob("*.png")) or [sample.mask]:
        values = np.unique(np.asarray(read_raster(file).pixels))
        above = values[values > 0].tolist()
        if len(above) != 1 or above[0] not in known:
            raise InputError(f"{file}: the values {above}, where {NAME} wants one of {[*known]}")
        mask = fitted_mask(file, sample.image, facts).marked
        found.append(SaturatedRegion(mask, known[above[0]].area(int(mask.sum()))))
    return tuple(found)


def saturation_problems(samples: Iterable[Sample]) -> tuple[Problem, ...]:
    """Return the masks of samples that do not fit their `defects_config.json`.

    Raises:
        InputError: such a file is damaged.
    """
    found = []
    for sample in samples:
        path = find_config(sample)
        if path is not None and sample.mask is not None:
            read_config(path)
            try:
                regions_of(sample)
            except InputError as error:
                found.append(Problem(sample.mask, f"not in AU-sPRO: {error}"))
    return tuple(found)


def mean_of_kinds(by_kind: Mapping[str, Mapping[str, Metric]]) -> dict[str, Metric]:
    """Return the mean of both kinds, undefined where one is, then each under a name of its own."""
    found: dict[str, Metric] = {}
    for name in AU_SPRO_LIMITS:
        kinds = {kind: by_kind[kind][name] for kind in ANOMALIES}
        mean = macro_average(kinds).model_copy(update={"categories": []})
        found[name] = next((each for each in kinds.values() if each.value is None), mean)
        found |= {f"{name}_{kind}": each for kind, each in kinds.items()}
    return found


def replicates_of_kinds(by_kind: Mapping[str, Mapping[str, Replicates]]) -> dict[str, Replicates]:
    """Return the same of replicates; there are none of what is undefined."""
    found = {f"{n}_{kind}": each for kind, own in by_kind.items() for n, each in own.items()}
    both = [name for name in AU_SPRO_LIMITS if all(f"{name}_{kind}" in found for kind in ANOMALIES)]
    return found | {n: _together(*(found[f"{n}_{kind}"] for kind in ANOMALIES)) for n in both}


def _together(one: Replicates, other: Replicates) -> Replicates:
    """Average the replicates of two kinds, for which draw i takes the same normal images."""
    both = one, other
    if np.sum(one.strata == 0) != np.sum(other.strata == 0):  # a mask vanished when it was resized
        return average_replicates({"one": one, "other": other})
    estimate = (one.estimate + other.estimate) / 2
    moved = [(part.without - part.estimate) / 2 for part in both]
    normal = sum(change[part.strata == 0] for change, part in zip(moved, both, strict=True))
    rest = [change[part.strata != 0] for change, part in zip(moved, both, strict=True)]
    changes = [normal, *rest]
    return Replicates(
        estimate,
        (one.values + other.values) / 2,
        estimate + np.concatenate(changes),
        np.repeat(np.arange(len(changes)), [len(change) for change in changes]),
        (one.error + other.error) / 2,
        one.reason or other.reason,
    )
