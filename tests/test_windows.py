"""The window extractor asks for windows as its options say, of backbones that have them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmad import Windows, load_detector
from vlmad.errors import IncompatiblePartsError


def test_shared_windows_are_chosen_by_name_and_need_a_backbone_that_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = {"extractor": {"encoding": "shared"}}
    assert Windows(2) in load_detector("winclip").requests()
    detector = load_detector("winclip", options=shared)
    assert Windows(2, encoding="shared") in detector.requests()
    spec = detector.backbone.spec
    without = replace(spec, provides=spec.provides - {"shared windows"})
    monkeypatch.setattr("vlmad_tiny._tiny.SPEC", without)
    assert load_detector("winclip").backbone.spec is without
    with pytest.raises(IncompatiblePartsError, match="needs shared windows"):
        load_detector("winclip", extractor="window", options=shared)


def test_a_window_of_the_whole_grid_is_noted() -> None:
    detector = load_detector("winclip", options={"extractor": {"scales": (2, 15)}})
    [note] = detector.assembly.notes
    assert "scales=15 is one window over all 15 x 15 patches" in note
