"""Measure whether text means something to a model: by words that it was never trained on.

    python examples/weights/measure_words.py photos/ --name alien="toy figure"

For every category of the data sets its test images are encoded once; then, by their class tokens
alone, image AUROC is measured, the mean and the worst over the categories, of

- the sentences that `winclip` takes where none are given (shipped);
- all unseen words in the same templates, twenty drawn ensembles of them as large as the shipped
  one, and every pair of one good and one bad word alone;
- neutral pairs, of which the distance from chance counts;
- the shipped sentences with the right name, less the mean over wrong ones.

The words are those of words.toml, or of another such file. Below stands of how many of the pairs
`vlmad run` notes that they do not tell good from bad, by their sentences alone.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score
from torch import Tensor

from vlmad import Backbone, load_detector
from vlmad.text import embed_sides
from vlmad_openclip.telling_words import LEAST, telling
from vlmad_run.opening import open_dataset
from vlmad_winclip.compositional import LISTS

SHIPPED = LISTS["paper22"]
TEMPLATES = SHIPPED.templates
WORDS = Path(__file__).with_name("words.toml")
DRAWS = 20
States: TypeAlias = Sequence[str]


@dataclass(frozen=True)
class Category:
    """The class tokens of a category's test images, which are anomalous, and its name."""

    name: str
    tokens: Tensor
    anomalous: np.ndarray


@dataclass(frozen=True)
class Words:
    """The lists of a file."""

    good: list[str]
    bad: list[str]
    neutral: list[tuple[str, str]]
    wrong_names: list[str]


class Measured:
    """Image AUROC of sentences on every category; what was encoded is remembered."""

    def __init__(self, backbone: Backbone, categories: Sequence[Category]) -> None:
        self.backbone, self.categories = backbone, categories
        self.known: dict[tuple[str, str], Tensor] = {}

    def side(self, states: States, name: str) -> Tensor:
        """Return the mean of the unit embeddings of states in the shipped templates."""
        new = [state for state in states if (state, name) not in self.known]
        if new:
            sentences = [t.replace("{}", s.replace("{}", name)) for s in new for t in TEMPLATES]
            units = F.normalize(self.backbone.encode_text(sentences), dim=-1)
            means = units.unflatten(0, (len(new), len(TEMPLATES))).mean(1)
            self.known |= {(state, name): mean for state, mean in zip(new, means, strict=True)}
        return torch.stack([self.known[state, name] for state in states]).mean(0)

    def __call__(self, good: States, bad: States, name: str | None = None) -> np.ndarray:
        """Return the AUROC of each category, by its own name or by another one."""
        found = []
        for own in self.categories:
            sides = [self.side(states, name or own.name) for states in (good, bad)]
            cosines = own.tokens @ F.normalize(torch.stack(sides), dim=-1).T
            found.append(roc_auc_score(own.anomalous, (cosines[:, 1] - cosines[:, 0]).numpy()))
        return np.array(found)


def categories(backbone: str, folders: Sequence[Path], names: dict[str, str]) -> list[Category]:
    """Encode the test images of all categories."""
    detector, found = load_detector("clip-ac", backbone=backbone), []
    for data in map(open_dataset, folders):
        samples = [sample for sample in data.select(None) if sample.split == "test"]
        for category in dict.fromkeys(sample.category for sample in samples):
            own = [sample for sample in samples if sample.category == category]
            tokens = [f.image for f in detector.encode([sample.image for sample in own])]
            anomalous = np.array([bool(sample.anomalous) for sample in own])
            name = names.get(category, category.replace("_", " "))
            found.append(Category(name, F.normalize(torch.cat(tokens), dim=-1), anomalous))
    return found


def read_words(path: Path) -> Words:
    """Read a file of words."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    neutral = [(one, other) for one, other in table["neutral"]]
    return Words(table["good"], table["bad"], neutral, table["wrong_names"])


def rows(measure: Measured, words: Words) -> dict[str, np.ndarray]:
    """Return what each kind of sentences gives: AUROC (draws x categories), or differences."""
    rng = np.random.default_rng(0)
    good, bad = SHIPPED.normal_states, SHIPPED.anomalous_states

    def drawn(all_words: States, count: int) -> list[str]:
        return [str(word) for word in rng.choice(all_words, count, replace=False)]

    singles = zip(words.good, words.bad, strict=True)
    ensembles = ((drawn(words.good, len(good)), drawn(words.bad, len(bad))) for _ in range(DRAWS))
    right = measure(good, bad)
    wrong = np.stack([measure(good, bad, name) for name in words.wrong_names])
    return {
        "shipped ensemble": right[None],
        "all unseen words": measure(words.good, words.bad)[None],
        f"{DRAWS} ensembles of unseen words": np.stack([measure(*each) for each in ensembles]),
        "single unseen pairs": np.stack([measure([one], [other]) for one, other in singles]),
        "neutral pairs, from chance": np.stack(
            [abs(measure([one], [other]) - 0.5) for one, other in words.neutral]
        ),
        "right name less wrong ones": (right - wrong.mean(0))[None],
    }


def noted(backbone: Backbone, pairs: Iterable[tuple[str, str]]) -> float:
    """Return the share of pairs that do not tell good from bad for a model."""
    found = []
    for pair in pairs:
        good, bad = (
            [t.replace("{}", state.replace("{}", "object")) for t in TEMPLATES] for state in pair
        )
        found.append(telling(backbone, "object", embed_sides(backbone, good, bad)) < LEAST)
    return float(np.mean(found))


def main() -> None:
    """Measure and print."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data", type=Path, nargs="+", help="folders of data sets")
    parser.add_argument("--backbone", default="tiny", help="one with text")
    parser.add_argument("--words", type=Path, default=WORDS)
    parser.add_argument("--name", action="append", default=[], metavar="CATEGORY=NAME")
    given = parser.parse_args()
    names = dict(each.split("=", 1) for each in given.name)
    own = categories(given.backbone, given.data, names)
    backbone = load_detector("clip-ac", backbone=given.backbone).backbone
    words = read_words(given.words)
    turned = [(other, one) for one, other in words.neutral]
    with torch.inference_mode():
        measured = rows(Measured(backbone, own), words)
        real = noted(backbone, zip(words.good, words.bad, strict=True))
        neutral = noted(backbone, [*words.neutral, *turned])
    table = Table("AUROC x 100", "mean", "worst draw", *(each.name for each in own), box=None)
    for kind, values in measured.items():
        worst = values.mean(1).max() if "chance" in kind else values.mean(1).min()
        shown = (values.mean(), worst, *values.mean(0))
        table.add_row(kind, *(f"{100 * value:.1f}" for value in shown))
    Console(width=200).print(table)
    print(
        f"noted: {real:.0%} of single unseen pairs, {neutral:.0%} of neutral ones, either way round"
    )


if __name__ == "__main__":
    main()
