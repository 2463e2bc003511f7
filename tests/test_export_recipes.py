"""Every recipe as a graph: it scores as torch does, or is refused by name."""

import numpy as np
import onnxruntime
import pytest

from vlmad import load_detector
from vlmad.errors import IncompatiblePartsError
from vlmad.images import as_source
from vlmad.options import options_of
from vlmad.recipes import find_recipe
from vlmad.registry import installed
from vlmad.testing import TWO_LAYERS, example_images
from vlmad_documents.learned_file import Learns
from vlmad_export._traced_detector import TracedDetector, record, refuse_untraceable
from vlmad_export._whole_graph import of_any_images, of_one_image
from vlmad_export.onnx_detector import restored
from vlmad_run.learning_in_fit import learning_in

REFUSED = {"musc": "scorer 'mutual' compares all images of a set"}
SMALL = {"backbone": {"weights": "random:0", "image_size": 80}}
OWN = {"padim": {"scorer": {"channels": 32}}}
"""Options of recipes that do not fit a backbone of two layers."""


def _built(recipe, options=None, **parts):
    """Return a detector of two layers; what it would have learned is drawn at random."""
    own = {**SMALL, **OWN.get(recipe, {}), **(options or {})}
    for kind, name in {**find_recipe(installed(), recipe).parts, **parts}.items():
        found = installed().get(kind, name)
        if "anew" in options_of(found.resolve(), found):
            own[kind] = {**own.get(kind, {}), "anew": True}
    backbone = f"openclip:{TWO_LAYERS}"
    detector = load_detector(recipe, backbone=backbone, options=own, resize="squash", **parts)
    for chosen in detector.assembly.parts.values():
        if chosen.options.get("anew") and isinstance(chosen.part, Learns):
            chosen.part.learnable(detector.backbone.spec, 0)
    return detector


def _is_scored_alike(detector, references=2, images=None):
    images = images or example_images(5).sources
    if detector.scorer.references != "none":
        detector.fit(images[:references])
    traced = TracedDetector(detector, "bolt")
    model = of_any_images(of_one_image(record(traced)), traced.wanted, {})
    on_processor = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=on_processor)
    expected = detector.predict(images[2:], "bolt")
    highest = max(each.score for each in expected)
    for image, known in zip(images[2:], expected, strict=True):
        pixels = np.asarray(image.open())
        [score], [heat] = session.run(["score", "map"], {"image": pixels[None]})
        assert score == pytest.approx(known.score, abs=1e-3 * highest)
        margin = 2e-3 * np.abs(known.map).max()
        np.testing.assert_allclose(restored(heat, pixels.shape[:2]), known.map, atol=margin)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", installed().names("detector"))
def test_a_graph_of_each_recipe_scores_as_torch_does_or_is_refused_by_name(recipe):
    detector = _built(recipe)
    if recipe in REFUSED:
        with pytest.raises(IncompatiblePartsError, match=REFUSED[recipe]):
            refuse_untraceable(detector)
    else:
        refuse_untraceable(detector)
        _is_scored_alike(detector)


@pytest.mark.slow
def test_a_graph_of_shared_windows_under_learned_prompts_scores_as_torch_does():
    shared = {"extractor": {"encoding": "shared"}}
    _is_scored_alike(_built("hybrid", shared))


@pytest.mark.slow
def test_a_graph_of_one_reference_scores_as_torch_does():
    _is_scored_alike(_built("gaussian"), references=1)


def test_what_computes_in_bfloat16_is_refused_with_the_remedy():
    detector = load_detector(
        "clip",
        backbone=f"openclip:{TWO_LAYERS}",
        options={"backbone": {"weights": "random:0", "precision": "bfloat16"}},
    )
    with pytest.raises(IncompatiblePartsError, match="take --precision float32"):
        refuse_untraceable(detector)


@pytest.mark.slow
def test_a_part_that_cannot_be_recorded_is_named():
    detector = _built("patchcore", {"scorer": {"radius": 1}})
    detector.fit(example_images(2).sources)
    with pytest.raises(IncompatiblePartsError, match="scorer 'nearest' does what cannot"):
        record(TracedDetector(detector, "bolt"))


@pytest.mark.slow
def test_a_graph_of_a_head_over_pasted_pieces_scores_as_torch_does():
    options = {"backbone": {"size": 128}, "scorer": {"epochs": 2}}
    _is_scored_alike(load_detector("cutpaste", options=options))


@pytest.mark.slow
def test_a_graph_of_registered_images_scores_as_torch_does():
    """Of the size that it takes: a level of a resized pixel changes its map by 0.8 %."""
    opened = [source.open().resize((224, 224)) for source in example_images(5).sources]
    images = [as_source(image, index) for index, image in enumerate(opened)]
    scorer = {"channels": 16, "batch": 2}
    with learning_in(None, most_steps=1):
        _is_scored_alike(load_detector("regad", options={"scorer": scorer}), images=images)
