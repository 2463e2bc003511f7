"""`vlmad grid`: every legal combination of parts, measured as if alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmad import Detector, load_detector
from vlmad.errors import InputError, OptionError, UnknownPartError
from vlmad.registry import Registry
from vlmad_evaluation._bench_plan import load_detectors
from vlmad_evaluation._grid_combinations import combine, parse_space, with_baseline
from vlmad_evaluation._grid_plan import GridPlan
from vlmad_evaluation.result_documents import GridDocument
from vlmad_evaluation.result_folders import Results, read_results
from vlmad_run.choosing import Choice
from vlmad_run.manifest import read_manifest
from vlmad_run.run_folder import RunFolder

ODD_PARTS = (Path(__file__).parents[1] / "plugins" / "odd_parts.py").read_text()
WHAT = ["--extractor", "window,dense", "--attention", "none,vv", "--set", "extractor.scales=2|2,3"]
WHAT += ["--prompt", "plain", "--shots", "0,1", "--seeds", "2", "--replicates", "50"]
LEGAL = ["window scales=2 + none", "window scales=2,3 + none", "dense + none", "dense + vv"]
ILLEGAL = ["window scales=2 + vv", "window scales=2,3 + vv"]


@pytest.fixture(scope="module")
def done(run_vlmad, two_categories: Path, small: list[str], tmp_path_factory) -> Path:
    """The folder of a whole grid."""
    folder = tmp_path_factory.mktemp("grid")
    ran = run_vlmad("grid", two_categories, *WHAT, *small, "--out", "out", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    (folder / "out.stdout").write_text(ran.stdout)
    (folder / "out.stderr").write_text(ran.stderr)
    return folder / "out"


@pytest.fixture(scope="module")
def document(done: Path) -> GridDocument:
    return GridDocument.read(done / "grid.json")


@pytest.fixture
def alone(small: list[str], two_layer_file: Path) -> Callable[..., Detector]:
    """Return a function that loads a detector as one of a grid is chosen."""

    def load(**named: Any) -> Detector:
        own = named.pop("options", {})
        options = {"backbone": {"weights": two_layer_file}, **own}
        return load_detector("winclip", backbone=small[1], options=options, **named)

    return load


def test_every_legal_combination_is_measured_and_others_have_a_reason(
    done: Path, document: GridDocument
) -> None:
    assert list(document.detectors) == list(document.grid.combinations) == LEGAL
    assert list(document.grid.illegal) == ILLEGAL
    assert all("needs patch features" in reason for reason in document.grid.illegal.values())
    cells = {(c.detector, c.category, c.shots, c.seed) for c in document.cells}
    assert len(cells) == len(document.cells) == len(LEGAL) * 2 * 3
    assert document.finished
    for cell in document.cells:
        manifest = read_manifest(done / cell.run)
        assert manifest is not None
        assert manifest.result is not None
        assert manifest.result.finished


def test_the_plan_comes_first(done: Path) -> None:
    plan = (done.parent / "out.stderr").read_text()
    # drawn: two of three references, and the only one
    assert "4 combinations, 24 cells; 1 pass over 17 images" in plan
    assert f"baseline: {LEGAL[0]}" in plan.splitlines()
    (illegal,) = (line for line in plan.splitlines() if line.startswith("cannot be, "))
    assert illegal.startswith(f"cannot be, {'; '.join(ILLEGAL)}: attention 'vv'")
    assert "needs patch features" in illegal


def assert_as_alone(results: Results, name: str, detector: Detector, seed: int | None) -> None:
    """Check that a cell's scores and maps are, to the last bit, those of the detector alone."""
    (cell,) = results.cells(detector=name, category="bolt", seed=seed)
    if seed is not None:
        detector.fit([each.path for each in cell.references])
    scored = list(results.scored(cell))
    single = detector.predict([each.sample.image for each in scored], "bolt", 1)
    assert len(scored) == 8
    for one, other in zip(scored, single, strict=True):
        assert np.float32(one.row.score) == np.float32(other.score)
        ends = np.float32([one.row.map_low, one.row.map_high])
        np.testing.assert_array_equal(ends, [other.map.min(), other.map.max()])
        np.testing.assert_allclose(one.heat(), other.map, atol=one.half_level)


@pytest.mark.parametrize("seed", [None, 1])
def test_a_cell_holds_what_the_detector_gives_alone(
    seed: int | None, done: Path, alone: Callable[..., Detector]
) -> None:
    results = read_results(done)
    windows = alone(prompts="plain", options={"extractor": {"scales": (2,)}})
    assert_as_alone(results, LEGAL[0], windows, seed)
    dense = alone(prompts="plain", extractor="dense", attention="vv")
    assert_as_alone(results, "dense + vv", dense, seed)


def test_the_table_has_a_row_for_each_combination_and_the_best_of_each_column(done: Path) -> None:
    with (done / "grid.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(LEGAL) * 2 * 3  # average, bolt, nut
    axes = ("category", "extractor", "extractor.scales", "attention")
    assert [rows[0][axis] for axis in axes] == ["average", "window", "2", "none"]
    assert rows[0]["image_auroc_difference"] == ""  # it is the baseline
    assert all(row["image_auroc_difference"] for row in rows if row["combination"] != LEGAL[0])
    for shots in ("0", "1"):
        block = [r for r in rows if (r["category"], r["shots"]) == ("bolt", shots)]
        values = [float(row["pixel_auroc"]) for row in block]
        best = [row["pixel_auroc_best"] == "1" for row in block]
        assert best == [value == max(values) for value in values]
    markdown = (done / "grid.md").read_text()
    title, *sections = markdown.split("\n\n")
    assert title == "# 4 combinations on 2 categories"
    whole = next(section for section in sections if section.startswith("|"))
    assert len(whole.splitlines()) == 2 + len(LEGAL) * 2  # zero- and one-shot
    assert "| average | 1-shot | window | 2,3 | none | " in whole
    for shots, words in (("0", "zero-shot"), ("1", "1-shot")):
        bold = [line.count("**") // 2 for line in whole.splitlines() if f"| {words} |" in line]
        marked = [r for r in rows if (r["category"], r["shots"]) == ("average", shots)]
        assert bold == [sum(v == "1" for k, v in r.items() if k.endswith("_best")) for r in marked]
    assert "## Combinations that cannot be" in markdown


def test_the_terminal_shows_one_table_with_the_intervals_and_what_they_are(
    done: Path, document: GridDocument
) -> None:
    shown = (done.parent / "out.stdout").read_text()
    averages = {(each.detector, each.shots): each.metrics for each in document.averages}
    few = averages[LEGAL[0], 1]["pixel_auroc"]
    text = f"{few.value:.3f} ± {few.deviation_over_seeds:.3f}"
    assert f"{text} [{few.low:.3f}, {few.high:.3f}]" in shown
    assert shown.count("image AUROC") == 1
    words = " ".join(shown.split())
    assert "the 95% interval over images (BCa, 50 resampled sets)" in words
    assert "after ± stands the standard deviation over draws" in words
    assert f"better or worse than the baseline, {LEGAL[0]}, on the same images" in words


def test_a_plan_writes_nothing_and_measures_the_time(
    run_vlmad, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    ran = run_vlmad("grid", two_categories, *WHAT, *small, "--plan", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    plan = GridPlan.parse(ran.stdout, "the plan")
    assert list(plan.grid.combinations) == LEGAL
    assert (plan.cells, len(plan.passes), plan.images) == (24, 1, 17)
    assert set(plan.passes[0].requests) >= {
        "class token",
        "windows 2",
        "patches 2 of the second path",
    }
    assert plan.seconds
    assert (plan.baseline, list(plan.grid.illegal)) == (LEGAL[0], ILLEGAL)
    assert list(tmp_path.iterdir()) == []


def test_scorers_of_sets_are_measured_beside_others(
    run_vlmad,
    two_categories: Path,
    small: list[str],
    install: Callable[..., Path],
    alone: Callable[..., Detector],
    tmp_path: Path,
) -> None:
    site = install("odd-parts", ODD_PARTS)
    words = ["--category", "bolt", "--scorer", "harmonic,mutual", *small, "--replicates", "20"]
    for last in (["--plan"], ["--out", "out", "--batch-size", "1"]):
        ran = run_vlmad("grid", two_categories, *words, *last, cwd=tmp_path, PYTHONPATH=str(site))
        assert ran.returncode == 0, ran.stderr
        assert "2 combinations, 2 cells; 1 pass over 8 images" in ran.stdout + ran.stderr
    results = read_results(tmp_path / "out")
    assert_as_alone(results, "harmonic", alone(), None)
    assert_as_alone(results, "mutual", alone(scorer="mutual", registry=Registry.discover()), None)


def test_a_larger_grid_takes_over_what_is_there(
    run_vlmad, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    words = ["--prompt", "plain", "--category", "bolt", *small, "--replicates", "20"]
    words += ["--out", "out", "--quiet"]
    few = ["--scorer", "harmonic,dense"]
    first = run_vlmad("grid", two_categories, *words, *few, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("scores.jsonl")}
    more = ["--scorer", "harmonic,dense,max-cosine"]
    second = run_vlmad("grid", two_categories, *words, *more, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert {p: p.stat().st_mtime_ns for p in files} == files
    assert len(list((tmp_path / "out").rglob("scores.jsonl"))) > len(files)
    fewer = run_vlmad("grid", two_categories, *words, *few, cwd=tmp_path)
    assert fewer.returncode == 2
    assert "holds a bench that differs: detectors." in fewer.stderr


@pytest.mark.slow
def test_a_grid_that_was_interrupted_goes_on_and_ends_the_same(
    run_vlmad,
    done: Path,
    document: GridDocument,
    two_categories: Path,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["grid", two_categories, *WHAT, *small, "--out", "out"]
    write, written = RunFolder.write, []

    def interrupt(folder: RunFolder, result: Any) -> None:
        written.append(result.name)
        if len(written) == 50:
            raise KeyboardInterrupt
        write(folder, result)

    monkeypatch.setattr(RunFolder, "write", interrupt)
    stopped = run_vlmad(*words, cwd=tmp_path)
    assert stopped.returncode == 130
    assert "interrupted; what is done is in out" in stopped.stderr
    again = run_vlmad(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(written) < 50 + 24 * 8
    ended = GridDocument.read(tmp_path / "out" / "grid.json")
    assert [(c.run, c.metrics) for c in ended.cells] == [(c.run, c.metrics) for c in document.cells]


BROKEN = '''
from vlmad import Scorer, hookimpl


class Broken(Scorer):
    """Fails after some images."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, features, text, memory):
        from vlmad import Prediction
        import torch
        self.count += 1
        if self.count > AFTER:
            raise ZeroDivisionError("no more")
        count = len(features)
        return Prediction(torch.zeros(count), torch.zeros(count, *features.image_size))


@hookimpl
def register_scorers(register):
    register("broken", Broken, "fails")
'''


@pytest.mark.parametrize("after", [0, 4])
def test_a_part_that_fails_costs_its_combinations_only(
    run_vlmad, two_categories: Path, small: list[str], install, tmp_path: Path, after: int
) -> None:
    site = install("broken-scorer", BROKEN.replace("AFTER", str(after)))
    ran = run_vlmad(
        *("grid", two_categories, "--category", "bolt", "--scorer", "harmonic,broken"),
        *(*small, "--replicates", "20", "--out", "out"),
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )
    assert ran.returncode == 1, ran.stderr
    found = json.loads((tmp_path / "out" / "grid.json").read_text())
    assert [cell["detector"] for cell in found["cells"]] == ["harmonic"]
    (skipped,) = found["skipped"]
    assert skipped["detector"] == "broken"
    assert "ZeroDivisionError: no more" in skipped["reason"]
    assert "not measured, broken, zero-shot: scorer 'broken'" in " ".join(ran.stdout.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scorer", "harmonic,harmonik"], "did you mean 'harmonic'"),
        (["--set", "extractor.size=2|3"], "no extractor of the grid has an option 'size'"),
        (["--set", "extractor.scales=big"], "no combination can be"),
        (["--baseline", "windows"], "there is no combination 'windows'"),
        (["--extractor", "window", "--attention", "vv"], "needs patch features"),
        (["--shots", "x"], "--shots takes whole numbers"),
    ],
)
def test_what_cannot_be_done_is_refused(
    words: list[str], message: str, run_vlmad, two_categories: Path
) -> None:
    ran = run_vlmad("grid", two_categories, "--quiet", *words, cwd=two_categories.parent)
    assert ran.returncode == 2
    assert message in " ".join(ran.stderr.split())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(scorer="harmonic,harmonic"), "scorer: 'harmonic' is named twice"),
        (Choice(prompt="plain,,learned"), "prompts: 'plain,,learned' has nothing on one side"),
        (Choice(prompt=","), "prompts: ',' has nothing on one side of a ','"),
        (Choice(settings=["extractor.scales=2||3"]), "'2||3' has nothing on one side of a '|'"),
    ],
)
def test_lists_of_alternatives_are_whole(choice: Choice, message: str, registry: Registry) -> None:
    with pytest.raises(InputError) as refused:
        parse_space(choice, registry)
    assert message in str(refused.value)


def test_a_combination_that_comes_out_as_another_is_named_as_the_same(registry: Registry) -> None:
    choice = Choice(settings=["extractor.scales=2,3|2, 3|3,2|2,3,3|3"])
    found, axes = combine(parse_space(choice, registry), registry)
    assert list(found) == ["scales=2,3", "scales=3"]
    assert list(axes.same) == ["scales=2, 3", "scales=3,2", "scales=2,3,3"]
    assert set(axes.same.values()) == {"scales=2,3"}


def test_all_stands_for_every_installed_part(registry: Registry) -> None:
    space = parse_space(Choice(scorer="all", prompt="plain, none"), registry)
    assert space["scorer"] == tuple(r.name for r in registry.of_kind("scorer"))
    assert (space["prompts"], space["detector"]) == (("plain", "none"), ("winclip",))


def test_the_baseline_comes_first(registry: Registry) -> None:
    choice = Choice(prompt="compositional,plain", attention="none,diagonal")
    found, axes = combine(parse_space(choice, registry), registry)
    ordered = with_baseline(found, axes, "plain + diagonal")
    assert next(iter(ordered)) == "plain + diagonal"
    assert set(ordered) == set(found)
    with pytest.raises(InputError, match="did you mean 'plain \\+ diagonal'"):
        with_baseline(found, axes, "plain + diagonale")


def test_recipes_can_vary_too_also_those_in_files(registry: Registry, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('base = "clip"\n')
    choice = Choice(detector=f"winclip,{own}", attention="none,vv")
    found, axes = combine(parse_space(choice, registry), registry)
    assert {"winclip + none", f"{own} + none", f"{own} + vv"} <= set(found)
    assert axes.combinations[f"{own} + vv"] == {"detector": str(own), "attention": "vv"}


def test_a_recipe_whose_part_was_replaced_is_not_called_by_its_name_alone(
    registry: Registry,
) -> None:
    for recipes in ("winclip", "winclip,comparison"):
        space = parse_space(Choice(detector=recipes, prompt="plain"), registry)
        names = [f"{recipe}-with-plain" for recipe in recipes.split(",")]
        assert list(combine(space, registry)[0]) == names
        assert list(load_detectors(Choice(prompt="plain"), [recipes], None)) == names


def test_an_unknown_name_is_refused_before_anything_else(registry: Registry) -> None:
    with pytest.raises(UnknownPartError):
        combine(parse_space(Choice(scorer="harmonic,nonsense"), registry), registry)
    with pytest.raises(OptionError, match="no scorer of the grid has an option 'heat'"):
        combine(parse_space(Choice(settings=["scorer.heat=1|2"]), registry), registry)
