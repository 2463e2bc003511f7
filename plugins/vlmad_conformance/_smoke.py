"""A part in use: the commands that a user would run with it, on a few small drawn images."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.building import load_detector
from vlmad.errors import VlmadError
from vlmad.hookspecs import KINDS
from vlmad.recipes import Recipe
from vlmad_cli.frame import main
from vlmad_conformance.checking import subject_of
from vlmad_conformance.conformance_document import BrokenPromise
from vlmad_conformance.examples import TWO_LAYERS, example_images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.plugin import Registration

USED = (*KINDS, "detector")
"""Kinds that detectors are made of."""
SAID = 300
"""Characters of what a failed command said that are shown."""


def smoke(registration: Registration, options: Mapping[str, Any]) -> list[BrokenPromise]:
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
            return [_broken(str(error), "a detector with it")]
        ended = _run(commands, folder)
    found = []
    for words, (status, said) in zip(commands, ended, strict=True):
        if status != 0:
            what, shown = f"it ends with {status}: {_last(said)}", f"vlmad {' '.join(words)}"
            found.append(_broken(what, shown.replace(name, "…")))
    return found


def _broken(what: str, shown: str) -> BrokenPromise:
    return BrokenPromise(promise="in-use", what=what, smallest=shown)


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


def _choose(registration: Registration, options: Mapping[str, Any], folder: Path) -> list[str]:
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


def _commands(chosen: list[str], folder: Path) -> list[list[str]]:
    """Return what is run: run, again, explain, bench, plan, and with references fit and fitted."""
    scorer = load_detector(chosen[1]).scorer
    good, photos, data = (str(folder / name) for name in ("good", "photos", "data"))
    fitted, quiet = str(folder / "fitted.safetensors"), "--quiet"
    references = ["--references", good] if scorer.references != "none" else []
    shots = ["--shots", "1", "--seeds", "1"] if scorer.references == "required" else []
    measured = [data, "--dataset", "folder", *chosen, *shots]
    run = ["run", photos, *chosen, *references, quiet, "--out", str(folder / "run")]
    commands = [
        run,
        run,
        ["explain", f"{photos}/4.png", *chosen, *references],
        ["bench", *measured, quiet, "--out", str(folder / "bench")],
        ["grid", *measured, "--plan"],
    ]
    if references:
        again = ["--model", fitted, quiet, "--out", str(folder / "again")]
        commands += [["fit", good, *chosen, quiet, "--out", fitted], ["run", photos, *again]]
    return commands


def _run(commands: list[list[str]], folder: Path) -> list[tuple[int, str]]:
    """Run commands in one process of its own; return exit statuses and what they said."""
    ended = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if ended.returncode != 0:
        return [(ended.returncode, ended.stderr)] * len(commands)
    return [(status, said) for status, said in json.loads(ended.stdout)]


def _command(words: list[str]) -> tuple[int, str]:
    out, error = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    sys.argv = ["vlmad", *words]
    with redirect_stdout(out), redirect_stderr(error):
        try:
            main()
        except SystemExit as ended:
            error.flush()
            status = ended.code if isinstance(ended.code, int) else 1
            return status, error.buffer.getvalue().decode()
    return 0, ""


def _last(said: str) -> str:
    return next(iter(said.strip().splitlines()[-1:]), "it said nothing")[-SAID:]


if __name__ == "__main__":
    print(json.dumps([_command(words) for words in json.load(sys.stdin)]))
