"""Class tokens of windows beside the plain stream: the encoding called shared."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad.regions import window_patches
from vlmad_openclip._products import attend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad_openclip._blocks import Mix

FEW = 800
"""Up to as many tokens of an image, windows attend to all under a mask; more are gathered first.

One product that is mostly thrown away is faster as long as it is small.
"""


class SharedWindows:
    """One class token for each window, in one sequence with the plain stream.

    In every block a window's class token attends to itself and to the patches of its window
    as the plain stream has them there; nothing attends to it but itself. So the patches of a
    window have seen the whole image, which those of an exact window have not, and are encoded
    once instead of once for each window. This is vlmad's own; no paper has it.

    Args:
        grid: rows and columns of patches.
        sizes: of the windows, in patches.
        device: where the tokens are.
    """

    def __init__(self, grid: tuple[int, int], sizes: Sequence[int], device: torch.device) -> None:
        self.plain = 1 + grid[0] * grid[1]
        self.members: dict[int, Int[Tensor, "r k"]] = {}
        """For each size the tokens that its windows attend to: each its own, then patches."""
        self._own: dict[int, slice] = {}
        """For each size where its class tokens are."""
        self.length, self._device = self.plain, device
        for size in sizes:
            patches = 1 + window_patches(grid, size).to(device)
            own = self.length + torch.arange(len(patches), device=device)[:, None]
            self.members[size] = torch.cat([own, patches], dim=1)
            self._own[size] = slice(self.length, self.length + len(patches))
            self.length += len(patches)

    def join(self, tokens: Float[Tensor, "b t w"]) -> Float[Tensor, "b j w"]:
        """Add a class token for each window behind the plain stream."""
        if not self.members:
            return tokens
        windows = tokens[:, :1].expand(-1, self.length - self.plain, -1)
        return torch.cat([tokens, windows], dim=1)

    def attention(self, mix: Mix | None) -> Mix:
        """Return the attention over the joined sequence.

        Args:
            mix: what takes the place of attention, in the plain stream and in each window.
        """
        if not self.members:
            return mix or attend

        def attend_all(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            plain = (mix or attend)(*(t[:, :, : self.plain] for t in (q, k, v)))
            if mix is None and self.length <= FEW:
                own, hidden = q[:, :, self.plain :], self._hidden.to(q.dtype)
                windows = [F.scaled_dot_product_attention(own, k, v, attn_mask=hidden)]
            else:
                windows = [_attend_in_windows(m, q, k, v, mix) for m in self.members.values()]
            return torch.cat([plain, *windows], dim=2)

        return attend_all

    @cached_property
    def _hidden(self) -> Float[Tensor, "w j"]:
        """What is added to the windows' scores: 0 for their members, minus infinity for others."""
        hidden = torch.full((self.length, self.length), -torch.inf, device=self._device)
        for members in self.members.values():
            hidden[members[:, :1], members] = 0
        return hidden[self.plain :]

    def of_size(self, size: int, joined: Float[Tensor, "b j w"]) -> Float[Tensor, "b r w"]:
        """Return the class tokens of the windows of one size."""
        return joined[:, self._own[size]]


def _attend_in_windows(
    members: Int[Tensor, "r k"],
    q: Float[Tensor, "b a j e"],
    k: Float[Tensor, "b a j e"],
    v: Float[Tensor, "b a j e"],
    mix: Mix | None,
) -> Float[Tensor, "b a r e"]:
    """Return what each window's class token gathers from its members."""
    images, heads = q.shape[:2]
    if mix is None:  # each head of each window is a head, so that nothing is moved again
        k, v = (t[:, :, members].flatten(1, 2) for t in (k, v))
        q = q[:, :, members[:, :1]].flatten(1, 2)
        gathered = F.scaled_dot_product_attention(q, k, v)[:, :, 0]
        return gathered.unflatten(1, (heads, -1))  # type: ignore[no-any-return]
    windows = (t[:, :, members].transpose(1, 2).flatten(0, 1) for t in (q, k, v))
    mixed: Tensor = mix(*windows)[:, :, 0].unflatten(0, (images, -1))  # b r a e
    return mixed.transpose(1, 2)
