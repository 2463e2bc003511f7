"""The hooks of vlmad-worst; parts are imported when they are used."""

from vlmad import hookimpl
from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register the command."""
    register(
        "worst",
        "vlmad_worst.command:print_worst",
        "Print the photographs that score highest, and where to look.",
    )
