"""What is true of a bench's images, kept beside their scores for whoever looks at both later."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad import Sample
from vlmad.datasets import LABELS
from vlmad.errors import InputError, first_line
from vlmad.files import read_text, write_atomically
from vlmad_run.run_folder import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = "samples.json"


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """Write the test samples of a bench; paths become absolute, so that they hold anywhere.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(folder / SAMPLES, to_json([_to_table(sample) for sample in samples]))


def read_samples(folder: Path) -> tuple[Sample, ...]:
    """Read what `write_samples` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = folder / SAMPLES
    try:
        return tuple(_from_table(table) for table in json.loads(read_text(path)))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = first_line(error) if isinstance(error, OSError) else "it is damaged"
        raise InputError(
            f"cannot read {path}: {reason}; run the bench again, which keeps what is done"
        ) from error


def _to_table(sample: Sample) -> dict[str, Any]:
    return {
        "image": os.path.abspath(sample.image),
        "label": sample.label,
        "category": sample.category,
        "defect": sample.defect,
        "mask": None if sample.mask is None else os.path.abspath(sample.mask),
    }


def _from_table(table: dict[str, Any]) -> Sample:
    image, category, defect = (table[name] for name in ("image", "category", "defect"))
    label, mask = table["label"], table["mask"]
    texts = [image, category, defect, label, *([] if mask is None else [mask])]
    if label not in LABELS or not all(isinstance(text, str) for text in texts):
        raise ValueError("not as write_samples writes it")
    mask = None if mask is None else Path(mask)
    return Sample(Path(image), label, category, "test", defect, mask)
