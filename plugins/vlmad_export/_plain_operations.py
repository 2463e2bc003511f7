"""Operations that no graph format has, recorded as others that all have.

ONNX knows no factors of matrices: a Cholesky factor is recorded as one operation of vlmad's own,
which `vlmad_export._factored` takes apart again in the graph. What depends on no pixel is worked
out at once, so that it is a constant and parts may decide by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float

CHOLESKY = "Cholesky"
"""The operation from a matrix (n, n) to its lower factor and the factor's inverse."""


class PlainOperations(TorchFunctionMode):
    """Within it, operations are recorded as others that graph formats have.

    Args:
        others: whether they are; if not, as they are.
    """

    def __init__(self, others: bool = True) -> None:
        super().__init__()
        self._inverses: dict[int, tuple[Tensor, Tensor]] = {}
        """Of each factor, that stays alive so that its number is no other's."""
        known: dict[Callable[..., Any], Callable[..., Any]] = {
            torch.linalg.cholesky: self._cholesky,
            torch.linalg.solve_triangular: self._solve_triangular,
            F.adaptive_avg_pool2d: _average_of_cells,
            torch._C._nn.adaptive_max_pool2d: _maximum_of_cells,
            torch.Tensor.median: _median,
            torch.Tensor.sort: _sorted,
            torch.Tensor.argsort: _order,
            torch.cdist: _euclidean_distances,
        }
        self._plain = known if others else {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do what is known in another way, and everything else as it is."""
        given = kwargs or {}
        if func not in self._plain and _is_constant(func, [*args, *given.values()]):
            with _disable_current_modes():
                return func(*args, **given)
        return self._plain.get(func, func)(*args, **given)

    def _cholesky(self, matrix: Float[Tensor, "*b n n"]) -> Float[Tensor, "*b n n"]:
        size, kinds = matrix.shape[-2:], [matrix.dtype] * 2
        single = matrix.reshape(size)  # there is one image
        made = torch.onnx.ops.symbolic_multi_out(
            f"vlmad::{CHOLESKY}", [single], dtypes=kinds, shapes=[size] * 2, version=1
        )
        factor, inverse = (each.view(matrix.shape) for each in made)
        self._inverses[id(factor)] = factor, inverse
        return factor

    def _solve_triangular(
        self, factor: Float[Tensor, "*b n n"], right: Float[Tensor, "*b n k"], *, upper: bool
    ) -> Float[Tensor, "*b n k"]:
        if upper or id(factor) not in self._inverses:
            raise NotImplementedError("only a lower factor of cholesky can be solved in a graph")
        return self._inverses[id(factor)][1] @ right


def _is_constant(func: Callable[..., Any], given: Sequence[Any]) -> bool:
    """Return whether an operation makes something new of tensors that all have numbers already."""
    name = getattr(func, "__name__", "")
    changes = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
    tensors = [each for each in tree_leaves(given) if isinstance(each, Tensor)]
    recorded = any(isinstance(each, FakeTensor) for each in tensors)
    return bool(tensors) and not (changes or recorded)


def _steps(cells: Tensor, size: Sequence[int] | int) -> tuple[int, int]:
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    steps = [(old // new, old % new) for old, new in zip(cells.shape[-2:], sizes, strict=True)]
    if any(rest for _, rest in steps):
        raise NotImplementedError(f"cells {tuple(cells.shape[-2:])} are no multiples of {sizes}")
    return steps[0][0], steps[1][0]


def _average_of_cells(cells: Tensor, output_size: Sequence[int] | int) -> Tensor:
    return F.avg_pool2d(cells, _steps(cells, output_size))


def _maximum_of_cells(cells: Tensor, output_size: Sequence[int] | int) -> tuple[Tensor, None]:
    return F.max_pool2d(cells, _steps(cells, output_size)), None


def _median(values: Tensor) -> Tensor:
    """Return the lower of both where their number is even, as torch does."""
    return _sorted(values.flatten()).values[(values.numel() - 1) // 2]


def _sorted(
    values: Tensor, dim: int = -1, descending: bool = False, stable: bool = True
) -> torch.return_types.topk:
    """Sort by the operation for the highest, which of equal values takes the first first."""
    return values.topk(values.shape[dim], dim=dim, largest=descending)


def _order(values: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    return _sorted(values, dim, descending).indices


def _euclidean_distances(first: Tensor, second: Tensor, **_: Any) -> Tensor:
    squares = first.square().sum(-1)[..., :, None] + second.square().sum(-1)[..., None, :]
    return (squares - 2 * first @ second.mT).clamp_min(0).sqrt()
