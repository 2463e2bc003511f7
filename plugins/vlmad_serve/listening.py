"""The server's socket: slow and silent clients, too many of them, and how it stops."""

from __future__ import annotations

import ctypes
import ipaddress
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vlmad.errors import InputError
from vlmad_serve.refusals import raw_problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

HEADER_SECONDS = 10
"""In which the head of a request has to be there."""
WRITE_SECONDS = 30
"""For which a client may not read what it asked for."""
IDLE_SECONDS = 15
"""For which a connection may wait for the next request."""
MOST_CONNECTIONS = 2000
FILES = 8192
"""Descriptors that are asked for: connections and files."""
ARENA_MAX = -8
"""Of glibc's `mallopt`: between how many heaps threads are shared out."""
STOPPING = (signal.SIGINT, signal.SIGTERM)


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn has it, with an end to patience."""

    _head_due: asyncio.TimerHandle | None = None
    _write_due: asyncio.TimerHandle | None = None
    refused: Callable[[int, str], None] = staticmethod(lambda status, error: None)
    """Is told of what is refused here, which no application sees."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there are not too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            remedy = "close connections that are not used, and ask again"
            self._end(503, "Service Unavailable", "too many are connected", remedy)
            return
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        _cancel(self._head_due)
        self._head_due = None
        _cancel(self._write_due)
        self._write_due = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        self._watch_head()

    def pause_writing(self) -> None:
        """Wait for a client to read, for a while."""
        super().pause_writing()
        self._write_due = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with a client that reads."""
        _cancel(self._write_due)
        self._write_due = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer to what is no HTTP."""
        self._end(400, "Bad Request", msg, "send requests of HTTP/1.1 with a head of up to 16 KiB")

    def _watch_head(self) -> None:
        """Give up a client from which nothing comes, or no whole head, or a body for nobody."""
        if self.cycle is not None and not self.cycle.response_complete:
            _cancel(self._head_due)
            self._head_due = None
        elif self._head_due is None:
            self._head_due = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.refused(408, f"the head of a request was not there within {HEADER_SECONDS} s")
        self.transport.abort()

    def _end(self, status: int, name: str, error: str, remedy: str) -> None:
        body = raw_problem(error, remedy)
        head = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        self.transport.write(head % (status, name.encode(), len(body)))
        self.transport.write(b"Connection: close\r\n\r\n" + body)
        self.transport.close()
        self.refused(status, error)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


class StoppingServer(uvicorn.Server):
    """A server that ends well when it is told to: what it accepted is answered.

    Args:
        config: of uvicorn.
        stopping: is called as soon as it is told to, to end what would never end by itself.
    """

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and answer those that are there."""
        self._stopping()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop by signals, without passing them on afterwards: to stop is no failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(
    app: ASGIApp, stopping: Callable[[], None], refused: Callable[[int, str], None]
) -> StoppingServer:
    """Return what serves an application; run it with a socket of `bind`.

    Args:
        app: the application.
        stopping: is called as soon as the server is told to stop.
        refused: is called with the status and the reason of what the application does not see.
    """
    settings: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None}
    config = uvicorn.Config(
        app,
        http=type("Protocol", (PatientProtocol,), {"refused": staticmethod(refused)}),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        backlog=MOST_CONNECTIONS,
        **settings,
    )
    return StoppingServer(config, stopping)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that has an address and takes no connection yet.

    Raises:
        InputError: there is no such address, or somebody else has it.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind)
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot listen on {host} port {port}: {reason}; choose another --port"
        ) from error
    return found


def is_loopback(bound: socket.socket) -> bool:
    """Return whether only this machine can reach a socket."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def allow_many_files() -> None:
    """Let this process have as many connections as it takes, where the system allows that."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share_one_heap() -> None:
    """Let all threads take memory from one heap, where the C library is glibc.

    It else gives threads up to eight heaps for each core, and each that a batch's short thread is
    the first to work in grows to the size of a batch: the memory of a server then rises for hours.
    Has no effect on heaps that are there, so that it comes before anything large is loaded.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(ARENA_MAX, 1)
