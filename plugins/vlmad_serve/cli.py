"""The command ``vlmad serve``."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.console import messages, say
from vlmad.errors import InputError
from vlmad_run.choosing import Choice, choosing
from vlmad_run.part_judging import JudgingParts
from vlmad_run.references import References
from vlmad_serve.settings import Reach, Record, ServeLimits

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from vlmad_line.line import Line
    from vlmad_line.line_products import LineProduct
    from vlmad_line.station import Station
    from vlmad_serve.access import Access
    from vlmad_serve.sent_views import SentViews

LEDGER = Path("vlmad.ledger")


@partial(choosing, without=("model",))
def serve(
    choice: Choice,
    references: References,
    reach: Reach,
    limits: ServeLimits,
    record: Record,
    judging_parts: JudgingParts,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=]FILE…", help="Files of vlmad fit, each a product."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]VALUE",
            help="From which score on an image is NG: a number or a file; of one product, or all.",
        ),
    ] = None,
    products: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Fitted files that may become products meanwhile."),
    ] = None,
) -> None:
    """Judge images that are sent over HTTP: OK or NG, and why.

    Without a threshold (one comes with files of vlmad fit) there are scores and no verdicts. It
    ends by Ctrl-C or SIGTERM, when what it accepted is answered. With --group the images of a
    request that are views of one part get one verdict together.

    Examples:
    vlmad serve nut.safetensors

    vlmad serve nut=nut.safetensors bolt=bolt.safetensors --threshold bolt=0.3

    vlmad serve --detector winclip --class-name "metal nut"

    vlmad serve nut.safetensors --to mqtt://broker/line1 --to csv:line1.csv

    curl --data-binary @photo.png -H "Content-Type: image/png" http://127.0.0.1:8000/score
    """
    try:
        from vlmad_serve.access import Access, read_token
        from vlmad_serve.listening import bind, is_loopback, share_one_heap
        from vlmad_serve.sent_views import sent_views
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing; pip install 'vlmad[serve]'") from error

    share_one_heap()
    if products is not None and not products.is_dir():
        raise InputError(f"--products {products} is no folder")
    views = sent_views(judging_parts.grouping(), judging_parts.rule())
    token = None if reach.token_file is None else read_token(reach.token_file)
    with bind(reach.host, reach.port) as bound:
        loopback = is_loopback(bound)
        if token is None and not loopback:
            raise InputError(
                f"--host {reach.host} can be reached by others, who need a token; add "
                "--token-file FILE (openssl rand -hex 32 > FILE makes one)"
            )
        if token is None and reach.allow_host:
            raise InputError(
                "--allow-host is for who comes by another name, such as through a proxy, and needs "
                "a token, as everyone then seems to be on this machine; add --token-file FILE"
            )
        access = Access(token, reach.allow_host or (), loopback)
        opened = list(_open(choice, references, files or [], threshold or []))
        for product in opened:
            views.require_possible(product)
        _run(opened, limits, record, views, access, bound, choice, products)


def _run(
    opened: Sequence[LineProduct],
    limits: ServeLimits,
    record: Record,
    views: SentViews,
    access: Access,
    bound: socket.socket,
    choice: Choice,
    folder: Path | None,
) -> None:
    """Serve until it is told to stop."""
    from vlmad_line.endpoints import Arrival
    from vlmad_line.line_products import GREY
    from vlmad_line.station import Station
    from vlmad_serve.application import make_app
    from vlmad_serve.listening import MOST_CONNECTIONS, allow_many_files, make_server
    from vlmad_serve.offered_products import offer
    from vlmad_serve.operator_verdicts import OperatorVerdicts
    from vlmad_serve.reviewing import Reviewing
    from vlmad_serve.served import Served

    allow_many_files()
    station = Station(opened)
    station.judge([Arrival("a grey image", GREY, time.time())])  # the first is slow: imports
    with ExitStack() as stack:
        line = stack.enter_context(_line(record, station))
        spool = stack.enter_context(tempfile.TemporaryDirectory(prefix="vlmad-serve-"))
        served = Served(station, limits, Path(spool), line, views)
        reviewing = Reviewing(station, OperatorVerdicts(record.verdicts, station), choice)
        stack.callback(reviewing.stop)
        offered = offer(station, folder, choice, served.newest.forget)
        app = make_app(served, offered, reviewing, access)
        server = make_server(app, served.events.stop, served.refuse_unread)
        host, port = bound.getsockname()[:2]
        where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        bound.listen(MOST_CONNECTIONS)  # who is told that it serves, can connect
        say(f"serving {', '.join(station.products)} at {where}; Ctrl-C stops it")
        try:
            server.run([bound])
        finally:
            served.stop()
    say(f"stopped; {served.figures.images} images were judged")


@contextmanager
def _line(record: Record, station: Station) -> Iterator[Line | None]:
    """Yield what writes down and delivers what is said, if that is wanted."""
    from vlmad_line.ledger import Ledger
    from vlmad_line.line import Line
    from vlmad_line.sinks import open_sinks

    if record.ledger is None and not record.to:
        yield None
        return
    sinks = open_sinks(record.to or [])
    for sink in sinks:
        if sink.takes_rows:
            raise InputError(f"--to {sink.name} takes files, and none are sent; see --verdicts")
    with Line(station, Ledger(record.ledger or LEDGER), sinks, say) as line:
        yield line


def _open(
    choice: Choice, references: References, files: Sequence[str], thresholds: Sequence[str]
) -> Iterator[LineProduct]:
    """Yield the products that are named, loaded."""
    from vlmad_line.line_products import open_product
    from vlmad_run.progress import bars, print_notes

    models = _named(files)
    limits = _limits(thresholds, models)
    for name, path in models.items() or [("", None)]:
        given = references if path is None else replace(references, model=path)
        with bars(messages()) as progress:
            progress.add_task(f"loading {path or 'the detector'}", total=None)
            product = open_product(choice, given, limits.get(name, limits.get("")), name)
        print_notes(product.notes, messages())
        yield product


def _named(files: Sequence[str]) -> dict[str, Path]:
    """Return files by the names of their products.

    Raises:
        InputError: two have one name.
    """
    models: dict[str, Path] = {}
    for text in files:
        before, equals, after = text.partition("=")
        whole = not equals or Path(text).exists()
        name, path = (Path(text).stem, Path(text)) if whole else (before, Path(after))
        if name in models or not name.isprintable() or not name or "/" in name:
            raise InputError(f"'{text}': give each product a name of its own, as NAME=FILE")
        models[name] = path
    return models


def _limits(thresholds: Sequence[str], models: dict[str, Path]) -> dict[str, str]:
    """Return thresholds by product; the one of all has no name."""
    limits: dict[str, str] = {}
    for text in thresholds:
        name, equals, value = text.partition("=")
        own = equals and name in models
        if equals and not own and not Path(text).exists():
            raise InputError(f"--threshold {text}: no product '{name}' is served")
        limits[name if own else ""] = value if own else text
    return limits
