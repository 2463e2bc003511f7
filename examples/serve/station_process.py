"""A server in a process of its own, and clients of it, for the measurements beside this file."""

from __future__ import annotations

import http.client
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from vlmad.testing import TWO_LAYERS

MODELS = {
    "two-layer": (
        *("--detector", "clip", "--backbone", f"openclip:{TWO_LAYERS}"),
        *("--set", "backbone.weights=random:0"),
    ),
    "tiny": ("--detector", "winclip"),
}
"""Words that choose a detector."""
PNG = {"Content-Type": "image/png"}


def images(count: int, side: int) -> list[bytes]:
    """Return PNG files of seeded noise that is smooth, as photographs are."""
    rng, files = np.random.default_rng(0), []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
        files.append(file.getvalue())
    return files


class StationProcess:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def resident_megabytes(self) -> float:
        """Return how much memory it uses."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def metric(self, name: str) -> float:
        """Return a figure of its metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    def ask(self, count: int, clients: int, sent: list[bytes]) -> list[float]:
        """Send so many images by clients that wait for each answer; return the seconds of each."""
        shares = [count // clients + (client < count % clients) for client in range(clients)]
        with ThreadPoolExecutor(clients) as pool:
            found = pool.map(lambda share: self._ask(share, sent), shares)
            return [seconds for each in found for seconds in each]

    def _ask(self, count: int, sent: list[bytes]) -> list[float]:
        connection, took = http.client.HTTPConnection("127.0.0.1", self.port), []
        for number in range(count):
            started = time.perf_counter()
            connection.request("POST", "/score", sent[number % len(sent)], PNG)
            response = connection.getresponse()
            response.read()
            took.append(time.perf_counter() - started)
            assert response.status == 200, response.status
        connection.close()
        return took


@contextmanager
def station(model: str, *words: str) -> Iterator[StationProcess]:
    """Start a server of a model, and stop it again."""
    command = [sys.executable, "-m", "vlmad", "serve", "--port", "0", *MODELS[model], *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r" at http://127\.0\.0\.1:(\d+);", line)
            if found is not None:
                break
        else:
            raise SystemExit("the server did not start")
        try:
            yield StationProcess(process, int(found[1]))
        finally:
            process.terminate()
