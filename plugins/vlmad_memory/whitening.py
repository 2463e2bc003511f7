"""Linear changes of features after which all directions vary alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class Whitening(NamedTuple):
    """Brings x to (x - mean) @ matrix."""

    mean: Float[Tensor, " d"]
    matrix: Float[Tensor, "d k"]

    def __call__(self, rows: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Whiten."""
        whitened: Float[Tensor, "*n k"] = (rows - self.mean) @ self.matrix
        return whitened


def principal_components(rows: Float[Tensor, "m d"], share: float) -> Float[Tensor, "k d"]:
    """Return the fewest directions, the widest first, that hold a share of the variance."""
    variances, directions = torch.linalg.eigh(_covariance(rows))
    variances, directions = variances.flip(0).clamp_min(0), directions.flip(1)
    shares = variances.cumsum(0) / variances.sum()
    count = min(int((shares < share).sum()) + 1, len(variances))
    components: Float[Tensor, "k d"] = directions[:, :count].T.to(rows)
    return components


def shrunk_whitening(rows: Float[Tensor, "m d"], shrinkage: float) -> Whitening:
    """Return the inverse transposed Cholesky factor of the shrunk covariance.

    Args:
        rows: what to whiten.
        shrinkage: the share (above 0, to 1) of a round covariance of the same mean variance.
    """
    covariance = _covariance(rows)
    width = len(covariance)
    round_one = torch.eye(width, dtype=covariance.dtype, device=rows.device)
    variance = covariance.trace() / width
    shrunk = (1 - shrinkage) * covariance + shrinkage * variance * round_one
    factor = torch.linalg.cholesky(shrunk if variance > 0 else round_one)
    matrix = torch.linalg.solve_triangular(factor, round_one, upper=False).T
    return Whitening(rows.mean(0), matrix.to(rows))


def whitening_of(rows: Float[Tensor, "m d"], shrinkage: float, share: float) -> Whitening:
    """Return the whitening of principal components that hold a share of the variance."""
    if share == 1:
        return shrunk_whitening(rows, shrinkage)
    components = principal_components(rows, share)
    mean = rows.mean(0)
    of_components = shrunk_whitening((rows - mean) @ components.T, shrinkage)
    # one mean for both: components are of unit length and at right angles
    return Whitening(mean + of_components.mean @ components, components.T @ of_components.matrix)


def _covariance(rows: Float[Tensor, "m d"]) -> Float[Tensor, "d d"]:
    exact = rows.double()
    centred = exact - exact.mean(0)
    return centred.T @ centred / max(1, len(rows) - 1)
