"""Metrics from one score and one label for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_evaluation.curves import Curve, metrics_of
from vlmad_evaluation.labelled_maps import labelled_scores
from vlmad_evaluation.metric import IMAGE_METRICS, Metric, undefined

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy.typing import ArrayLike


def image_metrics(labels: ArrayLike, scores: ArrayLike) -> dict[str, Metric]:
    """Return AUROC, average precision and F1-max (with its threshold) of images.

    Exact, equal scores taken together; undefined where all images are normal or all anomalous.

    Args:
        labels: a boolean for each image, True for anomalous.
        scores: a number for each image, higher is more anomalous.

    Raises:
        InputError: no images, lengths that differ, labels that are not booleans, scores that are
            not finite.

    >>> found = image_metrics([False, False, True, True], [0.1, 0.4, 0.4, 0.9])
    >>> print(found["image_auroc"], found["image_ap"], found["image_f1_max"])
    0.875 0.833 0.800
    >>> print(image_metrics([True], [0.5])["image_auroc"])
    undefined: no normal image
    """
    truth, values = labelled_scores(labels, scores)
    if truth.all() or not truth.any():
        return undefined(IMAGE_METRICS, "no normal image" if truth.all() else "no anomalous image")
    return metrics_of(image_curve(truth, values), IMAGE_METRICS)


def image_curve(labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> Curve:
    """Return the counts over all distinct scores, from the highest."""
    distinct, group = np.unique(-scores, return_inverse=True)
    false = np.bincount(group, ~labels).cumsum()
    true = np.bincount(group, labels).cumsum()
    return Curve(false, true, -distinct, np.ones(len(distinct), dtype=bool))
