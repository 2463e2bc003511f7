"""The sink of ``vlmad watch … --to sprout:FILE``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vlmad.errors import InputError
from vlmad_line.judgements import Message


def to_list(argument: str) -> Callable[[Sequence[Message]], None]:
    """Return what appends the names of images that are not OK to a text file."""
    path = Path(argument.partition(":")[2])
    if not path.parent.is_dir():
        raise InputError(f"{argument}: there is no folder {path.parent}")

    def deliver(messages: Sequence[Message]) -> None:
        with path.open("a", encoding="utf-8") as file:
            for each in messages:
                if each.format == "vlmad judgement 1" and each.answer != "OK":
                    file.write(f"{each.id} {each.image!r}: {each.reason}\n")

    return deliver
