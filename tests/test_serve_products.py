"""Products of a station: of one file with several, and exchanged while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vlmad_line.line_products import LineProduct, open_product
from vlmad_run.choosing import Choice
from vlmad_run.references import References

from .test_products import DETECTOR, parts
from .test_serve import nut, png, serving

__all__ = ["nut"]


@pytest.mark.slow
def test_of_a_file_of_several_products_each_is_watched_beside_its_own_references(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    for seed, shown in enumerate(("nut", "bolt")):
        parts(tmp_path / "good" / shown, shown, 10, seed)
    named = ("nut=good/nut", "bolt=good/bolt")
    ended = command("fit", *named, *DETECTOR, "--quiet", "--out", "line.safetensors")
    assert ended.status == 0, ended.error
    line = open_product(Choice(), References(model=tmp_path / "line.safetensors"))
    files = [*parts(tmp_path / "new", "nut", 1, 8).iterdir()]
    files += parts(tmp_path / "newer", "bolt", 1, 9).iterdir()
    (spool := tmp_path / "spool").mkdir()
    with serving(spool, [line, replace(line, name="other")]) as running:
        for where in ("", "?product=other"):
            for file in files:
                assert running.score(file.read_bytes(), where)[0] == 200
        scores = running.ask("GET", "/products/line/scores")[1]
    assert (scores["adjustable"], len(scores["good"]), len(scores["open"])) == (False, 20, 2)
    found = running.served.drift.report().products
    named_so = ["line: bolt", "line: nut", "other: bolt", "other: nut"]
    assert {name: each.images for name, each in found.items()} == dict.fromkeys(named_so, 1)
    assert not any("nothing usual" in remark for e in found.values() for remark in e.remarks)
    assert {each.quantity for each in found["line: nut"].shifts} >= {"score", "brightness"}
    assert running.served.drift.begin_anew("line", "a test")
    assert [*running.served.drift.report().products] == ["other: bolt", "other: nut"]


def test_scores_of_a_detector_that_was_exchanged_are_not_those_of_the_new_one(
    nut: LineProduct, tmp_path: Path
) -> None:
    identity = nut.identity.model_copy(update={"class_name": "another"})
    other = replace(nut, manifest=nut.manifest.model_copy(update={"identity": identity}))
    with serving(tmp_path, [nut]) as running:
        for seed in range(2):
            running.score(png(seed=seed))
        assert len(running.ask("GET", "/products/nut/scores")[1]["open"]) == 2
        running.ask("PUT", "/products/nut", '{"threshold": 0.9}')
        assert len(running.ask("GET", "/products/nut/scores")[1]["open"]) == 2
        running.served.station.add(other)
        assert running.ask("GET", "/products/nut/scores")[1]["open"] == []


def test_two_cannot_change_products_at_once(
    nut: LineProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, [nut, replace(nut, name="bolt")]) as running:
        station, refused = running.served.station, list[int]()

        def add(product: LineProduct) -> None:
            refused.append(running.ask("POST", "/products/nut/review/adopt")[0])
            refused.append(running.ask("DELETE", "/products/bolt")[0])

        with monkeypatch.context() as changing:
            changing.setattr(station, "add", add)
            assert running.ask("PUT", "/products/nut", '{"threshold": 0.9}')[0] == 200
        assert refused == [429, 429]
        assert running.ask("DELETE", "/products/bolt")[0] == 200
