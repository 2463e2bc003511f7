"""How a command's docstring becomes its help page."""

from __future__ import annotations

from typing import Any


def unwrap(text: str) -> str:
    """Return a text whose paragraphs are lines, so that they fill whatever width there is.

    What follows a colon at the end of a line, and what is indented, begins a line of its own.
    """
    lines: list[str] = []
    for line in text.splitlines():
        goes_on = lines and lines[-1].strip() and not lines[-1].endswith(":")
        if goes_on and line.strip() and not line.startswith(" "):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)


def unwrap_help(command: Any) -> None:
    """Unwrap the help of a command and of those below it."""
    if command.help:
        command.help = unwrap(command.help)
    for below in getattr(command, "commands", {}).values():
        unwrap_help(below)
