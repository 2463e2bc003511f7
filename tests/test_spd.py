"""Adapters of cells that learn to spot differences (after SPD), and who takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vlmad.errors import WeightsError
from vlmad_documents.learned_file import LearnedOn, Learning, read_learned_document, write_learned
from vlmad_memory.cell_adapters import adapted, draw_adapters, read_adapters
from vlmad_train.history import TrainingHistory
from vlmad_train.spot_the_difference import attract_and_repel
from vlmad_train.training import shuffled_pairs

from .conftest import SMALL, Ended
from .test_train import draw_products

Command = Callable[..., Ended]
OF = ("--detector", "spade", *SMALL, "--set", "backbone.image_size=80")
SEEN = ("--synthesise", "perlin,cutpaste")
"""Drawn in noise, a small model of random weights sees it."""
WORDS = (*OF, "--batch-size", "4", "--set", "extractor.hidden=8", "--set", "extractor.levels=1,2")


def test_cells_that_nothing_touches_attract_and_drawn_ones_repel_by_their_shares() -> None:
    good = torch.tensor([[[1.0, 0.0]] * 5])
    changed = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [9.0, 9.0], [3.0, 4.0], [1.0, 0.0]]])
    shares = torch.tensor([[1.0, 0.5, 0.0, 0.0, 0.0]])  # the third cell is beside a drawn one
    attract, repel = attract_and_repel(good, changed, shares, (1, 5))
    assert float(attract) == pytest.approx((0.4 + 0) / 2)
    assert float(repel) == pytest.approx((1 * 0 + 0.5 * 1) / 1.5)
    attract, _ = attract_and_repel(good, changed, torch.ones(1, 5), (1, 5))
    assert float(attract) == 0


def test_an_adapter_adds_two_layers_to_a_cell_and_moves_nothing_at_first() -> None:
    adapters = {
        "b.down": torch.tensor([[1.0, 0.0], [0.0, -1.0]]),
        "b.bias": torch.tensor([1.0, 0.0]),
        "b.up": torch.tensor([[2.0, 5.0], [0.0, 1.0]]),
    }
    cells = torch.tensor([[3.0, 4.0]])
    assert adapted(cells, "b", adapters).tolist() == [[3 + 2 * (3 + 1), 4]]
    assert adapted(cells, "c", adapters) is cells
    first = draw_adapters({"b": 2}, 3, seed=0)
    assert torch.equal(adapted(cells, "b", first), cells)
    assert not torch.equal(draw_adapters({"b": 2}, 3, seed=1)["b.down"], first["b.down"])


def test_the_gradients_of_both_terms_are_those_of_finite_differences() -> None:
    drawn = torch.Generator().manual_seed(0)
    good, changed = torch.randn(2, 1, 9, 3, dtype=torch.float64, generator=drawn)
    shares = torch.zeros(1, 9, dtype=torch.float64)
    shares[0, 0] = 0.5
    adapters = {name: t.double() for name, t in draw_adapters({"b": 3}, 4, seed=0).items()}
    adapters["b.up"] = torch.randn(3, 4, dtype=torch.float64, generator=drawn)

    def both(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        own = dict(zip(adapters, tensors, strict=True))
        through = (adapted(cells, "b", own) for cells in (good, changed))
        return attract_and_repel(*through, shares, (3, 3))

    assert torch.autograd.gradcheck(both, [t.requires_grad_() for t in adapters.values()])


def test_pairs_stay_together_in_every_order() -> None:
    order = shuffled_pairs([[0, 1], [4, 5], [2, 9]], seed=0)
    seen = {tuple(order(epoch)) for epoch in range(1, 20)}
    assert len(seen) > 1
    for rows in seen:
        assert {tuple(rows[n : n + 2]) for n in (0, 2, 4)} == {(0, 1), (4, 5), (2, 9)}


@pytest.mark.slow
def test_adapters_are_learned_of_good_images_and_taken_under_scorers_of_references(
    command: Command, tmp_path: Path
) -> None:
    good = draw_products(tmp_path / "products", "a") / "a" / "test" / "good"
    words = ("train", good, *WORDS, *SEEN, "--drawings", "2")
    words = (*words, "--set", "defect.area=0.1,0.3", "--epochs", "3", "--learning-rate", "0.01")
    for name in ("s", "again"):
        done = command(*words, "--out", f"{name}.safetensors")
        assert done.status == 0, done.error
    assert Path("s.safetensors").read_bytes() == Path("again.safetensors").read_bytes()
    assert "extractor 'patches', 2,064 numbers, by the loss 'spd'" in done.error
    history = TrainingHistory.read(Path("s-training/history.json"))
    first, *_, last = (epoch.training for epoch in history.epochs)
    assert first.terms.keys() == {"attract", "repel"}
    assert last.loss < first.loss
    said = read_learned_document(Path("s.safetensors"))
    assert said.facts == {"standardised": "no"}
    assert said.options["defect"] == {"area": "0.1,0.3"}
    assert load_file("s.safetensors").keys() == {
        f"{level}.{kind}" for level in (1, 2) for kind in ("down", "bias", "up")
    }
    scores = []
    for more in ((), ("--set", "extractor.file=s.safetensors")):
        for scorer in ("spade", "nearest"):
            out = f"{scorer}{len(more)}"
            words = (*OF, "--scorer", scorer, "--references", good, *more, "--out", out)
            done = command("run", good.parent / "spot", *words)
            assert done.status == 0, done.error
            scores.append(Path(out, "scores.csv").read_text())
    assert len(set(scores)) == 4


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--batch-size", "3"), "--batch-size is even where pairs"),
        (("--synthesise", "smoothblend", "--set", "defect.size=3"), "no option 'size'"),
        (("--loss", "score"), "needs references"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    command: Command, tmp_path: Path, more: tuple[str, ...], reason: str
) -> None:
    good = draw_products(tmp_path / "products", "a") / "a" / "test" / "good"
    done = command("train", good, *WORDS, *more)
    assert done.status == 2
    assert reason in " ".join(done.error.split())


def test_options_of_defects_are_refused_where_none_are_drawn(
    command: Command, tmp_path: Path
) -> None:
    words = ("--prompt", "learned", "--extractor", "dense", *SMALL)
    done = command("train", draw_products(tmp_path / "p"), *words, "--set", "defect.area=0.1,0.3")
    assert done.status == 2
    assert "add --synthesise" in done.error


def write(path: Path, adapters: dict[str, torch.Tensor], facts: dict[str, str]) -> Path:
    own = LearnedOn(name="other", weights_sha256="0" * 64)
    learning = Learning(
        kind="extractor",
        part="patches",
        facts=facts,
        backbone=own,
        class_token=None,
        layers=[],
        data={},
        options={},
    )
    write_learned(path, adapters, learning)
    return path


@pytest.mark.parametrize(
    ("widths", "facts", "reason"),
    [
        ({"1": 64}, {"standardised": "no"}, "learned on weights 000000000000"),
        ({"9": 64}, {"standardised": "no"}, "has adapters of levels 9, not of 1"),
        ({"1": 63}, {"standardised": "no"}, "learned cells of width 63"),
        ({"1": 64}, {"standardised": "yes"}, "add --set extractor.standardised=yes"),
    ],
)
def test_adapters_of_others_are_refused(
    command: Command, tmp_path: Path, widths: dict[str, int], facts: dict[str, str], reason: str
) -> None:
    path = write(tmp_path / "a.safetensors", draw_adapters(widths, 4, 0), facts)
    good = draw_products(tmp_path / "products", "a") / "a" / "test" / "good"
    words = (*OF, "--references", good, "--set", "extractor.levels=1", "--out", "o")
    done = command("run", good, *words, "--set", f"extractor.file={path}")
    assert done.status == 2
    assert reason in " ".join(done.error.split())


def test_a_file_of_something_else_holds_no_adapters(tmp_path: Path) -> None:
    adapters = draw_adapters({"1": 4}, 2, 0)
    for wrong in (
        {"1.up": torch.zeros(4, 3)},
        {"1.bias": torch.zeros(1, 2)},
        {"2.down": torch.zeros(2, 4)},
    ):
        path = write(tmp_path / "a.safetensors", adapters | wrong, {})
        with pytest.raises(WeightsError, match="holds no adapters"):
            read_adapters(path)


def test_a_rate_that_is_too_high_ends_with_a_sentence(command: Command, tmp_path: Path) -> None:
    good = draw_products(tmp_path / "products", "a") / "a" / "test" / "good"
    done = command("train", good, *WORDS, *SEEN, "--epochs", "3", "--learning-rate", "1e38")
    assert done.status == 2
    assert "is not a finite number; begin anew with a lower --learning-rate" in " ".join(
        done.error.split()
    )
