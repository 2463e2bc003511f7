"""The embedded model computes what it was trained to, however its batches are divided."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vlmad import (
    ClassToken,
    ImageBatch,
    Level,
    Patches,
    VisualFeatures,
    Windows,
    load_detector,
)
from vlmad.files import digest
from vlmad.testing import UsualAttention, example_images
from vlmad_run.identity import identity
from vlmad_tiny._efficientnet import EfficientNetLite0, fold_norms
from vlmad_tiny._encode_threads import encode_in_streams
from vlmad_tiny._tiny import LEVEL_WEIGHTS, WEIGHTS, Tiny
from vlmad_tiny._trunk_levels import TRUNK, WIDTHS

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


def timms_trunk() -> Any:
    """Return the same trunk as timm has it; calling it gives strides 2, 4, 8 and 16."""
    import timm

    trunk = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=range(4))
    trunk.blocks = trunk.blocks[:5]
    return trunk.eval()


def with_seeded_norms(trunk: Any) -> Any:
    """Give batch norms something to do."""
    generator = torch.Generator().manual_seed(0)
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return trunk


@pytest.mark.slow
@torch.inference_mode()
def test_the_trunk_computes_what_timms_does_to_the_last_bit() -> None:
    trunk, expected = EfficientNetLite0().eval(), with_seeded_norms(timms_trunk())
    trunk.load_state_dict(expected.state_dict())
    for size in ((64, 64), (61, 46), (33, 95)):  # whose strides leave other remainders
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
        maps = list(trunk(images))
        for ours, theirs in zip((maps[i] for i in (0, 1, 2, 4)), expected(images), strict=True):
            assert torch.equal(ours, theirs)


def test_a_trunk_whose_inputs_learn_computes_what_one_that_is_only_asked_does() -> None:
    trunk = with_seeded_norms(EfficientNetLite0().eval()).requires_grad_(False)
    fold_norms(trunk)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        asked = list(trunk(images))
    learning = list(trunk(images.clone().requires_grad_()))
    for one, other in zip(asked, learning, strict=True):
        torch.testing.assert_close(one.clone(), other.detach())
    assert learning[-1].requires_grad


@torch.inference_mode()
def test_a_trunk_with_folded_norms_computes_the_same() -> None:
    trunk = with_seeded_norms(EfficientNetLite0().eval())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    before = list(trunk(images))
    fold_norms(trunk)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in trunk.modules())
    for ours, expected in zip(trunk(images), before, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


LOADED = """
import sys
from vlmad_cli.frame import main
try:
    main()
finally:
    heavy = {"open_clip", "scipy", "sklearn", "timm", "torch", "torchvision"}
    print("loaded:", *sorted(sys.modules.keys() & heavy))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "more"), [((), ""), (("--references", "photos"), "scipy ")], ids=["none", "some"]
)
def test_where_levels_are_enough_no_library_of_the_towers_is_loaded(
    words: tuple[str, ...], more: str, photos: Path
) -> None:
    files = sorted(photos.iterdir())[:2]
    run = [sys.executable, "-c", LOADED, "run", *files, *words, "--out", "out"]
    done = subprocess.run(run, cwd=photos.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"loaded: {more}torch"


@pytest.mark.slow
@torch.inference_mode()
def test_levels_are_what_the_layers_of_the_trunk_give(threads: None) -> None:
    torch.set_num_threads(1)
    tiny, batch = Tiny(device="cpu"), example_images(3)
    requests = [Level(name, each) for name in ("e5", "b2", "b4") for each in (False, True)]
    answers = tiny.encode(batch, requests, UsualAttention())
    trunk = timms_trunk()  # its norms as they are
    weights = load_file(WEIGHTS)
    trunk.load_state_dict({k[len(TRUNK) :]: t for k, t in weights.items() if k.startswith(TRUNK)})
    layer = {k: t.float() for k, t in load_file(LEVEL_WEIGHTS).items()}
    pixels = batch.pixels(tiny.spec.preprocessing_of(requests[0]))
    assert pixels.shape == (3, 3, 320, 320)
    _, _, b2, b4 = trunk(pixels)
    e5 = torch.nn.functional.conv2d(b4, layer["e5.weight"], layer["e5.bias"]).clamp(0, 6)
    for name, maps in {"b2": b2, "b4": b4, "e5": e5}.items():
        cells = maps.permute(0, 2, 3, 1)
        torch.testing.assert_close(answers[Level(name)], cells, rtol=1e-4, atol=1e-3)
        standard = (answers[Level(name)] - layer[f"{name}.mean"]) / layer[f"{name}.deviation"]
        assert torch.equal(answers[Level(name, True)], standard)
    closer = Level("b4-closer")
    pixels = batch.pixels(tiny.spec.preprocessing_of(closer))
    cells = trunk(pixels)[3].permute(0, 2, 3, 1)
    both = tiny.encode(batch, [closer, requests[-2]], UsualAttention())
    torch.testing.assert_close(both[closer], cells, rtol=1e-4, atol=1e-3)
    assert torch.equal(both[requests[-2]], answers[requests[-2]])
    for index, source in enumerate(batch.sources):
        alone = tiny.encode(ImageBatch((source,)), requests, UsualAttention())
        for request in requests:
            assert torch.equal(alone[request][0], answers[request][index])


@pytest.mark.slow
@torch.inference_mode()
def test_nothing_is_computed_that_was_not_asked_for() -> None:
    tiny, batch = Tiny(device="cpu"), example_images(1)
    tiny.encode(batch, [Level("b2")], UsualAttention())
    assert "model" not in vars(tiny)  # neither transformer nor texts are even loaded
    seen = []
    blocks = tiny._trunk.trunk.blocks
    for number, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, number=number: seen.append(number))
    tiny.encode(batch, [Level("b2", standardised=True)], UsualAttention())
    assert seen == [0, 1, 2]
    both = tiny.encode(batch, [ClassToken(), Level("b4"), Level("2")], UsualAttention())
    assert seen == [0, 1, 2, 0, 1, 2, 3, 4]
    other = Tiny(device="cpu")
    plain = other.encode(batch, [ClassToken(), Level("2")], UsualAttention())
    assert "_trunk" not in vars(other)
    for request in plain.tensors:
        assert torch.equal(plain[request], both[request])


def test_levels_of_the_trunk_are_known_before_any_weight_is_loaded() -> None:
    spec = Tiny(device="cpu").spec
    assert list(spec.levels) == [
        *("b2", "b4", "e5", "b2-closer", "b4-closer", "e5-closer"),
        *("1", "2", "3", "4"),
    ]
    assert spec.middle == ("b4", "e5")
    for name, (cells, width) in WIDTHS.items():
        level = spec.levels[name]
        assert (level.grid, level.width, level.statistics) == ((cells, cells), width, True)
        assert spec.preprocessing_of(Level(name)).size == (320, 320)
        closer = spec.levels[f"{name}-closer"]
        assert (closer.grid, closer.width) == ((cells * 3 // 2,) * 2, width)
        assert spec.preprocessing_of(Level(f"{name}-closer")).size == (480, 480)
    assert spec.preprocessing_of(Level("1")) == spec.preprocessing


def test_weights_of_levels_count_where_they_are_asked_for() -> None:
    text = Tiny(device="cpu").weights_hash  # what thresholds and fitted files were made with
    hashes = {}
    for levels in ("1,2", "2,b4", "b4,e5"):
        given = {"extractor": {"levels": levels}, "backbone": {"device": "cpu"}}
        detector = load_detector("patchcore", options=given)
        hashes[levels] = identity(detector, "bolt").weights_sha256
    assert hashes["1,2"] == text == digest(WEIGHTS)
    assert hashes["b4,e5"] == digest(LEVEL_WEIGHTS)  # whatever becomes of the towers
    both = " ".join(sorted([text, hashes["b4,e5"]]))
    assert hashes["2,b4"] == hashlib.sha256(both.encode()).hexdigest()


@pytest.mark.parametrize("recipe", ["gaussian", "change", "rarity"])
def test_towers_that_a_detector_does_not_read_do_not_count(recipe: str) -> None:
    of_levels = identity(load_detector(recipe), "bolt").weights_sha256
    assert of_levels == digest(LEVEL_WEIGHTS)
    tokens = {"extractor": {"image": "class-token"}}
    assert identity(load_detector(recipe, options=tokens), "bolt").weights_sha256 != of_levels


def test_public_statistics_name_their_photographs_and_are_finite() -> None:
    with safe_open(LEVEL_WEIGHTS, "pt") as file:
        facts = file.metadata()
    licences = json.loads(facts["photographs"])
    assert len(licences) == 16
    free = ("public domain", "CC0", "CC BY 2.0", "no known copyright")
    assert all(licence.startswith(free) for licence in licences.values())
    assert facts["trunk"].startswith("Apache-2.0")
    tensors = load_file(LEVEL_WEIGHTS)
    for name, (_, width) in WIDTHS.items():
        assert tensors[f"{name}.mean"].shape == tensors[f"{name}.deviation"].shape == (width,)
        assert tensors[f"{name}.mean"].isfinite().all()
        assert (tensors[f"{name}.deviation"] > 0).all()
