"""Every legal combination of prompts, extractor, attention and scorer runs; no other does."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from vlmad import Backbone, Detector, load_detector
from vlmad.errors import IncompatiblePartsError
from vlmad.images import restore_whole
from vlmad.registry import Registry
from vlmad.testing import TWO_LAYERS, example_images

PROMPTS = ("compositional", "plain", "learned", "coop")
EXTRACTORS = ("window", "dense", "tiles", "patches", "projected")
ATTENTION = ("none", "vv", "qq", "kk", "diagonal")
SCORERS = ("harmonic", "dense", "max-cosine", "projected", "projected-scaled")
MEMORY = "nearest"
"""One of the scorers that compare cells with cells, without text: all fit the same parts."""
ALL = (
    *itertools.product(PROMPTS, EXTRACTORS, ATTENTION, SCORERS),
    *itertools.product(("unnamed", "plain"), EXTRACTORS, ATTENTION, (MEMORY,)),
)


def is_legal(prompts: str, extractor: str, attention: str, scorer: str) -> bool:
    """State the rule in other words than the parts do."""
    if scorer == MEMORY:
        return (prompts, extractor) == ("unnamed", "patches") and attention in ("none", "diagonal")
    reads_patches = extractor in ("dense", "projected")
    of_patches = ("vv", "qq", "kk", "dense", "projected", "projected-scaled")
    wants_patches = attention in of_patches or scorer in of_patches
    return extractor != "patches" and (reads_patches or not wants_patches)


def load(registry: Registry, learned_file: Path, parts: tuple[str, str, str, str]) -> Detector:
    prompts, extractor, attention, scorer = parts
    words = {"learned": f"learned:{learned_file}", "unnamed": None}
    anew = {"anew": "yes"}
    return load_detector(
        backbone=f"openclip:{TWO_LAYERS}",
        prompts=words.get(prompts, prompts),
        extractor=extractor,
        attention=attention,
        scorer=scorer,
        options={
            "backbone": {"weights": "random:0"},
            "prompts": anew if prompts == "coop" else {},
            "extractor": anew if extractor == "projected" else {},
        },
        registry=registry,
    )


def test_the_lists_here_name_all_built_in_parts(registry: Registry) -> None:
    for kind, names in zip(
        ("prompts", "extractor", "attention", "scorer"),
        (PROMPTS, EXTRACTORS, ATTENTION, SCORERS),
        strict=True,
    ):
        found = [r for r in registry.of_kind(kind) if r.distribution == "vlmad"]
        without_text = (("scorer", "memory"), ("scorer", "families"))
        memories = {r.name for r in found if (r.kind, r.plugin.name) in without_text}
        assert {r.name for r in found} - memories == set(names)
        assert kind != "scorer" or MEMORY in memories


@pytest.mark.slow
@pytest.mark.parametrize("parts", [p for p in ALL if is_legal(*p)], ids="-".join)
def test_legal_combination_scores_images(
    parts: tuple[str, str, str, str], registry: Registry, learned_file: Path, two_layer: Backbone
) -> None:
    detector = load(registry, learned_file, parts)
    assert detector.assembly.notes == ()
    detector.backbone = two_layer  # the same weights, loaded once for all combinations
    batch = example_images()
    if detector.scorer.references != "none":
        detector.fit(example_images(2, seed=1).sources)
    prediction = detector(batch, "metal_nut")
    assert prediction.score.shape == (3,)
    assert prediction.map.shape == (3, 80, 80)
    assert torch.isfinite(prediction.score).all()
    assert torch.isfinite(prediction.map).all()
    assert float(prediction.map.std()) > 0
    restored = restore_whole([batch.sources[1]], prediction.map[1:2], batch.resize)
    assert restored.shape == (60, 120)


@pytest.mark.parametrize("parts", [p for p in ALL if not is_legal(*p)], ids="-".join)
def test_illegal_combination_is_refused_with_a_reason(
    parts: tuple[str, str, str, str], registry: Registry, learned_file: Path
) -> None:
    with pytest.raises(IncompatiblePartsError, match=r"needs|makes no use of text"):
        load(registry, learned_file, parts)


@pytest.mark.parametrize(
    "name", ["winclip", "anomalyclip", "hybrid", "clip", "clip-ac", "comparison"]
)
@pytest.mark.slow
def test_recipe_runs_as_it_is(name: str, registry: Registry) -> None:
    detector = load_detector(name, registry=registry)
    assert detector.assembly.notes == ()
    [result] = detector.predict(example_images(1).sources, "bolt")
    assert result.error is None
    assert 0 <= result.score <= 1 or name == "comparison"


@pytest.mark.parametrize(
    ("named", "replaced"),
    [
        ({"extractor": "dense"}, {}),
        ({"scorer": "dense"}, {"extractor": "dense"}),
        ({"attention": "vv"}, {"extractor": "dense"}),
        ({"attention": "vv", "scorer": "max-cosine"}, {"extractor": "dense"}),
        ({"prompts": "learned", "extractor": "window"}, {}),
    ],
)
def test_parts_that_nobody_named_make_way(
    named: dict[str, str], replaced: dict[str, str], registry: Registry
) -> None:
    detector = load_detector("winclip", **named, registry=registry)
    chosen = {kind: part.registration.name for kind, part in detector.assembly.parts.items()}
    expected = {"prompts": "compositional", "extractor": "window", "attention": "none"}
    assert chosen == {"backbone": "tiny", "scorer": "harmonic", **expected, **named, **replaced}
    assert len(detector.assembly.notes) == len(replaced)
    for note, (kind, name) in zip(detector.assembly.notes, replaced.items(), strict=True):
        assert note.startswith(f"{kind} '{name}' takes the place of")


def test_a_refusal_names_the_remedy(registry: Registry) -> None:
    with pytest.raises(IncompatiblePartsError, match="try --extractor dense or --attention"):
        load_detector(extractor="window", attention="vv", registry=registry)


def test_windows_that_cover_the_whole_grid_are_noted_and_others_are_not(
    registry: Registry, two_layer: Backbone
) -> None:
    rows = two_layer.spec.grid[0]
    for scales, told in (((2, rows - 1), ()), ((2, rows, 64), (f"scales={rows},64",))):
        options = {"backbone": {"weights": "random:0"}, "extractor": {"scales": scales}}
        backbone = f"openclip:{TWO_LAYERS}"
        detector = load_detector("winclip", backbone=backbone, options=options, registry=registry)
        notes = detector.assembly.notes
        assert len(notes) == len(told)
        for note, start in zip(notes, told, strict=True):
            assert note.startswith(f"extractor 'window': {start} is one window over all")
            assert f"take 1 to {rows - 1}" in note
