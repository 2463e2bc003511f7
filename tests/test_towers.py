"""Making the towers of the embedded model: what may be learned from, and going on."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

WEIGHTS = Path(__file__).parents[1] / "examples" / "weights"
sys.path.insert(0, str(WEIGHTS))
from descent import Descent  # noqa: E402  (the scripts are no package)
from image_tower import WEIGHTS as TERMS  # noqa: E402
from image_tower import RarityScale, choose_patches, image_losses, learned_odds  # noqa: E402
from phrases import (  # noqa: E402
    Axis,
    allowed,
    forbidden,
    plain_name,
    vocabulary,
    words_of,
)
from picture_features import Shard, covered  # noqa: E402
from picture_pairs import draw_pairs, products_of, turned  # noqa: E402

from vlmad_openclip.language import clip_tokenizer  # noqa: E402
from vlmad_tiny._tiny_model import SIMILARITIES, build_model  # noqa: E402


def test_no_sentence_of_the_training_holds_a_word_that_judges_it() -> None:
    never = forbidden()
    lists = tomllib.loads((WEIGHTS / "sentences.toml").read_text(encoding="utf-8"))
    found = [text for texts in lists.values() for text in texts if not allowed(text, never)]
    assert found == []


@pytest.mark.slow
def test_no_word_of_the_vocabulary_judges_it() -> None:
    own = vocabulary(clip_tokenizer(77))
    assert len(own.words) > 20_000
    assert not {"ruined", "pristine", "violin", "fracture"} & set(own.words)


@pytest.mark.parametrize("text", ["a pristine bottle", "fractures", "Made in Sweden", "a TEAPOT"])
def test_words_of_the_lists_and_their_like_are_not_allowed(text: str) -> None:
    assert not allowed(text, forbidden())


def test_names_lose_such_words() -> None:
    assert plain_name("wooden board", forbidden()) == "board"
    assert plain_name("violin", forbidden()) == "object"
    assert words_of("A photo of the {}!") == ["photo"]


def test_the_axis_orders_what_it_never_saw() -> None:
    rng = np.random.default_rng(0)
    direction, sides = rng.normal(size=384), rng.choice([-1.0, 0.0, 1.0], 400)
    vectors = torch.from_numpy(rng.normal(size=(400, 384)) + sides[:, None] * direction).float()
    axis = Axis(vectors[:300], torch.from_numpy(sides[:300]).float())
    assert np.corrcoef(axis.raw(vectors[300:]).numpy(), sides[300:])[0, 1] > 0.9
    assert float(axis(axis.mean[None] + 0 * vectors[:1]).abs().max()) == 0


def test_a_mask_covers_the_share_of_a_patch_that_it_covers() -> None:
    mask = np.zeros((300, 300), bool)
    mask[:10, :20] = True
    assert covered(mask).tolist()[:3] == pytest.approx([0.5, 0, 0])
    assert covered(None).shape == (225,)


def _descent(state: Path, steps: int) -> Descent:
    torch.manual_seed(0)
    modules = nn.ModuleDict({"one": nn.Linear(3, 1)})
    return Descent(modules, steps, 0.1, state, seed=7)


def _go(descent: Descent, until: int) -> dict[str, torch.Tensor]:
    for number, rng in descent:
        if number == until:
            break
        seen = torch.from_numpy(rng.normal(size=(4, 3))).float() + torch.randn(4, 3)
        descent.step({"square": descent.modules["one"](seen).pow(2).mean()})
    return descent.modules.state_dict()


def test_training_that_was_stopped_goes_on_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("descent.STATE_EVERY", 3)
    whole = _go(_descent(tmp_path / "whole.state", 8), 8)
    _go(_descent(tmp_path / "stopped.state", 8), 5)
    again = _descent(tmp_path / "stopped.state", 8)
    assert again.done == 3
    assert all(torch.equal(whole[name], tensor) for name, tensor in _go(again, 8).items())


def _shard() -> Shard:
    rng, cover = torch.Generator().manual_seed(0), torch.zeros(6, 225)
    cover[2, 5], cover[3, :20], cover[5, 7] = 0.5, torch.arange(20) / 20, 0.01
    features = torch.randn(6, 344, 15, 15, generator=rng).half()
    similarities = torch.randn(6, 225, SIMILARITIES, generator=rng).half()
    return Shard(features, similarities, cover, torch.tensor([0, 0, 0, 0, 1, 1]), ["nut", "bolt"])


def test_pairs_are_of_products_with_a_defect_that_can_be_seen() -> None:
    (product,) = products_of([_shard()])
    assert (product.name, product.good, product.bad) == ("nut", [0, 1], [2, 3])
    pairs = draw_pairs([_shard()], [product], 1, np.random.default_rng(0))
    assert pairs.bad.tolist() == (pairs.cover.sum(1) > 0).tolist() == [False, True]


def test_mirrored_pictures_are_mirrored_in_everything() -> None:
    products = products_of([_shard()])
    pairs = draw_pairs([_shard()], products, 1, np.random.default_rng(0))
    marked = pairs.cover.argmax(1)
    for seed in range(6):
        other = turned(pairs, np.random.default_rng(seed))
        at = other.cover.argmax(1)
        seen, was = (each.features.flatten(2)[1] for each in (other, pairs))
        assert torch.equal(seen[:, at[1]], was[:, marked[1]])
        assert torch.equal(other.similarities[1, at[1]], pairs.similarities[1, marked[1]])


def test_defective_patches_are_looked_at_first() -> None:
    cover = torch.zeros(2, 225)
    cover[0, 100:110], cover[1, 3] = 0.5, 1
    chosen = choose_patches(cover, 12, np.random.default_rng(0))
    assert set(range(100, 110)) <= set(chosen[0].tolist())
    assert 3 in chosen[1].tolist()
    assert all(len(set(row)) == 12 for row in chosen.tolist())


def test_what_is_rare_or_defective_is_to_be_called_bad() -> None:
    shard = _shard()
    rarity = RarityScale([shard])
    whole = rarity(shard.similarities)
    assert whole.shape == (6, 1)
    torch.testing.assert_close(whole.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    assert rarity(shard.similarities, 2).shape == (6, 14 * 14)
    rarer = shard.similarities.clone()
    rarer[0, 30, 6:8] += 5  # the rarity of one patch, at the coarsest stride
    raised = rarity(rarer)
    assert float(raised[0]) > float(whole[0]) + 1
    assert torch.equal(raised[1:], whole[1:])
    odds = learned_odds(torch.tensor([0.0, 0, 1, 1]), torch.tensor([False, True, False, True]))
    assert odds.argsort().tolist() in ([0, 1, 2, 3], [0, 2, 1, 3])


class _Sides:
    def draw(self, names: list[str], rng: np.random.Generator) -> torch.Tensor:
        sides = torch.zeros(len(names), 2, 256)
        sides[:, 0, 0], sides[:, 1, 0] = -1, 1
        return sides

    def contents(self, names: list[str]) -> torch.Tensor:
        return torch.eye(255)[: len(names)]


@pytest.mark.slow
def test_every_term_of_the_loss_reaches_the_image_tower() -> None:
    visual = build_model().visual
    shard = _shard()
    pairs = draw_pairs([shard], products_of([shard]), 1, np.random.default_rng(0))
    rarity = RarityScale([shard])
    for name in TERMS:
        visual.zero_grad()
        rng = np.random.default_rng(1)
        losses = image_losses(visual, pairs, rarity, _Sides(), 60, rng)  # type: ignore[arg-type]  # a stand-in
        assert losses.keys() == TERMS.keys()
        if name != "name":  # of one name there is no choice
            losses[name].backward()
            assert float(visual.conv1.lin.weight.grad.abs().sum()) > 0
