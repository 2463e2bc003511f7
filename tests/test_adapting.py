"""Adapting to one's own images: some lines of a table teach, and the others measure."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from vlmad_evaluation.result_folders import read_results

from .conftest import SMALL, Ended
from .test_train import WORDS, draw_products


def test_some_lines_of_a_table_teach_and_the_others_measure(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    product = draw_products(tmp_path / "products", "a") / "a"
    with Path("parts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "mask", "split"])
        for number in range(3):
            split, name = "test" if number else "train", f"{number:03d}"
            mask = product / "ground_truth" / "spot" / f"{name}_mask.png"
            rows.writerow([product / "test" / "good" / f"{name}.png", "good", "", split])
            rows.writerow([product / "test" / "spot" / f"{name}.png", "bad", mask, split])
    words = ("--split", "train", *WORDS, "--extractor", "dense", "--epochs", "1")
    done = command("train", "parts.csv", *words, "--out", "parts.safetensors")
    assert done.status == 0, done.error
    assert "from: 2 images, 1 of them defective" in done.error
    Path("parts.toml").write_text('base = "anomalyclip"\nprompts = "learned:parts.safetensors"\n')
    done = command(
        "bench", "parts.csv", "--detector", "parts.toml,clip", *SMALL, "--set",
        "backbone.image_size=80", "--replicates", "10", "--out", "b",
    )  # fmt: skip
    assert done.status == 0, done.error
    document = read_results(Path("b")).document
    assert [(cell.detector, cell.normal, cell.anomalous) for cell in document.cells] == [
        ("parts", 2, 2),
        ("clip", 2, 2),
    ]
