"""The wheels of vlmad and of strangers' plugins, really built, installed with pip, and run."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
THIRD_PARTY = ROOT / "examples" / "third_party"
OTHERS = sorted((ROOT / "examples").glob("third_party_*"))
CLOTH = ROOT / "examples" / "samples" / "cloth"
IMAGES, GOOD = CLOTH / "test" / "hole", CLOTH / "train" / "good"

# one group: two workers would each make the environment
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("third-party")]

Done = subprocess.CompletedProcess[str]
Vlmad = Callable[..., Done]


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> Done:
    outer = ("PYTHONPATH", "VLMAD_PLUGINS")
    kept = {k: v for k, v in os.environ.items() if k not in outer and k[:7] != "PYTEST_"}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**kept, **env}, capture_output=True, text=True
    )


def succeed(*command: str | Path, cwd: Path | None = None) -> None:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def pip(command: str, python: Path, *words: str | Path) -> None:
    succeed(sys.executable, "-m", "pip", "--python", python, command, "--quiet", *words)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, THIRD_PARTY, *OTHERS):
        words = ("--no-deps", "--no-build-isolation", "--wheel-dir", out, project)
        pip("wheel", Path(sys.executable), *words)
    return sorted(out.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with all wheels; everything else comes from the one that tests run in."""
    folder = tmp_path_factory.mktemp("environment")
    succeed(sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", folder)
    own = next(folder.glob("lib/python*/site-packages"))
    # plain path lines: what is installed here comes first, editable installs there do not count
    outer = [path for path in sys.path if path.endswith("site-packages")]
    (own / "outer.pth").write_text("\n".join(outer) + "\n")
    python = folder / "bin" / "python"
    pip("install", python, "--no-deps", "--no-index", "--ignore-installed", *wheels)
    return python


@pytest.fixture
def vlmad(python: Path, tmp_path: Path) -> Vlmad:
    def call(*words: str | Path, **env: str) -> Done:
        return run(python.with_name("vlmad"), *words, cwd=tmp_path, COLUMNS="200", **env)

    return call


def test_the_wheel_holds_the_core_all_plugins_and_nothing_else(wheels: list[Path]) -> None:
    [wheel] = [path for path in wheels if path.name.startswith("vlmad-0")]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    plugins = {path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()}
    packages = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert packages == {"vlmad", *plugins}
    for needed in (
        "vlmad/py.typed",
        "vlmad/testing/two_layer.json",
        "vlmad_tiny/weights/levels.safetensors",
        "vlmad_tiny/weights/tiny.safetensors",
        "vlmad_tiny/weights/drawn-dense.safetensors",
        "vlmad_tiny/weights/drawn-window.safetensors",
        "vlmad_report/templates/report.css",
        "vlmad_report/templates/page.html.j2",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert not [name for name in names if name.endswith(".pyc")]
    assert wheel.stat().st_size < 40_000_000


def test_the_installed_wheel_is_what_runs(python: Path, tmp_path: Path) -> None:
    done = run(python, "-c", "import vlmad; print(vlmad.__file__)", cwd=tmp_path)
    assert done.stdout.startswith(str(python.parents[1])), done.stderr


def test_the_strangers_part_is_described(vlmad: Vlmad) -> None:
    described = vlmad("describe", "scorer:top-share")
    assert "scorer.share" in described.stdout
    assert "how many of the pixels count" in described.stdout


def test_checking_prints_what_the_page_for_authors_shows(vlmad: Vlmad) -> None:
    page = (ROOT / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
    command, shown = page.split("\n$ ")[1].split("\n```")[0].split("\n", 1)
    done = vlmad(*command.split()[1:])
    assert done.stdout == f"{shown}\n", done.stderr


def test_the_strangers_detector_runs(vlmad: Vlmad, tmp_path: Path) -> None:
    done = vlmad("run", IMAGES, "--detector", "top-share", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path / "out" / "scores.csv") == ["done", "done"]


def test_a_strangers_code_counts_by_its_files_in_a_wheel_and_in_a_checkout(
    python: Path, vlmad: Vlmad, wheels: list[Path], tmp_path: Path
) -> None:
    words = ("run", IMAGES, "--detector", "top-share", "--overlays", "none", "--out", "out")
    [installed] = python.parents[1].glob("lib/python*/site-packages/vlmad_top_share/scorer.py")
    checkout = shutil.copytree(THIRD_PARTY, tmp_path / "checkout")
    assert vlmad(*words).returncode == 0

    def edited(path: Path) -> Done:
        content = path.read_text()
        path.write_text(content.replace("TEMPERATURE = 0.07", "TEMPERATURE = 0.7"))
        try:
            return vlmad(*words)
        finally:
            path.write_text(content)

    assert "scorer 'top-share' was edited since" in edited(installed).stderr
    pip("install", python, "--no-deps", "--no-build-isolation", "--no-index", "-e", checkout)
    try:
        done = vlmad(*words)
        assert "going on with out" in done.stderr, done.stderr
        done = edited(checkout / "vlmad_top_share" / "scorer.py")
        assert "scorer 'top-share' was edited since" in done.stderr
    finally:
        [wheel] = [path for path in wheels if path.name.startswith("vlmad_top_share")]
        pip("install", python, "--no-deps", "--no-index", "--force-reinstall", wheel)


@pytest.mark.parametrize("project", [THIRD_PARTY, *OTHERS], ids=lambda project: project.name)
def test_the_strangers_own_tests_pass(project: Path, python: Path) -> None:
    assert_tests_pass(project, python)


def assert_tests_pass(project: Path, python: Path) -> None:
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    done = run(python, *words, cwd=project, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode == 0, done.stdout + done.stderr


def statuses(table: Path) -> list[str]:
    with table.open() as file:
        return [row["status"] for row in csv.DictReader(file)]


def test_a_strangers_backbone_without_text_is_fitted_kept_and_run(
    vlmad: Vlmad, tmp_path: Path
) -> None:
    detector = ("--backbone", "gabor:8", "--detector", "patchcore")
    done = vlmad("fit", GOOD, *detector, "--shots", "4", "--out", "cloth.safetensors")
    assert done.returncode == 0, done.stderr
    done = vlmad("run", IMAGES, "--model", "cloth.safetensors", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path / "out" / "scores.csv") == ["done", "done"]
    done = vlmad("run", IMAGES, "--backbone", "gabor", "--prompt", "compositional")
    assert "needs text encoder, but backbone 'gabor'" in done.stderr


def test_a_strangers_prompts_describe_each_image(vlmad: Vlmad, tmp_path: Path) -> None:
    words = ("run", IMAGES, "--prompt", "described", "--overlays", "none")
    for out, adjectives in (("both", "dark,bright"), ("one", "dark")):
        done = vlmad(*words, "--set", f"prompts.words={adjectives}", "--out", out)
        assert done.returncode == 0, done.stderr
        assert statuses(tmp_path / out / "scores.csv") == ["done", "done"]
    assert (tmp_path / "both/scores.csv").read_bytes() != (tmp_path / "one/scores.csv").read_bytes()


def test_a_strangers_command_takes_the_options_of_a_detector(vlmad: Vlmad) -> None:
    words = ("worst", CLOTH / "test", "--references", GOOD, "--shots", "2", "--count", "2")
    done = vlmad(*words, "--backbone", "gabor", "--detector", "patchcore")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert vlmad(*words, "--scorer", "dence").stderr.count("'dense'") == 1


def test_a_new_plugin_passes_its_tests_as_it_is(python: Path, vlmad: Vlmad, tmp_path: Path) -> None:
    done = vlmad("new-plugin", "vlmad-foo", "--part", "scorer", "--part", "command")
    assert done.returncode == 0, done.stderr
    without = ("--no-deps", "--no-build-isolation", "--no-index")
    pip("install", python, *without, "-e", tmp_path / "vlmad-foo")
    try:
        assert_tests_pass(tmp_path / "vlmad-foo", python)
        done = vlmad("foo", IMAGES / "000.png", "--scorer", "foo")
        assert done.stdout.endswith("000.png\n"), done.stderr
    finally:
        pip("uninstall", python, "--yes", "vlmad-foo")


def test_uninstalling_removes_the_part(python: Path, vlmad: Vlmad) -> None:
    pip("uninstall", python, "--yes", "vlmad-top-share")
    done = vlmad("describe", "scorer:top-share")
    assert done.returncode == 2
    assert "no scorer is called 'top-share'" in done.stderr
