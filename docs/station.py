"""Draw the picture of the operator's page: the samples of cloth, judged by a real server.

    python docs/station.py

It needs a Chromium and vlmad[serve].
"""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "examples" / "samples" / "cloth"
PICTURE = Path(__file__).parent / "images" / "station.png"
PORT = 8765
SIZE = {"width": 1100, "height": 1010}
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def vlmad(*words: str | Path) -> list[str]:
    """Return the words of a command."""
    return [sys.executable, "-m", "vlmad", *map(str, words)]


def judge(image: Path) -> None:
    """Send an image, and wait for the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    name = f"{image.parent.name}-{image.name}"
    connection.request(
        "POST", f"/score?name={name}", image.read_bytes(), {"Content-Type": "image/png"}
    )
    connection.getresponse().read()


def wait_for_server() -> None:
    """Return when it answers."""
    while True:
        try:
            http.client.HTTPConnection("127.0.0.1", PORT).request("GET", "/health")
            return
        except OSError:
            time.sleep(0.2)


def photograph(path: Path) -> None:
    """Open the page, say of two images what they show, and keep what it looks like."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(f"http://127.0.0.1:{PORT}/")
        expect(page.locator("#history button")).to_have_count(9)
        for key, steps in (("d", 0), ("g", 8)):
            for _ in range(steps):
                page.keyboard.press("ArrowDown")
            expect(page.locator("[data-truth=normal]")).to_be_enabled()
            page.wait_for_timeout(1000)  # one cannot say what a picture shows that has just changed
            page.keyboard.press(key)
            expect(page.locator("#heard")).to_contain_text("noted", timeout=60_000)
        page.keyboard.press("Home")
        page.wait_for_timeout(1000)  # for the picture to be drawn
        page.screenshot(path=path, full_page=True)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        fitted = Path(folder, "cloth.safetensors")
        subprocess.run(vlmad("fit", SAMPLES / "train" / "good", "--out", fitted), check=True)
        server = subprocess.Popen(
            vlmad("serve", fitted, "--port", str(PORT), "--verdicts", Path(folder, "verdicts"))
        )
        try:
            wait_for_server()
            for sample in sorted((SAMPLES / "test").rglob("*.png")):
                judge(sample)
            photograph(PICTURE)
        finally:
            server.terminate()
            server.wait()
    Image.open(PICTURE).convert("P", palette=Image.Palette.ADAPTIVE).save(PICTURE, optimize=True)
