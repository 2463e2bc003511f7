"""Thresholds that all images share, and which of the bins between them hold one score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def shared_thresholds(
    normal: Float[np.ndarray, " n"], anomalous: Float[np.ndarray, " p"], bins: int
) -> Float[np.ndarray, " k"]:
    """Choose at most `bins` scores, falling, that split both classes finely; the lowest is one.

    All distinct scores, if they are few enough. Otherwise half of the thresholds have equal
    numbers of anomalous scores between them, which alone keeps the error of AUROC below about
    1 / bins. The others are ranks of normal scores: half of them in equal steps, half in equal
    ratios, for the small false positive rates that AUPRO and average precision hang on. Neither
    class may be empty.
    """
    few = _distinct(normal, anomalous, bins)
    if few is not None:
        return few
    normal_ranks, anomalous_ranks = ranks(len(normal), len(anomalous), bins)
    chosen = [normal[len(normal) - normal_ranks], anomalous[len(anomalous) - anomalous_ranks]]
    return np.unique(np.concatenate(chosen))[::-1]


def ranks(
    normal: int, anomalous: int, bins: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " m"]]:
    """Choose from 1, the highest score, to the lowest of both classes; see `shared_thresholds`."""
    equal = np.linspace(1, normal, bins // 4).astype(int)
    ratios = np.geomspace(1, normal, bins // 4).astype(int)
    return np.concatenate([equal, ratios]), np.linspace(1, anomalous, bins // 2).astype(int)


def _distinct(
    normal: Float[np.ndarray, " n"], anomalous: Float[np.ndarray, " p"], most: int
) -> Float[np.ndarray, " k"] | None:
    """Return all distinct values of two rising arrays, falling; None if there are too many."""
    found = []
    for rising in (normal, anomalous):
        steps = np.flatnonzero(rising[1:] != rising[:-1])
        if len(steps) >= most:
            return None
        found.append(rising[np.append(steps, len(rising) - 1)] if len(rising) else rising)
    values = np.unique(np.concatenate(found))[::-1]
    return values if len(values) <= most else None


def single_valued(
    normal: Float[np.ndarray, " n"],
    anomalous: Float[np.ndarray, " p"],
    thresholds: Float[np.ndarray, " k"],
) -> Bool[np.ndarray, " k"]:
    """Return for each bin whether its only score is its threshold."""
    single = np.ones(len(thresholds), dtype=bool)
    for rising in (normal, anomalous):
        if len(rising):
            next_above = np.searchsorted(rising, thresholds[::-1], "right")[::-1]
            bin_end = np.searchsorted(rising, thresholds[:-1][::-1], "left")[::-1]
            single &= next_above == np.append(len(rising), bin_end)
    return single
