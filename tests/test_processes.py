"""The tests run the command line in their own process, and as if it were in one of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Process, vlmad


def test_a_quick_test_cannot_start_python() -> None:
    with pytest.raises(pytest.fail.Exception, match="is slow: use the fixture `process` or mark"):
        subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.parametrize(
    "words",
    [
        ("plugins",),
        ("run", "--shots", "x"),
        ("run", "\N{SNOWMAN}", "--detector", "clip"),
    ],
    ids=" ".join,
)
def test_commands_end_and_print_the_same_in_a_process_of_their_own(
    words: tuple[str, ...], process: Process, tmp_path: Path
) -> None:
    one, other = (run(*words, cwd=tmp_path) for run in (vlmad, process))
    assert (one.returncode, one.stdout, one.stderr) == (
        other.returncode,
        other.stdout,
        other.stderr,
    )
