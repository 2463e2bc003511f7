"""The command ``vlmad watch``."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.console import console, messages, say, write_json
from vlmad.errors import InputError
from vlmad_run.choosing import Choice, choosing, option
from vlmad_run.part_grouping import group_option
from vlmad_run.part_judging import JudgingParts
from vlmad_run.references import References

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad_line.endpoints import Looking
    from vlmad_line.judgements import Message
    from vlmad_line.line_parts import LineParts
    from vlmad_line.line_products import LineProduct

HOW = "How it is kept"
STOPPED = 1
"""The exit status where a source has stopped, or a sink lacks something."""


@dataclass(frozen=True, slots=True)
class Watching:
    """Options: what is judged of a folder, and where it is written down."""

    existing: Annotated[
        bool,
        typer.Option(
            "--existing", help="Judge what is there already, too, when a folder is watched first."
        ),
    ] = False
    poll: Annotated[
        bool,
        option(
            "--poll",
            panel=HOW,
            help="Look at a folder again and again, as on network shares anyway.",
        ),
    ] = False
    once: Annotated[
        bool, typer.Option("--once", help="Judge what is there and was not judged yet, and end.")
    ] = False
    ledger: Annotated[
        Path,
        option(
            panel=HOW,
            metavar="FILE",
            help="The file that keeps what was said until every sink has it.",
        ),
    ] = Path("vlmad-line.sqlite")
    keep: Annotated[
        int, option(panel=HOW, min=0, help="Judgements that it keeps though every sink has them.")
    ] = 100_000


@dataclass(frozen=True, slots=True)
class WatchedParts(JudgingParts):
    """Options: which images are views of one part, and how long a part waits for them."""

    part_seconds: Annotated[
        float,
        group_option(
            metavar="SECONDS", help="From a part's first view to its last; without it, it is NG."
        ),
    ] = 10.0

    def line_parts(self) -> LineParts | None:
        """Return what judges parts, if parts are to be judged.

        Raises:
            InputError: nobody says how many views a part has, or how images become parts.
        """
        from vlmad_line.line_parts import LineParts

        grouping, rule = self.grouping(), self.rule()
        return LineParts(grouping, rule, self.part_seconds) if grouping else None


@choosing
def watch(
    choice: Choice,
    references: References,
    watching: Watching,
    watched_parts: WatchedParts,
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE…", help="Folders, or URLs of cameras.")
    ],
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="From which score on an image is NG: a number, a file, or the --model's.",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="SINK",
            help="Where judgements go: csv:FILE, https://…, mqtt://broker/topic, folder:RUNS; "
            "repeatable.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each judgement and alarm.")
    ] = False,
) -> None:
    """Judge images as they come, and tell machines.

    An image is OK only if its score lies below the threshold; whatever cannot be read or scored is
    NG. A source that has stopped is an alarm. What was said is kept until every sink has it; the
    same command goes on where it was. Ctrl-C ends it when what it works on is done. With --group
    parts are judged besides: one is OK if all its --views are, and NG if one does not come.

    Exit status: 0 ended as asked, 1 a source had stopped then, or a sink lacks something, 2 nothing
    could be done.

    Examples:
    vlmad watch photos/ --model nut.safetensors --to csv:judged.csv

    vlmad watch photos/ --detector winclip --class-name nut --threshold 0.4

    vlmad watch photos/ --model nut.safetensors --to folder:monday

    vlmad watch photos/ --model nut.safetensors --to mqtt://broker/line/1 --existing
    """
    from vlmad_line._keeping_watch import KeptWatch
    from vlmad_line.ledger import Ledger
    from vlmad_line.line import Line
    from vlmad_line.line_products import open_product
    from vlmad_line.sinks import open_sinks, refuse_alike
    from vlmad_line.sources import feed_of
    from vlmad_line.station import Station
    from vlmad_run.progress import print_notes

    parts = watched_parts.line_parts()
    sinks = open_sinks(to or [])
    came, stop = threading.Event(), threading.Event()
    product = open_product(choice, references, threshold)
    if parts and (why := parts.why_never(product)):
        raise InputError(why)
    print_notes(product.notes, messages())
    if not product.judges:
        say("nothing says from which score on an image is NG: give --threshold or a --model")
    how = {"existing": watching.existing, "poll": watching.poll, "once": watching.once}
    ledger = Ledger(watching.ledger, watching.keep)
    line = Line(Station([product]), ledger, sinks, say, parts)
    with _ending(stop), line:
        feeds = [feed_of(source, ledger, came, **how) for source in dict.fromkeys(sources)]
        refuse_alike([feed.name for feed in feeds])
        looking = _onlookers(ledger.path, product)
        kept = KeptWatch(line, feeds, partial(_show, as_json=as_json), say, looking)
        say(f"watching {', '.join(feed.name for feed in feeds)}; Ctrl-C ends it")
        kept.run(came, stop)
        line.farewell()
        lacking = any(state.waiting for state in line.sinks)
        say(kept.status())
    if kept.stopped or lacking:
        raise typer.Exit(STOPPED)


def _onlookers(ledger: Path, product: LineProduct) -> list[Looking]:
    """Let all who look on begin."""
    from vlmad.errors import blaming
    from vlmad.registry import installed

    found = []
    for each in installed().of_kind("onlooker"):
        onlooker = each.resolve()
        with blaming(f"{each} failed"):
            found.append(onlooker(ledger, {product.name: product}))
    return found


def _show(message: Message, as_json: bool) -> None:
    """Print what was said."""
    if as_json:
        write_json(message.to_json(indent=None))
    elif message.format == "vlmad alarm 1":
        say(f"ALARM: {message.source} {message.state} {message.reason}".rstrip())
    elif message.format == "vlmad part judgement 1":
        score = "     -" if message.score is None else f"{message.score:6.3f}"
        why = f": {message.reason}" if message.reason else ""
        console().print(f"{message.answer:2} {score} part {message.part}{why}")
    else:
        score = "     -" if message.score is None else f"{message.score:6.3f}"
        why = f": {message.reason}" if message.reason else ""
        name = os.path.relpath(message.image) if os.path.isabs(message.image) else message.image
        took = message.milliseconds or 0
        console().print(f"{message.answer:2} {score} {took:5.0f} ms  {name}{why}")


@contextmanager
def _ending(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C or SIGTERM; a second one ends at once."""

    def end(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
