"""`vlmad bench`, as its users meet it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import InputError
from vlmad_datasets import open_dataset
from vlmad_evaluation.result_folders import read_samples
from vlmad_evaluation.result_folders import read_results
from vlmad_run.thresholds import read_threshold

pytestmark = pytest.mark.xdist_group("bench")  # one worker makes the bench
WHAT = ["--detector", "winclip,clip", "--shots", "0,1,2", "--seeds", "2", "--replicates", "100"]


@pytest.fixture(scope="module")
def done(run_bench, two_categories: Path, small: list[str], tmp_path_factory) -> Path:
    """The folder of a whole bench."""
    folder = tmp_path_factory.mktemp("done")
    ran = run_bench(two_categories, *WHAT, *small, "--out", "out", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    (folder / "stdout").write_text(ran.stdout)
    return folder / "out"


@pytest.fixture(scope="module")
def document(done: Path) -> Any:
    return json.loads((done / "bench.json").read_text())


def of(document: Any, where: str, **wanted: Any) -> list[Any]:
    """Return the entries of a list that have these values."""
    return [e for e in document[where] if all(e[name] == value for name, value in wanted.items())]


def test_there_is_a_cell_for_each_detector_category_shots_and_seed(document: Any) -> None:
    found = [(c["category"], c["detector"], c["shots"], c["seed"]) for c in document["cells"]]
    assert found == [
        ("bolt", "winclip", 0, None),
        ("bolt", "winclip", 1, 0),
        ("bolt", "winclip", 1, 1),
        ("bolt", "winclip", 2, 0),
        ("bolt", "winclip", 2, 1),
        ("bolt", "clip", 0, None),
        ("nut", "winclip", 0, None),
        ("nut", "winclip", 1, 0),
        ("nut", "winclip", 1, 1),
        ("nut", "clip", 0, None),
    ]
    assert document["finished"] is True


def test_samples_stand_beside_their_scores(done: Path, two_categories: Path) -> None:
    samples = read_samples(done)
    assert samples == open_dataset(two_categories).select(split="test")
    assert all(sample.image.is_absolute() for sample in samples)


def test_a_bench_is_read_back_with_the_truth_beside_each_score(done: Path) -> None:
    results = read_results(done)
    cell = results.cells(detector="winclip", category="bolt", shots=1, seed=1)[0]
    scored = list(results.scored(cell))
    assert [each.sample.defect for each in scored] == ["good"] * 4 + ["spot"] * 4
    assert [each.row.image for each in scored] == [str(each.sample.image) for each in scored]
    assert scored[-1].map() is not None


def test_what_is_no_bench_cannot_be_read(done: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bench or grid"):
        read_results(tmp_path)
    (tmp_path / "samples.json").write_text("[]")
    with pytest.raises(InputError, match="broken off before it wrote what came of it"):
        read_results(tmp_path)
    (tmp_path / "bench.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[", "{}x", "[3]", '[{"image": 1}]', '[{"image": "a", "label": "odd"}]', "null"]
)
def test_damaged_samples_are_refused_with_a_remedy(text: str, tmp_path: Path) -> None:
    (tmp_path / "samples.json").write_text(text)
    with pytest.raises(InputError, match="run the bench again"):
        read_samples(tmp_path)


def test_detectors_are_listed_with_all_their_options(document: Any) -> None:
    options = document["detectors"]["winclip"]["options"]
    assert options["extractor"]["scales"] == [2, 3]
    assert options["scorer"].keys() >= {"temperature"}


def test_what_cannot_be_measured_is_skipped_with_a_reason(document: Any, done: Path) -> None:
    reasons = {(s["detector"], s["category"], s["shots"]): s["reason"] for s in document["skipped"]}
    assert reasons["clip", None, 1] == "scorer 'dense' makes no use of references"
    assert reasons[None, "nut", 2].startswith("the train split of nut has 1 images, fewer than")
    assert "nut, 2-shot: not measured" in (done / "bench.md").read_text()


def test_references_come_from_the_train_split_without_replacement(document: Any) -> None:
    for cell in document["cells"]:
        paths = [reference["path"] for reference in cell["references"]]
        assert len(set(paths)) == len(paths) == cell["shots"]
        assert all("/train/good/" in path for path in paths)
        assert all(len(reference["sha256"]) == 64 for reference in cell["references"])
    two = of(document, "cells", category="bolt", shots=1)
    assert two[0]["references"] != two[1]["references"]


def test_without_masks_pixel_metrics_are_undefined_never_zero(document: Any, done: Path) -> None:
    [cell] = of(document, "cells", category="nut", detector="clip")
    assert cell["metrics"]["pixel_auroc"]["value"] is None
    assert cell["metrics"]["pixel_auroc"]["reason"] == "no mask"
    assert cell["metrics"]["image_auroc"]["value"] is not None
    [average] = of(document, "averages", detector="clip", shots=0)
    [bolt] = of(document, "cells", category="bolt", detector="clip")
    found = average["metrics"]["pixel_auroc"]
    assert found["value"] == bolt["metrics"]["pixel_auroc"]["value"]
    assert (found["categories"], found["left_out"]) == (["bolt"], {"nut": "no mask"})
    markdown = (done / "bench.md").read_text()
    dash = "\N{EN DASH}"
    assert f"| nut | clip | {dash} | {dash} | {dash} | {dash} | {dash} |" in markdown
    assert "nut: pixel metrics are undefined and not averaged, no mask" in markdown


def test_the_spread_over_seeds_stays_apart_from_the_interval(document: Any) -> None:
    [entry] = of(document, "categories", category="bolt", detector="winclip", shots=1)
    cells = of(document, "cells", category="bolt", detector="winclip", shots=1)
    values = [cell["metrics"]["pixel_auroc"]["value"] for cell in cells]
    found = entry["metrics"]["pixel_auroc"]
    assert found["value"] == pytest.approx(sum(values) / 2)
    assert found["deviation_over_seeds"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert found["seeds"] == 2
    assert found["low"] <= found["value"] <= found["high"]
    [zero] = of(document, "categories", category="bolt", detector="winclip", shots=0)
    assert zero["metrics"]["pixel_auroc"]["deviation_over_seeds"] is None


def test_detectors_are_compared_with_the_first_by_the_test_that_fits(document: Any) -> None:
    entries = document["comparisons"]
    assert {(e["detector"], e["against"], e["shots"]) for e in entries} == {("clip", "winclip", 0)}
    assert {e["method"] for e in entries} == {"paired bootstrap"}  # too few images for DeLong
    [entry] = of(document, "comparisons", metric="image_auroc", category="bolt")
    values = [
        of(document, "cells", category="bolt", detector=name, shots=0)[0]["metrics"]["image_auroc"]
        for name in ("clip", "winclip")
    ]
    assert entry["difference"] == pytest.approx(values[0]["value"] - values[1]["value"])
    assert entry["p_value_holm"] >= entry["p_value"]
    [undefined] = of(document, "comparisons", metric="pixel_auroc", category="nut")
    assert (undefined["difference"], undefined["reason"]) == (None, "the metric is undefined")


def test_the_table_of_cells_has_the_numbers_of_the_document(document: Any, done: Path) -> None:
    with (done / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(document["cells"])
    for row, cell in zip(rows, document["cells"], strict=True):
        assert (row["detector"], row["category"]) == (cell["detector"], cell["category"])
        assert float(row["image_auroc"]) == cell["metrics"]["image_auroc"]["value"]
        pixel = cell["metrics"]["pixel_auroc"]["value"]
        assert row["pixel_auroc"] == ("" if pixel is None else str(pixel))


def test_the_terminal_shows_averages_and_the_resolution(done: Path) -> None:
    shown = (done.parent / "stdout").read_text()
    assert "pixel metrics at each mask's own resolution" in " ".join(shown.split())
    assert shown.count("average") == 4  # two detectors zero-shot, winclip with 1 and 2
    assert "note: clip, 1-shot: not measured" in shown


def test_time_and_memory_are_stated(document: Any) -> None:
    assert document["peak_memory_bytes"] > 10**8
    assert all(each["seconds_per_image"] > 0 for each in document["detectors"].values())


def test_threshold_files_are_taken_by_run(document: Any, done: Path, small, run_vlmad) -> None:
    [cell] = of(document, "cells", category="bolt", detector="clip")
    assert read_threshold(str(done / cell["threshold"])).evidence["warning"].startswith("chosen on")
    images = Path(document["dataset"]["root"]) / "bolt" / "test"
    words = ["run", images, "--detector", "clip", *small, "--class-name", "bolt", "--json"]
    words += ["--threshold", done / cell["threshold"], "--overlays", "none"]
    ran = run_vlmad(*words, "--out", "run", cwd=done.parent)
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    said = [row["verdict"] == "anomalous" for row in rows]
    truth = ["/spot/" in row["image"] for row in rows]
    hits = sum(a and b for a, b in zip(said, truth, strict=True))
    f1 = 2 * hits / (sum(said) + sum(truth))
    assert f1 == pytest.approx(cell["metrics"]["image_f1_max"]["value"])


def comparable(document: Any) -> Any:
    """Return a document without what differs from process to process."""
    detectors = {
        name: {**each, "seconds_per_image": None} for name, each in document["detectors"].items()
    }
    return {**document, "detectors": detectors, "peak_memory_bytes": None}


@pytest.mark.slow
def test_a_bench_that_was_interrupted_and_killed_goes_on_and_gives_the_same_numbers(
    document: Any, two_categories: Path, small, environment, run_bench, tmp_path: Path
) -> None:
    words = [str(two_categories), *WHAT, *small]
    cells = "vlmad-runs/*/cells/*/*/*/metrics.json"
    own = {**environment, "VLMAD_CACHE": str(tmp_path / "cache")}
    for wanted, how in ((2, signal.SIGINT), (5, signal.SIGKILL)):
        process = subprocess.Popen(
            [sys.executable, "-m", "vlmad", "bench", *words],
            cwd=tmp_path,
            env=own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(list(tmp_path.glob(cells))) < wanted:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, how)
        assert process.wait() == (130 if how == signal.SIGINT else -how)
    [folder] = (tmp_path / "vlmad-runs").iterdir()
    assert json.loads((folder / "bench.json").read_text())["finished"] is False
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob(cells)}
    assert 5 <= len(finished) < len(document["cells"])
    ran = run_bench(*words, "--json", cwd=tmp_path, VLMAD_CACHE=own["VLMAD_CACHE"])
    assert ran.returncode == 0, ran.stderr
    assert comparable(json.loads(ran.stdout)) == comparable(document)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert list((tmp_path / "vlmad-runs").iterdir()) == [folder]


def test_another_bench_is_refused_in_the_same_folder(
    done: Path, two_categories: Path, small, run_bench, tmp_path: Path
) -> None:
    before = (done / "bench.json").read_bytes()
    other = [word if word != "0,1,2" else "0,1" for word in WHAT]
    ran = run_bench(two_categories, *other, *small, "--out", done, "--quiet", cwd=tmp_path)
    assert ran.returncode == 2
    assert "holds a bench that differs in shots" in ran.stderr
    assert (done / "bench.json").read_bytes() == before


def test_an_image_that_only_decoding_finds_damaged_is_counted_with_exit_status_1(
    two_categories: Path, small, run_bench, tmp_path: Path
) -> None:
    shutil.copytree(two_categories / "nut", tmp_path / "parts" / "nut")
    image = tmp_path / "parts" / "nut" / "test" / "good" / "000.png"
    content = bytearray(image.read_bytes())
    content[200:260] = bytes(60)  # in the midst of the pixels
    image.write_bytes(content)
    ran = run_bench("parts", "--detector", "clip", *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 1, ran.stderr
    assert "vlmad: 1 image could not be scored, see out/bench.md" in ran.stderr
    [cell] = json.loads((tmp_path / "out" / "bench.json").read_text())["cells"]
    assert (cell["failed"], cell["normal"], cell["anomalous"]) == (1, 2, 3)
    markdown = (tmp_path / "out" / "bench.md").read_text()
    assert "clip on nut: not scored, images: 1; see cells/clip/nut/zero-shot" in markdown


def test_a_data_set_with_a_fatal_problem_is_refused_and_the_file_is_named(
    two_categories: Path, small, run_bench, tmp_path: Path
) -> None:
    broken = tmp_path / "parts"
    shutil.copytree(two_categories, broken)
    image = broken / "bolt" / "test" / "spot" / "000.png"
    image.write_bytes(b"no image")
    ran = run_bench(broken, "--detector", "clip", *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 2
    assert f"vlmad: fatal: {image}: not an image of a known format" in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shots", "0,many"], "--shots takes whole numbers from 0, such as 0,1,4; not 0,many"),
        (["--shots", "-1"], "--shots takes whole numbers from 0"),
        (["--resolution", "big"], "--resolution takes mask or a number of pixels, not big"),
        (["--category", "bolts"], "no category 'bolts'; did you mean 'bolt'?"),
        (["--detector", "winclop"], "did you mean 'winclip'?"),
        (["--detector", "clip,clip"], "detector 'clip' is named twice"),
        (["--detector", "clip", "--shots", "3"], "makes no use of references"),
        (["--set", "dataset.x=1"], "dataset 'mvtec' has no option 'x'"),
        (["--out", "parts"], "parts exists and holds something else; choose another --out"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    words: list[str], message: str, two_categories: Path, monkeypatch, capsys
) -> None:
    from vlmad.cli import main

    monkeypatch.chdir(two_categories.parent)
    monkeypatch.setattr(sys, "argv", ["vlmad", "bench", "parts", "--quiet", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
