"""Cameras that answer a request with one photograph: asked over HTTP every so many seconds."""

from __future__ import annotations

import hashlib
import http.client
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib import request
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from vlmad.errors import InputError, one_line
from vlmad.images import decode
from vlmad_line.endpoints import Arrival
from vlmad_line.sinks import without_password

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from http.client import HTTPResponse
    from threading import Event

EVERY = re.compile(r"every:(\d{1,5}(?:\.\d{1,3})?)")
SHORTEST = 0.05
"""Seconds between two photographs at least."""
MOST = 64 << 20
"""Bytes of a photograph at most."""
SIGN = 0.5
"""Seconds between two signs of life."""


class _Stay(request.HTTPRedirectHandler):
    """Reads no other answer than a photograph, and goes nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None

    def http_response(self, _: request.Request, answer: HTTPResponse) -> HTTPResponse:
        if answer.status != 200:
            answer.close()  # nothing of it is read
        return answer

    https_response = http_response


def photographs(
    argument: str, stop: Event, timeout: float, latest: MutableMapping[str, bytes]
) -> Iterator[Arrival | None]:
    """Yield what an address gives, ``http://camera/photo.jpg#every:2`` every two seconds.

    One that is the same to the last byte as the one before is not new, also after a fault between.

    Args:
        argument: the address, and how often it is asked.
        stop: ends it.
        timeout: seconds after which it does not answer.
        latest: the digest of the last photograph of each argument, kept from one call to the next.

    Raises:
        InputError: it does not answer, or with something else than 200, or is asked wrongly.
    """
    address, _, how = argument.partition("#")
    shown, asked = without_password(argument), EVERY.fullmatch(how)
    if asked is None or float(asked[1]) < SHORTEST:
        raise InputError(f"{shown}: how often is said as #every:SECONDS, at least {SHORTEST}")
    opener, url = _opener(address)
    while not stop.is_set():
        due = time.monotonic() + float(asked[1])
        try:
            content = _get(opener, url, timeout)
        except HTTPError as error:
            raise InputError(f"{shown}: it answers {error.code}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise InputError(f"{shown}: {one_line(str(error) or repr(error), 200)}") from None
        digest = hashlib.sha256(content).digest()
        known, latest[argument] = latest.get(argument) == digest, digest
        yield None if known else _arrival(content, shown)
        while (left := due - time.monotonic()) > 0 and not stop.wait(min(left, SIGN)):
            yield None


def _opener(address: str) -> tuple[request.OpenerDirector, str]:
    """Return what asks, with the name and password of an address, and the address without them."""
    place, known = urlsplit(address), request.HTTPPasswordMgrWithDefaultRealm()
    url = urlunsplit(place._replace(netloc=place.netloc.rpartition("@")[2]))
    if place.username is not None:
        known.add_password(None, url, unquote(place.username), unquote(place.password or ""))
    ways = request.HTTPBasicAuthHandler(known), request.HTTPDigestAuthHandler(known)
    return request.build_opener(request.ProxyHandler({}), _Stay(), *ways), url


def _get(opener: request.OpenerDirector, url: str, timeout: float) -> bytes:
    until, content = time.monotonic() + timeout, bytearray()
    with opener.open(url, timeout=timeout) as answer:
        if answer.status != 200:
            raise OSError(f"it answers {answer.status}")
        while piece := answer.read1(1 << 16):
            content += piece
            if len(content) > MOST or time.monotonic() > until:
                raise OSError(f"more than {MOST >> 20} MiB, or not there within {timeout:g} s")
        if answer.length or not content:  # bytes that were promised and did not come
            raise OSError("the photograph breaks off" if content else "it sends nothing")
    return bytes(content)


def _arrival(content: bytes, shown: str) -> Arrival:
    now = time.time()
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    name = f"{shown} {moment}"
    try:
        return Arrival(name, decode(Path(name), content), now, shown)
    except InputError as error:
        return Arrival(name, None, now, shown, fault=str(error))
