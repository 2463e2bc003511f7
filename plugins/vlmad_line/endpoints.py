"""What plugins can bring to a line: sources that images keep coming from, and sinks of judgements.

A source is registered by `register_sources` (see `vlmad_run.kinds`); what is registered also has
the method of `KeepsComing` if images come from it for as long as one waits. A sink is registered
by `register_sinks`; its name is the scheme of what ``--to`` takes, as in ``mqtt`` for ``mqtt://…``.
An onlooker, registered by `register_onlookers`, sees all that is judged and may raise alarms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from vlmad_line.judgements import AlarmState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from threading import Event

    from PIL.Image import Image

    from vlmad_line.judgements import Judgement, Message
    from vlmad_line.line_products import LineProduct

News: TypeAlias = tuple[str, AlarmState, str]
"""Of which source, what, and why: what becomes an alarm."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An image that has come, whole."""

    name: str
    """What it is called; a source gives no two images one name."""
    content: Path | Image | None
    """Its file on this machine, or the image itself; None if there is none, see `fault`."""
    at: float
    """When it was complete, in seconds since 1970."""
    source: str = ""
    """Where it came from, as it was asked for."""
    key: str = ""
    """What tells after a restart that it was judged before; empty of what never comes again."""
    judged: Callable[[Judgement], None] | None = None
    """Called with what was said of it, such as to answer a machine that waits."""
    fault: str = ""
    """Why there is no image, as of a frame that is damaged; it is NG."""
    stamp: tuple[int, int] | None = None
    """Size and time of change in nanoseconds that its file had; if another is read, it is NG."""


@runtime_checkable
class KeepsComing(Protocol):
    """A source whose images come one after another."""

    def arrivals(self, argument: str, stop: Event) -> Iterator[Arrival | None]:
        """Yield images as they are complete, and None at least once a second to say that it lives.

        It ends when there will never be another (a film), or soon after `stop` is set. Whatever it
        raises is an alarm; it is asked again after a while.

        Args:
            argument: what the user named, scheme included.
            stop: is set when the line stops.

        Raises:
            InputError: the argument names nothing, or what it names has gone away.
        """


@runtime_checkable
class NewestCounts(Protocol):
    """A source, such as a camera, of which images make way for newer ones while the model works."""

    newest_counts: bool


class Sink(Protocol):
    """Takes what is said at a line to where it is wanted; `vlmad_line` keeps it until it has."""

    def __call__(self, argument: str) -> Callable[[Sequence[Message]], None]:
        """Open what ``--to`` names, and return what delivers judgements and alarms there, in order.

        A delivery returns when the other side has what it was given. Whatever it raises is tried
        again, with the same messages and a growing pause, also after a restart; so the other side
        may get one twice, and knows it by its `id`. One thread delivers; it is the sink's own.

        Args:
            argument: what the user named, scheme included.

        Raises:
            InputError: the argument is wrong; what is away for now raises when it is delivered to.
        """


class WaitingRow(NamedTuple):
    """What a run folder is to have of an image, as a ledger keeps it."""

    run: str
    """The name of the run folder: of the product, its detector and its threshold."""
    manifest: bytes
    content: bytes
    """A line of ``scores.jsonl``, and the stored map as a file of NumPy if there is one."""


@runtime_checkable
class TakesRows(Protocol):
    """What a sink returns that takes rows and maps of files, instead of what was said."""

    def take_row(self, waiting: WaitingRow) -> None:
        """Write a row and its map; it may come again, as with other deliveries."""

    def close(self) -> None:
        """Make whole what was written: nothing comes for now."""


class Looking(Protocol):
    """An onlooker at work; none of its methods raises anything or holds judging up."""

    def see(self, said: Judgement, image: Path | Image | None, product: LineProduct | None) -> None:
        """Take a judgement with its image, or the file of it, and what judged it."""

    def news(self) -> list[News]:
        """Return what alarms have begun or ended since the last call."""

    @property
    def alarms(self) -> list[str]:
        """What a person should look at, in words."""

    def stop(self) -> None:
        """Take what waits, write down what is to be known after a restart, and return."""


class Onlooker(Protocol):
    """Looks on at what is judged at a line, such as for changes of its images."""

    def __call__(self, ledger: Path, products: Mapping[str, LineProduct]) -> Looking:
        """Begin to look on.

        Args:
            ledger: of the line; whoever keeps something, does so beside it.
            products: of the line, by name.
        """
