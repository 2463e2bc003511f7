"""`vlmad train`: how fast is learned, and that it is the same where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vlmad.errors import InputError
from vlmad_train import _telling
from vlmad_train.history import Epoch
from vlmad_train.schedule import Schedule

from .conftest import Ended
from .test_train import WORDS, draw_products

COOP = ("--optimizer", "sgd", "--learning-rate", "0.02", "--weight-decay", "5e-4",
        "--decay", "cosine", "--warm-up", "1")  # fmt: skip


def test_the_rate_stays_unless_it_is_to_fall() -> None:
    assert Schedule(epochs=3).rates() == [1e-3] * 3


def test_the_rate_falls_by_steps_or_a_cosine_that_begins_after_the_warm_up() -> None:
    found = Schedule(epochs=5, rate=0.002, decay="cosine", warm_up=1).rates()
    # 0.001 (1 + cos(k pi / 5)), of which the cosines are 1, 0.80902, 0.30902, -0.30902
    assert found == pytest.approx([1e-5, 0.002, 0.00180902, 0.00130902, 0.00069098], rel=1e-5)
    steps = Schedule(epochs=10, rate=1.0, decay="steps").rates()
    assert steps == pytest.approx([1.0] * 8 + [0.2, 0.04])
    halves = Schedule(epochs=4, rate=2.0, decay="cosine").rates()
    assert halves == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])


def test_a_warm_up_may_be_of_all_epochs_and_faster_than_what_follows() -> None:
    assert Schedule(epochs=2, warm_up=3).rates() == pytest.approx([1e-5, 1e-5])
    assert Schedule(epochs=2, rate=1e-6, warm_up=1).rates() == pytest.approx([1e-5, 1e-6])


def test_sgd_takes_the_gradient_with_momentum_and_weight_decay() -> None:
    number = torch.tensor([2.0], requires_grad=True)
    schedule = Schedule(rate=0.1, optimizer="sgd", momentum=0.5, weight_decay=0.25)
    descent = schedule.descent([number])
    for expected in (2 - 0.1 * (1 + 0.5), 1.85 - 0.1 * (0.5 * 1.5 + 1 + 0.25 * 1.85)):
        number.grad = torch.ones(1)
        descent.step()
        assert number.item() == pytest.approx(expected)


@pytest.mark.parametrize("more", [(), COOP], ids=["adam", "coop"])
def test_a_stopped_training_goes_on_to_the_same_bits(
    more: tuple[str, ...],
    command: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    products = draw_products(tmp_path / "products", "a")
    words = ("train", products, *WORDS, "--extractor", "dense", "--epochs", "4", *more)
    assert command(*words, "--out", "whole.safetensors").status == 0

    def stop(epoch: Epoch, epochs: int) -> str:
        if epoch.number == 2:
            raise InputError("stopped")
        return ""

    with monkeypatch.context() as patched:
        patched.setattr(_telling, "epoch_line", stop)
        assert "stopped" in command(*words, "--out", "s.safetensors").error
    done = command(*words, "--out", "s.safetensors")
    assert done.status == 0, done.error
    assert "epoch 2/4" not in done.error
    assert "epoch 3/4" in done.error
    assert Path("s.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


def test_the_schedule_changes_what_is_learned_and_stands_in_the_file(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    from vlmad_documents.learned_file import read_learned_document

    products = draw_products(tmp_path / "products", "a")
    words = ("train", products, *WORDS, "--extractor", "dense", "--epochs", "2")
    for out, more in {"adam": (), "coop": COOP}.items():
        assert command(*words, *more, "--out", f"{out}.safetensors").status == 0
    adam, coop = (load_file(f"{out}.safetensors")["context.normal"] for out in ("adam", "coop"))
    assert not torch.equal(adam, coop)
    said = read_learned_document(Path("coop.safetensors")).options
    assert (said["optimizer"], said["decay"], said["warm_up"]) == ("sgd", "cosine", 1)
    refused = command(*words, "--momentum", "1")
    assert "--momentum 0 to below 1" in refused.error
