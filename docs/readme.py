"""Put real output and measured figures into README.md.

    python docs/readme.py

Runs the command that the page shows, and takes the averages of the detectors from results.md,
which `vlmad bench` wrote. Its picture is drawn by pictures.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
COMMAND = "vlmad run examples/samples/cloth/test"
PAPERS = {
    "winclip": "Jeong et al., CVPR 2023",
    "anomalyclip": "Zhou et al., ICLR 2024",
    "hybrid": "proposed: learned prompts inside windows",
    "clip": "Radford et al., ICML 2021",
    "clip-ac": "Jeong et al., CVPR 2023",
    "comparison": "the comparison that vlmad grew from",
}


def output(out: Path) -> str:
    """Run the command into a folder; return what it prints, without where it wrote."""
    words = [sys.executable, "-m", "vlmad", *COMMAND.split()[1:], "--out", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.partition("\n\n")[0].splitlines()
    return "\n".join(line.rstrip() for line in lines)


def averages() -> str:
    """Return a table of the detectors' averages over public photographs, zero-shot."""
    average = r"^\| average \| zero-shot \| (\S+) \| (.*)\|$"
    recipes = RESULTS.read_text(encoding="utf-8").partition("<!-- recipes:")[2]
    found: dict[str, list[list[str]]] = {}
    for name, cells in re.findall(average, recipes.partition("<!-- end")[0], re.MULTILINE):
        figures = [re.findall(r"\d\.\d+", cell)[0] for cell in cells.split("|")[:2]]
        found.setdefault(name, []).append(figures)
    lines = ["| detector | from | image AUROC | pixel AUROC | AUPRO |", "|---|---|---|---|---|"]
    for name, paper in PAPERS.items():
        image, pixel = found[name][:2]
        lines.append(f"| `{name}` | {paper} | {image[0]} | {pixel[0]} | {pixel[1]} |")
    return "\n".join(lines)


def defaults() -> str:
    """Return what is reached where nothing is named, in words."""
    page = RESULTS.read_text(encoding="utf-8")
    row = r"(?m)^\| %s \| %s \| [^|]+\| (0\.\d+)[^|]+\| (0\.\d+)"
    alone = page.partition("<!-- alone:")[2]
    own, by_words = (
        re.findall(row % (name, "zero-shot"), alone)[0][0] for name in ("rarity", "winclip")
    )
    found = re.findall(row % ("change", r"(\d)-shot"), page)
    count, image, pixel = (" and ".join(part) for part in zip(found[0], found[-1], strict=True))
    return (
        f"Without references the default (`rarity`) has an image AUROC of {own} on ten sets "
        f"(`winclip` {by_words});\nwith {count} of them (`change`) {image}, and a pixel AUROC "
        f"of {pixel} on the eight with exact masks."
    )


def filled(page: str, table: str, console: str) -> str:
    """Return the page with another table and other output."""
    page = re.sub(
        r"(?s)(<!-- measured -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}{table}\n{m[2]}",
        page,
    )
    block = r"(?s)(\$ " + re.escape(COMMAND) + r"\n).*?(```)"
    return re.sub(block, lambda m: f"{m[1]}{console}\n{m[2]}", page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        shown = output(Path(folder, "run"))
    measured = averages() + "\n\n" + defaults()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), measured, shown), encoding="utf-8")
