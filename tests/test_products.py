"""Several products in one fitted detector: each image is judged as what it shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from vlmad_openclip.store import tensor_digest

from .conftest import SMALL

DETECTOR = (*SMALL, "--extractor", "patches", "--scorer", "gaussian", "--keep-all")
QUIET = ("--quiet", "--overlays", "none")
COLOURS = {"nut": (200, 60, 60), "bolt": (60, 60, 200), "film": (250, 250, 250)}


def parts(folder: Path, product: str, count: int, seed: int) -> Path:
    """Write small images of a colour with a little noise, of stripes of a product's own."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        values = np.full((24, 32, 3), COLOURS[product]) + rng.integers(-25, 26, (24, 32, 3))
        if product == "bolt":
            values[:, ::4] = 20
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(folder / f"{product}{index}.png")
    return folder


@pytest.fixture
def line(tmp_path: Path, command: Callable[..., Any]) -> Path:
    """A file of two products, and beside it photographs of them and of a third thing."""
    for seed, product in enumerate(("nut", "bolt")):
        parts(tmp_path / "good" / product, product, 4, seed)
    for seed, product in enumerate(COLOURS):
        parts(tmp_path / "photos" / product, product, 2, 10 + seed)
    named = [f"{product}=good/{product}" for product in ("nut", "bolt")]
    ended = command("fit", *named, *DETECTOR, "--quiet", "--out", "line.safetensors")
    assert ended.status == 0, ended.error
    return tmp_path / "line.safetensors"


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in (out / "scores.jsonl").read_bytes().splitlines()]


def test_each_image_is_judged_as_the_product_that_it_shows(
    line: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    run = ("run", "photos", "--model", line, *QUIET)
    assert command(*run, "--out", "out").status == 0
    found = rows(tmp_path / "out")
    shown = {Path(row["image"]).parent.name: row["product"] for row in found}
    assert shown == {"nut": "nut", "bolt": "bolt", "film": "unknown"}
    assert all(0 < row["margin"] <= 1 for row in found)
    assert {row["verdict"] for row in found if row["product"] == "unknown"} == {"unknown"}
    table = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
    assert [row["product"] for row in table] == [row["product"] for row in found]
    for product in ("nut", "bolt"):
        one = ("fit", f"good/{product}", *DETECTOR, "--class-name", product, "--quiet")
        assert command(*one, "--out", f"{product}.safetensors").status == 0
        single = ("run", f"photos/{product}", "--model", f"{product}.safetensors", *QUIET)
        assert command(*single, "--out", f"of {product}").status == 0
        for row in rows(tmp_path / f"of {product}"):
            assert "product" not in row
            same = next(each for each in found if each["image"] == row["image"])
            assert same["score"] == pytest.approx(row["score"], rel=1e-6)
            assert (same["verdict"], same["p_value"]) == (row["verdict"], row["p_value"])
        chosen = ("run", f"photos/{product}", "--model", line, "--class-name", product, *QUIET)
        assert command(*chosen, "--out", f"as {product}").status == 0
        assert "product" not in rows(tmp_path / f"as {product}")[0]
        again = command("run", "--manifest", f"as {product}", *QUIET, "--out", f"again {product}")
        assert "scores agree: 2 compared" in again.error
    assert "product" not in (tmp_path / "of nut" / "scores.csv").read_text().splitlines()[0]
    again = command("run", "--manifest", "out", *QUIET, "--out", "again")
    assert again.status == 0
    assert "scores agree: 6 compared" in again.error


def test_an_image_of_no_product_is_never_called_ok(
    line: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    run = ("run", "photos", "--model", line, "--threshold", "1e9", "--overlays", "none")
    ended = command(*run, "--fail-on", "anomalous", "--out", "out")
    assert ended.status == 1
    assert "2 of no known product: neither ok nor anomalous" in ended.out
    assert "0 anomalous, 4 ok" in ended.out
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["result"]["unknown"] == 2


def test_what_needs_one_product_asks_for_its_name(line: Path, command: Callable[..., Any]) -> None:
    ended = command("explain", "photos", "--model", line)
    assert ended.status == 2
    assert "holds nut, bolt: choose one with --class-name" in ended.error
    ended = command("run", "photos", "--model", line, "--class-name", "nuts")
    assert ended.status == 2
    assert "holds no product 'nuts'; did you mean 'nut'" in ended.error


def test_products_that_cannot_be_told_apart_are_refused(
    line: Path, command: Callable[..., Any]
) -> None:
    fit = ("fit", *DETECTOR, "--quiet", "--out", "odd.safetensors")
    for words, message in (
        (("nut=good/nut", "good/bolt"), "name a product for each folder: NAME=PATH"),
        (("nut=good/nut", "bolt=good/nut"), "is a reference already, as good/nut/nut0.png"),
        (("unknown=good/nut",), "printable words, but not 'unknown'"),
        (("nut=good/nut", "--roi", "mask.png"), "a mask is given as NAME=MASK"),
        (("nut=good/nut", "--add-to", line), "leave out NAME="),
    ):
        ended = command(*fit, *words)
        assert ended.status == 2
        assert message in ended.error


def test_a_file_of_products_is_believed_in_nothing(
    line: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    with safe_open(line, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = file.metadata()["vlmad"]
    for name, change, message in (
        ("looks", lambda kept: kept * 2, "'looks' has no unit vector of each reference"),
        ("1/looks", lambda kept: kept[:1], "'looks' has no unit vector of each reference"),
        ("1/looks", lambda kept: None, "'looks' holds no vectors"),
        ("1/file/prompts.x", lambda kept: tensors["looks"], "of which nothing is recorded"),
        ("more", None, "does not tell its products apart"),
    ):
        document, changed = json.loads(text), dict(tensors)
        if change is None:
            document["more"] *= 0
            document["more"].append(document["manifest"])
            changed |= {
                f"1/{n}": kept.clone() for n, kept in tensors.items() if not n.startswith("1/")
            }
        else:
            changed[name] = change(tensors.get(name))
        changed = {n: kept.contiguous().clone() for n, kept in changed.items() if kept is not None}
        document["tensors"] = {n: tensor_digest(kept) for n, kept in changed.items()}
        save_file(changed, tmp_path / "odd.safetensors", {"vlmad": json.dumps(document)})
        ended = command("run", "photos", "--model", "odd.safetensors")
        assert ended.status == 2, name
        assert message in ended.error
