"""Measure what an install of vlmad and of each extra brings, and put it into docs/quickstart.md.

    python packaging/sizes.py

The wheel of this tree goes into a fresh environment: torch first, for it is most of it and has
builds of very different size, then the rest, then each extra by itself. The cache of pip is not
used; seconds are those of this machine and its package index.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "quickstart.md"
NOT_FOR_USERS = {"dev", "docs"}
LARGE = 10
"""Megabytes from which on a package is named."""

Sizes = dict[str, float]


def main() -> None:
    """Install, measure, and write the table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for name in project["optional-dependencies"] if name not in NOT_FOR_USERS]
    with tempfile.TemporaryDirectory(prefix="vlmad-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", folder / "fresh"], check=True)
        _pip(folder, "wheel", "--no-deps", "-w", str(folder), str(ROOT))
        [wheel] = folder.glob("vlmad-*.whl")
        brought = {"torch": _installed(folder, "torch", "torchvision")}
        brought["vlmad"] = _installed(folder, str(wheel))
        for extra in extras:
            sizes, _ = brought[f"vlmad[{extra}]"] = _installed(folder, f"{wheel}[{extra}]")
            if sizes:
                _pip(folder, "uninstall", "--yes", *sizes)
    table = _table(brought)
    print(table)
    page = PAGE.read_text(encoding="utf-8")
    filled = re.sub(r"(?s)(<!-- sizes -->\n).*?(<!-- end -->)", rf"\1{table}\n\2", page)
    PAGE.write_text(filled, encoding="utf-8")


def _pip(folder: Path, *words: str) -> None:
    python = folder / "fresh" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    quiet = ("--quiet", "--disable-pip-version-check", "--no-cache-dir")
    subprocess.run([python, "-m", "pip", *quiet, *words], check=True)


def _installed(folder: Path, *what: str) -> tuple[Sizes, float]:
    """Install; return the megabytes of each distribution that came, and the seconds it took."""
    before, start = _sizes(folder), time.perf_counter()
    _pip(folder, "install", *what)
    taken = time.perf_counter() - start
    return {name: size for name, size in _sizes(folder).items() if name not in before}, taken


def _sizes(folder: Path) -> Sizes:
    [place] = (folder / "fresh").glob("[Ll]ib/**/site-packages")
    return {each.name: _megabytes(each.files) for each in distributions(path=[str(place)])}


def _megabytes(files: object) -> float:
    paths = (Path(str(file.locate())) for file in files or ())  # type: ignore[attr-defined]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def _table(brought: dict[str, tuple[Sizes, float]]) -> str:
    lines = ["| what | packages | MB | seconds | the large ones, MB |", "|---|---|---|---|---|"]
    for name, (sizes, taken) in brought.items():
        large = sorted((size, each) for each, size in sizes.items() if size >= LARGE)[:-6:-1]
        named = ", ".join(f"{each} {size:.0f}" for size, each in large)
        count, total = len(sizes), sum(sizes.values())
        lines.append(f"| `{name}` | {count} | {total:.0f} | {taken:.0f} | {named} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
