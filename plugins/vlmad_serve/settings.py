"""What the server is told when it starts: who may reach it, and how much it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vlmad_run.choosing import option

REACH, LIMITS, WRITTEN = "Who may ask", "Limits", "What is written"


@dataclass(frozen=True, slots=True)
class Reach:
    """Options: where the server is, and who may ask it."""

    host: Annotated[
        str, typer.Option(help="The address to listen on; others than loopback need a token.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000
    token_file: Annotated[
        Path | None,
        option(
            panel=REACH, metavar="FILE", help="A file whose one line every request has to bring."
        ),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        option(
            panel=REACH, metavar="NAME", help="Also answer to this name of the machine; repeatable."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """Options: how much the server takes and keeps."""

    batch_size: Annotated[int, option(panel=LIMITS, min=1, help="Images encoded together.")] = 8
    queue: Annotated[
        int, option(panel=LIMITS, min=1, help="Images that may wait; more are refused with 429.")
    ] = 256
    most_megabytes: Annotated[int, option(panel=LIMITS, min=1, help="Of one request.")] = 64
    most_megapixels: Annotated[int, option(panel=LIMITS, min=1, help="Of one image.")] = 50
    most_images: Annotated[int, option(panel=LIMITS, min=1, help="Of one request.")] = 32
    body_seconds: Annotated[
        float, option(panel=LIMITS, min=0.1, help="In which a request has to be there, whole.")
    ] = 30.0
    keep: Annotated[
        int,
        option(
            "--keep-images",
            panel=LIMITS,
            min=0,
            help="The last so many images and maps can be asked for.",
        ),
    ] = 64
    alarm_after: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Without an image for so long: an alarm."),
    ] = None

    @property
    def most_bytes(self) -> int:
        """Of one request."""
        return self.most_megabytes << 20

    @property
    def most_pixels(self) -> int:
        """Of one image."""
        return self.most_megapixels * 1_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """Options: where judgements are written down, and who else gets them."""

    to: Annotated[
        list[str] | None,
        typer.Option(metavar="SINK", help="Deliver each judgement there too; repeatable."),
    ] = None
    ledger: Annotated[
        Path | None,
        option(
            panel=WRITTEN,
            metavar="FILE",
            help="Write judgements down before they are told; with --to by default vlmad.ledger.",
        ),
    ] = None
    verdicts: Annotated[
        Path,
        option(
            panel=WRITTEN, metavar="FOLDER", help="Keep images there of which a person says more."
        ),
    ] = Path("vlmad-verdicts")
