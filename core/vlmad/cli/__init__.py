"""The command line: built-in commands, and those that plugins register."""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from vlmad.cli.blame import culprit
from vlmad.cli.wording import unwrap_help
from vlmad.containment import contained
from vlmad.errors import PluginError, UnknownPartError, VlmadError, did_you_mean, reason_of
from vlmad.registry import LIMIT_VARIABLE, Registration, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


BUILT_IN = {
    "plugins": ("vlmad.cli.inspect:plugins", "List all parts, recipes and commands."),
    "describe": ("vlmad.cli.inspect:describe", "Show what a part or recipe is, and its options."),
}


class _Interrupted(Exception):
    """A KeyboardInterrupt on its way past typer, which would end in silence."""


@contextmanager
def _past_typer() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise _Interrupted(*error.args) from error


class CommandsOfPlugins(TyperGroup):
    """The commands of vlmad and of plugins.

    A command is imported when it is run; for help pages its summary is enough.
    """

    def make_context(self, *given: Any, **named: Any) -> Any:
        """Read the words of the command line."""
        with _past_typer():
            return super().make_context(*given, **named)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _past_typer():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return built-in names first."""
        return list(dict.fromkeys(r.name for r in _registered()))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return what help pages show of a command."""
        found = (r for r in _registered() if cmd_name in (r.name, _in_full(r)))
        return next(map(_shown, found), None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name, imported."""
        found = [r for r in _registered() if args and args[0] in (r.name, _in_full(r))]
        if args and not found and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise UnknownPartError(f"no command is called '{args[0]}'; {hint}")
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(found[0]) if found else command, rest


@functools.cache
def _registered() -> list[Registration]:
    own = [
        Registration("command", name, target, summary, "vlmad", "vlmad", "")
        for name, (target, summary) in BUILT_IN.items()
    ]
    return own + Registry.discover().of_kind("command")


def _in_full(registration: Registration) -> str:
    return f"{registration.distribution}:{registration.name}"


def _shown(registration: Registration) -> Any:
    """Return a command that has a name and a summary but does nothing."""
    return _named(registration, escape(registration.summary), lambda: None)


def _load(registration: Registration) -> Any:
    """Make a command of what a plugin registered: a Typer app or a function."""
    try:
        target = registration.resolve()
        with contained(f"{registration} cannot be made"):
            if not isinstance(target, typer.Typer):
                app = typer.Typer(add_completion=False)
                app.command()(target)
                target = app
            command = typer.main.get_command(target)
            unwrap_help(command)
    except PluginError as error:
        return _broken(registration, error)
    command.name = registration.name
    return command


def _broken(registration: Registration, error: PluginError) -> Any:
    def fail() -> None:
        raise error

    return _named(registration, f"(cannot be loaded) {escape(registration.summary)}", fail)


def _named(registration: Registration, summary: str, function: Callable[[], None]) -> Any:
    app = typer.Typer(add_completion=False)
    app.command(help=summary)(function)
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


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vlmad {version('vlmad')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere).")
    ] = False,
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Load only built-in plugins (anywhere).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version)
    ] = False,
) -> None:
    """Find what is anomalous in photographs, with any mix of vision-language parts."""


def main() -> None:
    """Run the command line; an error of vlmad's own is one line and exit status 2."""
    debug = _take("--debug")
    if _take("--no-plugins"):
        os.environ[LIMIT_VARIABLE] = ""
    try:
        returned = _run()
        sys.exit(returned if isinstance(returned, int) else 0)  # a status, if it is any
    except VlmadError as error:
        if debug:
            raise
        _complain(str(error))
    except (_Interrupted, KeyboardInterrupt, typer.Abort) as error:
        print(": ".join(["vlmad: interrupted", *map(str, error.args)]), file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # such as a standard output that takes nothing
        if debug:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        _complain(f"{place}{error.strerror or error}")
    except Exception as error:
        # what the words of the command lack; which class it is depends on typer's version
        if not hasattr(error, "format_message"):
            raise
        if not error.format_message():  # no words at all: show the help page
            getattr(error, "show", print)()
            sys.exit(2)
        _complain(f"{error.format_message()} (vlmad {_command(error)}--help tells more)")


def _run() -> Any:
    """Run the command line; what it did not expect of a plugin is an error that names it.

    Raises:
        PluginError: a third party's code raised something, or left the interpreter from within
            a command that is not its own.
    """
    try:
        return app(prog_name="vlmad", standalone_mode=False)
    except (VlmadError, OSError, typer.Abort, _Interrupted):
        raise
    except (Exception, SystemExit) as error:
        if hasattr(error, "format_message"):
            raise
        found = culprit(error, Registry.discover().plugins)
        if found is None or (isinstance(error, SystemExit) and found.own_command):
            raise
        raise PluginError(
            f"plugin '{found.plugin.name}' of {found.plugin.distribution} "
            f"{found.plugin.version} failed: {reason_of(error)}; --debug shows where"
        ) from error


def _complain(message: str) -> NoReturn:
    print(f"vlmad: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _command(error: Any) -> str:
    path = getattr(getattr(error, "ctx", None), "command_path", "vlmad")
    return f"{path.removeprefix('vlmad').strip()} ".lstrip()


def _take(flag: str) -> bool:
    """Remove a flag that may stand anywhere before ``--`` from the arguments."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    before = sys.argv[:end]
    sys.argv = [word for word in before if word != flag] + sys.argv[end:]
    return flag in before
