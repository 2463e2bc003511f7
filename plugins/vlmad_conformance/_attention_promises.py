"""What an attention modifier promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vlmad_conformance.facts import (
    given,
    require,
    require_close,
    require_pure,
    require_quick,
    require_tensor,
    require_type,
)

if TYPE_CHECKING:
    from torch import Tensor

    from vlmad_conformance.promises import Subject

TOKENS = (5, 7, 26)
"""A class token and a square grid, a class token and a wide one, and many."""
LARGE = 40.0
"""Queries and keys so large that e to their products is no float32, as a deep model's may be."""


def _tokens(
    images: int, tokens: int, seed: int = 0, width: int = 8
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.randn(images, tokens, 3, width, generator=generator) for _ in range(3))
    q, k, v = (tensor.transpose(1, 2) for tensor in drawn)  # views, as backbones split heads
    return q, k, v


def _shown(tokens: Tensor) -> str:
    return f"q, k and v {tuple(tokens.shape)}"


def acts_on_blocks(subject: Subject) -> None:
    """Its path is one of two, and its blocks exist, however deep the model is."""
    attention = subject.make()
    require(attention.path in ("stream", "beside"), f"path is {attention.path!r}")
    for depth in (1, 2, 3, 12, 24):
        with given(f"a depth of {depth}"):
            acts = attention.blocks(depth)
            require(isinstance(acts, range), "blocks must return a range")
            require(all(0 <= i < depth for i in acts), f"blocks({depth}) leaves 0 to {depth - 1}")


def mixes(subject: Subject) -> None:
    """`mix` keeps the shape and gives finite numbers for any number of tokens."""
    attention = subject.make()
    for images, tokens in [(1, TOKENS[0]), *((2, tokens) for tokens in TOKENS)]:
        inputs = _tokens(images, tokens)
        with torch.inference_mode(), given(_shown(inputs[0])):
            mixed = require_pure(lambda: attention.mix(*inputs), inputs, name="mix")  # noqa: B023
            require_tensor(mixed, tuple(inputs[2].shape), "mix")


def mixes_in_any_precision(subject: Subject) -> None:
    """`mix` answers in the type that it is given: backbones run in bfloat16 too."""
    attention = subject.make()
    inputs = _tokens(1, TOKENS[0])
    for kind in (torch.float32, torch.bfloat16):
        q, k, v = (tensor.to(kind) for tensor in inputs)
        with torch.inference_mode(), given(f"{_shown(q)} of {kind}"):
            require_type(attention.mix(q, k, v), kind, "mix")


def mixes_large_numbers(subject: Subject) -> None:
    """`mix` stays finite where queries, keys and values are large."""
    attention = subject.make()
    for size in (LARGE, 10 * LARGE):
        q, k, v = (tensor * size for tensor in _tokens(1, TOKENS[0]))
        with torch.inference_mode(), given(f"{_shown(q)} times {size:g}"):
            require_tensor(attention.mix(q, k, v), tuple(v.shape), "mix")
            mixed = attention.mix(q.bfloat16(), k.bfloat16(), v.bfloat16())
            require_tensor(mixed, tuple(v.shape), "mix of bfloat16")


def mixes_each_image_alone(subject: Subject) -> None:
    """`mix` of an image depends on no other."""
    attention = subject.make()
    inputs = _tokens(2, TOKENS[0])
    with torch.inference_mode(), given(_shown(inputs[0])):
        together = attention.mix(*inputs)
        for row in (0, 1):
            alone = attention.mix(*(tensor[row : row + 1] for tensor in inputs))
            require_close(alone, together[row : row + 1], "the batch changes mix")


def keeps_no_state(subject: Subject) -> None:
    """What it mixed before changes nothing: several threads may call it for other images."""
    attention = subject.make()
    first = _tokens(1, TOKENS[0])
    with torch.inference_mode(), given(f"{_shown(first[0])}, others, and the first again"):
        before = attention.mix(*first)
        for other in (_tokens(1, TOKENS[0], seed=1), _tokens(2, TOKENS[1], seed=2, width=4)):
            used, fresh = attention.mix(*other), subject.make().mix(*other)
            require_close(used, fresh, "what was mixed before changes mix")
        require_close(attention.mix(*first), before, "what was mixed before changes mix")


def is_quick(subject: Subject) -> None:
    """`mix` is done soon."""
    attention, inputs = subject.make(), _tokens(1, TOKENS[0])
    with torch.inference_mode(), given(_shown(inputs[0])):
        require_quick(lambda: attention.mix(*inputs), "mix")
