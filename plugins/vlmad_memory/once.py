"""What is worked out of a memory once, and forgotten with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from torch.utils.weak import WeakIdKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from torch import Tensor

T = TypeVar("T")


class OncePerTensor(Generic[T]):
    """Remember what was made of a tensor as long as the tensor lives.

    Threads that ask at the same time may make it twice; it is the same.
    """

    def __init__(self) -> None:
        self._made: MutableMapping[Tensor, T] = WeakIdKeyDictionary()

    def __call__(self, tensor: Tensor, make: Callable[[], T]) -> T:
        """Return what `make` returned for this tensor."""
        made = self._made.get(tensor)
        if made is None:
            made = self._made[tensor] = make()
        return made
