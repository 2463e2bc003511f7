"""The frame of the command line: it finds the commands of plugins and ends them in one line."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.metadata import Distribution, EntryPoints
from traceback import walk_tb
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vlmad.console import output, say, say_traceback
from vlmad.errors import (
    UnknownPartError,
    VlmadError,
    blaming,
    did_you_mean,
    raise_interrupted,
    reason_of,
)
from vlmad.plugin import BUILT_IN
from vlmad.registry import LIMIT_VARIABLE, READ, installed
from vlmad_cli._help_pages import Paged, PlainCommand
from vlmad_cli._process_streams import keep_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.plugin import Plugin, Registration
    from vlmad.registry import Registry

COMPLETION = "_VLMAD_COMPLETE"
"""Set by shells that ask for completions."""
CLOSED_PIPE = 141
"""The exit status of a program that SIGPIPE ended, as shells give it."""


class CommandsOfPlugins(Paged, TyperGroup):
    """The commands of vlmad and of plugins.

    A command is imported when it is run; for help pages its summary is enough.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return them as people look for them."""
        return sorted(_installed().names("command"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return what help pages show of a command."""
        found = _installed().named("command", cmd_name)
        return next((_make(r, lambda: None, help=r.summary) for r in found), None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name, imported."""
        left_out = [p for p in _installed().plugins if p.status == "broken" and p.mark.stands()]
        for plugin in [] if ctx.resilient_parsing else left_out:  # not while a shell completes
            say(f"{plugin} is left out: {plugin.reason}")
        found = _installed().named("command", args[0]) if args else []
        if args and not found and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise UnknownPartError(f"no command is called '{args[0]}'; {hint}")
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(found[0]) if found else command, rest


def _installed() -> Registry:
    with redirect_stdout(sys.stderr):  # where a plugin prints when it is imported
        return installed()


def _load(registration: Registration) -> Any:
    """Make a command of what a plugin registered: a Typer app or a function."""
    with redirect_stdout(sys.stderr):
        target = registration.resolve()
    with blaming(f"{registration} cannot be made"):
        if not isinstance(target, typer.Typer):
            return _make(registration, target)
        command = typer.main.get_command(target)
        command.name = registration.name
        return _plain(command)


def _make(registration: Registration, function: Any, **settings: Any) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=PlainCommand, **settings)(function)
    command: Any = typer.main.get_command(app)
    command.name, command.is_own = registration.name, registration.distribution == BUILT_IN
    return command


def _plain(command: Any) -> Any:
    """Let the help pages of an app and of the commands below it be plain too."""
    command.rich_markup_mode = None
    for below in getattr(command, "commands", {}).values():
        _plain(below)
    return command


app = typer.Typer(
    cls=CommandsOfPlugins,
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="First steps: vlmad run photos/, vlmad plugins, vlmad describe winclip",
)


def _print_version(given: bool) -> None:
    if given:
        from importlib.metadata import version

        output().write(f"vlmad {version('vlmad')}\n")
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
    _pass_over_damaged()
    warnings.filterwarnings("ignore", module=r"PIL\b")  # of files that are read all the same
    if COMPLETION in os.environ:
        with keep_output():
            app(prog_name="vlmad")
        return
    debug = _take("--debug")
    if debug and sys.argv[1:]:
        sys.argv.insert(1, "--debug")  # where commands find it, as an option of the whole
    if _take("--no-plugins"):
        os.environ[LIMIT_VARIABLE] = ""
    installed.cache_clear()  # whoever runs several commands in a process may install between them
    with keep_output(), _interruptible():
        try:
            status = _run()
            output().flush()  # what cannot be written is an error, not a loss at the end
            sys.exit(status)
        except (KeyboardInterrupt, typer.Abort) as error:
            say(": ".join(["interrupted", *map(str, error.args)]))
            sys.exit(130)
        except BrokenPipeError:  # whoever read the results has enough, as in `| head`
            sys.exit(CLOSED_PIPE)
        except Exception as error:
            message = _message_of(error)
            if debug or message is None:
                say_traceback(error)
                sys.exit(1)
            say(message)
            sys.exit(2)


@cache
def _pass_over_damaged() -> None:
    """Let torch, triton and pydantic, which read all entry points, not fail at damaged ones."""

    def readable(found: Distribution) -> Any:
        try:
            return READ.fget(found)
        except Exception:
            return EntryPoints()

    Distribution.entry_points = property(readable)  # type: ignore[method-assign, assignment]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Tell Ctrl-C from what a plugin raises, unless whoever started the command ignores it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, raise_interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run() -> int:
    """Run the command that the words name and return its exit status."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("vlmad", sys.argv[1:]) as context:
            status = command.invoke(context)
            return status if isinstance(status, int) else 0
    except typer.Exit as end:
        return end.exit_code


def _message_of(error: Exception) -> str | None:
    """Return what a user should know of an error, or None of one that is vlmad's own fault."""
    if isinstance(error, VlmadError):
        return str(error)
    if isinstance(error, OSError):  # such as a standard output that takes nothing
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror or error}"
    if hasattr(error, "format_message"):  # what the words of the command lack
        return _usage(error)
    plugin = _plugin_at_fault(error)
    return f"{plugin} failed: {reason_of(error)}; --debug shows where" if plugin else None


def _usage(error: Any) -> str:
    if type(error).__name__ == "NoArgsIsHelpError":  # no words at all: show the help page
        output().write(f"{error.format_message()}\n")
        sys.exit(2)
    path = getattr(getattr(error, "ctx", None), "command_path", "vlmad")
    return f"{error.format_message()} ({path} --help tells more)"


def _plugin_at_fault(error: BaseException) -> Plugin | None:
    """Return the third party's plugin whose code an error passed through last, if any did."""
    plugins = installed().plugins
    theirs = {p.package: p for p in plugins if p.distribution != BUILT_IN and p.package}
    names = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    packages = [name.partition(".")[0] for name in reversed(names)]
    return next((theirs[name] for name in packages if name in theirs), None)


def _take(flag: str) -> bool:
    """Remove a flag that may stand anywhere before ``--`` from the arguments."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    before = sys.argv[:end]
    sys.argv = [word for word in before if word != flag] + sys.argv[end:]
    return flag in before
