"""`vlmad report`, as its users meet it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad.cli import main
from vlmad_datasets.object_groups import read_groups
from vlmad_report import page
from vlmad_report.content import Figure, Section
from vlmad_report.page import Part, Wishes, make_report

pytestmark = pytest.mark.xdist_group("report command")
DETECTOR = ["--detector", "clip"]


def draw_set(folder: Path) -> None:
    """Write two categories in MVTec AD's layout: noise, and noise with a bright square."""
    rng = np.random.default_rng(0)
    for category in ("bolt", "nut"):
        for split, kind, count in (("train", "good", 2), ("test", "good", 3), ("test", "spot", 3)):
            for index in range(count):
                pixels = rng.integers(60, 120, (40, 40, 3)).astype(np.uint8)
                mask = np.zeros((40, 40), np.uint8)
                if kind == "spot":
                    mask[2 + index : 9 + index, 3:9] = 255
                    pixels[mask > 0] = 250
                    save(folder / category / "ground_truth" / kind / f"{index:03d}_mask.png", mask)
                save(folder / category / split / kind / f"{index:03d}.png", pixels)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def made(two_layer_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set `parts`, a `bench` and a `run` of it, made by the command line."""
    from vlmad.testing import backbones

    folder = tmp_path_factory.mktemp("made")
    draw_set(folder / "parts")
    small = Path(backbones.__file__).with_name("two_layer.json")
    backbone = ["--backbone", f"openclip:{small}", "--weights", str(two_layer_file)]
    for words in (
        ["bench", "parts", *DETECTOR, "--replicates", "50", "--out", "bench"],
        ["run", "parts/bolt/test", *DETECTOR, "--class-name", "bolt", "--out", "run"],
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["vlmad", *words, *backbone, "--quiet"])
            with pytest.raises(SystemExit) as ended:
                main()
        assert not ended.value.code
    return folder


ALL_PARTS = page.all_parts


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in the working directory that a test may change; reports have two sections.

    All sections take seconds, and most tests look at what is around them.
    """
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(page, "all_parts", lambda: (plain("one"), plain("two")))
    return tmp_path


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def plain(name: str) -> Part:
    """A section of one figure."""
    from matplotlib.figure import Figure as Drawing

    def make(results: Any, wishes: Wishes) -> Section:
        figure = Figure(f"{name}-figure", "caption", "alternative", Drawing)
        return Section(name, name.title(), (f"{wishes.failures} failures",), (figure,))

    return Part(name, name.title(), make)


def broken(name: str) -> Part:
    def make(results: Any, wishes: Wishes) -> Section:
        raise KeyError("image_auroc")

    return Part(name, name.title(), make)


def undrawable(name: str) -> Part:
    def draw() -> Any:
        raise ValueError("no room for\nthe axes")

    figure = Figure(f"{name}-figure", "caption", "alternative", draw)
    return Part(name, name.title(), lambda *_: Section(name, "Title", (), (figure,)))


def test_a_report_of_a_bench_lies_in_its_folder(command, folder: Path) -> None:
    ended = command("report", "bench")
    assert (ended.status, ended.error) == (0, "")
    assert ended.out == "bench/report/report.html\n"
    text = (folder / "bench/report/report.html").read_text(encoding="utf-8")
    assert "clip on parts</bdi></h1>" in text
    assert "6 normal, 6 anomalous" in text
    assert "<dt>References</dt><dd><bdi>0</bdi></dd>" in text
    assert "# clip on parts\n" in (folder / "bench/report/report.md").read_text(encoding="utf-8")
    assert 'class="notice"' not in text


def test_the_title_can_be_chosen(command, folder: Path) -> None:
    assert command("report", "bench", "--out", "out", "--title", "A & B").status == 0
    assert "<title>A &amp; B</title>" in (folder / "out/report.html").read_text(encoding="utf-8")
    assert "# A & B\n" in (folder / "out/report.md").read_text(encoding="utf-8")


def test_the_same_results_give_the_same_bytes(
    command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "all_parts", lambda: (plain("one"), plain("two")))
    assert command("report", "bench", "--out", "a").status == 0
    assert command("report", "bench", "--out", "b").status == 0
    assert set(tree(folder / "a")) == {
        "report.html", "report.md", "report.json", "figures/one-figure.png",
        "figures/two-figure.png",
    }
    assert tree(folder / "a") == tree(folder / "b")


def test_a_report_made_again_replaces_its_own_files_only(
    command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "all_parts", lambda: (plain("one"), plain("two")))
    command("report", "bench", "--out", "a")
    (folder / "a/notes.txt").write_text("mine")
    (folder / "a/figures/mine.png").write_text("mine")
    monkeypatch.setattr(page, "all_parts", lambda: (plain("two"),))
    assert command("report", "bench", "--out", "a").status == 0
    assert {"notes.txt", "figures/mine.png", "figures/two-figure.png"} <= set(tree(folder / "a"))
    assert "figures/one-figure.png" not in tree(folder / "a")
    monkeypatch.setattr(page, "all_parts", lambda: (plain("mine"), plain("two")))
    (folder / "a/figures/mine-figure.png").write_text("mine")
    ended = command("report", "bench", "--out", "a")
    assert ended.status == 2
    assert "a/figures/mine-figure.png is not of a report" in ended.error
    assert (folder / "a/figures/mine-figure.png").read_text() == "mine"


@pytest.mark.parametrize("listed", ["{}", "[", '{"format": "other", "files": []}'])
def test_a_folder_of_something_else_is_refused(command, folder: Path, listed: str) -> None:
    (folder / "else").mkdir()
    (folder / "else/report.json").write_text(listed)
    before = tree(folder / "else")
    ended = command("report", "bench", "--out", "else")
    assert ended.status == 2
    assert ended.error == (
        "vlmad: else exists and holds something else; choose another --out\n"
    )
    assert tree(folder / "else") == before


def test_a_list_that_points_outside_deletes_nothing(command, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "precious.txt").write_text("kept")
    names = ["../precious.txt", "figures/../../precious.txt", "/etc/passwd", 7]
    (folder / "a/report.json").write_text(
        json.dumps({"format": "vlmad report 1", "files": names})
    )
    assert command("report", "bench", "--out", "a").status == 0
    assert (folder / "precious.txt").read_text() == "kept"


def test_a_file_is_no_folder_to_write_to(command, folder: Path) -> None:
    ended = command("report", "bench", "--out", "bench/bench.md")
    assert (ended.status, ended.error) == (
        2, "vlmad: bench/bench.md is no folder; choose another --out\n"
    )


def test_several_benches_are_reported_in_a_new_folder(command, folder: Path) -> None:
    shutil.copytree(folder / "bench", folder / "second")
    ended = command("report", "bench", "second", "bench")
    assert ended.status == 0
    path = Path(ended.out.strip())
    assert path.parts[0] == "vlmad-runs"
    assert path.parent.name.endswith("-report")
    text = path.read_text(encoding="utf-8")
    assert "<dt>Results in</dt><dd><bdi>bench, second</bdi></dd>" in text


def test_an_unfinished_bench_is_reported_as_far_as_it_goes(command, folder: Path) -> None:
    document = json.loads((folder / "bench/bench.json").read_text())
    document["finished"] = False
    document["cells"] = document["cells"][:1]
    document["cells"][0]["failed"] = 2
    (folder / "bench/bench.json").write_text(json.dumps(document))
    assert command("report", "bench").status == 0
    text = (folder / "bench/report/report.html").read_text(encoding="utf-8")
    assert "bench is not finished: what follows is of the 1 cell done so far." in text
    assert "2 images of bench could not be scored and count nowhere." in text


def test_a_part_that_fails_takes_only_itself_from_the_page(
    command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (plain("one"), broken("curves"), undrawable("sizes"), plain("two"), plain("two"))
    monkeypatch.setattr(page, "all_parts", lambda: parts)
    ended = command("report", "bench", "--no-failures")
    assert ended.status == 1
    assert ended.out == "bench/report/report.html\n"
    assert ended.error.splitlines() == [
        "vlmad: not in the report: Curves: KeyError: 'image_auroc'",
        "vlmad: not in the report: Sizes: ValueError: no room for",
        "vlmad: not in the report: Two: ValueError: two sections or figures are called 'two'",
    ]
    text = (folder / "bench/report/report.html").read_text(encoding="utf-8")
    assert "This part of the report could not be made: ValueError: no room for." in text
    assert text.count('class="notice"') == 3
    assert text.count("<p class=\"prose\">0 failures</p>") == 2


def test_sections_and_figures_must_have_names_for_anchors_and_files(made: Path) -> None:
    results = [read_results(made / "bench")]
    for name in ("a b", "../x", "", "ä", "a_b"):
        report = make_report(results, Wishes(read_groups()), [plain(name)])
        assert report.faults == (f"{name.title()}: ValueError: a section or figure is called "
                                 f"{name!r}",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "none: no such folder; name one of vlmad bench, grid or run"),
        (["parts"], "parts holds no bench.json or grid.json: it is no bench or grid"),
        (["run"], "run is a run, which has no labels: name its data set with --data DATA"),
        (["bench", "--dataset", "folder"],
         "--dataset and --set say how --data is read: name it too"),
        (["run", "--data", "none"], "none: no such file or folder"),
        (["bench", "--groups", "none"], "none: no such file"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    command, folder: Path, words: list[str], message: str
) -> None:
    ended = command("report", *words)
    assert (ended.status, ended.out, ended.error) == (2, "", f"vlmad: {message}\n")
    assert not (folder / "vlmad-runs").exists()


def test_damaged_results_are_refused_in_one_line(command, folder: Path) -> None:
    document = json.loads((folder / "bench/bench.json").read_text())
    for key in ("dataset", "settings", "vlmad"):
        damaged = {name: value for name, value in document.items() if name != key}
        (folder / "bench/bench.json").write_text(json.dumps(damaged))
        ended = command("report", "bench")
        assert ended.status == 2
        assert ended.error == (
            f"vlmad: cannot read bench/bench.json: it is damaged, {key} is missing; "
            "run its command again, which keeps what is done\n"
        )


def labelled(folder: Path, data: Path, run: str = "run") -> Results:
    from vlmad_datasets import open_dataset
    from vlmad_report.sources.labelled import label_run

    return label_run(folder / run, open_dataset(data), lambda done, total: None)


def test_a_run_with_a_data_set_is_measured_as_a_bench_would(made: Path) -> None:
    bench = read_results(made / "bench")
    run = labelled(made, made / "parts")
    [cell] = run.cells()
    [same] = bench.cells(category="bolt")
    for name, metric in same["metrics"].items():
        value = cell["metrics"][name]["value"]
        assert value == pytest.approx(metric["value"], abs=1e-6), name
    assert {name: cell[name] for name in ("normal", "anomalous", "failed", "shots", "seed")} == {
        "normal": 3, "anomalous": 3, "failed": 0, "shots": 0, "seed": None
    }
    assert set(run.document) == set(bench.document)
    assert set(cell) == set(same)
    assert set(run.document["detectors"]["clip"]) == set(bench.document["detectors"]["clip"])
    images = [each.sample.image.name for each in run.scored(cell)]
    assert images == [each.sample.image.name for each in bench.scored(same)]
    assert (run.run(cell) / "scores.jsonl").is_file()
    for each in run.scored(cell):
        assert each.map().scores.shape == (40, 40)


def test_a_data_set_that_has_moved_is_known_by_its_bytes(folder: Path) -> None:
    before = labelled(folder, folder / "parts")
    shutil.copytree(folder / "parts", folder / "elsewhere")
    shutil.rmtree(folder / "parts")
    manifest = json.loads((folder / "run/manifest.json").read_text())
    assert manifest["folder"]
    after = labelled(folder, folder / "elsewhere")
    assert after.document["cells"] == before.document["cells"]
    assert all("elsewhere" in str(each.sample.image) for each in after.images)
    assert all(each.map() is not None for each in after.images)


def test_images_that_the_data_set_does_not_have_are_left_out_and_said(folder: Path) -> None:
    for name in ("000.png", "002.png"):
        (folder / "parts/bolt/test/good" / name).unlink()
    run = labelled(folder, folder / "parts")
    assert len(run.images) == 4
    [skipped] = run.document["skipped"]
    assert skipped["reason"] == (
        f"images of the run that the test split of {folder / 'parts'} lacks: 2"
    )


def repoint(folder: Path) -> None:
    """Make a copied run name the images of its own copy."""
    path = folder / "run/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"folder": str(folder)}))


def test_an_image_that_changed_since_is_refused(command, folder: Path) -> None:
    repoint(folder)
    save(folder / "parts/bolt/test/good/000.png", np.zeros((40, 40, 3), np.uint8))
    ended = command("report", "run", "--data", "parts")
    assert ended.status == 2
    assert "bolt/test/good/000.png has changed since it was scored" in ended.error


def test_one_image_under_two_labels_is_refused(command, folder: Path) -> None:
    good = folder / "parts/bolt/test/good/000.png"
    shutil.copy(good, folder / "parts/bolt/test/spot/000.png")
    (folder / "parts").rename(folder / "moved")
    ended = command("report", "run", "--data", "moved")
    assert ended.status == 2
    assert "are the same image, one normal and one anomalous" in ended.error


def test_references_of_the_detector_do_not_count(folder: Path) -> None:
    path = folder / "run/manifest.json"
    manifest = json.loads(path.read_text())
    lines = (folder / "run/scores.jsonl").read_text().splitlines()
    first = next(row for row in map(json.loads, lines) if "good" in row["image"])
    manifest["references"] = [{"path": first["image"], "sha256": first["sha256"]}]
    path.write_text(json.dumps(manifest))
    run = labelled(folder, folder / "parts")
    [cell] = run.cells()
    assert (cell["normal"], cell["shots"], cell["seed"]) == (2, 1, 0)
    [skipped] = run.document["skipped"]
    assert skipped["reason"] == "images that are references of the detector: 1"


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "[" * 100_000,
        '{"identity": {}}',
        '{"identity": {}, "references": [{"sha256": [1]}]}',
    ],
)
def test_a_damaged_manifest_is_refused(command, folder: Path, content: str) -> None:
    (folder / "run/manifest.json").write_text(content)
    ended = command("report", "run", "--data", "parts")
    assert ended.status == 2
    assert ended.error.startswith("vlmad: ")
    assert len(ended.error.splitlines()) == 1


@pytest.mark.slow
def test_all_sections_are_made_of_a_bench_and_of_a_run(
    command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "all_parts", ALL_PARTS)
    names = [part.name for part in page.all_parts()]
    for words in (["bench", "--no-failures"], ["run", "--data", "parts", "--failures", "1"]):
        ended = command("report", *words)
        assert (ended.status, ended.error) == (0, "")
        text = (folder / words[0] / "report/report.html").read_text(encoding="utf-8")
        assert re.findall(r'<section id="([^"]+)"', text) == names
        assert ("Photographs were left out" in text) == ("--no-failures" in words)


def test_a_run_is_reported_from_the_command_line(command, folder: Path) -> None:
    ended = command("report", "run", "--data", "parts", "--set", "dataset.root=x")
    assert ended.status == 2
    ended = command("report", "run", "--data", "parts")
    assert (ended.status, ended.out) == (0, "run/report/report.html\n")
    text = (folder / "run/report/report.html").read_text(encoding="utf-8")
    assert "3 normal, 3 anomalous" in text


@pytest.mark.slow
def test_two_runs_are_reported_side_by_side(command, folder: Path) -> None:
    assert command("run", "parts/nut/test", *again(folder), "--class-name", "nut").status == 0
    ended = command("report", "run", "other", "--data", "parts", "--out", "both")
    assert (ended.status, ended.error) == (0, "")
    text = (folder / "both/report.md").read_text(encoding="utf-8")
    assert "# clip on parts\n" in text
    assert "- **Categories:** 2: bolt, nut\n" in text
    assert "- **Test images:** 6 normal, 6 anomalous\n" in text


def again(folder: Path) -> list[str]:
    """Return the detector of the run, and another folder."""
    options = json.loads((folder / "run/manifest.json").read_text())["options"]["backbone"]
    backbone = f"openclip:{options['model']}"
    return [*DETECTOR, "--backbone", backbone, "--weights", options["weights"], "--out", "other"]
