"""What every request passes first: who asks, how large it is, and how long it takes to be there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from vlmad_serve.access import Access
    from vlmad_serve.served import Served
    from vlmad_serve.settings import ServeLimits

MOST_AT_ONCE = 512 << 20
"""Bytes of all requests that are in work."""
SAID = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""To browsers, with each answer that does not say otherwise."""


class Guard:
    """An ASGI application before another.

    Args:
        app: the other.
        access: who may ask.
        served: counts what is refused here, and says how much is taken.
    """

    def __init__(self, app: ASGIApp, access: Access, served: Served) -> None:
        self._app, self._access, self._limits = app, access, served.limits
        self._served, self._bytes = served, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._limits, self)
        try:
            try:
                self._access.check(scope)
                body.check_stated(Headers(scope=scope))
            except Refusal as refusal:
                self._served.count_refused(refusal, scope)
                await refusal.response()(scope, receive, _saying(send))
                return
            await self._app(scope, body.receive, _saying(send))
        finally:
            self._bytes -= body.taken

    def take(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            Refusal: all requests together are too large for now.
        """
        if self._bytes + count > MOST_AT_ONCE:
            remedy = "send it again after Retry-After seconds"
            raise Refusal(429, "too much is sent at once", remedy, 1)
        self._bytes += count


class _Body:
    """The body of a request, as it comes."""

    def __init__(self, receive: Receive, limits: ServeLimits, guard: Guard) -> None:
        self._receive, self._limits, self._guard = receive, limits, guard
        self._until: float | None = None
        self._done = False
        self.taken = 0

    def check_stated(self, headers: Headers) -> None:
        stated = headers.get("content-length", "0")
        if not stated.isdecimal() or int(stated) > self._limits.most_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        if self._done:
            return await self._receive()  # until the client goes away
        clock = asyncio.get_running_loop().time
        self._until = self._until or clock() + self._limits.body_seconds
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            seconds = f"{self._limits.body_seconds:g} s"
            remedy = "send it faster, or start the server with a longer --body-seconds"
            raise Refusal(408, f"the request was not there within {seconds}", remedy) from None
        count = len(message.get("body", b""))
        self._guard.take(count)
        self.taken += count
        if self.taken > self._limits.most_bytes:
            raise self._too_large()
        self._done = not message.get("more_body", False)
        return message

    def _too_large(self) -> Refusal:
        most = self._limits.most_megabytes
        remedy = "send fewer or smaller images, or start the server with more --most-megabytes"
        return Refusal(413, f"the request has more than {most} MiB", remedy)


def _saying(send: Send) -> Send:
    """Return what sends answers with what browsers are told of each."""

    async def say(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SAID.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return say
