"""Measure how long vlmad takes to start, beside the bare interpreter.

    python examples/speed/startup.py [ROUNDS]

All commands take turns, so that whatever else the machine does hits them alike. The median of
each is given, and what it takes over the interpreter's; "first" is a start without an index of
plugins. Commands that import torch are marked.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROUNDS = 9
BARE = "the interpreter"
VLMAD = "import sys; sys.argv[1:] = {}; from vlmad.cli import main; main()"
CODE = {
    BARE: "pass",
    "vlmad --help": VLMAD.format(["--help"]),
    "vlmad --help, first": VLMAD.format(["--help"]),
    "vlmad plugins": VLMAD.format(["plugins"]),
    "vlmad plugins, first": VLMAD.format(["plugins"]),
    "vlmad cache": VLMAD.format(["cache"]),
    "import vlmad": "import vlmad",
    "import torch": "import torch",
    "import open_clip": "import open_clip",
}


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    seconds: dict[str, list[float]] = {name: [] for name in CODE}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, rounds):  # the first round fills the caches of the disk
            for name, code in CODE.items():
                place = Path(folder) / (f"{number} {name}" if name.endswith("first") else "warm")
                taken = measure(code, place)
                if number >= 0:
                    seconds[name].append(taken)
        loads = {name: imports_torch(code) for name, code in CODE.items()}
    show(seconds, loads)


def measure(code: str, cache: Path) -> float:
    """Return the seconds that an interpreter takes for it, with its caches in a folder."""
    environment = {**os.environ, "VLMAD_CACHE": str(cache)}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    return time.perf_counter() - start


def imports_torch(code: str) -> bool:
    """Tell whether torch is among the modules that a piece of code leaves imported."""
    look = f"try:\n    {code}\nexcept SystemExit:\n    pass\n"
    look += "import sys; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", look]
    return subprocess.run(command, capture_output=True, check=False).returncode == 1


def show(seconds: dict[str, list[float]], loads: dict[str, bool]) -> None:
    """Print a row for each command."""
    bare = statistics.median(seconds[BARE])
    table = Table("command", box=None, header_style="bold")
    for title in ("median", "fastest", "over bare"):
        table.add_column(title, justify="right")
    table.add_column("torch")
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        figures = (f"{value:.3f} s" for value in (middle, min(taken), middle - bare))
        table.add_row(name, *figures, "imported" if loads[name] else "")
    Console().print(table)


if __name__ == "__main__":
    main()
