"""Memory does not grow with the number of images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "speed" / "streaming.py"


@pytest.mark.slow
def test_ten_times_the_images_take_hardly_more_memory() -> None:
    words = [sys.executable, str(SCRIPT), "300", "30"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert float(done.stdout.split("ratio")[1]) <= 1.1, done.stdout
