"""A result belongs to the code that made it: runs, cells, fitted files and thresholds."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from vlmad import Recipe, load_detector
from vlmad.testing import TWO_LAYERS
from vlmad_openclip.code_digest import distribution_digest
from vlmad_run.identity import identity
from vlmad_run.part_options import recipe_name

from .bench.conftest import draw_category
from .conftest import Done, vlmad

CLOSEST = Path(__file__).parents[1] / "examples" / "cookbook" / "vlmad_closest.py"
SOURCE = (Path(__file__).parent / "plugins" / "odd_parts.py").read_text() + CLOSEST.read_text()
EDITED = SOURCE.replace("memory[patches.name]).amin(-1)", "memory[patches.name]).amax(-1)")
PARTS = ("--backbone", "colour-moments", "--scorer", "closest")
REFUSAL = "scorer 'closest' was edited since"


class Place(NamedTuple):
    """Where commands are given, and what installs the plugin there anew."""

    folder: Path
    install: Callable[..., Path]

    def __call__(self, *words: str | Path) -> Done:
        return vlmad(*words, cwd=self.folder)


@pytest.fixture
def place(tmp_path: Path, install: Callable[..., Path]) -> Place:
    """A folder with drawn images, where the plugin is installed."""
    install("odd-parts", SOURCE)
    draw_category(tmp_path / "parts" / "bolt", normal=2, anomalous=2)
    return Place(tmp_path, install)


@pytest.fixture
def fitted(place: Place) -> Place:
    """The same with a fitted detector, and with a threshold for it."""
    good = "parts/bolt/train/good"
    done = place("fit", good, *PARTS, "--out", "bolt.safetensors", "--quiet")
    assert done.returncode == 0, done.stderr
    images = ("--model", "bolt.safetensors", "--good", good, "--bad", "parts/bolt/test/spot")
    done = place("calibrate", *images, "--out", "threshold.json")
    assert done.returncode == 0, done.stderr
    return place


def run(place: Place, *words: str) -> Done:
    return place("run", "parts/bolt/test", *words, "--overlays", "none")


def without_code(document: object) -> object:
    """Return a document as it was written before the digests of code were kept."""
    if isinstance(document, dict):
        return {k: without_code(v) for k, v in document.items() if k not in ("code", "revision")}
    return [*map(without_code, document)] if isinstance(document, list) else document


def test_a_run_is_not_gone_on_with_by_a_scorer_that_was_edited(place: Place) -> None:
    words = (*PARTS, "--references", "parts/bolt/train/good", "--out", "out")
    assert run(place, *words).returncode == 0
    before = (place.folder / "out" / "scores.jsonl").read_bytes()
    place.install("odd-parts", EDITED)
    done = run(place, *words)
    assert done.returncode == 2
    assert "out holds a run that differs: backbone 'colour-moments' was edited" in done.stderr
    assert REFUSAL in done.stderr
    assert (place.folder / "out" / "scores.jsonl").read_bytes() == before


def test_a_stopped_run_of_other_code_is_not_found_again(place: Place) -> None:
    words = (*PARTS, "--references", "parts/bolt/train/good")
    assert run(place, *words).returncode == 0
    [folder] = (place.folder / "vlmad-runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["result"]["finished"] = False
    (folder / "manifest.json").write_text(json.dumps(manifest))
    place.install("odd-parts", EDITED)
    assert run(place, *words).returncode == 0
    assert len([*(place.folder / "vlmad-runs").iterdir()]) == 2
    place.install("odd-parts", SOURCE, "1.1")
    assert "going on with" in run(place, *words).stderr


def test_a_run_that_is_repeated_tells_what_was_edited(place: Place) -> None:
    assert run(place, *PARTS, "--references", "parts/bolt/train/good", "--out", "o").returncode == 0
    place.install("odd-parts", EDITED)
    done = place("run", "--manifest", "o/manifest.json", "--out", "again")
    assert f"differs from the manifest: {REFUSAL}" in done.stderr


def test_a_fitted_detector_is_not_run_by_a_scorer_that_was_edited(fitted: Place) -> None:
    fitted.install("odd-parts", EDITED, "1.1")
    done = run(fitted, "--model", "bolt.safetensors", "--out", "out")
    assert done.returncode == 2
    assert f"{REFUSAL} (odd-parts 1.0, now 1.1)" in done.stderr
    assert "fit it anew" in done.stderr
    assert not (fitted.folder / "out").exists()


def test_a_threshold_does_not_judge_by_a_scorer_that_was_edited(fitted: Place) -> None:
    fitted.install("odd-parts", EDITED)
    words = (*PARTS, "--references", "parts/bolt/train/good", "--threshold", "threshold.json")
    done = run(fitted, *words, "--out", "out")
    assert done.returncode == 2
    assert "the threshold was calibrated on other scores" in done.stderr
    assert REFUSAL in done.stderr


def test_a_bench_keeps_no_cell_of_a_scorer_that_was_edited(place: Place) -> None:
    parts = ('base = "patchcore"', 'backbone = "colour-moments"', 'scorer = "closest"')
    recipe = "\n".join([*parts, 'extractor = "dense"'])
    (place.folder / "closest.toml").write_text(recipe)
    words = ("bench", "parts", "--detector", "closest.toml", "--shots", "1", "--out", "measured")
    done = place(*words)
    assert done.returncode == 0, done.stderr
    place.install("odd-parts", EDITED)
    done = place(*words)
    assert done.returncode == 2
    assert "measured holds a bench that differs: detectors." in done.stderr
    assert REFUSAL in done.stderr


def test_a_new_version_of_the_same_code_is_a_note(fitted: Place) -> None:
    words = ("--model", "bolt.safetensors", "--threshold", "threshold.json", "--out", "out")
    done = run(fitted, *words)
    assert done.returncode == 0, done.stderr
    assert "note: scorer" not in done.stderr
    fitted.install("odd-parts", SOURCE, "1.1")
    done = run(fitted, *words)
    assert done.returncode == 0, done.stderr
    assert "scorer 'closest' is of odd-parts 1.1, was 1.0, with the same code" in done.stderr


def test_what_recorded_no_code_still_opens_with_a_note(fitted: Place) -> None:
    words = ("--model", "bolt.safetensors", "--threshold", "threshold.json", "--out", "out")
    assert run(fitted, *words).returncode == 0
    for path in (fitted.folder / "threshold.json", fitted.folder / "out" / "manifest.json"):
        path.write_text(json.dumps(without_code(json.loads(path.read_text()))))
    done = run(fitted, *words)
    assert done.returncode == 0, done.stderr
    assert "scorer 'closest' may have been edited since: its code was not recorded" in done.stderr
    fitted.install("odd-parts", SOURCE, "1.1")
    done = run(fitted, "--model", "bolt.safetensors", "--threshold", "threshold.json")
    assert "is of another version (odd-parts 1.0, now 1.1)" in done.stderr


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({}, "winclip"),
        ({"scorer": "harmonic", "attention": "vlmad:none"}, "winclip"),
        ({"backbone": f"openclip:{TWO_LAYERS}"}, "winclip"),
        ({"scorer": "max-cosine"}, "winclip-with-max-cosine"),
        ({"scorer": "nearest"}, "winclip-with-patches-nearest"),
        ({"extractor": "dense"}, "winclip-with-dense-extractor"),
        ({"scorer": "dense"}, "winclip-with-dense"),
        ({"prompts": "plain", "extractor": "dense"}, "winclip-with-plain-dense-extractor"),
    ],
)
def test_a_detector_is_called_by_the_parts_that_took_the_place_of_its_recipes(
    parts: dict[str, str], name: str
) -> None:
    first = load_detector("winclip", **parts).assembly
    assert recipe_name(first) == name
    own = {kind: chosen.registration.full_name for kind, chosen in first.parts.items()}
    again = load_detector(Recipe(own, name=name), **own).assembly  # as runs are repeated
    assert recipe_name(again) == name


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        ("acme-parts", "pip install acme-parts==1.0, if you trust it"),
        ("a; rm -rf ~", "pip install 'a; rm -rf ~==1.0', if you trust it"),
    ],
)
def test_a_part_of_a_file_that_is_not_installed_is_named_with_what_installs_it(
    distribution: str, words: str, place: Place
) -> None:
    assert run(place, *PARTS, "--references", "parts/bolt/train/good", "--out", "o").returncode == 0
    path = place.folder / "o" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["identity"]["parts"]["scorer"]["distribution"] = distribution
    path.write_text(json.dumps(manifest))
    done = place("run", "--manifest", "o/manifest.json", "--out", "again")
    assert done.returncode == 2
    said = f"scorer 'closest' is of {distribution}==1.0, which is not installed: {words}"
    assert said in done.stderr


def test_an_option_that_came_since_is_no_difference_while_it_is_left_alone() -> None:
    small = {"backbone": {"weights": "random:0", "image_size": 80}}
    now, warmer = (
        identity(
            load_detector(
                "clip",
                backbone=f"openclip:{TWO_LAYERS}",
                options=small | {"scorer": {"temperature": temperature}},
            ),
            "bolt",
        )
        for temperature in (0.07, 0.5)
    )
    scorer = now.parts["scorer"]
    fewer = {name: value for name, value in scorer.options.items() if name != "temperature"}
    part = scorer.model_copy(update={"options": fewer, "version": "0.0.1"})
    before = now.model_copy(update={"parts": now.parts | {"scorer": part}})
    assert before.differences(now) == []
    assert before.differences(warmer) == ["parts.scorer.options.temperature (none, now 0.5)"]
    part = part.model_copy(update={"revision": 0})
    before = now.model_copy(update={"parts": now.parts | {"scorer": part}})
    [said] = before.differences(now)
    assert said == "scorer 'dense' gives other scores since (revision 0, now 1)"


def lay_out(folder: Path, layout: str) -> Path:
    """Install a distribution of two modules as pip would; return the folder of its files."""
    site, checkout = folder / "site", folder / "checkout"
    base = site if layout in ("wheel", "namespace wheel") else checkout
    name = "space.acme" if "namespace" in layout else "acme"
    package = base / name.replace(".", "/")
    info = site / "acme-1.0.dist-info"
    for each in (package, info):
        each.mkdir(parents=True, exist_ok=True)
    for file, content in {"__init__.py": "", "scorer.py": "A = 1", "words.txt": "good"}.items():
        (package / file).write_text(content)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vlmad]\nacme = {name}.scorer\n")
    record = [f"acme-1.0.dist-info/{each.name},," for each in info.iterdir()]
    if base is site:
        record += [f"{each.relative_to(site).as_posix()},," for each in package.iterdir()]
    elif layout == "link":
        (site / "acme").symlink_to(package)
    elif layout == "finder":
        record += ["__editable___acme_finder.py,,", "__editable__.acme.pth,,"]
        (site / "__editable___acme_finder.py").write_text("MAPPING = {}")
        (site / "__editable__.acme.pth").write_text("import __editable___acme_finder")
        (info / "top_level.txt").write_text("acme\n")
    else:
        record += ["_acme.pth,,"]
        (site / "_acme.pth").write_text(f"{checkout}\n")
    (info / "RECORD").write_text("\n".join(record))
    return package


@pytest.mark.parametrize(
    "layout", ["wheel", "namespace wheel", "path", "namespace path", "finder", "link"]
)
def test_the_files_of_a_distribution_count_however_it_is_installed(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    package = lay_out(tmp_path, layout)
    for folder in ("checkout", "site"):
        monkeypatch.syspath_prepend(tmp_path / folder)
    beside = tmp_path / "checkout" / ".venv" / "torch.py"
    beside.parent.mkdir(parents=True)
    beside.write_text("x = 1")

    def now() -> str | None:
        distribution_digest.cache_clear()
        return distribution_digest("acme")

    first = now()
    assert first is not None
    beside.write_text("x = 2")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "scorer.pyc").write_bytes(b"0")
    assert now() == first
    for name in ("scorer.py", "words.txt", "__init__.py"):
        content = (package / name).read_text()
        (package / name).write_text(f"{content} # edited")
        assert now() != first, name
        (package / name).write_text(content)
    assert now() == first
    lay_out(tmp_path / "another place", layout)
    monkeypatch.syspath_prepend(tmp_path / "another place" / "checkout")
    monkeypatch.syspath_prepend(tmp_path / "another place" / "site")
    for module in [module for module in sys.modules if module.partition(".")[0] == "space"]:
        monkeypatch.delitem(sys.modules, module)
    assert now() == first


def test_code_counts_where_python_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    installed = lay_out(tmp_path, "wheel")
    monkeypatch.syspath_prepend(installed.parent)
    first = distribution_digest("acme")
    shadow = shutil.copytree(installed, tmp_path / "folder" / "acme")
    monkeypatch.syspath_prepend(shadow.parent)
    distribution_digest.cache_clear()
    assert distribution_digest("acme") == first
    (shadow / "scorer.py").write_text("A = 2")
    distribution_digest.cache_clear()
    assert distribution_digest("acme") not in (None, first)


def test_of_compiled_code_the_version_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")
    package = lay_out(tmp_path, "wheel")
    found = []
    for machine, version in (("linux", "1.0"), ("darwin", "1.0"), ("linux", "1.1")):
        extension = package / f"fast.cpython-311-{machine}.so"
        extension.write_text(machine)
        info = tmp_path / "site" / "acme-1.0.dist-info"
        with (info / "RECORD").open("a") as record:
            record.write(f"\nacme/{extension.name},,")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: {version}\n")
        distribution_digest.cache_clear()
        found.append(distribution_digest("acme"))
        extension.unlink()
    assert found[0] == found[1] != found[2]
