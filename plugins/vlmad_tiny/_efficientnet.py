"""EfficientNet-Lite0 up to its stride of 16, without what comes after it.

The stages are those of Tan and Le (ICML 2019, arXiv 1905.11946, table 1); as in the lite variant
of the authors there is ReLU6, and no squeeze and excitation. Tensors have the names that timm
gives them, in which the published weights come.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float
    from torch import Tensor

STEM, FIRST = 32, 16
"""Channels after the first convolution and after the first stage."""
STAGES = ((24, 2, 3, 2), (40, 2, 5, 2), (80, 3, 3, 2), (112, 3, 5, 1))
"""Of each later stage: channels, blocks, side of the kernel, and the first block's stride."""
EXPANSION = 6
NORM_EPSILON = 1e-3
Around: TypeAlias = "tuple[int, int, int, int]"
"""Columns to the left and right, rows above and below."""


class EfficientNetLite0(nn.Module):
    """The stem and five stages, whose maps have strides 2, 4, 8, 16 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConvolution(3, STEM, 3, 2)
        self.bn1 = _norm(STEM)
        stages, channels = [nn.Sequential(SeparableConvolution(STEM, FIRST, 3))], FIRST
        for width, count, kernel, stride in STAGES:
            later = (InvertedResidual(width, width, kernel) for _ in range(count - 1))
            first = InvertedResidual(channels, width, kernel, stride)
            stages.append(nn.Sequential(first, *later))
            channels = width
        self.blocks = nn.Sequential(*stages)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Iterator[Float[Tensor, "b c gh gw"]]:
        """Yield the maps after each stage, each computed as it is asked for."""
        cells = self.conv_stem.clipped(pixels, self.bn1)
        for stage in self.blocks:
            cells = stage(cells)
            yield cells


class SeparableConvolution(nn.Module):
    """Each channel is convolved by itself, then all are projected."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = SameConvolution(channels, channels, kernel, groups=channels)
        self.bn1 = _norm(channels)
        self.conv_pw = SameConvolution(channels, width)
        self.bn2 = _norm(width)

    def forward(self, cells: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h w"]:
        """Return the projected maps."""
        projected: Tensor = self.bn2(self.conv_pw(self.conv_dw.clipped(cells, self.bn1)))
        return projected


class InvertedResidual(nn.Module):
    """Channels are expanded, convolved each by itself and projected; the input is added if it fits.

    Source: Sandler et al., CVPR 2018, arXiv 1801.04381, section 3.3.
    """

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        inner = EXPANSION * channels
        self.conv_pw = SameConvolution(channels, inner)
        self.bn1 = _norm(inner)
        self.conv_dw = SameConvolution(inner, inner, kernel, stride, groups=inner)
        self.bn2 = _norm(inner)
        self.conv_pwl = SameConvolution(inner, width)
        self.bn3 = _norm(width)
        self.adds = stride == 1 and channels == width

    def forward(self, cells: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e gh gw"]:
        """Return the projected maps."""
        if torch.compiler.is_compiling():  # a graph writes to nothing in place
            inner = self.conv_dw.clipped(self.conv_pw.clipped(cells, self.bn1), self.bn2)
        else:
            around = self.conv_dw.zeros_around(cells.shape[-2:])
            inner = self.conv_pw.clipped_within(_padded(cells, around), self.bn1)
            inner = self.conv_dw.clipped_within(_zeroed(inner, around), self.bn2)
        projected: Tensor = self.bn3(self.conv_pwl(inner))
        return projected + cells if self.adds else projected


class SameConvolution(nn.Conv2d):
    """A convolution with an odd kernel, no bias, and TensorFlow's zeros around.

    A stride s makes n / s pixels of n, rounded up; an odd number of zeros has one more behind the
    pixels than before them.
    """

    def __init__(
        self, channels: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        around = kernel // 2 if stride == 1 else 0
        super().__init__(channels, width, kernel, stride, around, groups=groups, bias=False)

    def forward(self, cells: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e gh gw"]:
        """Pad and convolve."""
        return super().forward(_padded(cells, self.zeros_around(cells.shape[-2:])))

    def clipped(
        self, cells: Float[Tensor, "b c h w"], norm: nn.Module
    ) -> Float[Tensor, "b e gh gw"]:
        """Pad, convolve, norm and clip."""
        return self.clipped_within(_padded(cells, self.zeros_around(cells.shape[-2:])), norm)

    def clipped_within(
        self, padded: Float[Tensor, "b c h w"], norm: nn.Module
    ) -> Float[Tensor, "b e gh gw"]:
        """Convolve what has `zeros_around` already, norm and clip."""
        if self.bias is not None:  # and the norm is folded
            return clipped_convolution(self, padded)
        return F.relu6(norm(super().forward(padded)), inplace=True)

    def zeros_around(self, size: Sequence[int]) -> Around:
        """Return how many there are that torch does not add itself."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return 0, 0, 0, 0
        rows, columns = (max(0, kernel - stride + -n % stride) for n in size)
        return columns // 2, -(-columns // 2), rows // 2, -(-rows // 2)


def fold_norms(module: nn.Module) -> None:
    """Make one convolution of each convolution and the batch norm after it, in place."""
    for (name, conv), (after, norm) in pairwise(list(module.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(conv, norm))
            setattr(module, after, nn.Identity())
    for child in module.children():
        fold_norms(child)


def clipped_convolution(
    conv: nn.Conv2d, cells: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b e gh gw"]:
    """Convolve and bring what comes out between 0 and 6, to the same bits in one pass or two.

    oneDNN clips each piece while the processor's cache holds it; a pass of its own would read
    and write the largest maps once more.
    """
    weights, rest = (conv.weight, conv.bias), (conv.dilation, conv.groups)
    one_pass = cells.device.type == "cpu" and torch.backends.mkldnn.is_available()
    if not one_pass or torch.is_grad_enabled() or torch.compiler.is_compiling():
        found = F.conv2d(cells, *weights, conv.stride, conv.padding, *rest)
        return F.relu6(found, inplace=True)
    convolve = torch.ops.mkldnn._convolution_pointwise
    clip = ("hardtanh", [0.0, 6.0], "")
    return convolve(cells, *weights, conv.padding, conv.stride, *rest, *clip)  # type: ignore[no-any-return]


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, NORM_EPSILON)


def _padded(cells: Float[Tensor, "b c h w"], around: Around) -> Float[Tensor, "b c h2 w2"]:
    return F.pad(cells, around) if any(around) else cells  # none around would be a copy


def _zeroed(cells: Float[Tensor, "b c h w"], around: Around) -> Float[Tensor, "b c h w"]:
    """Make edges zeros in place.

    Who pads before channels are expanded copies a sixth of what it would afterwards.
    """
    if any(around):
        left, right, above, below = around
        height, width = cells.shape[-2:]
        for columns in (slice(left), slice(width - right, None)):
            cells[..., columns] = 0
        for rows in (slice(above), slice(height - below, None)):
            cells[..., rows, :] = 0
    return cells
