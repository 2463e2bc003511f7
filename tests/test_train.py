"""`vlmad train`: what is learned, from what, and that it is the same however it was interrupted."""

from __future__ import annotations

import json
import math
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vlmad.testing import check_part
from vlmad_train.category_curve import CategoryCurve
from vlmad_train.history import Epoch, Losses, TrainingHistory
from vlmad_train.objectives import (
    LOSSES,
    Considered,
    Weights,
    defective_shares,
    window_loss,
)
from vlmad_train.visible_drawings import VisibleDrawings

from .conftest import SMALL, Ended, wait_until_stopped

Command = Callable[..., Ended]


def draw_products(root: Path, names: str = "abc", size: int = 48) -> Path:
    """Write a data set in MVTec's layout: grey noise, and bright squares as defects."""
    for name in names:
        rng = np.random.default_rng(list(name.encode()))
        for defect in ("good", "spot"):
            folder = root / name / "test" / defect
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = rng.integers(60, 120, (size, size, 3), dtype=np.uint8)
                if defect == "spot":
                    mask = np.zeros((size, size), np.uint8)
                    top, left = rng.integers(0, size // 2, 2)
                    mask[top : top + size // 3, left : left + size // 3] = 255
                    pixels[mask > 0] = 250
                    masks = root / name / "ground_truth" / defect
                    masks.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask).save(masks / f"{number:03d}_mask.png")
                Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        (root / name / "train" / "good").mkdir(parents=True)
        Image.fromarray(pixels).save(root / name / "train" / "good" / "000.png")
    return root


WORDS = ("--prompt", "learned", *SMALL, "--set", "backbone.image_size=80", "--batch-size", "4")


@pytest.fixture
def products(tmp_path: Path) -> Path:
    return draw_products(tmp_path / "products")


def losses(folder: Path) -> list[float]:
    history = TrainingHistory.read(folder / "history.json")
    return [epoch.training.loss for epoch in history.epochs]


def test_prompts_are_learned_and_then_taken_by_run(command: Command, products: Path) -> None:
    words = ("train", products, *WORDS, "--extractor", "dense", "--epochs", "4", "--held-out", "c")
    done = command(*words, "--learning-rate", "0.01", "--out", "p.safetensors")
    assert done.status == 0, done.error
    curve = losses(Path("p-training"))
    assert len(curve) == 4
    assert curve[-1] < curve[0]
    assert "encoding: once" in done.error
    assert "epoch 4/4: " in done.error
    assert "--prompt learned:p.safetensors" in done.out
    assert "another data set" in done.out
    assert not Path("p-training/features").exists()
    assert Path("p-training/loss.png").read_bytes().startswith(b"\x89PNG")
    header, *rows = Path("p-training/history.csv").read_text().splitlines()
    assert header.startswith("epoch,training_loss,training_image,training_focal,training_dice")
    assert len(rows) == 4
    shown = command("prompts", "show", "p.safetensors")
    assert shown.out.count("X " * 12) == 2
    used = command(
        "run", products / "c", "--detector", "anomalyclip", *SMALL, "--prompt",
        "learned:p.safetensors", "--overlays", "none",
    )  # fmt: skip
    assert used.status == 0, used.error


def test_prompts_are_learned_inside_windows_for_the_hybrid(
    command: Command, products: Path
) -> None:
    words = ("train", products, *WORDS, "--extractor", "window", "--epochs", "3")
    done = command(
        *words, "--held-out", "none", "--learning-rate", "0.01", "--out", "w.safetensors"
    )
    assert done.status == 0, done.error
    assert "by the loss 'windows'" in done.error
    assert "window" in done.error.split("epoch 1/3")[1]
    curve = losses(Path("w-training"))
    assert curve[-1] < curve[0]
    used = command("run", products / "c", "--detector", "hybrid", *SMALL, "--prompt",
                   "learned:w.safetensors", "--overlays", "none")  # fmt: skip
    assert used.status == 0, used.error


def test_the_seed_fixes_the_outcome_and_features_on_disk_do_not_change_it(
    command: Command, products: Path
) -> None:
    words = ("train", products, *WORDS, "--epochs", "2", "--extractor", "dense")
    more = {"a": (), "b": (), "other": ("--seed", "1"), "anew": ("--disk", "0")}
    for out, others in more.items():
        assert command(*words, *others, "--out", f"{out}.safetensors").status == 0
    first, other, anew = (load_file(f"{out}.safetensors") for out in ("a", "other", "anew"))
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    assert not torch.equal(first["context.normal"], other["context.normal"])
    assert torch.allclose(first["context.normal"], anew["context.normal"], atol=1e-5)
    assert losses(Path("a-training")) == pytest.approx(losses(Path("anew-training")), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [4, 25, 43, 46, 52])
def test_a_killed_training_goes_on_to_the_same_bits(
    moment: int,
    command: Command,
    products: Path,
    signalled: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    words = ("train", products, *WORDS, "--epochs", "4", "--extractor", "dense")
    assert command(*words, "--out", "whole.safetensors").status == 0
    killed = signalled(
        "SIGKILL", tmp_path / "k-training", moment, *words, "--out", tmp_path / "k.safetensors"
    )
    killed.communicate()
    assert killed.returncode == -9
    assert not Path("k.safetensors").exists()
    assert command(*words, "--out", tmp_path / "k.safetensors").status == 0
    assert Path("k.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


@pytest.mark.slow
def test_a_training_that_slept_for_a_while_ends_in_the_same_bits(
    command: Command,
    products: Path,
    signalled: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    words = ("train", products, *WORDS, "--epochs", "4", "--extractor", "dense")
    slept = signalled(
        "SIGSTOP", tmp_path / "s-training", 25, *words, "--out", tmp_path / "s.safetensors"
    )
    wait_until_stopped(slept)
    assert command(*words, "--out", "whole.safetensors").status == 0
    slept.send_signal(signal.SIGCONT)
    assert slept.communicate()[1] is not None
    assert slept.returncode == 0
    assert Path("s.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    command: Command, products: Path
) -> None:
    done = command("train", products, *WORDS, "--extractor", "dense", "--dry-run")
    assert done.status == 0, done.error
    assert "12 images, 6 of them defective" in done.error
    assert "15 epochs of 3 steps, about" in done.error
    assert " GB in learned-training/features until all is done" in done.error
    assert [path.name for path in Path.cwd().iterdir()] == ["products"]


def test_more_than_the_disk_may_take_is_refused_before_anything_is_written(
    command: Command, products: Path
) -> None:
    done = command("train", products, *WORDS, "--extractor", "dense", "--disk", "0.00001")
    assert done.status == 2
    assert "1e-05 GB --disk allows" in done.error
    assert "--disk 0" in done.error
    assert not Path("learned-training").exists()


def test_a_folder_of_another_training_is_refused(command: Command, products: Path) -> None:
    words = ("train", products, *WORDS, "--epochs", "1", "--extractor", "dense")
    assert command(*words).status == 0
    done = command(*words, "--learning-rate", "0.01")
    assert done.status == 2
    assert "learned-training is of another training: options.rate (0.001, now 0.01)" in done.error
    Path("learned-training/training.json").unlink()
    assert "learned.safetensors exists" in command(*words).error


def test_images_of_one_class_are_refused(command: Command, products: Path) -> None:
    done = command("train", products, *WORDS, "--extractor", "dense", "--split", "train")
    assert done.status == 2
    assert "none of the 2 images to train on is defective" in done.error
    assert "--synthesise" in done.error


def test_a_loss_that_is_no_number_stops_and_the_last_good_state_is_kept(
    command: Command, products: Path
) -> None:
    words = ("train", products, *WORDS, "--extractor", "dense")
    done = command(*words, "--learning-rate", "1e38", "--out", "n.safetensors")
    assert done.status == 2
    assert "is not a finite number; begin anew with a lower --learning-rate" in done.error


def test_what_cannot_learn_is_refused_with_a_part_that_can(
    command: Command, products: Path
) -> None:
    done = command("train", products, "--detector", "winclip", *SMALL)
    assert done.status == 2
    assert "--prompt learned" in done.error


def losses_of(loss: float) -> Losses:
    return Losses(loss=loss, terms={"image": loss})


def test_the_epoch_of_the_lowest_held_out_loss_is_kept_and_else_the_last() -> None:
    def history(*held_out: float | None) -> TrainingHistory:
        epochs = [
            Epoch(
                number=number,
                training=losses_of(1.0 / number),
                held_out=None if value is None else losses_of(value),
                seconds=1.0,
            )
            for number, value in enumerate(held_out, 1)
        ]
        return TrainingHistory(epochs=epochs)

    best = history(3.0, 1.0, 2.0, 1.0).best
    assert best is not None
    assert best.number == 2  # the first of equals
    last = history(None, None).best
    assert last is not None
    assert last.number == 2


def test_a_windows_label_is_the_share_of_its_defective_pixels() -> None:
    masks = torch.zeros(1, 4, 6, dtype=torch.bool)
    masks[0, :2, :3] = True  # the whole of cell (0, 0), half of cell (0, 1)
    cells = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 2], [0, 1, 2, 3], [1, 0, 2, 3]])
    shares = defective_shares(masks, cells, (2, 3))
    assert shares.tolist() == [[1.0, pytest.approx(0.75), pytest.approx(0.125), 0.0]]


def test_the_window_loss_is_the_cross_entropy_of_shares() -> None:
    sides = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    windows = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])  # cosines 1 and 0, and 0 and 1
    shares = torch.tensor([[0.25, 1.0]])
    # logits 2 and 0: log-softmax -0.126928 and -2.126928
    soft = (0.75 * 0.126928 + 0.25 * 2.126928 + 0.126928) / 2
    hard = (2.126928 + 0.126928) / 2
    mild = (0.126928 + 0.126928) / 2
    for threshold, expected in ((None, soft), (0.2, hard), (0.25, mild)):
        weights = Weights(temperature=0.5, window_threshold=threshold)
        found = float(window_loss(windows, sides, shares, weights))
        assert math.isclose(found, expected, abs_tol=1e-6)


def test_the_file_says_what_it_was_learned_from_and_how(command: Command, products: Path) -> None:
    from vlmad_documents.learned_file import read_learned_document

    words = ("train", products, *WORDS, "--epochs", "1", "--extractor", "dense")
    assert command(*words, "--set", "prompts.context=5").status == 0
    said = read_learned_document(Path("learned.safetensors"))
    assert (said.kind, said.part, said.class_token) == ("prompts", "learned", "raw")
    assert said.layers == [2]
    assert said.data.keys() == {"a", "b", "c"}
    assert said.options["loss"] == "anomalyclip"
    assert said.options["rate"] == 0.001
    assert said.backbone.weights_sha256 is not None
    json.dumps(said.options)


def test_gamma_of_the_diagonal_is_learned_along_and_nothing_is_kept_on_disk(
    command: Command, products: Path
) -> None:
    words = ("train", products, *WORDS, "--extractor", "dense", "--attention", "diagonal")
    more = ("--set", "attention.gamma=0", "--epochs", "1", "--held-out", "none")
    done = command(*words, *more, "--out", "g.safetensors")
    assert done.status == 0, done.error
    assert "encoding: in every epoch, because attention learns" in done.error
    gamma = load_file("g.attention.safetensors")["gamma"]
    assert gamma.shape == (1,)
    assert gamma.abs() > 1e-5
    use = done.out.split("vlmad run … ")[1].splitlines()[0].split()
    used = command("run", products / "c", *SMALL, *use, "--overlays", "none")
    assert used.status == 0, used.error
    alone = command(*words, "--learn", "prompts", "--epochs", "1", "--out", "p.safetensors")
    assert "encoding: once" in alone.error
    assert "--detector anomalyclip --attention diagonal --prompt learned:" in alone.out


def test_maps_of_april_gan_are_learned_by_its_own_loss(command: Command, products: Path) -> None:
    words = ("train", products, "--detector", "april-gan", *SMALL, "--batch-size", "4")
    more = ("--set", "backbone.image_size=80", "--epochs", "3", "--held-out", "none")
    done = command(*words, *more, "--out", "m.safetensors")
    assert done.status == 0, done.error
    assert "extractor 'projected'" in done.error
    assert "by the loss 'april-gan'" in done.error
    curve = losses(Path("m-training"))
    assert curve[-1] < curve[0]


def test_defects_are_drawn_on_good_images_where_none_are_labelled(
    command: Command, products: Path
) -> None:
    good = products / "a" / "test" / "good"
    words = ("train", good, *WORDS, "--extractor", "dense", "--epochs", "1")
    more = ("--synthesise", "cutpaste,scratch", "--drawings", "2")
    done = command(*words, *more, "--out", "s.safetensors", "--keep-features")
    assert done.status == 0, done.error
    assert "from: 12 images, 6 of them defective, of good" in done.error
    kept = [load_file(path) for path in sorted(Path("s-training/features").iterdir())]
    taken = VisibleDrawings.read(Path("s-training/drawings.json")).taken
    assert len(taken) == 6
    expected = [bad for each in taken for bad in (False, True) if each or not bad]
    assert [bool(each["mask"].any()) for each in kept] == expected
    again = command(*words, *more, "--out", "t.safetensors")
    assert again.status == 0
    assert Path("s.safetensors").read_bytes() == Path("t.safetensors").read_bytes()
    assert "did you mean 'scratch'" in command(*words, "--synthesise", "scrath").error


def test_a_curve_compares_ever_more_categories_on_the_same_ones_held_out(
    command: Command, products: Path
) -> None:
    words = ("train", products, *WORDS, "--extractor", "dense", "--epochs", "2")
    done = command(*words, "--curve", "2,1", "--held-out", "c", "--out", "v.safetensors")
    assert done.status == 0, done.error
    curve = CategoryCurve.read(Path("v-training/curve.json"))
    first, second = curve.points
    assert curve.held_out == ["c"]
    assert [first.images, second.images] == [6, 12]
    assert set(first.categories) < set(second.categories) == {"a", "b"}
    assert Path("v-training/curve.png").read_bytes().startswith(b"\x89PNG")
    assert len(Path("v-training/curve.csv").read_text().splitlines()) == 3
    assert f"{second.held_out.loss:.3f}" in done.out
    whole = command(*words, "--held-out", "c", "--out", "w.safetensors")
    assert whole.status == 0
    same = load_file("v.safetensors"), load_file("w.safetensors")
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])
    refused = command(*words, "--curve", "3", "--held-out", "c", "--out", "x.safetensors")
    assert "1 to 2 to learn from" in refused.error


def test_an_adapter_of_a_third_party_is_learned_by_the_same_command(
    command: Command, products: Path, install: Callable[..., Path]
) -> None:
    source = Path(__file__).parents[1] / "examples" / "third_party" / "vlmad_patch_adapter.py"
    install("vlmad-patch-adapter", source.read_text(encoding="utf-8"))
    check_part("extractor", "adapted")
    parts = ("--prompt", "compositional", "--scorer", "dense", "--attention", "none", *SMALL)
    words = ("train", products, *parts, "--set", "backbone.image_size=80", "--epochs", "3")
    done = command(
        *words, "--extractor", "adapted", "--held-out", "none", "--out", "ad.safetensors"
    )
    assert done.status == 0, done.error
    assert "learns: extractor 'adapted', 4,096 numbers" in done.error
    curve = losses(Path("ad-training"))
    assert curve[-1] < curve[0]
    used = command("run", products / "c", *parts, "--extractor", "adapted:ad.safetensors",
                   "--overlays", "none")  # fmt: skip
    assert used.status == 0, used.error


PROBE = """
import torch
from vlmad import Prediction, Scorer, hookimpl
from vlmad.parts import PATCHES
from vlmad.regions import upsample
from vlmad_documents.learned_file import read_learned
from pathlib import Path

class Probe(Scorer):
    needs = frozenset({PATCHES})
    scale = 1.0

    def __init__(self, file: Path | None = None, raw: bool = False) -> None:
        self.raw = raw
        self.tensors = read_learned(file, "scorer", "probe")[0] if file else None

    def learnable(self, spec, seed):
        if self.tensors is None:
            self.tensors = {"weight": torch.zeros(spec.embedding_dim)}
        return self.tensors

    def facts(self):
        return {}

    def __call__(self, features, text, memory):
        logits = features.aligned[0].embeddings @ self.tensors["weight"]
        cells = logits if self.raw else logits.sigmoid()
        heat = upsample(cells.unflatten(1, features.grid), features.image_size)
        return Prediction(heat.flatten(1).amax(1) + 2 * self.raw, heat)

@hookimpl
def register_scorers(register):
    register("probe", Probe)
"""


def test_a_scorer_without_text_is_learned_by_its_own_scores_and_maps(
    command: Command, products: Path, install: Callable[..., Path]
) -> None:
    install("probe", PROBE)
    parts = ("--extractor", "dense", "--scorer", "probe", "--attention", "none", *SMALL)
    words = ("train", products, *parts, "--set", "backbone.image_size=80", "--epochs", "3")
    done = command(
        *words, "--held-out", "none", "--learning-rate", "0.01", "--out", "p.safetensors"
    )
    assert done.status == 0, done.error
    assert "by the loss 'score'" in done.error
    curve = losses(Path("p-training"))
    assert curve[-1] < curve[0]
    refused = command(*words, "--set", "scorer.raw=true", "--out", "q.safetensors")
    assert "must be probabilities, from 0 to 1" in refused.error


def test_the_best_epoch_before_a_loss_that_is_no_number_is_written(
    command: Command, products: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", products, *WORDS, "--extractor", "dense", "--held-out", "none")
    whole = command(*words, "--epochs", "2", "--out", "two.safetensors")
    assert whole.status == 0
    usual, calls = LOSSES["anomalyclip"], 0

    def breaking(judged: Considered, weights: Weights) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        terms = usual(judged, weights)
        return terms if calls <= 10 else {"image": terms["image"] * float("nan")}

    monkeypatch.setitem(LOSSES, "anomalyclip", breaking)  # type: ignore[arg-type]
    done = command(*words, "--epochs", "4", "--out", "n.safetensors")
    assert done.status == 2
    assert "the loss in epoch 3 is not a finite number" in done.error
    assert "n.safetensors holds epoch 2" in done.error
    kept, two = load_file("n.safetensors"), load_file("two.safetensors")
    assert all(torch.equal(kept[name], two[name]) for name in two)


def test_a_finished_training_is_found_done_and_written_again(
    command: Command, products: Path
) -> None:
    words = ("train", products, *WORDS, "--extractor", "dense", "--epochs", "1")
    assert command(*words, "--licence", "CC0-1.0").status == 0
    first = Path("learned.safetensors").read_bytes()
    Path("learned.safetensors").unlink()
    done = command(*words, "--licence", "CC0-1.0")
    assert done.status == 0, done.error
    assert "epoch 1/1" not in done.error
    assert Path("learned.safetensors").read_bytes() == first
    assert "CC0-1.0" in command("prompts", "show", "learned.safetensors").out


def test_categories_are_held_out_by_the_seed_or_by_name(command: Command, tmp_path: Path) -> None:
    data = draw_products(tmp_path / "six", "abcdef", size=24)
    words = ("train", data, *WORDS, "--extractor", "dense", "--dry-run")
    first, again, other = (command(*words, "--seed", seed).error for seed in ("0", "0", "3"))
    assert first.count("held out: 6 images") == 1
    assert first.splitlines()[:3] == again.splitlines()[:3]
    assert first != other
    named = command(*words, "--held-out", "b", "--held-out", "e").error
    assert "held out: 12 images, 6 of them defective, of b, e" in named
    everything = [word for name in "abcdef" for word in ("--held-out", name)]
    assert "none is left" in command(*words, *everything).error
    assert "no category 'z'" in command(*words, "--held-out", "z").error
