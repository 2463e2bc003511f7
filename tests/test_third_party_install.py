"""The wheels of vlmad and of a stranger's plugin, really built, installed with pip, and run."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
THIRD_PARTY = ROOT / "examples" / "third_party"
IMAGES = ROOT / "examples" / "samples" / "cloth" / "test" / "hole"

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


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, THIRD_PARTY):
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        succeed(*pip, "--no-build-isolation", "--wheel-dir", out, project)
    return sorted(out.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with both wheels; everything else comes from the one that tests run in."""
    folder = tmp_path_factory.mktemp("environment")
    succeed(sys.executable, "-m", "venv", "--system-site-packages", folder)
    own = next(folder.glob("lib/python*/site-packages"))
    # a plain path line: what is installed here comes first, editable installs there do not count
    (own / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    succeed(*pip, "--ignore-installed", *wheels)
    return folder / "bin" / "python"


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
        "vlmad_tiny/weights/tiny.safetensors",
        "vlmad_tiny/weights/prompts.safetensors",
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


def test_the_strangers_part_is_listed_and_described(vlmad: Vlmad) -> None:
    listed = vlmad("plugins")
    assert listed.returncode == 0, listed.stderr
    scorers = listed.stdout.partition("\nscorer\n")[2].partition("\n\n")[0]
    [line] = [line for line in scorers.splitlines() if line.split()[0] == "top-share"]
    assert line.endswith("(vlmad-top-share 0.1.0)")
    described = vlmad("describe", "scorer:top-share")
    assert "scorer.share" in described.stdout
    assert "how many of the pixels count" in described.stdout


def test_the_strangers_detector_runs(vlmad: Vlmad, tmp_path: Path) -> None:
    done = vlmad("run", IMAGES, "--detector", "top-share", "--out", "out")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "scores.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done", "done"]


def test_the_strangers_part_mixes_with_built_in_ones(vlmad: Vlmad) -> None:
    words = ("--scorer", "top-share", "--prompt", "learned", "--extractor", "dense")
    done = vlmad("run", IMAGES, *words, "--attention", "vv", "--set", "scorer.share=0.1")
    assert done.returncode == 0, done.stderr
    wrong = vlmad("run", IMAGES, "--scorer", "top-share", "--set", "scorer.share=2")
    assert wrong.returncode == 2
    assert "option 'share' takes number above 0 to 1, not '2'" in wrong.stderr


def test_the_strangers_own_tests_pass(python: Path) -> None:
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", THIRD_PARTY / "tests")
    done = run(python, *words, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode == 0, done.stdout


def test_a_blocked_plugin_is_left_out_and_named(vlmad: Vlmad) -> None:
    for done in (
        vlmad("run", IMAGES, "--detector", "top-share", "--no-plugins"),
        vlmad("run", IMAGES, "--detector", "top-share", VLMAD_PLUGINS=""),
    ):
        assert done.returncode == 2
        assert "top-share (blocked)" in done.stderr
    done = vlmad("describe", "detector:top-share", VLMAD_PLUGINS="top-share")
    assert done.returncode == 0


def test_a_broken_plugin_is_listed_and_the_others_work(
    python: Path, vlmad: Vlmad, tmp_path: Path
) -> None:
    project = tmp_path / "broken"
    project.mkdir()
    (project / "vlmad_broken.py").write_text("raise RuntimeError('made to fail')\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "vlmad-broken"\nversion = "1.0"\n'
        '[project.entry-points.vlmad]\nbroken = "vlmad_broken"\n'
        '[tool.hatch.build.targets.wheel]\nonly-include = ["vlmad_broken.py"]\n'
    )
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    succeed(*pip, "--no-build-isolation", project)
    try:
        listed = vlmad("plugins")
        assert listed.returncode == 0
        assert "broken (vlmad-broken 1.0): broken, RuntimeError: made to fail" in listed.stdout
        done = vlmad("run", IMAGES, "--detector", "clip")
        assert done.returncode == 0, done.stderr
        assert vlmad("--help").returncode == 0
    finally:
        succeed(python, "-m", "pip", "uninstall", "--quiet", "--yes", "vlmad-broken")


def test_uninstalling_removes_the_part(python: Path, wheels: list[Path], vlmad: Vlmad) -> None:
    succeed(python, "-m", "pip", "uninstall", "--quiet", "--yes", "vlmad-top-share")
    done = vlmad("describe", "scorer:top-share")
    assert done.returncode == 2
    assert "no scorer is called 'top-share'" in done.stderr
