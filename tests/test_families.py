"""Detectors that learn from good images alone: their losses, their networks, and how they learn."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.autograd import gradcheck

from vlmad import load_detector
from vlmad.errors import IncompatiblePartsError, InputError, OptionError
from vlmad.parts import CELLS
from vlmad.testing import example_features, example_images
from vlmad.watching import watched
from vlmad_families import learning
from vlmad_families._autoencoder_network import Autoencoder
from vlmad_families._cutpaste import CutPasteScorer, densities, distances, gaussian
from vlmad_families._cutpaste_lesson import CHANNELS, CutPasteLesson, Head, frozen_cells, three_way
from vlmad_families._draem import BASES, Draem
from vlmad_families._draem_lesson import DraemLesson, draem_terms
from vlmad_families._draem_networks import draem_networks, empty_networks
from vlmad_families._reconstructing import Reconstructing, error_of
from vlmad_families._reconstruction import Reconstruction
from vlmad_families.reconstruction_losses import divergence, reparametrised, similarity
from vlmad_run.choosing import LearningChoice
from vlmad_run.learning_in_fit import PIXELS, NotLearned, learning_in, learning_seconds
from vlmad_train.history import Epoch, TrainingHistory

from .conftest import Ended, Process

Command = Callable[..., Ended]
SHORT: dict[str, Any] = {"epochs": 3, "width": 8, "code": 2}
REFERENCES = example_features(3, gives={CELLS}, seed=1)
IMAGES = example_features(2, gives={CELLS}, seed=2)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_similarity_of_even_maps_is_that_of_their_means() -> None:
    one, other = (torch.full((1, 2, 6, 5), v, dtype=torch.float64) for v in (0.2, 0.6))
    c1 = 0.01**2
    expected = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    assert similarity(one, other).numpy() == pytest.approx(expected, rel=1e-9)
    extent = 3.0
    c1 *= extent**2
    expected = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    assert similarity(one, other, extent).numpy() == pytest.approx(expected, rel=1e-9)


def test_similarity_is_that_of_a_plain_loop() -> None:
    one, other = drawn(1, 1, 13, 13), drawn(1, 1, 13, 13, seed=1)
    weights = np.exp(-(np.subtract.outer(np.arange(13), [6]).T ** 2) / (2 * 1.5**2))[0, 1:12]
    share = np.outer(weights, weights) / weights.sum() ** 2
    x, y = (each[0, 0, 1:12, 1:12].numpy() for each in (one, other))
    (a, b), c1, c2 = ((share * each).sum() for each in (x, y)), 0.01**2, 0.03**2
    covariance = (share * (x - a) * (y - b)).sum()
    variances = (share * (x - a) ** 2).sum() + (share * (y - b) ** 2).sum()
    expected = (2 * a * b + c1) * (2 * covariance + c2) / ((a**2 + b**2 + c1) * (variances + c2))
    assert float(similarity(one, other)[0, 6, 6]) == pytest.approx(expected, rel=1e-9)


def test_divergence_is_what_one_computes_by_hand() -> None:
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    log_variance[1, 1] = math.log(4)
    expected = [0.5, 0.5 * (4 - 1 - math.log(4))]
    assert divergence(mean, log_variance).tolist() == pytest.approx(expected)
    noise = torch.tensor([[2.0, 2.0], [2.0, 2.0]])
    assert reparametrised(mean, log_variance, noise).tolist() == [[3.0, 2.0], [2.0, 4.0]]


def test_errors_are_what_one_computes_by_hand() -> None:
    cells, rebuilt = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 0.0]])
    one, other = cells.view(1, 2, 1, 1), rebuilt.view(1, 2, 1, 1)
    extent = torch.ones(1)
    found = {e: float(error_of(one, other, e, extent)) for e in ("l1", "l2", "cosine")}  # type: ignore[arg-type]
    assert found == pytest.approx({"l1": 2.0, "l2": 8.0, "cosine": 1 - 3 / 5})


def test_gradients_of_losses_are_those_of_finite_differences() -> None:
    one, other = drawn(1, 1, 4, 4).requires_grad_(), drawn(1, 1, 4, 4, seed=1).requires_grad_()
    assert gradcheck(lambda a, b: similarity(a, b, window=3), (one, other))
    assert gradcheck(divergence, (one, other))
    assert gradcheck(lambda a, b: reparametrised(a, b, drawn(1, 1, 4, 4, seed=2)), (one, other))


def test_an_autoencoder_has_the_parameters_that_its_layers_have() -> None:
    network = Autoencoder(channels=5, width=8, code=3, halvings=2, variational=True)
    three, four = 8 * 8 * 9 + 8, 8 * 8 * 16 + 8
    expected = (5 * 8 + 8) + three + 2 * four + (8 * 6 + 6) + (3 * 8 + 8) + 3 * three + (8 * 5 + 5)
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network(torch.zeros(1, 5, 7, 9)).cells.shape == (1, 5, 7, 9)


def test_without_noise_a_variational_autoencoder_rebuilds_from_means() -> None:
    network, cells = Autoencoder(4, 8, 2, 0, variational=True), torch.ones(1, 4, 5, 5)
    assert torch.equal(network(cells).cells, network(cells).cells)
    noise = torch.Generator().manual_seed(0)
    assert not torch.equal(network(cells, noise).cells, network(cells).cells)


@pytest.mark.parametrize(
    "options",
    [{}, {"variational": True}, {"adversarial": 0.1, "error": "critic"}, {"error": "ssim"}],
    ids=lambda options: "-".join(options) or "plain",
)
def test_the_same_seed_learns_the_same(options: dict[str, Any]) -> None:
    first, again = (Reconstruction(**SHORT, **options).fit(REFERENCES) for _ in range(2))
    other = Reconstruction(**SHORT, **options, seed=1).fit(REFERENCES)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    scores = Reconstruction(**SHORT, **options)(IMAGES, None, first).score
    assert scores.isfinite().all()


def test_what_was_learned_scores_lower_than_what_was_not() -> None:
    scorer = Reconstruction(epochs=12, width=32, code=16, rate=1e-2)
    memory = scorer.fit(REFERENCES)
    learned = scorer(REFERENCES, None, memory).score
    assert float(learned.max()) < float(scorer(IMAGES, None, memory).score.min())


def test_learning_ends_with_its_budget_and_says_so() -> None:
    told: list[str] = []

    class Listener:
        def note(self, text: str) -> None:
            told.append(text)

        def advance(self, doing: str, done: int, of: int) -> None:
            assert done <= of

    with watched(Listener()):
        Reconstruction(**SHORT, budget=1e-9).fit(REFERENCES)
    assert told == ["autoencoder learned for 1 of 3 epochs in its 1e-09 minutes"]


def test_one_slow_epoch_does_not_end_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine that did something else for a minute and a half, in a budget of three."""
    epoch, slow = learning.FitTraining._epoch, 2

    def timed(training: learning.FitTraining, number: int) -> Epoch:
        seconds = 100.0 if number == slow else 1.0
        return epoch(training, number).model_copy(update={"seconds": seconds})

    monkeypatch.setattr(learning.FitTraining, "_epoch", timed)
    seen: list[int] = []
    monkeypatch.setattr(
        learning.FitTraining, "_finish", lambda t: seen.append(len(t.history.epochs))
    )
    Reconstruction(**{**SHORT, "epochs": 12}).fit(REFERENCES)
    assert seen == [12]


def test_a_machine_that_sleeps_in_a_step_takes_nothing_off_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, steps = [0.0], Reconstructing.steps

    def sleepy(self: Reconstructing, rows: Any, rng: Any) -> Iterator[Any]:
        clock[0] += 0.1 if clock[0] else 0.2  # an epoch has several steps; in the third it sleeps
        clock[0] += 7200.0 if 0.35 < clock[0] < 0.45 else 0.0
        yield from steps(self, rows, rng)

    monkeypatch.setattr(learning.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(Reconstructing, "steps", sleepy)
    seen: list[TrainingHistory] = []
    monkeypatch.setattr(learning.FitTraining, "_finish", lambda t: seen.append(t.history))
    Reconstruction(**SHORT, budget=1).fit(REFERENCES)
    assert clock[0] > 7200
    assert len(seen[0].epochs) == SHORT["epochs"]
    assert sum(epoch.seconds for epoch in seen[0].epochs) < 15


def test_a_loss_that_is_no_number_ends_learning_with_a_sentence() -> None:
    with pytest.raises(NotLearned, match=r"epoch \d is not a finite number; .*scorer.rate=1e\+29"):
        Reconstruction(**SHORT, rate=1e30).fit(REFERENCES)


def test_learning_that_was_stopped_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Reconstruction(**SHORT, adversarial=0.1).fit(REFERENCES)
    steps, plain = [0], Reconstructing.steps

    def stopping(self: Reconstructing, rows: Any, rng: Any) -> Iterator[Any]:
        steps[0] += 1
        if steps[0] == 20:  # in the third epoch
            raise KeyboardInterrupt
        yield from plain(self, rows, rng)

    monkeypatch.setattr(Reconstructing, "steps", stopping)
    monkeypatch.setattr(learning, "SPARING", 0)
    with learning_in(tmp_path), pytest.raises(KeyboardInterrupt):
        Reconstruction(**SHORT, adversarial=0.1).fit(REFERENCES)
    with learning_in(tmp_path):
        gone_on = Reconstruction(**SHORT, adversarial=0.1).fit(REFERENCES)
        assert steps[0] == 20 + 9  # an epoch is of nine steps
        kept = Reconstruction(**SHORT, adversarial=0.1).fit(REFERENCES)
    assert steps[0] == 20 + 9
    assert all(torch.equal(whole[n], gone_on[n]) and torch.equal(whole[n], kept[n]) for n in whole)
    assert learning_seconds(tmp_path) is not None


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    scorer = Reconstruction(**SHORT)
    with learning_in(tmp_path):
        scorer.fit(REFERENCES)
    [path] = tmp_path.glob(f"*/{learning.CHECKPOINT}")
    path.write_bytes(path.read_bytes()[:-9])
    damaged = r"is damaged: .*; delete it to begin anew"
    with learning_in(tmp_path), pytest.raises(InputError, match=damaged):
        scorer.fit(REFERENCES)


def test_a_memory_of_other_options_or_levels_is_refused() -> None:
    scorer, spec = Reconstruction(**SHORT), load_detector("clip").backbone.spec
    memory: Any = dict(scorer.fit(REFERENCES))
    assert scorer.refuses_memory(memory, spec) is None
    wide = Reconstruction(**{**SHORT, "width": 9}).refuses_memory(memory, spec)
    assert wide is not None
    del memory["1.scale"]
    assert "lacks statistics of level 1" in str(scorer.refuses_memory(memory, spec))
    memory, other = scorer.fit(REFERENCES), example_features(1, gives={CELLS}, dimensions=32)
    with pytest.raises(InputError, match="shown cells of 32 channels"):
        scorer(other, None, memory)


def test_a_critics_error_needs_a_critic() -> None:
    with pytest.raises(OptionError, match=r"scorer\.adversarial"):
        load_detector("autoencoder", options={"scorer": {"error": "critic"}})


def test_an_autoencoder_looks_at_pixels_too() -> None:
    options = {"scorer": {**SHORT, "error": "ssim"}, "backbone": {"size": 32}}
    detector = load_detector("autoencoder", backbone="pixels", options=options)
    with learning_in(None, most_steps=1):
        memory = detector.memory_of(list(detector.encode(list(images(2)))))
    assert memory["0.mean"].tolist() == [0, 0, 0]
    assert "network.rebuilders.0.down.0.weight" in memory


def images(count: int) -> Iterator[Image.Image]:
    yield from (source.open() for source in example_images(count).sources)  # type: ignore[attr-defined]


def test_draems_loss_is_what_one_computes_by_hand() -> None:
    good, rebuilt = torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), 0.6)
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, 0, 0] = True
    terms = draem_terms(good.double(), rebuilt.double(), torch.zeros(1, 2, 4, 4), masks)
    c1 = 0.01**2
    alike = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    right = 0.5 + 1e-5
    expected = {"l2": 0.16, "ssim": 1 - alike, "focal": -((1 - right) ** 2) * math.log(right)}
    found = {name: float(value) for name, value in terms.items()}
    assert found == pytest.approx(expected, rel=1e-5)


def test_gradients_of_draems_loss_are_those_of_finite_differences() -> None:
    good, masks = drawn(1, 3, 3, 3), drawn(1, 3, 3, seed=3) > 0.5
    rebuilt, logits = drawn(1, 3, 3, 3, seed=1), drawn(1, 2, 3, 3, seed=2)

    def total(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.stack([*draem_terms(good, one, other, masks).values()]).sum()

    assert gradcheck(total, (rebuilt.requires_grad_(), logits.requires_grad_()))


def test_draems_networks_have_as_many_parameters_as_were_published() -> None:
    counts = {
        size: sum(p.numel() for p in empty_networks(bases).parameters())
        for size, bases in BASES.items()
    }
    assert counts == {"small": 2_861_381, "published": 97_422_725}


def test_draem_changes_half_of_the_images_and_nothing_outside_of_masks() -> None:
    image = np.full((1, 32, 32, 3), 128, np.uint8)
    lesson = DraemLesson(draem_networks((2, 2), 0), image, 0.0, 2.0, None)
    drawings = [lesson._drawn(image[0], np.random.default_rng(seed)) for seed in range(60)]
    changed = 0
    for good, drawing, mask in drawings:
        assert np.array_equal(good[~mask], drawing[~mask])
        changed += bool((good != drawing).any())
    assert 15 < changed < 45


def test_draem_learns_the_same_by_one_seed_and_from_a_folder_of_textures(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    pixels = example_features(2, gives={CELLS, PIXELS})
    options: dict[str, Any] = {"epochs": 1, "batch": 2}
    with learning_in(None, most_steps=2):
        first, again, other = (Draem(**options, seed=seed).fit(pixels) for seed in (0, 0, 1))
        red = Draem(**options, textures=str(tmp_path)).fit(pixels)
        with pytest.raises(InputError, match="nowhere"):
            Draem(**options, textures="nowhere").fit(pixels)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["comparer"], other["comparer"])
    assert not torch.equal(first["comparer"], red["comparer"])


def test_draem_takes_pixels_alone() -> None:
    with pytest.raises(IncompatiblePartsError, match="needs pixels"):
        load_detector("draem", backbone="tiny", scorer="draem")


def test_a_memory_of_another_size_of_draem_is_refused() -> None:
    spec = load_detector("draem").backbone.spec
    memory = {"rebuilder": torch.zeros(3), "comparer": torch.zeros(3)}
    assert "holds 3 numbers, where 1" in str(Draem().refuses_memory(memory, spec))
    memory["rebuilder"][0] = torch.nan
    assert "finite numbers" in str(Draem().refuses_memory(memory, spec))


def test_three_kinds_are_told_apart_by_their_cross_entropy() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]] * 2)
    right = math.log(math.e + 2) - 1
    assert float(three_way(logits)) == pytest.approx((2 * right + math.log(3)) / 3)


def test_gradients_of_a_head_are_those_of_finite_differences() -> None:
    head, cells = Head(3, 4, 2).double(), drawn(3, 2, 2, 3).requires_grad_()
    assert gradcheck(lambda own: three_way(head.logits(own)), (cells,))
    weights = head.cells[0].weight
    assert gradcheck(lambda _: three_way(head.logits(cells.detach())), (weights,))
    assert sum(p.numel() for p in Head(CHANNELS, 128, 64).parameters()) == 28_035


def test_an_image_is_embedded_as_the_mean_of_its_cells() -> None:
    head, cells = Head(3, 4, 2), drawn(1, 2, 2, 3).float()
    assert torch.allclose(head.classes(head(cells).mean((1, 2))), head.logits(cells))


def test_distances_are_those_of_ledoit_and_wolf_by_hand() -> None:
    rows = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    shrunk = (17 / 16 / 2) / ((0.75**2 + 0.75**2) / 2)  # of diag(2, 1/2) towards 5/4 I
    variances = [(1 - shrunk) * own + shrunk * 1.25 + 0.1 for own in (2.0, 0.5)]
    memory = {f"image.{name}": tensor for name, tensor in gaussian(rows, 0.1).items()}
    found = distances(torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), memory, "image")
    expected = [3 / variances[0] ** 0.5, 2 / variances[1] ** 0.5, 0.0]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_of_one_image_and_of_equal_ones_there_are_finite_densities() -> None:
    for embedded in (drawn(1, 2, 2, 3).float(), torch.zeros(2, 2, 2, 3)):
        assert all(tensor.isfinite().all() for tensor in densities(embedded).values())


def test_frozen_cells_are_both_levels_of_the_trunk_at_any_size() -> None:
    assert frozen_cells(torch.rand(3, 48, 64)).shape == (1, 3, 4, CHANNELS)
    assert frozen_cells(torch.rand(3, 17, 16)).shape[-1] == CHANNELS


def test_cutpaste_shows_each_image_good_with_a_patch_and_with_a_scar() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    lesson = CutPasteLesson(Head(CHANNELS, 4, 2), images, (0.02, 0.15), 0.1, 0.0)
    for seed in range(20):
        good, patch, scar = lesson.drawn(0, np.random.default_rng(seed))
        shares = [float((each != good).any(-1).mean()) for each in (patch, scar)]
        assert np.array_equal(good, images[0])
        assert 0.01 < shares[0] < 0.17
        assert 0 < shares[1] < 0.02


def test_cutpaste_learns_the_same_by_one_seed_and_scores_images_alone() -> None:
    pixels, options = example_features(2, gives={CELLS, PIXELS}), {"width": 8, "code": 4}
    with learning_in(None, most_steps=2):
        first, again, other = (CutPasteScorer(**options, seed=s).fit(pixels) for s in (0, 0, 1))  # type: ignore[arg-type]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head"], other["head"])
    scorer, spec = CutPasteScorer(width=8, code=4), load_detector("cutpaste").backbone.spec
    assert scorer.refuses_memory(first, spec) is None
    assert "Gaussians of 64 numbers" in str(CutPasteScorer().refuses_memory(first, spec))
    assert "where 1" in str(CutPasteScorer(width=9, code=4).refuses_memory(first, spec))


@pytest.mark.parametrize(("tuned", "numbers"), [(1, 442_800), (2, 638_640)])
def test_stages_that_cutpaste_tunes_begin_as_the_trunks_and_leave_those(
    tuned: int, numbers: int
) -> None:
    head, pixels = Head(CHANNELS, 4, 2, tuned), torch.rand(3, 48, 64)
    assert sum(weights.numel() for weights in head.stages.parameters()) == numbers
    before = frozen_cells(pixels)
    found = head.tuned_cells(frozen_cells(pixels, tuned))
    assert torch.allclose(found, before, atol=1e-4)
    images = example_features(2, gives={CELLS, PIXELS})
    options = {"width": 4, "code": 2}
    with learning_in(None, most_steps=2):
        scorer = CutPasteScorer(**options, tuned=tuned)  # type: ignore[arg-type]
        memory = scorer.fit(images)
    own = scorer.networks(memory)
    assert all(
        (a != b).any()
        for a, b in zip(own.stages.parameters(), head.stages.parameters(), strict=True)
    )
    assert torch.equal(frozen_cells(pixels), before)
    spec = load_detector("cutpaste").backbone.spec
    assert scorer.refuses_memory(memory, spec) is None
    assert "numbers, where" in str(CutPasteScorer(**options).refuses_memory(memory, spec))  # type: ignore[arg-type]


def parts(folder: Path) -> Path:
    """Write a data set of two colours of noise."""
    rng = np.random.default_rng(0)
    for place, count in (("train/good", 3), ("test/good", 2), ("test/dark", 2)):
        (folder / "tile" / place).mkdir(parents=True)
        for index in range(count):
            values = rng.integers(128, 256, (32, 32, 3), dtype=np.uint8)
            values //= 2 if "dark" in place else 1
            Image.fromarray(values).save(folder / "tile" / place / f"{index}.png")
    return folder


WORDS = (
    *("bench", "parts", "--detector", "autoencoder", "--backbone", "pixels:32", "--shots", "2"),
    *("--seeds", "1", "--replicates", "10", "--epochs", "3", "--set", "scorer.width=8"),
    *("--out", "out"),
)


def test_epochs_and_budget_go_to_scorers_that_learn() -> None:
    choice = LearningChoice(detector="draem", epochs=7, budget=0.5)
    options = choice.load(True).assembly.parts["scorer"].options
    assert (options["epochs"], options["budget"]) == (7, 0.5)
    told: list[str] = []

    class Listener:
        def note(self, text: str) -> None:
            told.append(text)

        def advance(self, doing: str, done: int, of: int) -> None: ...

    with watched(Listener()):
        found = LearningChoice(detector="gaussian", epochs=7).load(True)
    assert "epochs" not in found.assembly.parts["scorer"].options
    assert told == ["--epochs and --budget: scorer 'gaussian' learns nothing in fit"]


@pytest.mark.slow
def test_a_bench_learns_once_and_tells_how_long(command: Command, tmp_path: Path) -> None:
    parts(tmp_path / "parts")
    assert command(*WORDS, "--conditions", "light").status == 0
    found = list((tmp_path / "out" / "learned").rglob("learned.json"))
    assert len(found) == 1
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert document["cells"][0]["learning_seconds"] == json.loads(found[0].read_text())["seconds"]
    assert "seconds of learning" in (tmp_path / "out" / "bench.md").read_text()
    assert "learning_seconds" in (tmp_path / "out" / "bench.csv").read_text()


@pytest.mark.slow
def test_a_fitted_autoencoder_is_run_from_its_file(command: Command, tmp_path: Path) -> None:
    good = parts(tmp_path / "parts") / "tile" / "train" / "good"
    words = ("--detector", "autoencoder", "--backbone", "pixels:32", "--set", "scorer.epochs=2")
    assert command("fit", good, *words, "--out", "tile.safetensors").status == 0
    assert len(list((tmp_path / "tile-learned").iterdir())) == 4  # of all, and of each third out
    assert command("run", "parts/tile/test", "--model", "tile.safetensors").status == 0


@pytest.mark.slow
def test_cutpaste_is_fitted_run_and_benched(command: Command, tmp_path: Path) -> None:
    good = parts(tmp_path / "parts") / "tile" / "train" / "good"
    words = ("--detector", "cutpaste", "--backbone", "pixels:32", "--epochs", "1")
    assert command("fit", good, *words, "--out", "tile.safetensors").status == 0
    for doing in ("run", "explain"):
        ended = command(doing, "parts/tile/test/dark/0.png", "--model", "tile.safetensors")
        assert ended.status == 0, ended
    out = ("--shots", "2", "--seeds", "1", "--replicates", "10", "--out", "out")
    assert command("bench", "parts", *words, *out).status == 0
    assert "learning_seconds" in (tmp_path / "out" / "bench.csv").read_text()


def test_a_bench_killed_while_it_learns_ends_the_same(
    process: Process, signalled: Callable[..., Any], tmp_path: Path
) -> None:
    parts(tmp_path / "parts")
    killed = signalled("SIGKILL", tmp_path / "out" / "learned", 3, *WORDS, "--quiet")
    assert killed.wait() == -9, killed.communicate()
    assert list((tmp_path / "out" / "learned").rglob(learning.CHECKPOINT))
    assert process(*WORDS, "--quiet", cwd=tmp_path).returncode == 0
    again = [word if word != "out" else "whole" for word in WORDS]
    assert process(*again, "--quiet", cwd=tmp_path).returncode == 0
    first, second = (
        [(c["metrics"], c["threshold"]) for c in json.loads(path.read_text())["cells"]]
        for path in (tmp_path / "out" / "bench.json", tmp_path / "whole" / "bench.json")
    )
    assert first == second
