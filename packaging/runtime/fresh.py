"""Install vlmad-runtime into a fresh environment, and say what it brings and how fast it begins.

python packaging/runtime/fresh.py nut.onnx photo.png

The wheel is built from this tree. What pip installs is listed with sizes; no torch may be among it.
Five runs of the photograph give the time from the start of the process to the first score. Then
vlmad itself is installed beside it, without its dependencies: both commands have to work.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
RUNS = 5


def main() -> None:
    """Build, install, measure and print."""
    graph, photo = (Path(name).absolute() for name in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="vlmad-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", folder / "fresh"], check=True)
        programs = folder / "fresh" / ("Scripts" if sys.platform == "win32" else "bin")
        pip = [programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        for tree in (HERE, HERE.parents[1]):
            subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, tree], check=True)
        subprocess.run([*pip, "install", *folder.glob("vlmad_runtime-*.whl")], check=True)
        lister = [*pip[:3], "list", "--format", "json"]
        told = subprocess.run(lister, capture_output=True, check=True)
        names = [each["name"] for each in json.loads(told.stdout)]
        print(", ".join(names))
        assert "torch" not in names
        print(f"{_megabytes(folder / 'fresh'):.0f} MB in all, pip and setuptools among them")
        command = [programs / "vlmad-runtime", "run", photo, "--model", graph, "--json"]
        times, used = zip(*(_first_score(command, folder) for _ in range(RUNS)), strict=True)
        print(
            f"first score after {statistics.median(times):.2f} s ({min(times):.2f} at best); a run "
            f"of one image takes {statistics.median(used):.2f} s of processor time"
        )
        beside = [each for each in folder.glob("vlmad-*.whl")]
        subprocess.run([*pip, "install", "--no-deps", *beside], check=True)
        for program in ("vlmad-runtime", "vlmad"):
            _first_score([programs / program, *command[1:]], folder)
        print("with vlmad beside it both commands run the graph")


def _megabytes(folder: Path) -> float:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def _first_score(command: list[str | Path], folder: Path) -> tuple[float, float]:
    """Return the seconds until the first row of a run, which has to be done, and of processors."""
    started, before = time.perf_counter(), os.times()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        row = json.loads(running.stdout.readline())
        seconds = time.perf_counter() - started
    assert (row["status"], running.returncode) == ("done", 0), row
    after = os.times()
    used = after.children_user + after.children_system
    return seconds, used - before.children_user - before.children_system


if __name__ == "__main__":
    main()
