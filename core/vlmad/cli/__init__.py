"""The command line: built-in commands, and those that plugins register."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vlmad.cli import doctor, inspect, run
from vlmad.errors import PluginError, VlmadError
from vlmad.registry import LIMIT_VARIABLE, Registration, Registry


class CommandsOfPlugins(TyperGroup):
    """A group that also has the commands of plugins; a broken one is shown, not raised."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return built-in names first."""
        own = super().list_commands(ctx)
        return own + [r.name for r in _registered() if r.name not in own]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a built-in command, or load that of a plugin."""
        own = super().get_command(ctx, cmd_name)
        found = [r for r in _registered() if r.name == cmd_name]
        return own or (_load(found[0]) if found else None)


def _registered() -> list[Registration]:
    return Registry.discover().of_kind("command")


def _load(registration: Registration) -> Any:
    """Make a command of what a plugin registered: a Typer app or a function."""
    try:
        target = registration.resolve()
    except PluginError as error:
        return _broken(registration, error)
    if isinstance(target, typer.Typer):
        command = typer.main.get_command(target)
    else:
        app = typer.Typer(add_completion=False)
        app.command()(target)
        command = typer.main.get_command(app)
    command.name = registration.name
    return command


def _broken(registration: Registration, error: PluginError) -> Any:
    def fail() -> None:
        raise error

    app = typer.Typer(add_completion=False)
    app.command(help=f"(cannot be loaded) {registration.summary}")(fail)
    command = typer.main.get_command(app)
    command.name = registration.name
    return command


app = typer.Typer(
    cls=CommandsOfPlugins,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="First steps: vlmad run photos/    vlmad plugins    vlmad describe winclip",
)


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere).")
    ] = False,
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Load only built-in plugins (anywhere).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=run.print_version)
    ] = False,
) -> None:
    """Find what is anomalous in photographs, with any mix of vision-language parts."""


app.command("run")(run.run)
app.command("plugins")(inspect.plugins)
app.command("describe")(inspect.describe)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; an error of vlmad's own is one line and exit status 2."""
    debug = _take("--debug")
    if _take("--no-plugins"):
        os.environ[LIMIT_VARIABLE] = ""
    try:
        app(prog_name="vlmad")
    except VlmadError as error:
        if debug:
            raise
        print(f"vlmad: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _take(flag: str) -> bool:
    """Remove a flag that may stand anywhere before ``--`` from the arguments."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    before = sys.argv[:end]
    sys.argv = [word for word in before if word != flag] + sys.argv[end:]
    return flag in before
