"""MVTec LOCO's `defects_config.json`, and the regions of an image with their saturation.

Bergmann et al., IJCV 2022: of some defects, such as a missing part that could lie in many places,
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
from vlmad_evaluation.labelled_maps import SaturatedRegion
from vlmad_formats.stored_values import read_facts, read_raster
from vlmad_run.documents import Document, FileName

if TYPE_CHECKING:
    from collections.abc import Iterable
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
