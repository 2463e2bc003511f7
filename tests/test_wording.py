"""How help pages are filled."""

from __future__ import annotations

import typer
from hypothesis import given
from hypothesis import strategies as st
from vlmad.cli.wording import unwrap, unwrap_help


@given(st.text(alphabet="ab: \n"))
def test_unwrapping_changes_no_word_and_no_paragraph(text: str) -> None:
    unwrapped = unwrap(text)
    assert unwrapped.split() == text.split()
    assert len(unwrapped.split("\n\n")) == len("\n".join(text.splitlines()).split("\n\n"))


def test_lines_of_a_paragraph_become_one_and_examples_stay_apart() -> None:
    text = "One thing\nand more.\n\nNext\none.\n\nExamples:\nvlmad run\n    --seed 1\n\nvlmad fit"
    assert unwrap(text) == (
        "One thing and more.\n\nNext one.\n\nExamples:\nvlmad run\n    --seed 1\n\nvlmad fit"
    )


def test_the_help_of_every_command_below_is_unwrapped() -> None:
    app = typer.Typer(help="Over\ntwo lines.")

    @app.command()
    def below() -> None:
        """First.

        Second
        and third.
        """

    @app.command()
    def silent() -> None: ...

    command = typer.main.get_command(app)
    unwrap_help(command)
    assert command.help == "Over two lines."
    assert command.commands["below"].help == "First.\n\nSecond and third."  # type: ignore[attr-defined]
