"""What is read from outside is bounded, and said to be wrong in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmad import load_detector
from vlmad.errors import InputError, RecipeError, VlmadError
from vlmad.files import read_bounded
from vlmad.recipes import read_recipe
from vlmad.registry import Registry
from vlmad.resizing import tile_places
from vlmad.testing import example_images
from vlmad_run.thresholds import read_threshold

ENDLESS = Path("/dev/zero")


def test_a_file_larger_than_allowed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"12345")
    assert read_bounded(tmp_path / "large", 5) == b"12345"
    with pytest.raises(OSError, match="is larger than 0 MiB"):
        read_bounded(tmp_path / "large", 4)


@pytest.mark.skipif(not ENDLESS.exists(), reason="this system has no endless file")
def test_endless_files_are_refused_and_not_read(registry: Registry) -> None:
    with pytest.raises(RecipeError, match="is no regular file"):
        read_recipe(registry, ENDLESS)
    with pytest.raises(InputError, match="is no regular file"):
        read_threshold(str(ENDLESS))
    with pytest.raises(VlmadError, match="is no regular file"):
        load_detector(options={"prompts": {"file": ENDLESS}})


def test_a_sentence_longer_than_the_model_reads_is_refused() -> None:
    detector = load_detector("clip")
    with pytest.raises(InputError, match="is longer than the 77 tokens that the model reads"):
        detector.predict(example_images(1).sources, "x " * 80)
    detector.predict(example_images(1).sources, "x " * 60)


def test_tiles_are_never_smaller_than_what_can_be_seen() -> None:
    assert len(tile_places((5, 3), 24)) <= 3
    for left, top, right, bottom in tile_places((100, 80), 24):
        assert min(right - left, bottom - top) >= 16
