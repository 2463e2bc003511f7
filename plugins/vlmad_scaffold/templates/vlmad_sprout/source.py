"""The source of images `sprout://`."""

from collections.abc import Iterable
from pathlib import Path

from vlmad.errors import InputError


def find_listed(argument: str) -> Iterable[Path]:
    """Return the photographs that a text file lists, one a line, as seen from its folder."""
    path = Path(argument.partition("://")[2])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{argument}: {path} cannot be read: {error}") from error
    return [path.parent / line for line in lines if line.strip()]
