"""What scorers share that learn in `fit`, from good images alone, and whoever lets them.

Where a folder is named, what was learned is kept there, and gone on with after it was stopped:

    with learning_in(folder):
        detector.fit(references)
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from vlmad.errors import InputError, PluginError
from vlmad_documents.documents import Document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PIXELS = "pixels"
"""A backbone whose only level is the image itself, by red, green and blue from 0 to 1."""
LEARNED = "learned.json"


@runtime_checkable
class LearnsInFit(Protocol):
    """A scorer whose `fit` is a training, so that nobody asks for more of them than needed.

    It may list as `only_in_fit` the options that nothing else reads, such as a folder: what is
    fitted then works where that is not.
    """

    learns_in_fit: bool


@runtime_checkable
class LearnsAcross(Protocol):
    """A scorer that learns from other categories than the one that its references show."""

    learns_across: bool


class NotLearned(PluginError):
    """A training that came to nothing, such as a loss that is no number any more."""


class LearnedInFit(Document):
    """What a training took, whether or not it was stopped meanwhile."""

    format: Literal["vlmad learned in fit 1"] = "vlmad learned in fit 1"
    part: str
    """What learned."""
    epochs: int
    planned: int
    """Where it is more than `epochs`, the budget of time allowed no more."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Of all learning in a thread."""

    folder: Path | None = None
    """Where it is kept; None forgets it."""
    most_steps: int | None = None
    """It ends after so many steps, because only its manners are looked at."""
    others: Mapping[str, Sequence[Path]] | None = None
    """Good images of other categories, for what learns from them."""


_circumstances: ContextVar[Circumstances] = ContextVar("circumstances", default=Circumstances())  # noqa: B039 (frozen)


@contextmanager
def learning_in(
    folder: Path | None,
    most_steps: int | None = None,
    others: Mapping[str, Sequence[Path]] | None = None,
) -> Iterator[None]:
    """Keep in a folder what scorers learn in this thread meanwhile."""
    token = _circumstances.set(Circumstances(folder, most_steps, others))
    try:
        yield
    finally:
        _circumstances.reset(token)


def circumstances() -> Circumstances:
    """Return where and how long is learned here."""
    return _circumstances.get()


def learning_seconds(folder: Path) -> float | None:
    """Return how long was learned in a folder, in all; None where nothing was."""
    found = []
    for path in sorted(folder.glob(f"*/{LEARNED}")):
        with suppress(InputError):
            found.append(LearnedInFit.read(path).seconds)
    return sum(found) if found else None
