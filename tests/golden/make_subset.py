"""Cut the reference outputs down to what is small enough to live beside the tests.

    python tests/golden/make_subset.py FOLDER

FOLDER holds the full reference outputs, `winclip/`, `anomalyclip/`, `coop/`, `aprilgan/` and
`metrics/`. Of each model, the rows of the vocabulary that no sentence uses are left out; of the
checkpoint, the projections that nothing uses; of WinCLIP's outputs, all test images but one; of
CoOp's sentences, padding; of the metrics, the larger set.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import open_clip
import torch
from safetensors.torch import load_file, save_file

from vlmad_winclip.compositional import LISTS

HERE = Path(__file__).parent
ROWS, VOCABULARY = "token_embedding.rows", "token_embedding.weight"
CLASS_NAME = "metal nut"
LONGEST = 12
"""Tokens of a sentence."""
PER_IMAGE = ("pixels", "image_embeddings", "window_", "patch_tokens", "zero_shot", "two_shot")


def write_model(source: Path, sentences: list[str]) -> None:
    """Write a model without the rows of the vocabulary that `sentences` do not use."""
    target = HERE / source.name
    target.mkdir(exist_ok=True)
    shutil.copyfile(source / "model.json", target / "model.json")
    tensors = load_file(source / "model.safetensors")
    rows = open_clip.SimpleTokenizer()(sentences).unique()
    tensors[ROWS] = rows.int()
    tensors[VOCABULARY] = tensors[VOCABULARY][rows].contiguous()
    save_file(tensors, target / "model.safetensors")


def write_metrics(source: Path) -> None:
    """Keep the two small sets of maps and masks with what is expected of them."""
    target = HERE / "metrics"
    target.mkdir(exist_ok=True)
    expected = json.loads((source / "expected.json").read_text())
    kept = {name: expected[name] for name in ("small", "tied")}
    (target / "expected.json").write_text(json.dumps(kept, indent=2) + "\n")
    for name in kept:
        shutil.copyfile(source / f"{name}.npz", target / f"{name}.npz")


def write_coop(source: Path) -> None:
    """Keep of sentences what is not padding."""
    target = HERE / "coop"
    target.mkdir(exist_ok=True)
    golden = load_file(source / "golden.safetensors")
    kept = {k: t[:, :LONGEST].contiguous() if "prompts" in k else t for k, t in golden.items()}
    save_file(kept, target / "golden.safetensors")


def main(folder: Path) -> None:
    """Write all subsets."""
    sides = [LISTS[name].sentences(CLASS_NAME) for name in ("paper22", "anomalib21")]
    write_model(folder / "winclip", [s for pair in sides for side in pair for s in side])
    golden = load_file(folder / "winclip" / "golden.safetensors")
    first = {k: t[:1].contiguous() if k.startswith(PER_IMAGE) else t for k, t in golden.items()}
    save_file(first, HERE / "winclip" / "golden.safetensors")

    of_coop = ["X flawless metal nut.", "X damaged metal nut.", "a photo of a"]
    write_model(folder / "anomalyclip", ["X object.", "X damaged object.", *of_coop])
    for name in ("golden.safetensors", "settings.json"):
        shutil.copyfile(folder / "anomalyclip" / name, HERE / "anomalyclip" / name)
    table = torch.load(folder / "anomalyclip" / "epoch_15.pth", weights_only=True)
    learner = {k: t for k, t in table["prompt_learner"].items() if "projections" not in k}
    torch.save({"prompt_learner": learner}, HERE / "anomalyclip" / "epoch_15.pth")

    write_metrics(folder / "metrics")
    write_coop(folder / "coop")
    (HERE / "aprilgan").mkdir(exist_ok=True)
    name = Path("aprilgan", "golden.safetensors")
    shutil.copyfile(folder / name, HERE / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
