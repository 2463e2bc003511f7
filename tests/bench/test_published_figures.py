"""Published figures stand beside one's own only where they are about the same thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlmad import load_detector
from vlmad_evaluation._published_figures import (
    is_as_registered,
    public_set,
    published_beside,
    read_published,
)
from vlmad_evaluation.metric import METRICS

from .conftest import TWO_LAYERS, draw_category

SETS, ENTRIES = read_published().datasets, read_published().entries
MVTEC = {category: tuple(counts) for category, counts in SETS["mvtec_ad"].images.items()}


def test_public_sets_have_the_sizes_that_are_published() -> None:
    total = {n: tuple(map(sum, zip(*s.images.values(), strict=True))) for n, s in SETS.items()}
    assert total == {
        "mvtec_ad": (467, 1258),
        "visa": (962, 1200),
        "mpdd": (176, 282),
        "btad": (451, 290),
    }


def test_published_figures_are_known_metrics_of_known_sets_from_0_to_1() -> None:
    for entry in ENTRIES:
        assert entry.dataset in SETS
        for figures in (entry.averages, *entry.categories.values()):
            assert set(figures) <= set(METRICS)
            assert all(0 < figure <= 1 for figure in figures.values())
        assert set(entry.categories) <= set(SETS[entry.dataset].images)


def test_a_set_is_recognised_by_reader_names_and_numbers_of_images() -> None:
    assert public_set("mvtec", MVTEC) == "mvtec_ad"
    assert public_set("mvtec", {"bottle": (20, 63)}) == "mvtec_ad"
    assert public_set("folder", {"bottle": (20, 63)}) is None
    assert public_set("mvtec", {"bottle": (20, 62)}) is None
    assert public_set("mvtec", {"bottle": (20, 63), "nut": (1, 1)}) is None
    assert public_set("mvtec", {}) is None


def test_stated_and_recomputed_averages_stand_side_by_side(registry) -> None:
    assembly = load_detector("anomalyclip", registry=registry).assembly
    found = published_beside("mine", assembly, "mvtec", MVTEC, 0)
    assert [entry.label for entry in found] == ["AnomalyCLIP", "AnomalyCLIP, official weights"]
    segmentation = found[1].averages["pixel_auroc"]
    assert (segmentation.stated, round(segmentation.recomputed, 3)) == (0.907, 0.911)
    assert found[1].categories["tile"] == {"image_auroc": 1.0, "pixel_auroc": 0.947}
    image = found[0].averages["image_auroc"]
    assert (image.stated, image.recomputed) == (0.915, None)


def test_another_backbone_is_said_and_parts_of_a_set_have_no_averages(registry) -> None:
    assembly = load_detector("winclip", registry=registry).assembly
    found = published_beside("mine", assembly, "mvtec", {"bottle": (20, 63)}, 0)
    for entry in found:
        note = "published with ViT-B-16-plus-240, measured here with tiny"
        assert (entry.averages, note in entry.notes) == ({}, True)
    openclip = "openclip:ViT-B-16-plus-240/laion400m_e31"
    same = load_detector("winclip", backbone=openclip, registry=registry).assembly
    published = published_beside("mine", same, "mvtec", MVTEC, 4)[0]
    assert not any("published with" in note for note in published.notes)


@pytest.mark.parametrize("name", ["winclip", "anomalyclip", "clip", "clip-ac", "comparison"])
def test_a_recipe_with_other_parts_or_options_is_another_method(name: str, registry) -> None:
    assert is_as_registered(load_detector(name, registry=registry).assembly)
    other = {"scorer": {"temperature": 0.02}} if name != "comparison" else {}
    extractor = "tiles" if name == "comparison" else None
    changed = load_detector(name, extractor=extractor, options=other, registry=registry)
    assert not is_as_registered(changed.assembly)
    assert published_beside("mine", changed.assembly, "mvtec", MVTEC, 0) == []


def test_learned_prompts_of_a_file_are_the_same_method_and_the_file_is_said(
    registry, learned_file: Path, two_layer_file: Path
) -> None:
    options = {
        "prompts": {"file": learned_file},
        "backbone": {"image_size": None, "weights": two_layer_file},
    }
    backbone = f"openclip:{TWO_LAYERS}"
    detector = load_detector("anomalyclip", backbone=backbone, options=options, registry=registry)
    found = published_beside("mine", detector.assembly, "mvtec", MVTEC, 0)
    assert len(found) == 2
    assert "measured here with the prompts of learned.safetensors" in found[0].notes


@pytest.mark.slow
def test_a_bench_on_a_public_category_shows_what_is_published_of_it(
    run_bench, small, tmp_path: Path
) -> None:
    draw_category(tmp_path / "mvtec" / "toothbrush", 12, 30, train=1, size=40)
    words = ["mvtec", "--detector", "winclip", *small, "--resolution", "20", "--out", "out"]
    ran = run_bench(*words, "--replicates", "50", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["settings"]["resolution"] == "20 x 20"
    labels = [entry["label"] for entry in document["published"]]
    assert labels == ["WinCLIP", "WinCLIP, re-implemented"]
    again = run_bench(*words, "--replicates", "50", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["cells"] == document["cells"]
    markdown = (tmp_path / "out" / "bench.md").read_text()
    row = "| toothbrush | zero-shot | WinCLIP, re-implemented, published | 0.567 |  |  |"
    assert row in markdown
    assert "published with ViT-B-16-plus-240, measured here with" in markdown.replace("\\", "")
