"""The command `vlmad review` over real runs of a small backbone."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from vlmad_winclip.prompts import read_prompt_list

from vlmad import load_detector
from vlmad.errors import OutputError
from vlmad.testing import backbones
from vlmad_review import keeping
from vlmad_review.keeping import DOCUMENT, PAGE
from vlmad_review.trials import Trials
from vlmad_run.thresholds import read_threshold

from .conftest import vlmad

Command = Callable[..., Any]
NORMAL, ANOMALOUS = 9, 7


def draw(folder: Path, seed: int = 0) -> Path:
    """Write stripes of two directions, and such with a bright spot."""
    rng = np.random.default_rng(seed)
    for kind, count in (("good", NORMAL), ("spot", ANOMALOUS)):
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            stripes = 90 + 60 * (np.arange(40) % 8 < 4)
            grid = np.tile(stripes, (40, 1)) if index % 2 else np.tile(stripes, (40, 1)).T
            pixels = grid[..., None] + rng.integers(0, 25, (40, 40, 3))
            if kind == "spot":
                top, left = rng.integers(2, 28, 2)
                pixels[top : top + 9, left : left + 9] = 250
            path = folder / kind / f"{kind}{index}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def model(two_layer_file: Path) -> list[str]:
    file = Path(backbones.__file__).with_name("two_layer.json")
    chosen = ["--backbone", f"openclip:{file}", "--weights", str(two_layer_file)]
    return [*chosen, "--class-name", "part", "--overlays", "none", "--quiet"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, model: list[str]) -> Path:
    """A folder with photographs, a run with a threshold, `judged`, and one without, `open`."""
    folder = tmp_path_factory.mktemp("runs")
    draw(folder / "photos")
    for words in (("--threshold", "0.4", "--out", "judged"), ("--out", "open")):
        done = vlmad("run", "photos", *words, *model, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def verdicts(
    folder: Path, normal: int = NORMAL, anomalous: int = ANOMALOUS, name: str = "verdicts.csv"
) -> Path:
    """Write what is true of the first images of each kind."""
    rows = [(f"good{index}.png", "ok") for index in range(normal)]
    rows += [(f"spot{index}.png", "defect") for index in range(anomalous)]
    (folder / name).write_text("\n".join(map(",".join, [("image", "verdict"), *rows])) + "\n")
    return folder / name


@pytest.fixture
def here(runs: Path, tmp_path: Path) -> Path:
    """The working folder of `command`, with links to the runs and a table of all verdicts."""
    verdicts(tmp_path)
    return runs


def one_line(ended: Any) -> str:
    assert ended.status == 2, ended
    assert len(ended.error.splitlines()) == 1, ended.error
    return str(ended.error)


def files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


# the table to fill in


@pytest.mark.slow
def test_the_table_lists_what_is_nearest_to_the_threshold_and_is_read_back(
    here: Path, command: Command, tmp_path: Path
) -> None:
    ended = command("review", here / "judged", "--init", "todo.csv")
    assert ended.status == 0, ended.error
    assert "16 images, those nearest to the threshold first" in ended.out
    with (tmp_path / "todo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    distances = [abs(float(row["score"]) - 0.4) for row in rows]
    assert distances == sorted(distances)
    assert {row["verdict"] for row in rows} == {""}
    assert {row["run says"] for row in rows} <= {"ok", "anomalous"}
    line = one_line(command("review", here / "judged", "todo.csv"))
    assert "todo.csv holds no verdict yet: write normal or anomalous beside images" in line
    text = (tmp_path / "todo.csv").read_text()
    filled = [
        line.replace(",,", ",good," if "/good/" in line else ",ng,", 1)
        for line in text.splitlines()
    ]
    (tmp_path / "todo.csv").write_text("\n".join(filled))
    ended = command("review", here / "judged", "todo.csv", "--json")
    assert ended.status == 0, ended.error
    found = json.loads(ended.out)
    assert (found["normal"], found["anomalous"], found["undecided"]) == (NORMAL, ANOMALOUS, 0)
    line = one_line(command("review", here / "judged", "--init", "todo.csv"))
    assert "todo.csv exists; choose another name or add --force" in line


def test_without_a_threshold_the_highest_scores_come_first(
    here: Path, command: Command, tmp_path: Path
) -> None:
    assert command("review", here / "open", "--init", "todo.csv", "--quiet").status == 0
    with (tmp_path / "todo.csv").open(newline="") as file:
        scores = [float(row["score"]) for row in csv.DictReader(file)]
    assert scores == sorted(scores, reverse=True)


# what is found


def test_figures_and_caveats_are_shown_and_nothing_is_written(runs: Path, tmp_path: Path) -> None:
    before = files(runs)
    table = verdicts(tmp_path)
    done = vlmad("review", runs / "judged", table, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "9 normal and 7 anomalous images" in done.stdout
    for word in ("as it is", "references", "threshold", "states"):
        assert f"\n {word} " in done.stdout
    assert "in 5 folds; 95 % intervals are wide with 9 normal and 7 anomalous" in done.stdout
    assert "the interval of each gain is one of 98.75 %" in done.stdout
    assert "usually picked because they were hard" not in done.stdout  # all were reviewed
    assert "nothing is w" in done.stdout
    assert files(runs) == before
    assert files(tmp_path) == {str(table)}


@pytest.mark.slow
def test_what_is_kept_runs_at_once_and_scores_as_if_fitted_on_the_confirmed_images(
    here: Path, command: Command, tmp_path: Path, model: list[str]
) -> None:
    asked = ("--adopt", "references", "--out", "better")
    ended = command("review", here / "judged", "verdicts.csv", *asked)
    assert ended.status == 0, ended.error
    better = tmp_path / "better"
    assert {path.name for path in better.iterdir()} == {
        "fitted.safetensors",
        "threshold.json",
        "review.json",
        "review.md",
    }
    found = json.loads((better / "review.json").read_text())
    assert found["adopted"] == ["references", "threshold"]
    assert len(found["new_references"]) == NORMAL
    assert found["use"] in ended.out
    threshold = read_threshold(str(better / "threshold.json"))
    assert threshold.value == found["threshold"]
    with safe_open(better / "fitted.safetensors", "pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
    kept = [reference["sha256"] for reference in manifest["references"]]
    assert kept == [reference["sha256"] for reference in found["new_references"]]
    draw(tmp_path / "fresh", seed=1)
    words = found["use"].replace("NEW", "fresh").split()[1:]
    done = command(*words, "--overlays", "none", "--out", "done", "--json")
    assert done.status == 0, done.error
    rows = [json.loads(line) for line in done.out.splitlines()]
    detector = load_detector("winclip", backbone=model[1], weights=model[3], keep="nothing")
    detector.fit([here / "photos" / "good" / f"good{index}.png" for index in range(NORMAL)])
    results = detector.predict([tmp_path / row["image"] for row in rows], "part")
    assert [row["score"] for row in rows] == pytest.approx([r.score for r in results], abs=1e-5)
    assert [row["verdict"] for row in rows] == [threshold.verdict(row["score"]) for row in rows]
    assert {row["verdict"] for row in rows} == {"ok", "anomalous"}
    line = one_line(command("review", here / "judged", "verdicts.csv", *asked))
    assert "exists; choose another --out or add --force" in line


@pytest.mark.slow
def test_a_changed_prompt_list_goes_along_with_and_without_references(
    here: Path, command: Command, tmp_path: Path
) -> None:
    words = ("review", here / "open", "verdicts.csv", "--state", "bright spot on {}")
    for name, adopt in (("one", "states"), ("two", "states,references")):
        ended = command(*words, "--adopt", adopt, "--out", name, "--json")
        assert ended.status == 0, ended.error
        found = json.loads(ended.out)
        assert found["changed_words"] in found["proposals"]["states"]["what"]
        prompts = read_prompt_list(tmp_path / name / "states.toml")
        assert len(prompts.normal_states) + len(prompts.anomalous_states) in (10, 12)
        run = found["use"].replace("NEW", str(here / "photos")).split()[1:]
        assert run[2] == {"one": "--recipe", "two": "--fitted"}[name]
        if name == "two":
            (tmp_path / name / "states.toml").unlink()
        done = command(*run, "--overlays", "none", "--out", f"{name}-run", "--quiet")
        assert done.status == 0, done.error


@pytest.mark.slow
def test_a_run_with_references_keeps_them_and_leaves_them_out_of_what_is_reviewed(
    here: Path, command: Command, tmp_path: Path, model: list[str]
) -> None:
    references = tmp_path / "references"
    references.mkdir()
    for index in (0, 1):
        shutil.copy(here / "photos" / "good" / f"good{index}.png", references)
    chosen = ("--references", "references", "--shots", "2", "--out", "few", "--threshold", "0.3")
    assert command("run", here / "photos", *chosen, *model).status == 0
    asked = ("--adopt", "references", "--most", "4", "--out", "better", "--json")
    ended = command("review", "few", "verdicts.csv", *asked)
    assert ended.status == 0, ended.error
    assert ended.error.count("is a reference of the run already") == 2
    found = json.loads(ended.out)
    assert (found["normal"], len(found["new_references"])) == (NORMAL - 2, 4)
    with safe_open(tmp_path / "better" / "fitted.safetensors", "pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
    assert len(manifest["references"]) == 6
    # what is kept is itself a detector whose runs can be reviewed, as long as its references last
    run = found["use"].replace("NEW", str(here / "photos")).split()[1:]
    assert command(*run, "--overlays", "none", "--out", "second", "--quiet").status == 0
    shutil.rmtree(references)
    ended = command("review", "second", "verdicts.csv", "--json")
    assert ended.status == 0, ended.error
    told = json.loads(ended.out)["proposals"]["references"]
    assert told["why"].startswith("2 of the 6 references that it was fitted on are not there")
    assert told["figures"] is None


def test_too_few_verdicts_say_what_cannot_be_said_and_adopt_nothing_unasked(
    here: Path, command: Command, tmp_path: Path
) -> None:
    verdicts(tmp_path, normal=4, anomalous=2, name="few.csv")
    ended = command("review", here / "judged", "few.csv", "--json")
    assert ended.status == 0, ended.error
    found = json.loads(ended.out)
    assert found["not_measured"].startswith("4 normal and 2 anomalous images are too few")
    hard, unseen = found["remarks"][1:]
    assert hard.startswith("reviewed images are usually picked because they were hard")
    assert unseen.startswith("no image that the run called ok was reviewed, so that its misses are")
    assert found["as_it_is"] is None
    assert found["adopted"] == []
    assert {each["figures"] for each in found["proposals"].values()} == {None}


@pytest.mark.slow
def test_false_alarms_alone_become_references_when_asked_for(
    here: Path, command: Command, tmp_path: Path
) -> None:
    verdicts(tmp_path, anomalous=0, name="alarms.csv")
    asked = ("--adopt", "references", "--rate", "0.2", "--out", "better", "--json")
    ended = command("review", here / "open", "alarms.csv", *asked)
    assert ended.status == 0, ended.error
    found = json.loads(ended.out)
    assert (found["rule"], found["adopted"]) == ("quantile", ["references", "threshold"])
    line = one_line(command("review", here / "open", "alarms.csv", "--rule", "f1"))
    assert "the rule f1 needs images that you call anomalous: there are none" in line


def test_a_single_reference_leaves_no_image_to_choose_a_threshold_by_and_that_is_said(
    here: Path, command: Command, tmp_path: Path
) -> None:
    verdicts(tmp_path, normal=1, anomalous=0, name="one.csv")
    asked = ("--adopt", "references", "--out", "better", "--json")
    ended = command("review", here / "open", "one.csv", *asked)
    assert ended.status == 0, ended.error
    found = json.loads(ended.out)
    assert found["adopted"] == ["references"]
    assert not (tmp_path / "better" / "threshold.json").exists()
    assert (tmp_path / "better" / "fitted.safetensors").exists()
    assert "too few images to choose one" in (tmp_path / "better" / "review.md").read_text()


def test_mistakes_alone_teach_no_threshold_and_are_not_measured(
    here: Path, command: Command, tmp_path: Path
) -> None:
    rows = json.loads(f"[{','.join((here / 'judged' / 'scores.jsonl').read_text().splitlines())}]")
    wrong = [row for row in rows if (row["verdict"] == "ok") == ("spot" in row["image"])]
    lines = [f"{r['image']},{'ok' if r['verdict'] == 'anomalous' else 'ng'}" for r in wrong]
    (tmp_path / "wrong.csv").write_text("\n".join(["image,verdict", *lines]) + "\n")
    asked = ("review", here / "judged", "wrong.csv", "--rate", "0.2", "--json")
    rule = ("--rule", "quantile")
    found = json.loads(command(*asked, *rule).out)
    why = f"the run is wrong about {len(wrong)} of the {len(wrong)} reviewed images, more than a"
    assert found["not_measured"].startswith(why)
    assert found["adopted"] == []
    assert found["proposals"]["threshold"]["why"] == found["not_measured"]
    found = json.loads(command(*asked, *rule, "--adopt", "references").out)
    assert found["adopted"] == ["references"]
    line = one_line(command(*asked, *rule, "--adopt", "threshold"))
    assert "--adopt threshold cannot be: the run is wrong about" in line


@pytest.mark.slow
def test_images_that_are_gone_or_have_changed_are_named_and_left_out(
    runs: Path, command: Command, tmp_path: Path
) -> None:
    for name in ("photos", "judged"):
        shutil.copytree(runs / name, tmp_path / name)
    manifest = json.loads((tmp_path / "judged" / "manifest.json").read_text())
    manifest["folder"] = str(tmp_path)
    (tmp_path / "judged" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "photos" / "good" / "good0.png").unlink()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photos" / "spot" / "spot0.png")
    verdicts(tmp_path)
    ended = command("review", "judged", "verdicts.csv", "--json")
    assert ended.status == 1
    assert "photos/good/good0.png: No such file or directory" in ended.error
    assert "photos/spot/spot0.png has changed since the run scored it" in ended.error
    found = json.loads(ended.out)
    assert (found["normal"], found["anomalous"]) == (NORMAL - 1, ANOMALOUS - 1)


@pytest.mark.slow
def test_the_same_verdicts_and_seed_give_the_same_findings(
    here: Path, command: Command
) -> None:
    words = ("review", here / "judged", "verdicts.csv", "--json", "--seed", "3")
    one, other = command(*words), command(*words)
    assert one.status == 0, one.error
    assert one.out == other.out


def test_who_interrupts_it_finds_everything_as_it_was(
    here: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Trials.memory_without

    def interrupted(trials: Trials, *folds: int) -> Any:
        if folds == (1, 1):
            raise KeyboardInterrupt
        return whole(trials, *folds)

    monkeypatch.setattr(Trials, "memory_without", interrupted)
    before = files(here)
    ended = command("review", here / "judged", "verdicts.csv", "--keep")
    assert (ended.status, ended.error) == (130, "vlmad: interrupted; nothing was written\n")
    assert files(here) == before


def test_a_result_is_replaced_whole_or_not_at_all(
    here: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("review", here / "open", "verdicts.csv", "--adopt", "states", "--out", "kept")
    assert command(*words, "--json").status == 0

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}

    def full(path: Path, *rest: Any) -> None:
        raise OutputError(f"cannot write {path}: No space left on device")

    old = content()
    assert set(old) == {"states.toml", "detector.toml", "threshold.json", DOCUMENT, PAGE}
    assert str(tmp_path / "kept" / "states.toml").encode() in old["detector.toml"]
    with monkeypatch.context() as patched:
        patched.setattr(keeping, "write_threshold", full)
        line = one_line(command(*words, "--state", "spotted {}", "--force"))
    assert "No space left on device" in line
    assert content() == old
    words = (*words[:4], "threshold", *words[5:], "--force", "--quiet")
    assert command(*words).status == 0
    assert set(content()) == set(old) - {"states.toml"}


# what is refused


def test_the_folder_of_a_bench_is_refused_with_the_runs_in_it(
    here: Path, command: Command, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(here / "judged", tmp_path / "bench" / "cells" / "winclip" / "part" / name)
    (tmp_path / "bench" / "manifest.json").write_text('{"identity": {"detectors": {}}}')
    cell = "bench/cells/winclip/part"
    named = f"name one of those in it: {cell}/one, {cell}/two"
    expected = f"bench is not itself the folder of a run; {named}"
    assert expected in one_line(command("review", "bench", "verdicts.csv"))
    assert expected in one_line(command("run", "--manifest", "bench"))
    line = one_line(command("review", "bench/cells", "verdicts.csv"))
    assert f"bench/cells holds no manifest.json; {named}" in line


def test_what_cannot_be_reviewed_is_refused_in_one_line(
    here: Path, command: Command, tmp_path: Path
) -> None:
    judged = here / "judged"
    assert "no verdicts: write a table with --init FILE" in one_line(command("review", judged))
    assert "holds the run's own verdicts" in one_line(
        command("review", judged, judged / "scores.csv")
    )
    assert "no manifest.json of a run" in one_line(command("review", "nowhere", "verdicts.csv"))
    assert "none.csv" in one_line(command("review", judged, "none.csv"))
    both = ("--init", "new.csv")
    assert "leave out the other one" in one_line(command("review", judged, "verdicts.csv", *both))
    (tmp_path / "bad.csv").write_text("image,verdict\ngood0.png,perhaps\n")
    line = one_line(command("review", judged, "bad.csv"))
    assert "bad.csv line 2: 'perhaps' is no verdict: write normal or anomalous" in line
    line = one_line(command("review", judged, "verdicts.csv", "--state", "no place"))
    assert "must be a text with exactly one {}" in line


def test_another_detector_than_that_of_the_run_is_refused(
    runs: Path, command: Command, tmp_path: Path
) -> None:
    shutil.copytree(runs / "judged", tmp_path / "judged")
    manifest = json.loads((tmp_path / "judged" / "manifest.json").read_text())
    manifest["identity"]["weights_sha256"] = "0" * 64
    manifest["folder"] = str(runs)
    (tmp_path / "judged" / "manifest.json").write_text(json.dumps(manifest))
    verdicts(tmp_path)
    line = one_line(command("review", "judged", "verdicts.csv"))
    assert "the detector is not that of judged any more: weights_sha256" in line


@pytest.mark.slow
def test_prompts_without_states_are_told_and_references_where_none_are_used(
    here: Path, command: Command, tmp_path: Path
) -> None:
    words = ("--detector", "clip", "--overlays", "none", "--quiet", "--out", "plain")
    assert command("run", here / "photos", *words).status == 0
    ended = command("review", "plain", "verdicts.csv", "--json")
    assert ended.status == 0, ended.error
    told = json.loads(ended.out)["proposals"]
    assert told["states"]["why"] == "prompts 'plain' has no states that could be changed"
    assert "makes no use of references" in told["references"]["why"]
    line = one_line(command("review", "plain", "verdicts.csv", "--state", "scratched {}"))
    assert "leave out --state and --normal-state" in line
