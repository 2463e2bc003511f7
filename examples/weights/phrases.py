"""The sentences that the text tower learns from, and what each is to be.

A sentence is a template, a state and a name. Where it lies on the axis from good to bad is known
of the states of `sentences.toml`; of any other word the teacher says it, from what these states
have in common. What else it says is the teacher's to tell: of a good or bad state, that is its name
alone, so that ensembles of both sides differ along the axis only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Teacher: TypeAlias = Callable[[Sequence[str]], Tensor]
"""Reads sentences and returns unit vectors (n, 384)."""
HERE = Path(__file__).parent
FUNCTION_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        """a all an and any as be by for from in is it of on out that the this to
    with without""",
    )
)
STEM = 5
"""Words that begin with the same five letters are one word."""
POLARITY = {"good": -1.0, "neutral": 0.0, "bad": 1.0}
NAMES_EACH = 4
"""Names with which each state is shown to the teacher."""
RIDGE = 1.0
UNSURE, SURE = 0.45, 0.9
"""Where the teacher's word for a polarity begins to count, and where it counts wholly."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What sentences are made of."""

    templates: Sequence[str]
    states: Sequence[str]
    polarity: Sequence[float]
    names: Sequence[str]
    words: Sequence[str]
    """Of the tokenizer, that no list of sentences.toml need hold."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """States and words, each with a name, and names; and what is to be said of them."""

    phrases: Sequence[str]
    polarity: Tensor
    content: Tensor
    """Unit vectors (n, width), the axis left out."""
    groups: tuple[range, range, range]
    """Which phrases have a known state, which any word, and which are names alone."""


def words_of(text: str) -> list[str]:
    """Return the words of a text that mean something, in small letters."""
    return [word for word in re.findall(r"[a-z]+", text.lower()) if word not in FUNCTION_WORDS]


def forbidden() -> frozenset[str]:
    """Return the beginnings of all words that judge the model."""
    lists = tomllib.loads((HERE / "words.toml").read_text(encoding="utf-8"))
    texts = [*lists["good"], *lists["bad"], *lists["wrong_names"]]
    texts += [text for pair in lists["neutral"] for text in pair]
    return frozenset(word[:STEM] for text in texts for word in words_of(text))


def allowed(text: str, never: frozenset[str]) -> bool:
    """Tell whether a text holds no word that judges the model."""
    return not any(word[:STEM] in never for word in words_of(text))


def plain_name(name: str, never: frozenset[str]) -> str:
    """Return a name without the words that judge the model."""
    return " ".join(word for word in name.split() if allowed(word, never)) or "object"


def vocabulary(tokenizer: Any) -> Vocabulary:
    """Return the words of the lists and of the tokenizer."""
    lists = tomllib.loads((HERE / "sentences.toml").read_text(encoding="utf-8"))
    never = forbidden()
    pairs = [(state, p) for side, p in POLARITY.items() for state in lists[side]]
    whole = (token.removesuffix("</w>") for token in tokenizer.encoder if token.endswith("</w>"))
    words = [w for w in whole if re.fullmatch("[a-z]{4,}", w) and allowed(w, never)]
    states, polarity = zip(*pairs, strict=True)
    return Vocabulary(lists["templates"], states, polarity, lists["names"], words)


def token_texts(tokenizer: Any) -> list[str]:
    """Return each token as it is read alone; special ones as nothing."""
    special = set(tokenizer.all_special_ids)
    ids = range(tokenizer.vocab_size)
    return ["" if i in special else tokenizer.decode([i]).strip() for i in ids]


class Axis:
    """Where the teacher's vectors lie between good and bad.

    Learned by ridge regression from the states of the lists, each with some names.
    """

    def __init__(self, vectors: Tensor, polarity: Tensor) -> None:
        self.mean = vectors.mean(0)
        rows = (vectors - self.mean).double()
        square = rows.T @ rows + RIDGE * torch.eye(rows.shape[1], dtype=torch.float64)
        weights = torch.linalg.solve(square, rows.T @ polarity.double())
        self.weights = weights.float()
        self.bias = float(polarity.mean())

    def raw(self, vectors: Tensor) -> Tensor:
        """Return the regression's answer, about -1 to 1."""
        return torch.mv(vectors - self.mean, self.weights) + self.bias

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the polarity, 0 where the teacher is unsure."""
        raw = self.raw(vectors)
        return raw.sign() * ((raw.abs() - UNSURE) / (SURE - UNSURE)).clamp(0, 1)


def with_names(
    states: Sequence[str], names: Sequence[str], each: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Return every state with some names, as pairs of phrase and name."""
    return [(state.format(name), name) for state in states for name in rng.choice(names, each)]


class Contents:
    """What vectors of the teacher say beside good or bad: directions of most variance.

    Args:
        vectors: (n, 384) to learn these from.
        axis: is left out.
        width: how many directions.
    """

    def __init__(self, vectors: Tensor, axis: Axis, width: int) -> None:
        self.mean, self.axis = vectors.mean(0), F.normalize(axis.weights, dim=0)
        rows = self._beside(vectors)
        variance, directions = torch.linalg.eigh(rows.T.double() @ rows.double())
        self.directions = directions[:, variance.argsort(descending=True)[:width]].float()

    def _beside(self, vectors: Tensor) -> Tensor:
        rows = vectors - self.mean
        return rows - (rows @ self.axis)[:, None] * self.axis

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return unit vectors (n, width)."""
        return F.normalize(self._beside(vectors) @ self.directions, dim=-1)


def lesson(
    teacher: Teacher, own: Vocabulary, width: int, number: int, rng: np.random.Generator
) -> Lesson:
    """Ask the teacher about every state, about so many words, each with a name, and all names."""
    states = with_names(own.states, own.names, NAMES_EACH, rng)
    words = [f"{word} {{}}" for word in rng.permutation(own.words)[:number]]
    asked = [*states, *with_names(words, own.names, 1, rng), *((n, n) for n in own.names)]
    vectors = teacher([phrase for phrase, _ in asked])
    ends = [0, *np.cumsum([len(states), len(words), len(own.names)]).tolist()]
    known, any_word, named = (range(*each) for each in pairwise(ends))
    sides = torch.tensor(own.polarity).repeat_interleave(NAMES_EACH)
    axis = Axis(vectors[: len(known)], sides)
    polarity = torch.cat([sides, axis(vectors[len(known) : named.start]), torch.zeros(len(named))])
    content = Contents(vectors, axis, width)(vectors)
    of_name = dict(zip(own.names, content[named.start :], strict=True))
    for row in (polarity.abs() > SURE).nonzero()[:, 0].tolist():
        content[row] = of_name[asked[row][1]]
    return Lesson([phrase for phrase, _ in asked], polarity, content, (known, any_word, named))


def in_templates(own: Vocabulary, phrases: Iterable[str], rng: np.random.Generator) -> list[str]:
    """Return phrases, each in a template."""
    return [own.templates[int(rng.integers(len(own.templates)))].format(each) for each in phrases]
