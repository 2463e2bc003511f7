"""The command ``vlmad new-plugin``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmad.console import console
from vlmad.errors import OutputError
from vlmad.files import write_atomically
from vlmad.registry import Registry
from vlmad_scaffold.new_distribution import check_name, distribution_of, offered_kinds


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the distribution, such as vlmad-foo.")],
    parts: Annotated[
        list[str],
        typer.Option(
            "--part",
            metavar="KIND",
            help="What it brings; repeatable. Kinds: " + ", ".join(offered_kinds()) + ".",
            autocompletion=offered_kinds,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The folder to write; by default one of that name, here."
        ),
    ] = None,
) -> None:
    """Write a plugin that works at once: code, checks, project file, continuous integration.

    Examples:
    vlmad new-plugin vlmad-foo --part scorer

    vlmad new-plugin vlmad-foo --part backbone --part scorer --part detector
    """
    kinds = list(dict.fromkeys(parts))
    name = check_name(name, kinds, Registry.discover())
    folder = out or Path(name)
    files = distribution_of(name, kinds)
    if folder.exists():
        raise OutputError(f"{folder} exists; choose another --out")
    for path, content in files.items():
        write_atomically(folder / path, content)
    console().print(f"{folder}: {', '.join(sorted(map(str, files)))}")
    console().print(f"pip install -e '{folder}[dev]' && vlmad check {name}")
