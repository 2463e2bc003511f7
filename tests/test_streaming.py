"""Memory does not grow with the number of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from vlmad.types import Result
from vlmad_run.run_folder import RunFolder

from .conftest import SMALL, noise


def test_a_run_keeps_no_map_longer_than_its_batch_and_the_next(
    tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(tmp_path / "photos", 24)
    maps, alive = [], []
    write = RunFolder.write

    def watched(folder: RunFolder, result: Result) -> Any:
        maps.append(ref(result.map))  # type: ignore[arg-type]
        alive.append(sum(each() is not None for each in maps))
        return write(folder, result)

    monkeypatch.setattr(RunFolder, "write", watched)
    words = ("--detector", "clip", *SMALL, "--batch-size", "2", "--out", "out")
    assert command("run", "photos", *words).status == 0
    assert len(maps) == 24
    assert max(alive) <= 6
