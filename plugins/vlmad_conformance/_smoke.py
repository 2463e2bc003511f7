"""A part in use: the commands that a user would run with it, on a few small drawn images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.building import load_detector
from vlmad.errors import VlmadError
from vlmad.hookspecs import KINDS
from vlmad.recipes import Recipe
from vlmad_conformance.checking import subject_of
from vlmad_conformance.examples import TWO_LAYERS, example_images
from vlmad_conformance.promises import Broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.plugin import Registration

USED = (*KINDS, "detector")
"""Kinds that detectors are made of."""
SAID = 300
"""Characters of what a failed command said that are shown."""


def smoke(registration: Registration, options: Mapping[str, Any] | None = None) -> list[Broken]:
    """Return the commands that fail with a part: run, again, fit, fitted, explain, bench, plan."""
    if registration.kind not in USED:
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw(folder)
        try:
            chosen = _choose(registration, options, folder)
            commands = _commands(chosen, folder)
        except VlmadError as error:
            return [Broken("in-use", str(error), "a detector with it")]
        ended = _run(list(commands.values()), folder)
    broken = [
        Broken("in-use", f"it ends with {status}: {_last(said)}", f"vlmad {' '.join(words)}")
        for words, (status, said) in zip(commands.values(), ended, strict=True)
        if status != 0
    ]
    return [each._replace(smallest=each.smallest.replace(name, "…")) for each in broken]


def _draw(folder: Path) -> None:
    """Draw four references, two photographs, and a data set of two images and references."""
    sources = example_images(5).sources
    for place in ("good", "photos", "data/train/good", "data/good", "data/bad"):
        (folder / place).mkdir(parents=True)
    for number, source in enumerate(sources):
        image: Any = source
        picture = image.open()
        for place in ("good", "data/train/good") if number < 4 else ("data/bad", "photos"):
            picture.save(folder / place / f"{number}.png")
        if number == 0:
            picture.transpose(0).save(folder / "data" / "good" / "0.png")
            picture.save(folder / "photos" / "0.png")


def _choose(
    registration: Registration, options: Mapping[str, Any] | None, folder: Path
) -> list[str]:
    """Return the words of a command line that choose a detector with a part."""
    if registration.kind == "detector":
        return ["--detector", registration.full_name]
    own = dict(subject_of(registration, options).options)
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in own.items() if v is not None}
    small = {"model": str(TWO_LAYERS), "weights": "random:0"}
    parts = {"backbone": "openclip", registration.kind: registration.full_name}
    settings = {"backbone": small, registration.kind: plain}
    path = folder / "with_it.toml"
    path.write_text(Recipe(parts, settings).to_toml(), encoding="utf-8")
    return ["--detector", str(path)]


def _commands(chosen: list[str], folder: Path) -> dict[str, list[str]]:
    """Return the commands by what they are for."""
    scorer = load_detector(chosen[1]).scorer
    good, fitted = str(folder / "good"), str(folder / "fitted.safetensors")
    references = ["--references", good] if scorer.references != "none" else []
    shots = ["--shots", "1", "--seeds", "1"] if scorer.references == "required" else []
    data, photos, quiet = str(folder / "data"), str(folder / "photos"), "--quiet"
    measured = [data, "--dataset", "folder", *chosen, *shots]
    run = ["run", photos, *chosen, *references, quiet, "--out", str(folder / "run")]
    commands = {
        "run": run,
        "resume": run,
        "explain": ["explain", f"{photos}/4.png", *chosen, *references],
        "bench": ["bench", *measured, quiet, "--out", str(folder / "bench")],
        "plan": ["grid", *measured, "--plan"],
    }
    if references:
        out = str(folder / "again")
        commands["fit"] = ["fit", good, *chosen, quiet, "--out", fitted]
        commands["fitted"] = ["run", photos, "--model", fitted, quiet, "--out", out]
    return commands


def _run(commands: list[list[str]], folder: Path) -> list[tuple[int, str]]:
    ended = subprocess.run(
        [sys.executable, "-m", "vlmad_conformance._command_runs"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if ended.returncode != 0:
        return [(ended.returncode, ended.stderr)] * len(commands)
    return [(status, said) for status, said in json.loads(ended.stdout)]


def _last(said: str) -> str:
    return next(iter(said.strip().splitlines()[-1:]), "it said nothing")[-SAID:]
