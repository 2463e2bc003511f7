"""What ``vlmad check`` says, and with which status it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Install = Callable[..., Path]
Command = Callable[..., Any]

PLUGIN = """
from vlmad import hookimpl, Attention
import torch.nn.functional as F

class Sound(Attention):
    '''Attention.'''
    def blocks(self, depth):
        return range(depth)
    def mix(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)

class Loud(Sound):
    '''Loud attention.

    Args:
        word: what it says.
    '''
    def __init__(self, word: str = "mixing"):
        self.word = word
    def mix(self, q, k, v):
        if self.word != "nothing":
            print(self.word)
        return super().mix(q, k, v)

@hookimpl
def register_attention(register):
    register("sound", Sound)
    register("loud", Loud)
"""


def test_a_distribution_is_checked_part_by_part(install: Install, command: Command) -> None:
    install("voices", PLUGIN)
    done = command("check", "voices")
    assert done.status == 1
    lines = done.out.splitlines()
    assert lines[0] == "kept   attention:sound of voices 1.0"
    assert lines[1] == "broken attention:loud of voices 1.0"
    assert lines[2].startswith("       good-manners: it prints to standard output, which is for")


def test_a_plugin_that_cannot_be_loaded_is_broken(install: Install, command: Command) -> None:
    install("voices", "import nothing_of_that_name")
    done = command("check", "voices")
    assert done.status == 1
    assert done.out.splitlines()[0] == "broken plugin:voices of voices 1.0"
    assert "is-loaded: broken, ModuleNotFoundError: No module named 'nothing_of" in done.out


PATCHES_ALONE = """
from vlmad import hookimpl
from vlmad_conformance._small_backbone import OnlyOffers, SmallBackbone

def offer():
    return OnlyOffers(SmallBackbone(), ["patch tokens", WORD])

@hookimpl
def register_backbones(register):
    register("offer", offer)
"""


@pytest.mark.parametrize(("word", "recipes"), [("", "none"), ("levels", "patchcore, ")])
def test_recipes_that_work_with_a_backbone_are_named(
    word: str, recipes: str, install: Install, command: Command
) -> None:
    install("offers", PATCHES_ALONE.replace("WORD", repr(word)))
    lines = command("check", "offers").out.splitlines()
    assert lines[1].startswith("       recipes that work with it: ")
    assert recipes in lines[1]


def test_one_part_is_checked_with_options(install: Install, command: Command) -> None:
    install("voices", PLUGIN)
    done = command("check", "attention:loud", "--set", "word=nothing")
    assert (done.status, done.out.splitlines()[-1]) == (0, "1 checked, all promises kept")


def test_what_is_expected_has_a_reason_and_is_strict(
    install: Install, command: Command, tmp_path: Path
) -> None:
    install("voices", PLUGIN)
    reason = '[expected."attention:loud"]\ngood-manners = "it tells how far it has come"\n'
    (tmp_path / "check.toml").write_text(reason)
    done = command("check", "voices", "--expecting", "check.toml", "--json")
    document = json.loads(done.out)
    assert (done.status, document["kept"]) == (0, True)
    [broken] = document["parts"][1]["broken"]
    assert broken["expected"] == "it tells how far it has come"
    quiet = '[options."attention:loud"]\nword = "nothing"\n'
    (tmp_path / "check.toml").write_text(quiet + reason)
    done = command("check", "voices", "--expecting", "check.toml")
    assert done.status == 1
    assert "good-manners: it is kept, though expected to be broken: it tells how" in done.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[expected."attention:loud"]\ngood-manners = ""\n',
            "expected.attention:loud.good-manners: String",
        ),
        ("[expectd]\n", "expectd: Extra inputs are not permitted"),
        ("[options]\nloud = 3\n", "options.loud: Input should be a valid dictionary"),
    ],
)
def test_a_file_of_expectations_that_says_something_else_is_refused(
    text: str, words: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "check.toml").write_text(text)
    done = command("check", "attention:vv", "--expecting", "check.toml")
    assert done.status == 2
    assert words in done.error


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["atention:vv"], "'atention:vv' is no distribution and no KIND:NAME; did you mean"),
        (["attention:vw"], "no attention is called 'vw'; known: diagonal"),
        (["attention:vv", "attention:qq", "--set", "blocks=1"], "--set is for one part"),
        (["attention:vv", "--set", "blocks"], "--set blocks: write NAME=VALUE"),
    ],
)
def test_what_cannot_be_checked_is_refused(given: list[str], words: str, command: Command) -> None:
    done = command("check", *given)
    assert done.status == 2
    assert words in done.error


def test_a_part_that_needs_an_option_says_so(command: Command) -> None:
    done = command("check", "prompts:coop", "--set", "anew=no")
    assert done.status == 1
    assert "need a file of learned context" in done.out


@pytest.mark.slow
def test_a_part_is_run_fitted_explained_and_measured(install: Install, command: Command) -> None:
    install("voices", PLUGIN)
    done = command("check", "attention:sound", "--smoke", "--json")
    assert done.status == 0, done.out
