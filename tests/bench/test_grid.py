"""`vlmad grid`, as its users meet it."""

from __future__ import annotations

import copy
import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from vlmad_run.choosing import Choice

from vlmad import load_detector
from vlmad.errors import InputError, OptionError, UnknownPartError
from vlmad.registry import Registry
from vlmad_evaluation._grid_axes import Axes, parse_axes, split_names
from vlmad_evaluation._grid_combinations import combine, with_baseline
from vlmad_evaluation._grid_grouping import misfits
from vlmad_evaluation._grid_terminal import show
from vlmad_evaluation.result_folders import read_results

pytestmark = pytest.mark.xdist_group("grid")  # one worker makes the grid
AXES = ["--prompt", "compositional,plain", "--extractor", "window,dense"]
AXES += ["--attention", "none,vv", "--set", "extractor.scales=2|2,3"]
WHAT = [*AXES, "--shots", "0,1", "--seeds", "2", "--replicates", "100"]
LEGAL = [
    f"{prompts} + {rest}"
    for prompts in ("compositional", "plain")
    for rest in ("window scales=2 + none", "window scales=2,3 + none", "dense + none", "dense + vv")
]


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
def document(done: Path) -> Any:
    return json.loads((done / "grid.json").read_text())


@pytest.mark.slow
def test_every_legal_combination_is_measured_and_others_have_a_reason(document: Any) -> None:
    assert list(document["detectors"]) == LEGAL
    illegal = document["grid"]["illegal"]
    assert list(illegal) == [
        f"{prompts} + window scales={scales} + vv"
        for prompts in ("compositional", "plain")
        for scales in ("2", "2,3")
    ]
    assert all("needs patch features" in reason for reason in illegal.values())
    cells = [(c["detector"], c["category"], c["shots"], c["seed"]) for c in document["cells"]]
    assert len(cells) == len(set(cells)) == len(LEGAL) * 2 * 3
    assert document["finished"] is True


@pytest.mark.slow
def test_runs_of_measured_cells_are_finished(done: Path) -> None:
    manifests = [json.loads(path.read_text()) for path in done.rglob("cells/**/manifest.json")]
    assert len(manifests) == len(LEGAL) * 2 * 3
    assert all(manifest["result"]["finished"] is True for manifest in manifests)


@pytest.mark.slow
def test_the_plan_comes_first(done: Path) -> None:
    plan = (done.parent / "out.stderr").read_text()
    assert "8 combinations, 48 cells; 6 distinct visual requests in 1 pass over" in plan
    assert "for 8 combinations)" in plan
    assert "for metrics and intervals" in plan
    assert f"baseline: {LEGAL[0]}, against it: {LEGAL[1]}; " in plan
    (illegal,) = (line for line in plan.splitlines() if line.startswith("cannot be, "))
    assert "needs patch features" in illegal
    assert illegal.startswith("cannot be, 4 combinations: compositional + window scales=2 + vv; ")
    assert "; and 1 more: attention 'vv'" in illegal
    assert "not measured" not in plan


@pytest.mark.slow
def test_a_cell_holds_what_the_detector_says_alone(
    done: Path, two_layer_file: Path, small: list[str]
) -> None:
    results = read_results(done)
    for name, choice in {
        "plain + window scales=2 + none": {"options": {"extractor": {"scales": (2,)}}},
        "plain + dense + vv": {"extractor": "dense", "attention": "vv"},
    }.items():
        options = {"backbone": {"weights": two_layer_file}, **choice.pop("options", {})}
        detector = load_detector(
            "winclip", backbone=small[1], prompts="plain", options=options, **choice
        )
        for seed in (None, 1):
            cell = results.cells(detector=name, category="bolt", seed=seed)[0]
            detector.memory = None
            if seed is not None:
                detector.fit([each["path"] for each in cell["references"]])
            scored = list(results.scored(cell))
            alone = detector.predict([each.sample.image for each in scored], "bolt", 1)
            assert len(scored) == 8
            for one, other in zip(scored, alone, strict=True):
                assert one.row.score == pytest.approx(other.score, abs=1e-5)
                labelled = one.map()
                assert labelled is not None
                np.testing.assert_allclose(labelled.scores, other.map, atol=1e-4)


@pytest.mark.slow
def test_the_table_has_a_row_for_each_combination_and_the_best_of_each_column(
    done: Path, document: Any
) -> None:
    with (done / "grid.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(LEGAL) * 2 * 3  # average, bolt, nut
    first = rows[0]
    assert first["category"] == "average"
    assert [first[axis] for axis in ("prompts", "extractor", "extractor.scales", "attention")] == [
        "compositional",
        "window",
        "2",
        "none",
    ]
    assert first["image_auroc_difference"] == ""  # it is the baseline
    assert all(row["image_auroc_difference"] for row in rows if row["combination"] != LEGAL[0])
    for shots in ("0", "1"):
        block = [r for r in rows if r["category"] == "bolt" and r["shots"] == shots]
        values = [float(row["pixel_auroc"]) for row in block]
        best = [row["pixel_auroc_best"] == "1" for row in block]
        assert best == [value == max(values) for value in values]
    markdown = (done / "grid.md").read_text()
    title, whole, *_ = markdown.split("\n\n")
    assert title == "# 8 combinations, average"
    assert len(whole.splitlines()) == 2 + len(LEGAL) * 2  # zero- and one-shot
    assert "| compositional | window | 2,3 | none | 1-shot | " in whole
    for shots, words in ((0, "zero-shot"), (1, "1-shot")):
        bold = [line.count("**") // 2 for line in whole.splitlines() if f"| {words} |" in line]
        marked = [row for row in rows if (row["category"], row["shots"]) == ("average", str(shots))]
        names = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
        assert bold == [sum(row[f"{name}_best"] == "1" for name in names) for row in marked]
    assert "## Combinations that cannot be" in markdown
    assert document["baseline"] == LEGAL[0]


def test_the_terminal_shows_one_table_with_the_intervals_and_what_they_are(
    done: Path, document: Any
) -> None:
    shown = (done.parent / "out.stdout").read_text()
    (few,) = (
        each["metrics"]["pixel_auroc"]
        for each in document["averages"]
        if (each["detector"], each["shots"]) == (LEGAL[0], 1)
    )
    text = f"{few['value']:.3f} ± {few['deviation_over_seeds']:.3f}"
    assert f"{LEGAL[0]}" in shown
    assert few["low"] < few["high"]
    assert f"{text} [{few['low']:.3f}, {few['high']:.3f}]" in shown
    assert shown.count("image AUROC") == 1
    told = " ".join(shown.split())
    assert "the 95% interval over images (BCa, 100 resampled sets)" in told
    assert "after ± stands the standard deviation over draws" in told
    assert f"better or worse than the baseline, {LEGAL[0]}, on the same images" in told


def test_a_long_table_on_the_terminal_keeps_what_leads_and_the_baseline(
    document: Any, tmp_path: Path
) -> None:
    many = copy.deepcopy(document)
    for number in range(60):
        name = f"another {number}"
        many["grid"]["combinations"][name] = {}
        for entries in (many["averages"], many["categories"]):
            like = [entry for entry in entries if entry["detector"] == LEGAL[1]]
            entries += [{**entry, "detector": name} for entry in like]
    console = Console(width=80, record=True, file=io.StringIO())
    show(console, many, tmp_path)
    shown = console.export_text()
    assert "rows that lead in a metric, and the baseline's; grid.md has all, 136" in shown
    assert shown.count("another ") < 60
    assert "compositional +" in shown
    table = shown.partition("average")[2].partition("Averages")[0]
    assert max(map(len, table.splitlines())) <= 80


def test_a_plan_writes_nothing(
    run_vlmad, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    ran = run_vlmad("grid", two_categories, *WHAT, *small, "--plan", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    plan = json.loads(ran.stdout)
    assert list(plan["combinations"]) == LEGAL
    assert (plan["cells"], len(plan["passes"])) == (48, 1)
    assert plan["scorings"] == 3 * 8 * (8 + 6)
    assert plan["images"] == 8 + 6 + 2 + 1  # drawn: two of three references, and the only one
    assert plan["texts"]["calls"] == 2 * 2  # prompts and class names
    assert plan["seconds"] > 0
    assert plan["baseline"] == LEGAL[0]
    assert set(plan["illegal"]) == {
        f"{prompts} + window scales={scales} + vv"
        for prompts in ("compositional", "plain")
        for scales in ("2", "2,3")
    }
    assert list(plan["dataset"]["categories"]) == ["bolt", "nut"]
    assert (plan["settings"]["shots"], plan["skipped"], plan["same"]) == ([0, 1], [], {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_larger_grid_takes_over_what_is_there(
    run_vlmad, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    words = ["--prompt", "plain", "--category", "bolt", *small, "--replicates", "50"]
    words += ["--out", "out", "--quiet"]
    few = ["--extractor", "dense", "--attention", "none"]
    # the axes have two values each, so that names stay the same
    few = ["--scorer", "harmonic,dense", "--attention", "none,vv"]
    first = run_vlmad("grid", two_categories, *words, *few, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("scores.jsonl")}
    more = ["--scorer", "harmonic,dense,max-cosine", "--attention", "none,vv,kk"]
    second = run_vlmad("grid", two_categories, *words, *more, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert {p: p.stat().st_mtime_ns for p in files} == files
    assert len(list((tmp_path / "out").rglob("scores.jsonl"))) > len(files)
    fewer = run_vlmad("grid", two_categories, *words, *few, cwd=tmp_path)
    assert fewer.returncode == 2
    assert "holds a bench that differs in detectors (" in fewer.stderr


@pytest.mark.slow
def test_a_grid_that_was_interrupted_goes_on_and_ends_the_same(
    environment, run_vlmad, done: Path, two_categories: Path, small: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "vlmad", "grid", str(two_categories), *WHAT, *small]
    command += ["--out", "out"]
    env = {**environment, "VLMAD_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE) as process:
        while not list((tmp_path / "out").rglob("scores.jsonl")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        error = process.communicate()[1].decode()
    assert process.returncode == 130, error
    assert "interrupted; what is done is in out" in error
    again = run_vlmad(*command[3:], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert figures(tmp_path / "out") == figures(done)


def figures(folder: Path) -> Any:
    document = json.loads((folder / "grid.json").read_text())
    return [(cell["run"], cell["metrics"]) for cell in document["cells"]]


BROKEN = '''
from vlmad import Scorer, hookimpl


class Broken(Scorer):
    """Fails after some images."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, features, text, memory):
        from vlmad import Prediction
        import torch
        self.seen += 1
        if self.seen > AFTER:
            raise ZeroDivisionError("no more")
        count = len(features)
        return Prediction(torch.zeros(count), torch.zeros(count, *features.image_size))


@hookimpl
def register_scorers(register):
    register("broken", Broken, "fails")
'''


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_part_that_fails_costs_its_combinations_only(
    run_vlmad, two_categories: Path, small: list[str], install, tmp_path: Path, after: int
) -> None:
    site = install("broken-scorer", BROKEN.replace("AFTER", str(after)))
    ran = run_vlmad(
        *("grid", two_categories, "--category", "bolt", "--scorer", "harmonic,broken"),
        *(*small, "--replicates", "50", "--out", "out"),
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
        (["--scorer", "harmonic,harmonic"], "scorer: 'harmonic' is named twice"),
        (["--prompt", "plain,,learned"], "a name is missing in 'plain,,learned'"),
        (["--prompt", ","], "a name is missing in ','"),
        (["--set", "extractor.scales=2||3"], "a value is missing in '2||3'"),
        (["--set", "extractor.size=2|3"], "no extractor of the grid has an option 'size'"),
        (["--set", "extractor.scales=big"], "no combination can be"),
        (["--baseline", "windows"], "there is no combination 'windows'"),
        (["--extractor", "window", "--attention", "vv"], "needs patch features"),
        (["--shots", "x"], "--shots takes whole numbers"),
        (["--fitted", "x"], "No such option"),
    ],
)
def test_what_cannot_be_done_is_refused(
    words: list[str], message: str, two_categories: Path, monkeypatch, capsys
) -> None:
    from vlmad.cli import main

    monkeypatch.chdir(two_categories.parent)
    monkeypatch.setattr(sys, "argv", ["vlmad", "grid", "parts", "--quiet", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def axes(**parts: str) -> Axes:
    kinds = ("backbone", "prompts", "extractor", "attention", "scorer")
    named = {kind: split_names(parts[kind]) if kind in parts else () for kind in kinds}
    return Axes(("winclip",), named, {})


def test_a_combination_that_comes_out_as_another_is_named_as_the_same(registry: Registry) -> None:
    spelled = {"extractor": {"scales": ("2,3", "2, 3", "3,2", "2,3,3", "3")}}
    found = combine(Axes(("winclip",), axes().parts, spelled), registry)
    assert list(found.detectors) == ["scales=2,3", "scales=3"]
    assert list(found.same) == ["scales=2, 3", "scales=3,2", "scales=2,3,3"]
    assert set(found.same.values()) == {"scales=2,3"}


def test_all_stands_for_every_installed_part(registry: Registry) -> None:
    found = parse_axes(Choice(scorer="all", prompt="plain, none"), registry)
    assert found.parts["scorer"] == tuple(r.name for r in registry.of_kind("scorer"))
    assert found.parts["prompts"] == ("plain", "none")
    assert found.recipes == ("winclip",)


def test_the_baseline_comes_first(registry: Registry) -> None:
    found = combine(axes(prompts="compositional,plain", attention="none,diagonal"), registry)
    chosen = "plain + diagonal"
    assert next(iter(with_baseline(found, chosen))) == chosen
    assert set(with_baseline(found, chosen)) == set(found.detectors)
    with pytest.raises(InputError, match="did you mean 'plain \\+ diagonal'"):
        with_baseline(found, "plain + diagonale")


def test_what_is_true_of_many_combinations_is_said_once(registry: Registry) -> None:
    found = combine(
        axes(prompts="compositional,plain", extractor="window,tiles", attention="none,vv"), registry
    )
    said = dict(misfits(found.illegal))
    assert [len(names) for names in said.values()] == [2, 2]
    assert all("try --extractor dense or --attention" in problem for problem in said)
    one = combine(axes(prompts="plain,none", scorer="dense,harmonic"), registry)
    for problem, (name,) in misfits(one.illegal):
        assert str(one.illegal[name]) == problem


def test_recipes_can_vary_too(registry: Registry) -> None:
    found = combine(Axes(("winclip", "clip"), axes(attention="none,vv").parts, {}), registry)
    assert {"winclip + none", "clip + none", "clip + vv"} <= set(found.detectors)


def test_an_unknown_name_is_refused_before_anything_else(registry: Registry) -> None:
    with pytest.raises(UnknownPartError):
        combine(axes(scorer="harmonic,nonsense"), registry)
    with pytest.raises(OptionError, match="no scorer of the grid has an option 'heat'"):
        combine(Axes(("winclip",), axes().parts, {"scorer": {"heat": ("1", "2")}}), registry)
