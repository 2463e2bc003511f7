"""The embedded model computes what it was trained to, however its batches are divided."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vlmad import ClassToken, ImageBatch, Patches, VisualFeatures, Windows
from vlmad.testing import UsualAttention, example_images
from vlmad_tiny._encode_threads import encode_in_streams
from vlmad_tiny._tiny import Tiny
from vlmad_tiny._tiny_model import build_trunk, fold_norms

REQUESTS = (ClassToken(), Patches(4), Windows(3))


@pytest.fixture
def threads() -> Iterator[None]:
    """Leave torch's number of threads as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_threads_give_what_one_pass_gives(threads: None) -> None:
    batch, tiny, count = example_images(4), Tiny(device="cpu"), 3
    torch.set_num_threads(1)
    alone = tiny.encode(batch, REQUESTS, UsualAttention())
    torch.set_num_threads(count)
    divided = tiny.encode(batch, REQUESTS, UsualAttention())
    assert torch.get_num_threads() == count
    for request in REQUESTS:
        torch.testing.assert_close(divided[request], alone[request], rtol=0, atol=1e-4)


def test_streams_compute_with_the_threads_and_in_the_mode_of_their_caller(threads: None) -> None:
    torch.set_num_threads(4)
    for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad):
        calls = []

        def encode(share: ImageBatch) -> VisualFeatures:
            with ThreadPoolExecutor(1) as other:  # whose number of threads is its own
                assert other.submit(torch.get_num_threads).result() == 4
            calls.append((len(share), torch.get_num_threads(), *_mode()))  # noqa: B023
            return VisualFeatures({ClassToken(): torch.zeros(len(share), 1)}, (1, 1), (1, 1))

        with mode():
            joined = encode_in_streams(encode, example_images(2))
            assert calls == [(1, 2, *_mode())] * 2
        assert joined[ClassToken()].shape == (2, 1)


def _mode() -> tuple[bool, bool]:
    return torch.is_inference_mode_enabled(), torch.is_grad_enabled()


def test_what_fails_in_a_stream_fails_the_batch(threads: None) -> None:
    torch.set_num_threads(2)

    def encode(share: ImageBatch) -> VisualFeatures:
        raise ValueError("no such image")

    with pytest.raises(ValueError, match="no such image"):
        encode_in_streams(encode, example_images(3))
    assert torch.get_num_threads() == 2


@torch.inference_mode()
def test_a_trunk_with_folded_norms_computes_the_same() -> None:
    trunk = build_trunk().eval()
    generator = torch.Generator().manual_seed(0)
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    before = trunk(images)
    fold_norms(trunk)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in trunk.modules())
    for ours, expected in zip(trunk(images), before, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
