"""Who may ask: by the name that the server is called by, the page that asks, and a token.

A browser sends requests for any page that a person has open. One that is not the server's own is
refused (Origin and Sec-Fetch-Site), and so is a name that is not the machine's, which some page may
have pointed at it (Host). That holds on loopback, too; elsewhere a token is needed besides.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import time
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from vlmad.errors import InputError, shown
from vlmad.files import read_bounded
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.types import Scope

LEAST, MOST = 16, 4096
"""Characters of a token."""
SESSION_SECONDS, MOST_SESSIONS = 12 * 3600, 100
OPEN = frozenset({"/", "/session"})
"""What can be had without a token: a page that asks for it."""
OPEN_FOLDER = "/page/"
OWN_PAGES = frozenset({"same-origin", "none"})


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        token = read_bounded(path, MOST).decode("ascii").strip()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} holds no token: it is no ASCII") from error
    if len(token) < LEAST or not token.isprintable() or " " in token:
        what = f"one line of {LEAST} or more characters without spaces"
        raise InputError(f"{path} holds no token, which is {what}; make one: openssl rand -hex 32")
    return token


class Access:
    """Who may ask.

    Args:
        token: what each request has to bring, if anything.
        names: of the machine, beside the usual ones.
        loopback: whether it can be reached from this machine only.
    """

    def __init__(self, token: str | None, names: Iterable[str] = (), loopback: bool = True) -> None:
        self._token = None if token is None else token.encode()
        self._loopback = loopback
        own = () if loopback else (socket.gethostname().lower(), socket.getfqdn().lower())
        self._names = {"localhost", *own, *(name.lower() for name in names)}
        self._sessions: dict[str, float] = {}

    def check(self, scope: Scope) -> None:
        """Let a request pass.

        Raises:
            Refusal: it may not.
        """
        headers, path = Headers(scope=scope), scope["path"]
        self._check_host(headers)
        self._check_page(headers, scope["method"])
        if self._token is not None and path not in OPEN and not path.startswith(OPEN_FOLDER):
            self._check_token(headers, cookie_of(scope))

    def allows(self, scope: Scope) -> bool:
        """Return whether a request that once passed still would: a session ends."""
        try:
            self.check(scope)
        except Refusal:
            return False
        return True

    def open_session(self, headers: Headers) -> str:
        """Return what a cookie may bring instead of the token, to whoever brings that.

        Raises:
            Refusal: the token is wrong.
        """
        self._check_token(headers)
        now = time.monotonic()
        alive = sorted((until, name) for name, until in self._sessions.items() if until > now)
        self._sessions = {name: until for until, name in alive[1 - MOST_SESSIONS :]}
        name = secrets.token_urlsafe(32)
        self._sessions[name] = now + SESSION_SECONDS
        return name

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        name = _name_of(hosts[0]) if len(hosts) == 1 else None
        if name is None:
            raise Refusal(400, "the request does not say whom it asks", "send one Host header")
        if name in self._names or self._is_own_address(name):
            return
        remedy = "use the machine's address or name, or start it with --allow-host NAME"
        raise Refusal(403, f"this server is not called '{name}'", remedy)

    def _is_own_address(self, name: str) -> bool:
        """Return whether a name is an address, which no page can point elsewhere."""
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback

    def _check_page(self, headers: Headers, method: str) -> None:
        origins, site = headers.getlist("origin"), headers.get("sec-fetch-site", "none")
        own = headers["host"].lower()
        same = all(_host_of(origin) == own for origin in origins)
        opened = method == "GET" and headers.get("sec-fetch-mode") == "navigate" and not origins
        if not same or (site not in OWN_PAGES and not opened):
            whose = shown(origins[0] if origins else site)
            raise Refusal(403, f"a page of '{whose}' asks", "only the server's own page may ask it")

    def _check_token(self, headers: Headers, cookie: str = "") -> None:
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        right = scheme.lower() == "bearer" and self._is_token(token.strip())
        if right or (not given and self._has_session(headers, cookie)):
            return
        wrong = "the token is wrong" if given else "a token is needed"
        raise Refusal(401, wrong, "send Authorization: Bearer TOKEN")

    def _is_token(self, given: str) -> bool:
        known = self._token or b""
        same = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), known)
        return self._token is None or same

    def _has_session(self, headers: Headers, cookie: str) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(cookie)
        except CookieError:
            return False
        return found is not None and self._sessions.get(found.value, 0.0) > time.monotonic()


def cookie_of(scope: Scope) -> str:
    """Return the name of the cookie: browsers send those of one port to all of a machine."""
    _, port = scope.get("server") or ("", 0)
    return f"vlmad_session_{port}"


def _name_of(host: str) -> str | None:
    """Return the name or address in a Host header, without its port."""
    try:
        parts = urlsplit(f"//{host}")
        fits = parts.netloc == host and "@" not in host and parts.port != 0
    except ValueError:
        return None
    return parts.hostname if fits else None


def _host_of(origin: str) -> str:
    """Return what Host is if a page of this origin asks its own server."""
    scheme, mark, rest = origin.lower().partition("://")
    return rest if mark and scheme in ("http", "https") else ""
