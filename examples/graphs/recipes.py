"""Export recipes on photographs one after the other, and print what each comparison found.

python examples/graphs/recipes.py photos/ good/ change:1 patchcore:8 winclip hybrid:encoding=shared

A recipe may be followed by how many references it is fitted on, and by an option of its extractor.
What is refused is printed with its reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Export each and print a row for each runtime."""
    photos, good, *wanted = sys.argv[1:]
    print("detector, runtime: score, map (shares of the largest), ranks, ms beside torch")
    for text in wanted:
        with tempfile.TemporaryDirectory() as folder:
            words = ["export", "--detector", *_words(text, good), "--images", photos, "--json"]
            command = [sys.executable, "-m", "vlmad", *words, "--out", str(Path(folder, "a.onnx"))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"{text}: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        for each in json.loads(done.stdout)["parity"]:
            score, heat = (each[name] / each[f"largest_{name}"] for name in ("score", "map"))
            times = f"{each['milliseconds']:.0f}/{each['torch_milliseconds']:.0f}"
            ranks = each["rank_correlation"]
            print(f"{text}, {each['runtime']}: {score:.5f} {heat:.5f} {ranks} {times}", flush=True)


def _words(text: str, good: str) -> list[str]:
    recipe, *more = text.split(":")
    words = [recipe]
    for each in more:
        if each.isdecimal():
            words += ["--references", good, "--shots", each]
        else:
            words += ["--set", f"extractor.{each}"]
    return words


if __name__ == "__main__":
    main()
