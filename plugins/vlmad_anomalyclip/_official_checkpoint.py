"""The official AnomalyCLIP checkpoint, read as tensors only and written as safetensors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import WeightsError, one_line
from vlmad.files import digest
from vlmad_anomalyclip.learned_prompts import PART, as_prompts
from vlmad_documents.learned_file import LearnedOn, Learning, as_learned
from vlmad_openclip.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

SIDES = {"pos": "normal", "neg": "anomalous"}
DEEP = re.compile(r"compound_prompts_text\.(0|[1-9][0-9]?)")
MOST_NUMBERS = 1 << 20


def convert_checkpoint(path: Path, licence: str = "unknown") -> tuple[dict[str, Tensor], Learning]:
    """Return the tensors of `learned_prompts` from an official file, and what is known of them.

    The projections that the file also stores are used by nothing and left out.

    Raises:
        WeightsError: the file is missing, unsafe, or no such checkpoint.
    """
    learner = _read(path)
    tensors: dict[str, Tensor] = {}
    facts: dict[str, str] = {}
    for key, side in SIDES.items():
        context = _tensor(path, learner, f"ctx_{key}")
        if context.ndim < 3 or context.shape[:-2].numel() != 1:
            raise WeightsError(f"{path}: ctx_{key} must hold one context of vectors")
        tensors[f"context.{side}"] = context.flatten(0, -2)
        ids = _tensor(path, learner, f"tokenized_prompts_{key}").flatten().int().tolist()
        facts[f"template.{side}"] = _template(path, ids, context.shape[-2])
    for name in learner:
        if found := DEEP.fullmatch(str(name)):
            # entry n of the official list enters before block n + 1: block 0 gets none
            tensors[f"deep.{int(found[1]) + 1}"] = _tensor(path, learner, name)
    plain, learning = as_learned(path, tensors), _learning(path, facts, licence)
    as_prompts(path, plain, learning)
    return plain, learning


def _learning(path: Path, facts: dict[str, str], licence: str) -> Learning:
    kind, part = PART
    return Learning(
        kind=kind,
        part=part,
        facts=facts,
        backbone=LearnedOn(name="unknown"),
        class_token="raw",
        layers=[],
        data={},
        options={"imported": one_line(path.name), "sha256": digest(path)},
        licence=licence,
    )


def _read(path: Path) -> Mapping[str, Tensor]:
    table = read_checkpoint(path)
    learner = table.get("prompt_learner") if isinstance(table, dict) else None
    if not isinstance(learner, dict):
        raise WeightsError(f"{path} is no AnomalyCLIP checkpoint: it has no 'prompt_learner'")
    return learner


def _tensor(path: Path, learner: Mapping[str, Tensor], name: str) -> Tensor:
    import torch

    tensor = learner.get(name)
    if not isinstance(tensor, torch.Tensor):
        raise WeightsError(f"{path} is no AnomalyCLIP checkpoint: '{name}' is missing")
    if tensor.numel() > MOST_NUMBERS:
        raise WeightsError(f"{path}: '{name}' has {tensor.numel()} numbers, more than any prompts")
    return tensor


def _template(path: Path, ids: list[int], length: int) -> str:
    """Return the sentence of token ids, checked to give the same ids again."""
    import open_clip

    template = " ".join(["X"] * length)
    try:
        tokenizer = open_clip.SimpleTokenizer(context_length=len(ids))
        words = tokenizer.decode(ids[1 + length : ids.index(max(ids))])
        template += f" {words.strip()}"
        same = tokenizer([template])[0].tolist() == ids
    except (IndexError, KeyError, ValueError):  # no ids, or such as no word has
        same = False
    if not same:
        shown = one_line(template)
        raise WeightsError(f"{path}: its sentence '{shown}' does not give its token ids")
    return template
