"""The command line, as its users meet it: real words, real files; processes where they matter."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vlmad.registry import installed
from vlmad_cli._help_pages import SCREEN

from .conftest import Done, Process, vlmad

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Ended

SAMPLES = Path(__file__).parents[1] / "examples" / "samples"
CLOTH = SAMPLES / "cloth"
COMMANDS = [each.name for each in installed().of_kind("command") if each.distribution == "vlmad"]
RECIPES = ("winclip", "anomalyclip", "hybrid", "clip", "clip-ac", "comparison")


def refused(*words: str | Path, cwd: Path, **env: str) -> str:
    """Run a command that must exit with 2 and one line, and return the line."""
    return one_line(vlmad(*words, cwd=cwd, **env))


def one_line(done: Done) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("vlmad: ")
    return lines[0]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "scores.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def plain_run(process: Process, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """One run as the README has it, on one folder of samples."""
    folder = tmp_path_factory.mktemp("plain")
    return process("run", CLOTH / "test", "--out", "out", cwd=folder), folder / "out"


# what a run gives


@pytest.mark.xdist_group("plain run")
def test_a_run_exits_with_0_and_prints_a_table_the_most_anomalous_first(
    plain_run: tuple[Done, Path],
) -> None:
    done, _ = plain_run
    assert done.returncode == 0, done.stderr
    scores = [
        float(line.split()[0])
        for line in done.stdout.splitlines()
        if line.startswith((" 0.", " 1."))
    ]
    assert len(scores) == 9
    assert scores == sorted(scores, reverse=True)
    assert "9 images scored by tiny on cpu in " in done.stdout
    assert "out/scores.csv" in done.stdout


@pytest.mark.xdist_group("plain run")
def test_the_samples_defects_score_higher_than_good_cloth(plain_run: tuple[Done, Path]) -> None:
    _, out = plain_run
    good = [float(r["score"]) for r in rows(out) if "/good/" in r["image"]]
    defective = [float(r["score"]) for r in rows(out) if "/good/" not in r["image"]]
    assert max(good) < min(defective)


@pytest.mark.slow
def test_a_broken_file_is_named_and_the_others_are_scored_with_status_1(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "good.png").write_bytes((CLOTH / "test/good/000.png").read_bytes())
    (folder / "[red] näme {}.png").write_bytes((CLOTH / "test/good/001.png").read_bytes())
    (folder / "broken.png").write_text("this is no image")
    done = vlmad("run", "photos", "--out", "out", "--class-name", "[bold]{}%s", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "vlmad: not scored: photos/broken.png: not an image of a known format"
    )
    assert "[red] näme {}.png" in done.stdout
    assert {row["image"]: row["status"] for row in rows(tmp_path / "out")} == {
        "photos/[red] näme {}.png": "done",
        "photos/broken.png": "failed",
        "photos/good.png": "done",
    }


# what is refused


def test_folders_without_images_and_paths_of_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no images in empty" in refused("run", "empty", cwd=tmp_path)
    assert "nowhere: no such file or folder" in refused("run", "nowhere", cwd=tmp_path)
    assert not (tmp_path / "vlmad-runs").exists()


def test_unknown_names_bring_the_nearest(tmp_path: Path) -> None:
    line = refused("run", CLOTH, "--detector", "winclp", cwd=tmp_path)
    assert "no detector is called 'winclp'; did you mean 'winclip' or 'clip'?" in line
    line = refused("run", CLOTH, "--set", "scorer.temprature=1", cwd=tmp_path)
    assert "has no option 'temprature'; did you mean 'temperature'?" in line
    assert "did you mean 'harmonic'?" in refused("describe", "harmoni", cwd=tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scorer", "harmonics"], "no scorer is called 'harmonics'; did you mean 'harmonic'?"),
        (["--backbone", "resnet"], "known: openclip, pixels, timm, tiny"),
        (["--set", "scorer.temperature=warm"], "takes number above 0, not 'warm'"),
        (["--set", "scorer.temperature=0"], "takes number above 0, not '0'"),
        (["--set", "temperature=1"], "is not of the form KIND.OPTION=value"),
        (["--shots", "2"], "--shots needs --references PATH"),
        (["--resize", "stretch"], "resizing takes squash, pad, auto, tiles or tiles:N"),
        (["--detector", "none.toml"], "No such file"),
        (["--detector", "clip", "--references", str(CLOTH / "train")], "no use of references"),
        (["--references", str(CLOTH / "train"), "--shots", "99"], "fewer than the 99 references"),
        (["--references", str(CLOTH / "train"), "--shots", "0"], "whole numbers from 1"),
        (["--references", "nowhere"], "nowhere: no such file or folder"),
        (["--backbone", "openclip:ViT-B-99"], "knows no model 'ViT-B-99'"),
        (["--extractor", "window", "--attention", "vv"], "try --extractor dense"),
        (["--extractor", "window", "--attention", "kk"], "needs patch features"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    words: list[str], message: str, tmp_path: Path
) -> None:
    assert message in refused("run", CLOTH / "test/good", *words, cwd=tmp_path)
    assert not (tmp_path / "vlmad-runs").exists()


def test_debug_shows_the_traceback(tmp_path: Path, process: Process) -> None:
    done = process("run", "nowhere", "--debug", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "InputError" in done.stderr


# parts from the command line


@pytest.mark.slow
def test_learned_prompts_in_windows_simply_work(tmp_path: Path) -> None:
    words = ("--prompt", "learned", "--extractor", "window", "--out", "out")
    done = vlmad("run", CLOTH / "test/hole", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "out" / "manifest.json").read_text())["identity"]["parts"]
    assert {kind: part["name"] for kind, part in parts.items()} == {
        "backbone": "tiny",
        "prompts": "learned",
        "extractor": "window",
        "attention": "none",
        "scorer": "harmonic",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs(name: str, tmp_path: Path) -> None:
    done = vlmad("run", CLOTH / "test/hole", "--detector", name, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "out")) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["--scorer", "dense"], "note: extractor 'dense' takes the place of 'window'"),
        (["--attention", "vv"], "note: extractor 'dense' takes the place of 'window'"),
        (["--detector", "anomalyclip", "--extractor", "window"], "takes the place of"),
    ],
)
def test_a_single_exchanged_part_runs_and_what_follows_is_said(
    words: list[str], note: str, tmp_path: Path
) -> None:
    done = vlmad("run", CLOTH / "test/hole", *words, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert note in done.stderr
    assert len(rows(tmp_path / "out")) == 2


@pytest.mark.slow
def test_a_described_recipe_is_a_recipe_file_with_the_same_scores(tmp_path: Path) -> None:
    described = vlmad("describe", "comparison", cwd=tmp_path)
    assert described.returncode == 0
    text = described.stdout.split("--detector:")[1]
    (tmp_path / "mine.toml").write_text(text)
    outs = []
    for out, words in (("a", ["--detector", "comparison"]), ("b", ["--detector", "mine.toml"])):
        done = vlmad("run", CLOTH / "test/hole", *words, "--out", out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        outs.append([row["score"] for row in rows(tmp_path / out)])
    assert outs[0] == outs[1]


@pytest.mark.slow
def test_a_real_checkpoint_file_runs_and_its_hash_is_recorded(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from vlmad.testing import TWO_LAYERS, two_layer_backbone

    backbone = two_layer_backbone(5)
    save_file(backbone.model.state_dict(), tmp_path / "model.safetensors")  # type: ignore[attr-defined]
    words = ("--backbone", f"openclip:{TWO_LAYERS}", "--set", "backbone.weights=model.safetensors")
    done = vlmad("run", CLOTH / "test/hole", *words, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["identity"]["weights_sha256"] == backbone.weights_hash


def test_weights_that_are_not_here_are_named_with_the_remedy(
    tmp_path: Path, process: Process
) -> None:
    words = ("--backbone", "openclip:ViT-B-16-plus-240/laion400m_e31")
    nowhere = {"HF_HUB_OFFLINE": "1", "HF_HOME": "."}  # read once, at the start
    line = one_line(process("run", CLOTH / "test/hole", *words, cwd=tmp_path, **nowhere))
    assert "are not on this machine" in line
    assert "open_clip_model.safetensors" in line
    assert "add --set backbone.weights=FILE" in line


# describing


@pytest.mark.slow
def test_importing_and_listing_load_no_torch() -> None:
    code = "import sys, vlmad, vlmad_cli.frame; print('torch' in sys.modules)"
    listed = (
        "import sys; from vlmad.registry import Registry; Registry.discover();"
        "print('torch' in sys.modules)"
    )
    for each in (code, listed):
        done = subprocess.run(
            [sys.executable, "-c", each], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "False"


def test_version_and_help_with_examples(tmp_path: Path) -> None:
    assert vlmad("--version", cwd=tmp_path).stdout.startswith("vlmad 0.")
    help_ = vlmad("run", "--help-all", cwd=tmp_path).stdout
    assert "vlmad run photos/ --prompt learned --extractor window" in help_
    assert "--extractor PART          Likewise: windows or patches." in help_


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen_with_an_example_and_names_every_option(
    command: Callable[..., Ended], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, whole = (command(name, words).out for words in ("--help", "--help-all"))
    assert short.count("\n") <= SCREEN
    assert max(map(len, short.splitlines())) <= 80
    options = re.findall("^  (--[a-z-]+)", whole, re.MULTILINE)
    assert {*options} <= {*re.findall("--[a-z-]+", short)}
    assert f"vlmad {name}" in short.partition("\n")[2]


# full disks


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_table_that_cannot_be_printed_does_not_lose_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vlmad", "run", str(CLOTH / "test/hole"), "--out", "out"]
    with Path("/dev/full").open("w") as full:
        subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert len(rows(tmp_path / "out")) == 2
