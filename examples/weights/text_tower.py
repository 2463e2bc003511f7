"""The text tower: what a public sentence model says, with good and bad on one axis.

Every token has the vector that the teacher gives its text, brought to the tower's width by one
learned matrix; so a word that no sentence of the training holds means what similar words mean.
The first number of an embedding is the axis, from good (-) to bad (+); the others say what is
shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from descent import Descent
from phrases import Lesson, Teacher, Vocabulary, in_templates, lesson, token_texts
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vlmad_openclip.language import causal_mask, clip_tokenizer, tokenise
from vlmad_tiny import _tiny_model as architecture

REACH = 0.7
"""How far from the middle good and bad are."""
WORDS, STEPS, BATCH, RATE = 16_000, 400, 256, 2e-3
SHARES = 0.45, 0.45, 0.1
"""Of a batch: known states, any words, names alone."""
SCALE = 0.05
"""Deviation of the tokens' vectors at first."""
WEIGHT = 8.0
"""Of the axis, beside the content."""


class Tokens(nn.Module):
    """The vectors of all tokens, from the teacher's.

    Args:
        teacher: its vectors (v, 384).
        whole: which tokens end a word (v,).
        special: ids of tokens that are no text; they are learned.
    """

    given: Tensor
    begins: Tensor

    def __init__(self, teacher: Tensor, whole: Tensor, special: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("given", teacher, persistent=False)
        self.register_buffer("begins", (~whole).float(), persistent=False)
        centred = teacher - teacher.mean(0)
        variance, directions = torch.linalg.eigh(centred.T.double() @ centred.double())
        widest = directions[:, variance.argsort(descending=True)[: architecture.TEXT["width"]]]
        spread = (centred @ widest.float()).std()
        self.matrix = nn.Parameter(widest.float() * SCALE / spread)
        self.beginning = nn.Parameter(torch.zeros(architecture.TEXT["width"]))
        self.special = nn.Embedding(len(special), architecture.TEXT["width"])
        self.ids = list(special)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens (..., 128)."""
        vectors = self.given[ids] @ self.matrix + self.begins[ids, None] * self.beginning
        for number, special in enumerate(self.ids):
            is_it = (ids == special)[..., None]
            vectors = torch.where(is_it, SCALE * self.special.weight[number], vectors)
        return vectors


def keeping(teacher: Teacher, kept: Path) -> Teacher:
    """Return a teacher that is asked once; its answers are kept in a file."""

    def ask(sentences: Sequence[str]) -> Tensor:
        if not kept.exists():
            fresh = kept.with_suffix(".fresh")
            save_file({"answers": teacher(sentences)}, fresh)
            fresh.rename(kept)
        return load_file(kept)["answers"]

    return ask


def make_tokens(teacher: Teacher, tokenizer: Any) -> Tokens:
    """Ask the teacher for every token."""
    ids = range(tokenizer.vocab_size)
    whole = torch.tensor([tokenizer.decoder[i].endswith("</w>") for i in ids])
    return Tokens(teacher(token_texts(tokenizer)), whole, tokenizer.all_special_ids)


def read(tower: Any, words: Tensor, ids: Tensor) -> Tensor:
    """Return unit embeddings (n, 256) of sentences, given their tokens' vectors (n, c, 128)."""
    length = words.shape[1]
    tokens = words + tower.positional_embedding[:length]
    tokens = tower.transformer(tokens, attn_mask=causal_mask(length))
    last = tower.ln_final(tokens)[torch.arange(len(ids)), ids.argmax(1)]
    return F.normalize(last @ tower.text_projection, dim=-1)


def cut(ids: Tensor) -> Tensor:
    """Return token ids without what follows the end of the longest sentence."""
    return ids[:, : int(ids.argmax(1).max()) + 1]


def text_losses(found: Tensor, polarity: Tensor, content: Tensor) -> dict[str, Tensor]:
    """Return how far embeddings are from their place on the axis, and from what they say."""
    axis = WEIGHT * F.mse_loss(found[:, 0], REACH * polarity)
    beside = 1 - F.cosine_similarity(found[:, 1:], content, dim=-1).mean()
    return {"axis": axis, "content": beside}


def choose(taught: Lesson, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return the phrases of a step."""
    sizes = [round(share * BATCH) for share in SHARES]
    drawn = [rng.choice(group, size) for group, size in zip(taught.groups, sizes, strict=True)]
    return np.concatenate(drawn)


def train_text(
    model: Any,
    teacher: Teacher,
    own: Vocabulary,
    work: Path,
    seed: int = 0,
    steps: int = STEPS,
) -> None:
    """Train the text tower of a model, in place; a folder keeps what it has come to."""
    tokenizer = clip_tokenizer(architecture.TEXT["context_length"])
    rng = np.random.default_rng(seed)
    once = keeping(teacher, work / "phrases.safetensors")
    taught = lesson(once, own, architecture.EMBEDDING - 1, WORDS, rng)
    tokens = make_tokens(keeping(teacher, work / "tokens.safetensors"), tokenizer)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(("visual.", "token_embedding", "logit_scale")))
    modules = nn.ModuleDict({"tokens": tokens, "model": model})
    descent = Descent(modules, steps, RATE, work / "text.state", seed)
    for _, rng in descent:
        rows = choose(taught, rng)
        ids = cut(tokenise(tokenizer, in_templates(own, [taught.phrases[r] for r in rows], rng)))
        found = read(model, tokens(ids), ids)
        descent.step(text_losses(found, taught.polarity[rows], taught.content[rows]))
    model.token_embedding.weight.data.copy_(tokens(torch.arange(tokenizer.vocab_size)))
    model.requires_grad_(False)
