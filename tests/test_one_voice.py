"""The same word for the same thing: what several commands call alike means the same in all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from vlmad.plugin import BUILT_IN
from vlmad.registry import installed
from vlmad_cli.frame import _load

MORE_IN_ONE = {
    "--backbone": "bench-speed and prompts have no recipe, instead of whose it would be",
    "--batch-size": "what learns takes steps by it; bench says where more helps",
    "--detector": "bench takes several",
    "--engine": "a run is cut by images, a bench by categories",
    "--epochs": "train learns always, fit only by some scorers",
    "--fail-on": "images, or drift",
    "--group": "what is judged by it, or measured",
    "--json": "a run and a watch write lines as they go",
    "--learn": "train chooses kinds of parts by it, review names the file to write",
    "--ledger": "watch always has one",
    "--out": "a file, or a folder, each with its default",
    "--overlays": "merge takes what the shards had",
    "--precision": "bench-speed takes both",
    "--rate": "calibrate says of which rule",
    "--rule": "calibrate lists them",
    "--seed": "each says what is drawn",
    "--set": "each says of what",
    "--shots": "a bench takes several",
    "--steady": "merge has been told which films",
    "--threshold": "machines hear NG, people anomalous; serve has products",
    "--to": "serve has its own history besides",
    "--views": "what is judged by it, or measured",
}
"""Options whose help differs between commands, and why."""
FORMER = {"--batch", "--dir", "--folder", "--groups", "--output", "--silent", "--verbose"}
"""What is called otherwise here: --batch-size, PATH, FOLDER, --group, --out, --quiet, --debug."""


def options() -> Iterator[tuple[str, str, Any]]:
    """Yield command, name and option of all built-in commands."""
    for registration in installed().of_kind("command"):
        if registration.distribution == BUILT_IN:
            command = _load(registration)
            for below in getattr(command, "commands", {"": command}).values():
                for each in below.params:
                    if each.param_type_name == "option":
                        yield registration.name, each.opts[0], each


def differing(of: str) -> set[str]:
    """Return the options that several commands have with another text or metavar each."""
    texts: dict[str, set[str]] = defaultdict(set)
    for _, name, each in options():
        texts[name].add(str(getattr(each, of)))
    return {name for name, found in texts.items() if len(found) > 1}


def test_an_option_of_several_commands_has_one_explanation_or_a_reason_for_more() -> None:
    assert differing("help") == set(MORE_IN_ONE)


def test_what_an_option_takes_is_called_alike_by_all_commands() -> None:
    taken = {"--fail-on", "--learn", "--out", "--set", "--shots", "--threshold"}
    assert differing("metavar") == taken
    written = {each.metavar for _, name, each in options() if name == "--out"}
    assert written == {"FILE", "FOLDER"}


def test_an_idea_has_one_option_name() -> None:
    assert not FORMER & {name for _, name, _ in options()}
