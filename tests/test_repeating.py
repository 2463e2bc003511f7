"""Stored detectors, repeated runs, references and verdicts, from the command line."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import save_file
from torch import zeros

from vlmad import load_detector
from vlmad.errors import InputError
from vlmad.files import digest
from vlmad.testing import TWO_LAYERS
from vlmad_run.finding import find
from vlmad_run.manifest import Manifest, describe_run
from vlmad_run.references import choose_references
from vlmad_run.repeating import compare, rebuild, repeat
from vlmad_run.stored_run import StoredRun, read_run

from .conftest import SMALL

CLIP = ("run", "photos", "--detector", "clip", *SMALL, "--quiet", "--overlays", "none")
WINCLIP = ("run", "photos", "--overlays", "none", *SMALL, "--quiet", "--class-name", "nut")


def scores(out: Path) -> list[tuple[str, float]]:
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_bytes().splitlines()]
    return [(Path(line["image"]).name, line["score"]) for line in lines]


def one_line(ended: Any) -> str:
    assert ended.status == 2, ended
    assert len(ended.error.splitlines()) == 1, ended.error
    return str(ended.error)


# manifests


def test_a_repeated_run_agrees_from_any_working_directory(
    photos: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*CLIP, "--out", "out").status == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = command("run", "--manifest", "../out/manifest.json", "--quiet", "--out", "again")
    assert again.status == 0
    assert again.error == (
        "vlmad: scores agree: 6 compared, largest difference 0 (float32: up to 1e-05)\n"
    )


@pytest.mark.slow
def test_a_repeated_run_says_which_images_changed(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*CLIP, "--out", "out").status == 0
    Image.new("RGB", (32, 24), "red").save(photos / "0002.png")
    again = command("run", "--manifest", "out", "--quiet", "--out", "again")
    assert again.status == 1
    assert "scores DIFFER: 5 compared, largest difference 0 (float32" in again.error
    assert ", 1 are of files that have changed" in again.error


@pytest.mark.parametrize("scale", [0.1, 1000])
def test_scores_agree_to_a_share_where_they_are_large(
    scale: float, photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*CLIP, "--out", "out").status == 0
    shutil.copytree(tmp_path / "out", tmp_path / "other")

    def agree(apart: float) -> bool:
        for out, factor in (("out", 1.0), ("other", 1 + apart)):
            lines = (tmp_path / out / "scores.jsonl").read_text().splitlines()
            rows = [{**json.loads(line), "score": scale * factor} for line in lines]
            text = "".join(f"{json.dumps(row)}\n" for row in rows)
            (tmp_path / out / "scores.jsonl").write_text(text)
        return compare(read_run(tmp_path / "out"), read_run(tmp_path / "other"))[0]

    largest = 1e-5 * max(1, 1 / scale)
    assert agree(0.9 * largest)
    assert not agree(1.1 * largest)


def test_a_run_is_not_repeated_into_its_own_folder(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*CLIP, "--out", "out").status == 0
    line = one_line(command("run", "--manifest", "out", "--out", "out"))
    assert "out is the run to compare with" in line
    line = one_line(command("run", "--manifest", "out", "--detector", "clip"))
    assert "--manifest brings its own parts: leave out --detector" in line
    line = one_line(command("run", "--manifest", "out", "--fail-on", "anomalous"))
    assert "--fail-on anomalous needs --threshold" in line


@pytest.mark.slow
def test_changed_references_are_refused_when_a_run_is_repeated(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "good")
    words = ("--references", "good", "--shots", "2", "--out", "out")
    assert command(*WINCLIP, *words).status == 0
    assert command("run", "--manifest", "out", "--quiet", "--out", "again").status == 0
    for path in (tmp_path / "good").iterdir():
        Image.new("RGB", (9, 9), "red").save(path)
    line = one_line(command("run", "--manifest", "out", "--quiet", "--out", "third"))
    assert "is not the file that the manifest names" in line


# stored detectors and references


@pytest.mark.slow
def test_a_stored_detector_moves_alone_and_scores_like_its_references(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "good")
    (tmp_path / "list.toml").write_text('normal = ["{}"]\nanomalous = ["broken {}"]\n')
    fitted = ("fit", "good", "--class-name", "nut", "--out", "nut.safetensors", *SMALL)
    assert command(*fitted).status == 0
    judged = ("--threshold", "0.5")  # or the stored detector would bring its own
    named = (*WINCLIP, "--references", "good", "--shots", "6", *judged)
    assert command(*named, "--out", "out").status == 0
    (tmp_path / "moved").mkdir()
    (tmp_path / "nut.safetensors").rename(tmp_path / "moved" / "nut.safetensors")
    shutil.rmtree(tmp_path / "good")
    words = ("run", "photos", "--model", "moved/nut.safetensors", "--quiet")
    ended = command(*words, "--overlays", "none", "--out", "other")
    assert ended.status == 0
    assert scores(tmp_path / "other") == scores(tmp_path / "out")
    going_on = command(*words, *judged, "--overlays", "none", "--out", "out")
    assert going_on.status == 0  # it is the same run
    repeated = command("run", "--manifest", "other", "--quiet", "--out", "again")
    assert repeated.status == 0
    assert "scores agree: 6 compared" in repeated.error


@pytest.mark.slow
def test_files_that_are_no_stored_detectors_are_refused(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    fit = ("fit", "photos", "--class-name", "nut", "--out", "nut.safetensors", *SMALL)
    assert command(*fit).status == 0
    assert "exists; choose another --out or add --force" in one_line(command(*fit, "--seed", "1"))
    whole = (tmp_path / "nut.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("text")
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04N.")
    save_file({"a": zeros(1)}, tmp_path / "foreign.safetensors")
    for metadata in ("1", '{"format": "vlmad run 2", "identity": 1}'):
        table = {"vlmad": metadata}
        save_file({"a": zeros(1)}, tmp_path / f"odd{len(metadata)}.safetensors", table)
    names = [p.name for p in tmp_path.glob("*.safetensors") if p.name != "nut.safetensors"]
    assert len(names) == 6
    for name in names:
        line = one_line(command("run", "photos", "--model", name, "--quiet"))
        assert f"{name} is no fitted detector" in line
    line = one_line(command("run", "photos", "--model", "none.safetensors", "--quiet"))
    assert "there is no none.safetensors: vlmad fit --out none.safetensors writes one" in line
    assert not (tmp_path / "vlmad-runs").exists()


def test_a_reference_under_test_is_warned_of_by_its_content(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "good").mkdir()
    shutil.copy(photos / "0003.png", tmp_path / "good" / "other name.png")
    ended = command(*WINCLIP, "--references", "good", "--shots", "1", "--out", "out")
    assert ended.status == 0
    assert ended.error == (
        "vlmad: warning: reference good/other name.png is also under test, as photos/0003.png\n"
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [each["path"] for each in manifest["references"]] == ["good/other name.png"]


def test_an_unreadable_reference_is_refused(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.png").write_text("no image")
    line = one_line(command(*WINCLIP, "--references", "good", "--shots", "1"))
    assert "good/a.png: not an image of a known format" in line


# verdicts


def test_a_threshold_judges_in_every_output_and_in_the_exit_status(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*CLIP, "--out", "plain").status == 0
    limit = sorted(score for _, score in scores(tmp_path / "plain"))[-2]
    words = ("run", "photos", "--detector", "clip", *SMALL, "--threshold", f"{limit:.9g}")
    words = (*words, "--out", "out")
    ended = command(*words, "--overlays", "anomalous", "--fail-on", "anomalous", "--json")
    assert ended.status == 3
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert len(rows) == 6
    verdicts = [row["verdict"] for row in rows]
    assert sorted(verdicts) == ["anomalous"] * 2 + ["ok"] * 4
    assert all((row["score"] >= limit) == (row["verdict"] == "anomalous") for row in rows)
    with (tmp_path / "out" / "scores.csv").open() as table:
        assert [row["verdict"] for row in csv.DictReader(table)] == verdicts
    drawn = {path.name for path in (tmp_path / "out" / "overlays").glob("*.jpg")}
    assert drawn == {Path(r["overlay"]).name for r in rows if r["verdict"] == "anomalous"}
    ended = command(*words)
    assert ended.status == 0
    assert "2 anomalous, 4 ok; anomalous from" in ended.out


@pytest.mark.parametrize("text", ["nan", "inf", "none.json", "photos"])
def test_what_is_no_threshold_is_refused(
    text: str, photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert "threshold" in one_line(command(*CLIP, "--threshold", text))
    assert not (tmp_path / "vlmad-runs").exists()


# what a manifest names


@pytest.fixture
def prompts(learned_file: Path, tmp_path: Path) -> Path:
    """A file of learned prompts of one's own."""
    return Path(shutil.copy(learned_file, tmp_path / "learned.safetensors"))


@pytest.fixture
def manifest(prompts: Path, model: dict[str, object]) -> Manifest:
    options = {"backbone": {"weights": model["weights"]}, "prompts": {"file": prompts}}
    detector = load_detector("anomalyclip", backbone=f"openclip:{model['file']}", options=options)
    return describe_run(detector, "object")


@pytest.fixture
def model(two_layer_file: Path) -> dict[str, object]:
    return {"file": TWO_LAYERS, "weights": two_layer_file}


def test_a_file_that_is_an_option_is_used_again_if_it_is_the_one_it_was(
    manifest: Manifest, prompts: Path
) -> None:
    assert manifest.files["prompts.file"] == digest(prompts)
    assert rebuild(manifest, {}).assembly.parts["prompts"].options["file"] == prompts
    with pytest.raises(InputError, match="not known to be the file it was"):
        rebuild(manifest.model_copy(update={"files": {}}), {})
    prompts.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"not known to be the file it was; .*--set prompts.file"):
        rebuild(manifest, {})


def test_a_file_that_the_user_names_need_not_be_the_recorded_one(
    manifest: Manifest, prompts: Path
) -> None:
    other = prompts.rename(prompts.with_name("moved.safetensors"))
    with pytest.raises(InputError, match="which is not there"):
        rebuild(manifest, {})
    assert rebuild(manifest, {"prompts": {"file": other}})


ELSEWHERE = {
    "pipe": ("{folder}/pipe", "is no regular file"),
    "device": ("/dev/zero", "is no regular file"),
    "folder": ("{folder}", "is no regular file"),
    "share": ("\\\\server\\share\\weights.pt", "is not on this machine"),
    "slashes": ("//server/share/weights.pt", "is not on this machine"),
    "missing": ("/no/such/weights.pt", "is not there"),
    "nul": ("/a\0b", "is not there"),
}


@pytest.mark.parametrize(("name", "reason"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_no_file_of_this_machine_is_not_touched(
    name: str, reason: str, manifest: Manifest, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    name = name.format(folder=tmp_path)
    options = {**manifest.options, "backbone": {"weights": name}}
    with pytest.raises(InputError, match=reason):
        rebuild(manifest.model_copy(update={"options": options}), {})
    if "\0" not in name:
        kept = manifest.model_copy(update={"model": name})
        with pytest.raises(InputError, match=reason):
            repeat(StoredRun(tmp_path, kept), {})


def test_old_and_foreign_folders_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"vlmad": "0.1.0", "identity": {"parts": {}}}')
    with pytest.raises(InputError, match="make it anew if an earlier one wrote it"):
        read_run(tmp_path)
    for path in (tmp_path / "none", tmp_path.parent, Path(__file__)):
        with pytest.raises(InputError, match=r"no manifest\.json of a run, nor the folder of one"):
            read_run(path)


@pytest.mark.slow
def test_references_are_the_same_for_the_same_seed_and_all_different(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(8)]
    for file in files:
        Image.new("RGB", (2, 2)).save(file)

    def draw(paths: list[str | Path], shots: int | None, seed: int) -> list[Path]:
        return choose_references(find(paths), paths, shots, seed)

    draws = [draw([tmp_path], 3, seed) for seed in range(4)]
    assert draws == [draw([tmp_path], 3, seed) for seed in range(4)]
    assert all(len(set(draw)) == 3 for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 2
    with pytest.raises(InputError, match="has 8 images, fewer than the 9 references"):
        draw([tmp_path], 9, 0)
    with pytest.raises(InputError, match="whole numbers from 1"):
        draw([tmp_path], 0, 0)
    assert draw([*files, files[0]], None, 0) == files  # all that are named themselves
    assert len(draw([tmp_path], None, 0)) == 4
    assert choose_references(find([tmp_path]), [tmp_path], None, 0, whole=True) == files
    assert len(draw([str(tmp_path / "*.png")], None, 0)) == 4


def json_rows(command: Callable[..., Any], *words: str | Path) -> list[float]:
    done = command("run", *words, "--out", "done", "--json")
    assert done.status == 0, done.error
    return [json.loads(line)["score"] for line in done.out.splitlines()]


@pytest.mark.parametrize("kind", ["learned", "compositional"])
def test_prompts_that_are_a_file_go_along_in_a_fitted_detector(
    command: Callable[..., Any],
    tmp_path: Path,
    photos: Path,
    model: dict[str, object],
    learned_file: Path,
    kind: str,
) -> None:
    if kind == "learned":
        file = tmp_path / "learned.safetensors"
        file.write_bytes(learned_file.read_bytes())
    else:
        file = tmp_path / "states.toml"
        file.write_text(
            'normal_states = ["clean {}"]\nanomalous_states = ["torn {}"]\ntemplates = ["a {}."]\n'
        )
    weights = ("--set", f"backbone.weights={model['weights']}")
    backbone = ("--backbone", f"openclip:{model['file']}", *weights)
    chosen = [*backbone, "--prompt", kind, "--set", f"prompts.file={file}"]
    named = ("--references", photos / "0000.png", "--references", photos / "0001.png")
    plain = json_rows(command, photos, *chosen, *named, "--class-name", "metal_nut")
    good = (photos / "0000.png", photos / "0001.png")
    done = command("fit", *good, *chosen, "--class-name", "metal nut", "--quiet")
    assert done.status == 0, done.error
    file.unlink()
    (tmp_path / "done").rename(tmp_path / "before")
    fitted = json_rows(command, photos, "--model", "fitted.safetensors", *weights)
    assert fitted == pytest.approx(plain, abs=1e-5)
    one, other = (
        json.loads((tmp_path / name / "manifest.json").read_text())["identity"]
        for name in ("before", "done")
    )
    assert {**one, "threshold": other["threshold"]} == other  # the file brings its own
    assert one["class_name"] == "metal nut"
    assert len(one["references_sha256"]) == 2


# kinds that other plugins bring

ENGINE = """
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlmad.hookspecs import hookimpl
from vlmad.types import Result
from vlmad_run.identity import Identity
from vlmad_run.manifest import Manifest, digest_of_names

@hookimpl
def register_engines(register):
    register("level", "level_engine:Level", "Scores by a level that a file holds.")

@hookimpl
def register_sources(register):
    register("twice", "level_engine:find", "Finds a folder's images.")

def find(argument):
    return sorted(Path(argument.removeprefix("twice://")).iterdir())

class Level:
    class_name, notes, together = "object", (), False

    def __init__(self, path, options):
        self.path, self.level = path, float(path.read_text())

    def describe(self, images=None, threshold=None):
        what = Identity(parts={}, weights_sha256=str(self.level), precision="float32",
            preprocessing={}, resize="squash", class_name="object", sentences_sha256=None,
            references_sha256=[], threshold=threshold)
        return Manifest(vlmad="0", created="now", recipe="level", identity=what, options={},
            files={}, backbone="level", licence="", device="cpu", references=[], folder=".",
            libraries={}, python="", platform="", images_sha256=digest_of_names(images or []))

    def stream(self, images, batch_size):
        for image in images:
            yield Result(str(image), self.level, np.full((24, 32), self.level, np.float32))
"""


def test_a_plugin_brings_model_files_without_torch_and_sources_of_images(
    install: Callable[..., Path], photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    install("level-engine", ENGINE)
    (tmp_path / "half.level").write_text("0.5")
    words = ("run", f"twice://{photos}", "--model", "half.level", "--threshold", "0.4")
    ended = command(*words, "--out", "out", "--fail-on", "anomalous")
    assert ended.status == 3, ended.error
    assert "6 images scored by level on cpu in float32" in ended.out
    assert [score for _, score in scores(tmp_path / "out")] == [0.5] * 6
    line = one_line(command("run", "photos", "--model", "some.bin"))
    assert "nothing installed opens files of type '.bin'" in line
