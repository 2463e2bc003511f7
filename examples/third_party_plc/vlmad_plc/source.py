"""The source ``modbus://HOST:PORT/?from=FOLDER``: an image for each trigger of a PLC, answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from threading import Event

    from vlmad_line.endpoints import Arrival

PORT = 502
LIMIT = 5.0
"""Seconds from the trigger to the answer, where nobody says."""
FORM = (
    "modbus://HOST:PORT/"
    "?from=FOLDER&limit=SECONDS&quiet=SECONDS&skip=FRAMES&base=REGISTER&device=NUMBER"
)
KNOWN = {"from", "limit", "quiet", "skip", "base", "device"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an argument asks for."""

    host: str
    port: int
    images: str
    """A folder, or the argument of another source."""
    limit: float
    quiet: float
    """Seconds after which no image of an earlier part comes; the limit where nobody says."""
    skip: int | None
    """Frames of a camera that are let go after a trigger, if somebody says how many."""
    base: int
    device: int


def parse(argument: str) -> Asked:
    """Read an argument.

    Raises:
        InputError: it is not of that form.

    >>> parse("modbus://10.0.0.7/?from=camera").port
    502
    """
    try:
        url = urlsplit(argument)
        given = parse_qs(url.query, strict_parsing=True, max_num_fields=8)
        if not url.hostname or given.keys() - KNOWN or any(len(v) > 1 for v in given.values()):
            raise ValueError
        one = {name: values[0] for name, values in given.items()}
        limit = float(one.get("limit", LIMIT))
        quiet = float(one.get("quiet", limit))
        base, device = int(one.get("base", 0)), int(one.get("device", 1))
        skip = int(one["skip"]) if "skip" in one else None
        if skip is not None and not 0 <= skip <= 1000:
            raise ValueError
        if not (0 < limit < math.inf and 0 < quiet < math.inf):
            raise ValueError
        if not (0 <= base <= 65529 and 0 <= device <= 255):
            raise ValueError
        port, images = url.port or PORT, one["from"]
        return Asked(url.hostname, port, images, limit, quiet, skip, base, device)
    except (KeyError, ValueError) as error:
        raise InputError(f"'{argument}' is not of the form {FORM}") from error


class PlcSource:
    """An image for each trigger of a PLC; `SOURCE` is registered as ``modbus``."""

    def __call__(self, argument: str) -> Iterable[Path]:
        """Refuse: nobody would wait for the answer."""
        raise InputError(f"{argument}: a PLC asks for one image at a time: use vlmad watch")

    def arrivals(self, argument: str, stop: Event) -> Iterator[Arrival | None]:
        """Yield an image for each trigger, and answer when it is judged; see `KeepsComing`.

        Raises:
            InputError: the argument is wrong, or the PLC or the camera is away.
        """
        from vlmad_plc.handshake import Handshake
        from vlmad_plc.images import open_images
        from vlmad_plc.registers import Registers

        asked = parse(argument)
        with (
            Registers(asked.host, asked.port, asked.base, asked.device) as plc,
            open_images(asked.images, asked.skip) as images,
        ):
            yield from Handshake(plc, images, asked.limit, asked.quiet, stop).run()


SOURCE = PlcSource()
