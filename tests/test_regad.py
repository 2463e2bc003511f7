"""Registration learned across categories: its formulas, what it learns from, and its Gaussians."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.autograd import gradcheck

from vlmad import load_detector
from vlmad.parts import CELLS
from vlmad.testing import example_features
from vlmad_families._regad import Regad, distances, position_gaussians, views_of
from vlmad_families._registration import (
    WIDTHS,
    Registering,
    RegistrationLesson,
    RegistrationNetwork,
    Transformer,
    chained,
    inverse,
    moved,
    negative_cosine,
    turns_and_scales,
)
from vlmad_run.choosing import LearningChoice
from vlmad_run.learning_in_fit import PIXELS, NotLearned, learning_in
from vlmad_tiny.embedded_trunk import trunk_stages

from .conftest import Ended

Command = Callable[..., Ended]
SMALL: dict[str, Any] = {"hidden": 8, "width": 8, "channels": 12, "batch": 2}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_turn_and_scales_are_a_rotation_whose_columns_are_scaled() -> None:
    numbers = torch.tensor([[0.0, 0.0, 0.0], [math.pi / 6, math.log(2), math.log(0.5)]])
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    same, both = turns_and_scales(numbers)
    assert same.tolist() == [[1, 0, 0], [0, 1, 0]]
    expected = [[2 * cosine, -0.5 * sine, 0], [2 * sine, 0.5 * cosine, 0]]
    assert torch.allclose(both, torch.tensor(expected))


def test_places_are_led_back_and_one_after_the_other() -> None:
    first, then = turns_and_scales(drawn(3, 3)), turns_and_scales(drawn(3, 3, seed=1))
    first[:, :, 2], then[:, :, 2] = 0.3, -0.1
    whole = torch.eye(3, dtype=torch.float64)
    homogeneous = [torch.cat([each, whole[2:].expand(3, 1, 3)], 1) for each in (first, then)]
    product = homogeneous[0] @ homogeneous[1]
    assert torch.allclose(chained(first, then), product[:, :2])
    assert torch.allclose(chained(first, inverse(first)), whole[:2].expand(3, 2, 3))


def test_a_map_is_read_where_its_places_lead() -> None:
    cells = drawn(1, 1, 6, 6)
    quarter = turns_and_scales(torch.tensor([[math.pi / 2, 0.0, 0.0]], dtype=torch.float64))
    # what lies to the right is read from below: the map turns against the clock
    assert torch.allclose(moved(cells, quarter), cells.rot90(1, (2, 3)))
    shifted = turns_and_scales(torch.zeros(1, 3, dtype=torch.float64))
    shifted[:, 0, 2] = 2 / 6
    found = moved(cells, shifted)
    assert torch.allclose(found[..., :-1], cells[..., 1:])
    assert torch.allclose(found[..., -1], cells[..., -1])  # mirrored at the border


def test_gradients_of_moving_and_of_the_loss_are_those_of_finite_differences() -> None:
    cells, numbers = drawn(1, 2, 5, 5).requires_grad_(), (drawn(1, 3) / 5).requires_grad_()
    assert gradcheck(lambda c, n: moved(c, turns_and_scales(n)), (cells, numbers))
    predicted, target = drawn(2, 3, 2, 2), drawn(2, 3, 2, 2, seed=1)
    assert gradcheck(lambda p: negative_cosine(p, target), (predicted.requires_grad_(),))


def test_the_negative_cosine_is_what_one_computes_by_hand_and_moves_no_target() -> None:
    predicted = torch.tensor([[3.0, 4.0], [1.0, 0.0]]).T.view(1, 2, 1, 2).requires_grad_()
    target = torch.tensor([[4.0, 3.0], [0.0, 2.0]]).T.view(1, 2, 1, 2).requires_grad_()
    loss = negative_cosine(predicted, target)
    assert float(loss.detach()) == pytest.approx(-(24 / 25 + 0) / 2)
    loss.backward()
    assert predicted.grad is not None
    assert target.grad is None


def test_the_loss_compares_an_image_with_the_mean_of_its_supports_both_ways() -> None:
    torch.manual_seed(0)
    network = RegistrationNetwork(8, 8).eval()
    pixels = torch.rand(1, 3, 3, 32, 32)
    with torch.no_grad():
        query, one, other = ([*network.registering(each[None])][-1][0] for each in pixels[0])
        seen, wanted = network.encoder(query), network.encoder((one + other) / 2)
        cosines = [
            float(torch.cosine_similarity(network.predictor(a), b, dim=1).mean())
            for a, b in ((seen, wanted), (wanted, seen))
        ]
        assert float(network.loss(pixels)) == pytest.approx(-sum(cosines) / 2, abs=1e-5)


def test_an_untaught_registration_leaves_the_trunks_maps_where_they_are() -> None:
    pixels, network = torch.rand(2, 3, 64, 48), Registering(8).eval()
    cells = pixels * 2 - 1
    with torch.no_grad():
        for stage, width, (found, places) in zip(
            trunk_stages(), WIDTHS, network(pixels), strict=True
        ):
            cells = stage(cells)
            assert found.shape == (2, width, *cells.shape[2:])
            assert torch.allclose(found, cells, atol=2e-3)
            assert places.tolist() == [[[1, 0, 0], [0, 1, 0]]] * 2


def test_networks_have_the_parameters_that_their_layers_have() -> None:
    transformer = (24 * 64 * 9 + 64) + (64 * 16 * 9 + 16) + (16 * 49 * 1024 + 1024) + 3 * 1025
    assert sum(p.numel() for p in Transformer(24, 1024).parameters()) == transformer
    network = RegistrationNetwork(1024, 256)
    one, norm = 256 * 256 + 256, 2 * 256
    assert sum(p.numel() for p in network.encoder.parameters()) == 112 * 256 + 256 + 2 * (
        one + norm
    )
    assert sum(p.numel() for p in network.predictor.parameters()) == 2 * one + norm


def test_references_are_turned_shifted_mirrored_and_grey() -> None:
    pixels = torch.rand(3, 20, 20)
    views = views_of(pixels)
    assert len(views) == 1 + 8 + 8 + 3 + 1 + 1
    assert torch.allclose(views[8], pixels, atol=1e-5)
    assert torch.allclose(views[9], pixels.rot90(1, (1, 2)), atol=1e-5)
    assert torch.allclose(views[12, :, :, :-2], pixels[:, :, 2:], atol=1e-5)  # by a tenth
    assert torch.allclose(views[20], pixels.flip(2), atol=1e-5)
    assert torch.allclose(views[21, 0], views[21, 2])


def test_gaussians_of_places_are_those_of_numpy() -> None:
    cells = drawn(5, 2, 2, 3).float()
    memory = position_gaussians([cells[:2], cells[2:]], 0.01)
    query = drawn(4, 3, seed=1).float()
    for place, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        own = cells[:, row, column].numpy()
        covariance = np.cov(own, rowvar=False) + 0.01 * np.eye(3)
        off = query[place].numpy() - own.mean(0)
        expected = math.sqrt(off @ np.linalg.inv(covariance) @ off)
        assert float(distances(query, memory)[place]) == pytest.approx(expected, rel=1e-4)
    one = position_gaussians([cells[:1]], 0.01)
    assert torch.allclose(one["whitening"], 10 * torch.eye(3).expand(4, 3, 3))


def test_supports_are_of_the_images_own_category() -> None:
    categories = [np.zeros((count, 8, 8, 3), np.uint8) for count in (3, 1, 4)]
    lesson = RegistrationLesson(RegistrationNetwork(2, 2), categories, 2, 0)
    rng = np.random.default_rng(0)
    assert set(lesson.others(1, rng)) == {0, 2}
    assert lesson.others(3, rng) == [3, 3]  # the only one of its kind
    assert set(lesson.others(4, rng)) <= {5, 6, 7}


def test_one_category_alone_is_refused_with_a_sentence(tmp_path: Path) -> None:
    pixels = example_features(2, gives={CELLS, PIXELS})
    with pytest.raises(NotLearned, match=r"learns on other categories .* --auxiliary DATA"):
        Regad(**SMALL).fit(pixels)
    shares = pixels.regions[0].embeddings[0].view(*pixels.image_size, 3)
    folder = tmp_path / "nut" / "train" / "good"
    folder.mkdir(parents=True)
    (tmp_path / "nut" / "test" / "good").mkdir(parents=True)
    for place in (folder, tmp_path / "nut" / "test" / "good"):
        Image.fromarray((shares * 255).round().byte().numpy()).save(place / "0.png")
    with pytest.raises(NotLearned, match="there is none"):  # it is the references' own
        Regad(**SMALL, auxiliary=str(tmp_path)).fit(pixels)
    (folder / "1.png").write_text("no image")
    (folder / "0.png").unlink()
    with pytest.raises(NotLearned, match="there is none"):
        Regad(**SMALL, auxiliary=str(tmp_path)).fit(pixels)


def test_what_is_learned_depends_on_the_seed_and_the_others_but_on_no_reference(
    tmp_path: Path,
) -> None:
    rng, others = np.random.default_rng(0), dict[str, list[Path]]()
    for name in ("nut", "bolt"):
        others[name] = [tmp_path / f"{name}{index}.png" for index in range(2)]
        for path in others[name]:
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    one, other = (example_features(2, gives={CELLS, PIXELS}, seed=seed) for seed in (1, 2))

    def network(references: Any, seed: int = 0, **names: list[Path]) -> torch.Tensor:
        with learning_in(None, most_steps=2, others=names or others):
            return Regad(**SMALL, rate=0.1, seed=seed).fit(references)["registration"]

    first = network(one)
    assert torch.equal(first, network(one))
    assert torch.equal(first, network(other))
    assert not torch.equal(first, network(one, seed=1))
    assert not torch.equal(first, network(one, nut=others["nut"]))


def test_a_memory_of_other_options_is_refused() -> None:
    pixels, spec = example_features(2, gives={CELLS, PIXELS}), load_detector("regad").backbone.spec
    with learning_in(None, most_steps=1):
        memory = dict(Regad(**SMALL).fit(pixels))
    assert Regad(**SMALL).refuses_memory(memory, spec) is None
    wide = Regad(**{**SMALL, "hidden": 9}).refuses_memory(memory, spec)
    assert "numbers, where" in str(wide)
    assert "of 100 channels" in str(Regad().refuses_memory(memory, spec))


def test_auxiliary_goes_to_scorers_that_learn_across_categories() -> None:
    choice = LearningChoice(detector="regad", auxiliary="parts", epochs=2)
    options = choice.load(True).assembly.parts["scorer"].options
    assert (options["auxiliary"], options["epochs"]) == ("parts", 2)
    options = LearningChoice(detector="cutpaste", auxiliary="parts", epochs=2).load(True)
    assert options.assembly.parts["scorer"].options["epochs"] == 2


@pytest.mark.slow
def test_regad_learns_once_for_all_draws_of_a_benchs_category(
    command: Command, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name in ("nut", "bolt"):
        for place, count in (("train/good", 3), ("test/good", 2), ("test/dark", 2)):
            (tmp_path / "parts" / name / place).mkdir(parents=True)
            for index in range(count):
                values = rng.integers(128, 256, (32, 32, 3), dtype=np.uint8)
                values //= 2 if "dark" in place else 1
                Image.fromarray(values).save(tmp_path / "parts" / name / place / f"{index}.png")
    words = ("--detector", "regad", "--backbone", "pixels:32", "--epochs", "1")
    few = ("--shots", "1,2", "--seeds", "2", "--replicates", "10", "--out", "out")
    assert command("bench", "parts", *words, *few).status == 0
    found = [path.parent.parent.name for path in (tmp_path / "out").rglob("learned.json")]
    assert sorted(found) == ["bolt", "nut"]
    assert "learning_seconds" in (tmp_path / "out" / "bench.csv").read_text()
    good = ("fit", "parts/nut/train/good", *words, "--out", "nut.safetensors")
    alone = command(*good)
    assert alone.status == 2
    assert "--auxiliary DATA" in alone.error
    assert command(*good, "--auxiliary", "parts").status == 0
    for doing in ("run", "explain"):
        ended = command(doing, "parts/nut/test/dark/0.png", "--model", "nut.safetensors")
        assert ended.status == 0, ended
