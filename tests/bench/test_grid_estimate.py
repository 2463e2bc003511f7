"""The plan of a grid counts what will be asked, and changes nothing of what is computed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vlmad import Detector, Prompts, TextEmbeddings, load_detector
from vlmad.registry import Registration, Registry
from vlmad_datasets import open_dataset
from vlmad_evaluation._bench_detectors import share_backbone
from vlmad_evaluation._bench_plan import Settings, make_plan
from vlmad_evaluation._cell_scoring import side_by_side
from vlmad_evaluation._grid_plan import estimate
from vlmad_evaluation._grid_texts import count_texts


class Keeping(Prompts):
    """Asks twice for each class name, and keeps for good what it is given."""

    kept: dict[str, torch.Tensor] = {}  # noqa: RUF012  of all copies, as a plugin may have it

    def __call__(self, backbone: Any, class_name: str, features: Any) -> TextEmbeddings:
        sides = []
        for sentence in (f"a good {class_name}", f"a bad {class_name}"):
            if sentence not in self.kept:
                self.kept[sentence] = backbone.encode_text([sentence])
            sides.append(self.kept[sentence])
        return TextEmbeddings.of(torch.cat(sides), [False, True], ["good", "bad"])


@pytest.fixture
def load(two_layer_file: Path, small: list[str], registry: Registry) -> Callable[..., Detector]:
    """Return a function that loads a recipe with a small backbone."""
    options = {"backbone": {"weights": str(two_layer_file)}}
    return functools.partial(
        load_detector, backbone=small[1], options=options, keep="nothing", registry=registry
    )


@pytest.fixture
def keeping(load: Callable[..., Detector]) -> Iterator[Detector]:
    Keeping.kept.clear()
    detector = load("clip")
    own = Registration("prompts", "keeping", Keeping, "", "here", "here", "1.0")
    prompts = replace(detector.assembly.parts["prompts"], registration=own, part=Keeping())
    parts = {**detector.assembly.parts, "prompts": replace(prompts, options={})}
    yield Detector(replace(detector.assembly, parts=parts), keep="nothing")
    Keeping.kept.clear()


def test_prompts_keep_only_embeddings_that_are_the_encoders_own(keeping: Detector) -> None:
    found = count_texts([keeping], ["bolt", "metal_nut", "screw"])
    assert (found.calls, found.sentences) == (6, 6)
    assert set(Keeping.kept) == {"a good bolt", "a bad bolt"}
    with torch.inference_mode():
        for sentence, embedding in Keeping.kept.items():
            assert torch.equal(embedding, keeping.backbone.encode_text([sentence]))


def test_texts_that_do_not_depend_on_the_class_name_are_counted_once(
    load: Callable[..., Detector], learned_file: Path
) -> None:
    backbones: list[Any] = []
    learned = {"prompts": f"learned:{learned_file}"}
    detectors = [
        Detector(share_backbone(load(name, **more).assembly, backbones), keep="nothing")
        for name, more in (("clip", {}), ("hybrid", learned), ("winclip", learned))
    ]
    found = count_texts(detectors, ["bolt", "nut", "bolt"])
    assert (found.calls, found.sentences) == (2 + 1, 2 * 2 + 2)


def test_what_a_plan_counts_follows_from_cells_images_and_settings(
    two_categories: Path, load: Callable[..., Detector], cache: Path
) -> None:
    detectors = {"plain": load("winclip", prompts="plain")}
    settings = Settings((0, 1), 1, replicates=20)
    plan = make_plan(open_dataset(two_categories), ("bolt", "nut"), detectors, settings)
    found = estimate(plan, side_by_side(detectors), settings, lambda what, done, total: None)
    assert (found.cells, found.scorings, found.images) == (4, 2 * (8 + 6), 8 + 6 + 2)
    (each,) = found.passes
    spec = detectors["plain"].backbone.spec
    windows = sum((spec.grid[0] - size + 1) * (spec.grid[1] - size + 1) for size in (2, 3))
    patches = spec.grid[0] * spec.grid[1]
    assert each.numbers == (1 + windows) * spec.embedding_dim + patches * spec.vision_width
    assert found.bytes_of_features == found.images * 4 * each.numbers
    parts = found.seconds_of_encoding, found.seconds_of_scoring, found.seconds_of_metrics
    assert min(parts) > 0
    assert found.seconds == sum(parts)
