"""What an attention modifier promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from vlmad_conformance import _promises_alike as alike
from vlmad_conformance.facts import given, require, require_pure, require_tensor
from vlmad_conformance.promises import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from vlmad_conformance.promises import Subject

TOKENS = (5, 7, 26)
"""A class token and a square grid, a class token and a wide one, and many."""
LARGE = (40.0, 400.0)
"""Queries and keys so large that e to their products is no float32, as a deep model's may be."""


@dataclass(frozen=True)
class Mixing(alike.Trial):
    """Attention to be asked for `mix`; of each image q, k and v."""

    called = "mix"

    def answer(self) -> Tensor:
        return self.part.mix(*self.images.unbind(1))  # type: ignore[no-any-return]

    def others(self) -> Iterator[Mixing]:
        for images in (_tokens(1, TOKENS[0], seed=1), _tokens(2, TOKENS[1], seed=2, width=4)):
            yield replace(self, images=images)

    def __str__(self) -> str:
        return f"q, k and v {tuple(self.images[:, 0].shape)}"


def _tokens(images: int, tokens: int, seed: int = 0, width: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(images, tokens, 3, 3, width, generator=generator)
    return drawn.permute(0, 2, 3, 1, 4)  # a view, as backbones split heads


def _mixings(subject: Subject) -> Iterator[Mixing]:
    part = subject.make()
    for images, tokens in [(1, TOKENS[0]), *((2, tokens) for tokens in TOKENS)]:
        yield Mixing(subject.make, part, _tokens(images, tokens))


def _of_two(subject: Subject) -> Iterator[Mixing]:
    yield Mixing(subject.make, subject.make(), _tokens(2, TOKENS[0]))


def acts_on_blocks(subject: Subject) -> None:
    """Its path is one of two, and its blocks exist, however deep the model is."""
    attention = subject.make()
    require(attention.path in ("stream", "beside"), f"path is {attention.path!r}")
    for depth in (1, 2, 3, 12, 24):
        with given(f"a depth of {depth}"):
            acts = attention.blocks(depth)
            require(isinstance(acts, range), "blocks must return a range")
            require(all(0 <= i < depth for i in acts), f"blocks({depth}) leaves 0 to {depth - 1}")


@each(_mixings)
def mixes(trial: Mixing) -> None:
    """`mix` keeps the shape, whatever the number of tokens, and what it is given; it repeats."""
    mixed = require_pure(trial.answer, trial.images, name="mix")
    require_tensor(mixed, tuple(trial.images[:, 2].shape), "mix")


@each(_of_two)
def mixes_any_numbers(trial: Mixing) -> None:
    """`mix` answers in the type that it is given, and stays finite where numbers are large."""
    for size in (1, *LARGE):
        for kind in (torch.float32, torch.bfloat16):
            with given(f"{trial} of {kind} times {size:g}"):
                mixed = replace(trial, images=(size * trial.images).to(kind)).answer()
                require_tensor(mixed, tuple(trial.images[:, 2].shape), "mix", kind)


PROMISES = (
    (acts_on_blocks, mixes, each(_of_two)(alike.is_quick)),
    (
        mixes_any_numbers,
        each(_of_two)(alike.takes_each_image_alone),
        each(_of_two)(alike.keeps_no_state),
    ),
)
