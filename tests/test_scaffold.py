"""`vlmad new-plugin` writes a distribution of which everything works at once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from vlmad.images import formats
from vlmad.testing import check_part
from vlmad_run.walking import _endings
from vlmad_scaffold.new_distribution import LONGEST, distribution_of, offered_kinds

from .conftest import film, noise, vlmad

ROOT = Path(__file__).parents[1]
BEGUN = {"vlmad_foo/__init__.py", "vlmad_foo/py.typed", "tests/test_promises.py"}
BEGUN |= {"pyproject.toml", "README.md", ".github/workflows/check.yml"}
LONGEST_NAME = "m" * LONGEST


def written(folder: Path, name: str, *kinds: str) -> Path:
    parts = [word for kind in kinds for word in ("--part", kind)]
    done = vlmad("new-plugin", name, *parts, "--out", folder / name, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / name


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def begun(install: Callable[..., Path], tmp_path: Path) -> Iterator[Path]:
    """A plugin of every kind, found in this process as if it were installed."""
    folder = written(tmp_path, "vlmad-foo", *offered_kinds())
    site = install("vlmad-foo", "")
    (site / "vlmad_foo.py").unlink()
    (folder / "vlmad_foo").rename(site / "vlmad_foo")
    formats.cache_clear()
    _endings.cache_clear()
    yield folder
    formats.cache_clear()
    _endings.cache_clear()


def test_it_begins_every_kind_that_there_is(registry: object) -> None:
    from vlmad.registry import Registry

    kinds = set(Registry.discover().kinds)
    assert set(offered_kinds()) == kinds - {"cluster", "onlooker"}


def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    folder = written(tmp_path, "vlmad-foo", "scorer", "detector", "scorer")
    assert files_in(folder) == BEGUN | {"vlmad_foo/scorer.py", "vlmad_foo/recipe.py"}
    hooks = (folder / "vlmad_foo" / "__init__.py").read_text(encoding="utf-8")
    assert hooks.count("@hookimpl") == 2
    assert "vlmad_foo.scorer:FooScorer" in hooks
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `")] == [
        "| `scorer:foo` | `vlmad run photos/ --scorer foo` |",
        "| `detector:foo` | `vlmad run photos/ --detector foo` |",
    ]


@pytest.mark.parametrize("name", ["vlmad-foo", "our-parts", LONGEST_NAME])
def test_nothing_of_the_templates_name_is_left(name: str) -> None:
    files = distribution_of(name, offered_kinds())
    assert not [p for p, content in files.items() if "sprout" in (p + content).lower()]
    assert max(len(n) for p, c in files.items() if p.endswith(".py") for n in c.split("\n")) <= 100


def test_a_scorer_is_at_most_25_lines_long() -> None:
    content = distribution_of("vlmad-foo", ["scorer"])["vlmad_foo/scorer.py"]
    assert content.count("\n") <= 25


@pytest.mark.parametrize("kind", ["attention", "engine", "source", "sink", "format"])
def test_what_was_begun_keeps_its_promises(kind: str, begun: Path) -> None:
    check_part(kind, "foo")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["backbone", "prompts", "extractor", "scorer", "detector", "dataset", "command", "defect"],
)
def test_what_else_was_begun_keeps_its_promises(kind: str, begun: Path) -> None:
    check_part(kind, "foo")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vlmad-3d", "'vlmad-3d' is no name for a plugin"),
        ("vlmad-größe", "is no name for a plugin"),
        ("../foo", "is no name for a plugin"),
        ("vlmad-", "is no name for a plugin"),
        (LONGEST_NAME + "m", f"{LONGEST} at most"),
        ("vlmad-run", "'vlmad_run' is already something to Python"),
        ("json", "'json' is already something to Python"),
        ("tests", "'tests' is already something to Python"),  # its own folder of tests
        ("class", "'class' is already something to Python"),
        ("vlmad-dense", "has a scorer 'dense'; choose another name"),
    ],
)
def test_names_that_cannot_be_are_refused(name: str, says: str, tmp_path: Path) -> None:
    done = vlmad("new-plugin", name, "--part", "scorer", cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_name_is_written_as_pip_spells_it(tmp_path: Path) -> None:
    assert vlmad("new-plugin", "Vlmad_Foo", "--part", "scorer", cwd=tmp_path).returncode == 0
    assert files_in(tmp_path / "vlmad-foo") == BEGUN | {"vlmad_foo/scorer.py"}


def test_a_kind_without_a_template_is_answered_with_the_nearest(tmp_path: Path) -> None:
    done = vlmad("new-plugin", "vlmad-foo", "--part", "scorers", cwd=tmp_path)
    assert done.returncode == 2
    assert "--part scorers: there is no template for that" in done.stderr
    assert "'scorer'" in done.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "vlmad-foo").mkdir()
    done = vlmad("new-plugin", "vlmad-foo", "--part", "scorer", cwd=tmp_path)
    assert done.returncode == 2
    assert "vlmad-foo exists; choose another --out" in done.stderr
    assert files_in(tmp_path) == set()


@pytest.mark.slow
def test_what_was_begun_passes_ruff_and_strict_mypy(tmp_path: Path) -> None:
    folder = written(tmp_path, LONGEST_NAME, *offered_kinds())
    searched = [str(ROOT / top) for top in ("core", "plugins")]
    for words in (
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        ("mypy", "--cache-dir", str(ROOT / ".mypy_cache" / "begun")),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=folder,
            env={"MYPYPATH": ":".join(searched), "PATH": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """What the commands of a new plugin's page name: photographs, and lists of them."""
    noise(tmp_path / "photos", 2)
    noise(tmp_path / "good", 4)
    noise(tmp_path / "products", 8)
    names = sorted(path.name for path in (tmp_path / "products").iterdir())
    lines = [f"{'good' if i < 6 else 'scratch'} {name}\n" for i, name in enumerate(names)]
    (tmp_path / "products" / "labels.txt").write_text("".join(lines))
    film(tmp_path / "clip.mp4", [Image.new("RGB", (32, 32), (grey,) * 3) for grey in (0, 90)])
    (tmp_path / "list.txt").write_text("photos/0000.png\nphotos/0001.png\n")
    (tmp_path / "recipe.foo").write_text('scorer = "dense"\nclass_name = "nut"\n')
    rows = "\n".join(" ".join(str(n * m % 256) for n in range(40)) for m in range(30))
    (tmp_path / "photos" / "text.foo").write_text(f"# foo\n{rows}\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("kind", offered_kinds())
def test_the_page_of_a_new_plugin_shows_commands_that_work(
    kind: str, begun: Path, workshop: Path
) -> None:
    page = (begun / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(rf"^\| `{kind}:foo` \| `vlmad (.*)` \|$", page, re.MULTILINE)
    words = [
        found
        for word in command.split()
        for found in (sorted(map(str, workshop.glob(word))) if "*" in word else [word])
    ]
    done = vlmad(*words, cwd=workshop)
    assert done.returncode == 0, done.stderr
