"""What happens to people with photographs: situations of a first week, each as it was met."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import SMALL, noise

Command = Callable[..., Any]
RUN = ("run", "photos", "--detector", "clip", *SMALL)


def test_where_a_table_is_too_wide_names_stay_whole_and_pictures_are_left_out(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [photo] = noise(tmp_path / "photos", 1).iterdir()
    name = "a bracket of the second shift, left side, 2026-11-30.png"
    photo.rename(photo.with_name(name))
    wide = command(*RUN, "--out", "wide")
    assert "heat map in overlays/" in wide.out
    monkeypatch.setenv("COLUMNS", "80")
    narrow = command(*RUN, "--out", "narrow")
    assert name in narrow.out
    assert "heat map in overlays/" not in narrow.out
    assert "heat maps: narrow/overlays/" in narrow.out
