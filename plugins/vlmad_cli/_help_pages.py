"""Help pages: each fits a screen; ``--help-all`` prints what does not."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any

from typer.core import TyperCommand

from vlmad_cli._process_streams import leave_output, page

SCREEN = 36
"""Lines of a page that is printed whole."""
ALL, WHOLE = "--help-all", "vlmad.whole"
"""The words that ask for all, and the place where a context keeps whether all is told."""
TYPES = {"int": "N", "float": "X", "path": "PATH", "str": "TEXT"}
"""What stands for a number, a path or a text."""
UNBROKEN = "\N{NON-BREAKING HYPHEN}"
"""What stands in the names of options while lines are broken."""


class Paged:
    """A command whose help page goes to any stream."""

    def get_help(self, ctx: Any) -> str:
        """Return the page."""
        text = super().get_help(ctx)  # type: ignore[misc]
        return page(text.replace(UNBROKEN, "-"))


class PlainCommand(Paged, TyperCommand):
    """A command whose help page cuts no name and lists its options in their groups.

    Where all of it is more than a screen, what it is, its first example and the options that have
    no group are told, and of others the names.
    """

    is_own = False
    """Whether it is vlmad's, and writes its results by `vlmad.console`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what a stranger's prints are its results, as it is used to."""
        if self.is_own:
            leave_output()
        return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--help-all`` for ``--help`` that tells all there is."""
        if ALL in args:
            ctx.meta[WHOLE], args = True, ["--help"]
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """Return the page: all there is if it was asked for or fits."""
        asked = ctx.meta.setdefault(WHOLE, False)
        ctx.meta[WHOLE] = True
        whole = super().get_help(ctx)
        ctx.meta[WHOLE] = asked or whole.count("\n") < SCREEN
        return super().get_help(ctx)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the command does."""
        paragraphs = cleandoc(self.help or "").split("\n\n")
        if not ctx.meta[WHOLE]:
            examples = [re.sub("^Examples?:", "Example:", each) for each in paragraphs[1:]]
            paragraphs = [paragraphs[0], *(e for e in examples if e.startswith("Example:"))]
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("\n\n".join(paragraphs))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, those of each group under its title."""
        groups: dict[str, list[tuple[str, str]]] = {}
        others: dict[str, list[str]] = {}
        for parameter in self.get_params(ctx):
            row = _record(parameter, ctx)
            usual = "Options" if parameter.param_type_name == "option" else "Arguments"
            title = getattr(parameter, "rich_help_panel", None) or usual
            if row is not None and (ctx.meta[WHOLE] or title == usual):
                groups.setdefault(title, []).append(row)
            elif row is not None:
                others.setdefault(title, []).append(parameter.opts[0])
        told = sorted(groups.items(), key=lambda group: group[0] != "Arguments")
        if others:
            names = [(t, " ".join(each).replace("-", UNBROKEN)) for t, each in others.items()]
            told.append((f"More, of which {ctx.command_path} {ALL} tells", names))
        for title, rows in told:
            with formatter.section(title):
                formatter.write_dl(rows)


def _record(parameter: Any, ctx: Any) -> Any:
    """Return the row of a parameter, if it has one, its type in a word."""
    row = parameter.get_help_record(ctx)
    if row is None:
        return None
    name, told = row
    if parameter.param_type_name != "option":
        return name.partition(" <")[0], told
    return re.sub("<(int|float|path|str)[^|]*>", lambda found: TYPES[found[1]], name), told
