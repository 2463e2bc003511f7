"""`vlmad bench`, as its users meet it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad_evaluation.result_documents import BenchDocument
from vlmad_evaluation.result_folders import Results, read_results, read_samples
from vlmad_run.manifest import read_manifest
from vlmad_run.opening import open_dataset
from vlmad_run.thresholds import read_threshold

pytestmark = pytest.mark.xdist_group("bench")  # one worker makes the bench
WORDS = ["--detector", "winclip,clip", "--shots", "0,1,2", "--seeds", "2", "--replicates", "100"]


@pytest.fixture(scope="module")
def done(run_bench, two_categories: Path, small: list[str], tmp_path_factory) -> Path:
    """The folder of a whole bench."""
    folder = tmp_path_factory.mktemp("done")
    ran = run_bench(two_categories, *WORDS, *small, "--out", "out", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    (folder / "stdout").write_text(ran.stdout)
    return folder / "out"


@pytest.fixture(scope="module")
def results(done: Path) -> Results:
    return read_results(done)


@pytest.fixture(scope="module")
def document(results: Results) -> BenchDocument:
    return results.document


def test_there_is_a_cell_for_each_detector_category_shots_and_seed(document) -> None:
    found = [(c.category, c.detector, c.shots, c.seed) for c in document.cells]
    drawn = [("winclip", 0, None), ("winclip", 1, 0), ("winclip", 1, 1)]
    two = [("winclip", 2, 0), ("winclip", 2, 1)]  # of the nut there is one train image
    assert found == [
        *(("bolt", *cell) for cell in [*drawn, *two, ("clip", 0, None)]),
        *(("nut", *cell) for cell in [*drawn, ("clip", 0, None)]),
    ]
    assert document.finished


def test_a_bench_is_read_back_with_the_truth_beside_each_score(
    results: Results, two_categories: Path
) -> None:
    assert results.samples == open_dataset(two_categories).select(split="test")
    [cell] = results.cells(detector="winclip", category="bolt", shots=1, seed=1)
    scored = list(results.scored(cell))
    assert [each.sample.defect for each in scored] == ["good"] * 4 + ["spot"] * 4
    assert [each.row.image for each in scored] == [str(each.sample.image) for each in scored]
    assert scored[-1].map() is not None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no bench.json or grid.json: it is no bench or grid"),
        ({"samples.json": "[]"}, "broken off before it wrote what came of it"),
        ({"bench.json": "{}"}, "run its command again"),
        ({"bench.json": '{"format": "vlmad bench 1"}'}, "if an earlier one wrote it"),
    ],
)
def test_what_is_no_bench_cannot_be_read(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(tmp_path)


@pytest.mark.parametrize("text", ["", "{}x", "[3]", '{"samples": [{"image": 1}]}', "null"])
def test_damaged_samples_are_refused_with_a_remedy(text: str, tmp_path: Path) -> None:
    (tmp_path / "samples.json").write_text(text)
    with pytest.raises(InputError, match="run the bench again"):
        read_samples(tmp_path)


def test_what_cannot_be_measured_is_skipped_with_a_reason(document, done: Path) -> None:
    reasons = {(s.detector, s.category, s.shots): s.reason for s in document.skipped}
    assert reasons["clip", None, 1] == "scorer 'dense' makes no use of references"
    assert reasons[None, "nut", 2].startswith("the train split of nut has 1 images, fewer than")
    assert "nut, 2-shot: not measured" in (done / "bench.md").read_text()
    assert "not measured, clip, 1-shot: scorer" in (done.parent / "stdout").read_text()


def test_references_come_from_the_train_split_without_replacement(document, results) -> None:
    for cell in document.cells:
        paths = {reference.path for reference in cell.references}
        assert len(paths) == len(cell.references) == cell.shots
        assert all("/train/good/" in path for path in paths)
    one, other = results.cells(category="bolt", shots=1)
    assert one.references != other.references


def test_without_masks_pixel_metrics_are_undefined_never_zero(document, results, done) -> None:
    [cell] = results.cells(category="nut", detector="clip")
    assert (cell.metrics["pixel_auroc"].value, cell.pixels) == (None, None)
    assert cell.metrics["pixel_auroc"].reason == "no mask"
    assert cell.metrics["image_auroc"].value is not None
    [bolt] = results.cells(category="bolt", detector="clip")
    found = next(e for e in document.averages if e.detector == "clip").metrics["pixel_auroc"]
    assert found.value == bolt.metrics["pixel_auroc"].value
    assert (found.categories, found.left_out) == (["bolt"], {"nut": "no mask"})
    markdown = (done / "bench.md").read_text()
    assert "| nut | zero-shot | clip |" + " \N{EN DASH} (2) |" * 5 in markdown
    assert "\n(2) no mask" in markdown
    assert "over 1 of 2 categories, no mask: nut" in markdown
    assert "over 1 of 2 categories, no mask: nut" in (done.parent / "stdout").read_text()


def test_the_spread_over_seeds_stays_apart_from_the_interval(document, results) -> None:
    entries = {(e.category, e.detector, e.shots): e.metrics for e in document.categories}
    cells = results.cells(category="bolt", detector="winclip", shots=1)
    one, other = (cell.metrics["pixel_auroc"].value for cell in cells)
    found = entries["bolt", "winclip", 1]["pixel_auroc"]
    assert found.value == pytest.approx((one + other) / 2)
    assert found.deviation_over_seeds == pytest.approx(abs(one - other) / 2**0.5)
    assert found.low <= found.value <= found.high
    assert entries["bolt", "winclip", 0]["pixel_auroc"].deviation_over_seeds is None


def test_detectors_are_compared_with_the_first_by_the_test_that_fits(document, results) -> None:
    entries = {(e.metric, e.category): e for e in document.comparisons}
    assert {(e.detector, e.against, e.shots) for e in entries.values()} == {("clip", "winclip", 0)}
    assert {e.method for e in entries.values()} == {"paired bootstrap"}  # few images for DeLong
    own, first = (
        results.cells(detector=name, category="bolt", shots=0)[0].metrics["image_auroc"].value
        for name in ("clip", "winclip")
    )
    found = entries["image_auroc", "bolt"]
    assert found.difference == pytest.approx(own - first)
    assert 0 < found.p_value_max_t <= 1
    undefined = entries["pixel_auroc", "nut"]
    assert (undefined.difference, undefined.reason) == (None, "the metric is undefined")


def test_the_table_of_cells_has_the_numbers_of_the_document(document, done: Path) -> None:
    with (done / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, cell in zip(rows, document.cells, strict=True):
        assert (row["detector"], row["category"]) == (cell.detector, cell.category)
        for name in ("image_auroc", "pixel_auroc"):
            value = cell.metrics[name].value
            assert row[name] == ("" if value is None else str(value))


def test_options_are_stated_in_full(document) -> None:
    assert document.detectors["winclip"].options["extractor"]["scales"] == [2, 3]


def test_threshold_files_are_taken_by_run(results, done: Path, small, run_vlmad) -> None:
    [cell] = results.cells(category="bolt", detector="clip")
    assert read_threshold(str(done / cell.threshold)).evidence["warning"].startswith("chosen on")
    images = Path(results.document.dataset.root) / "bolt" / "test"
    words = ["run", images, "--detector", "clip", *small, "--class-name", "bolt", "--json"]
    ran = run_vlmad(*words, "--threshold", done / cell.threshold, "--out", "run", cwd=done.parent)
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    called = [row["verdict"] == "anomalous" for row in rows]
    truth = ["/spot/" in row["image"] for row in rows]
    hits = sum(a and b for a, b in zip(called, truth, strict=True))
    f1 = 2 * hits / (sum(called) + sum(truth))
    assert f1 == pytest.approx(cell.metrics["image_f1_max"].value)


@pytest.mark.slow
def test_a_bench_that_was_interrupted_and_killed_goes_on_and_gives_the_same_numbers(
    document, two_categories: Path, small, environment, run_bench, tmp_path: Path
) -> None:
    words = [str(two_categories), *WORDS, *small]
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
    assert read_results(folder).document.finished is False
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob(cells)}
    assert 5 <= len(finished) < len(document.cells)
    ran = run_bench(*words, "--json", cwd=tmp_path, VLMAD_CACHE=own["VLMAD_CACHE"])
    assert ran.returncode == 0, ran.stderr
    assert BenchDocument.parse(ran.stdout, "standard output") == document
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert list((tmp_path / "vlmad-runs").iterdir()) == [folder]


def test_another_bench_is_refused_in_the_same_folder(
    done: Path, two_categories: Path, small, run_bench, tmp_path: Path
) -> None:
    before = (done / "bench.json").read_bytes()
    other = [word if word != "0,1,2" else "0,1" for word in WORDS]
    ran = run_bench(two_categories, *other, *small, "--out", done, "--quiet", cwd=tmp_path)
    assert ran.returncode == 2
    assert "holds a bench that differs: settings.shots" in ran.stderr
    assert (done / "bench.json").read_bytes() == before


def test_an_image_that_only_decoding_finds_damaged_is_counted_with_exit_status_1(
    two_categories: Path, small, run_bench, tmp_path: Path
) -> None:
    shutil.copytree(two_categories / "nut", tmp_path / "parts" / "nut")
    image = tmp_path / "parts" / "nut" / "test" / "good" / "000.png"
    written = io.BytesIO()
    Image.open(image).save(written, "JPEG")
    content = written.getvalue()
    image.write_bytes(content[:-60] + content[-2:])  # lacks some pixels, but not its end
    ran = run_bench("parts", "--detector", "clip", *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 1, ran.stderr
    assert "vlmad: 1 image could not be scored, see out/bench.md" in ran.stderr
    [cell] = read_results(tmp_path / "out").document.cells
    assert (cell.failed, cell.normal, cell.anomalous) == (1, 2, 3)
    markdown = (tmp_path / "out" / "bench.md").read_text()
    assert "clip on nut: not scored, images: 1; see cells/clip/nut/zero-shot" in markdown


def test_a_data_set_with_a_fatal_problem_is_refused_and_the_file_is_named(
    two_categories: Path, small, run_bench, tmp_path: Path
) -> None:
    shutil.copytree(two_categories, tmp_path / "parts")
    image = tmp_path / "parts" / "bolt" / "test" / "spot" / "000.png"
    image.write_bytes(b"no image")
    ran = run_bench("parts", "--detector", "clip", *small, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 2
    assert "bolt/test/spot/000.png: not an image of a known format" in ran.stderr
    assert not (tmp_path / "out").exists()


def test_wrong_lines_of_a_table_are_named_and_the_others_measured(
    two_categories: Path, small, run_bench, tmp_path: Path
) -> None:
    test = two_categories / "bolt" / "test"
    rows = [f"{p},{p.parent.name}" for p in sorted(test.glob("*/*.png"))]
    lines = ["image,label", *rows[:4], "none.png,good", *rows[4:], f"{test},so-so"]
    table = "\n".join(lines).replace(",spot", ",bad")
    (tmp_path / "parts.csv").write_text(table)
    words = ["--detector", "clip", "--replicates", "2", *small, "--out", "out"]
    ran = run_bench("parts.csv", *words, cwd=tmp_path)
    assert ran.returncode == 1, ran.stderr
    assert "parts.csv: line 6: none.png: No such file or directory" in ran.stderr
    assert "parts.csv: line 11: label 'so-so' is neither side" in ran.stderr
    [cell] = read_results(tmp_path / "out").document.cells
    assert (cell.normal, cell.anomalous) == (4, 4)
    (tmp_path / "parts.csv").write_text("image,label\nnone.png,good\n")
    ran = run_bench("parts.csv", *words[:-1], "none", cwd=tmp_path)
    assert (ran.returncode, (tmp_path / "none").exists()) == (2, False)


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
    words: list[str], message: str, two_categories: Path, run_bench
) -> None:
    ran = run_bench("parts", "--quiet", *words, cwd=two_categories.parent)
    assert ran.returncode == 2
    [line] = ran.stderr.splitlines()
    assert message in line


def test_spare_good_train_images_are_test_images_of_cells_that_do_not_remember_them(
    run_bench, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    what = ("--category", "bolt", "--shots", "0,2", "--seeds", "2", "--replicates", "20")
    words = (two_categories, *what, *small, "--spare-good", "--out", "out")
    done = run_bench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    for cell in results.document.cells:
        tested = [scored.sample.image for scored in results.scored(cell)]
        manifest = read_manifest(results.run(cell))
        assert manifest is not None
        own = {Path(each.path).resolve() for each in manifest.references}
        assert len(tested) == 8 + 3 - cell.shots
        assert not own & {image.resolve() for image in tested}
    assert "no reference of a cell are test images" in (tmp_path / "out/bench.md").read_text()
