"""What was seen of changes, beside the ledger of a line, so that it goes on after a restart.

A line and a command may change the file at once: each reads and writes it under a lock. Who begins
anew with a product leaves its place in the file, with who did and when, and without what was seen.
"""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from vlmad.errors import InputError, OutputError
from vlmad_documents.documents import Document
from vlmad_drift.drift_documents import DriftState

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0
"""Seconds for another process to write."""


class StoredWatch(Document):
    """What is kept of the watch of one product."""

    station: str
    """A product of the station."""
    picked: str
    """Which of the products in its file; where there is one, the same."""
    scoring: str
    """A short name for what its scores depend on."""
    begun: str
    """When it was begun, in UTC as ISO 8601."""
    because: str = ""
    """Why it was begun anew, and by whom; empty if it was the first."""
    remarks: list[str]
    state: DriftState | None = None
    """What was seen since; None if that is nothing."""
    untold: bool = False
    """Whether an alarm ended when it was begun anew, and the sinks were not told yet."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.picked if self.picked == self.station else f"{self.station}: {self.picked}"

    @property
    def alarming(self) -> bool:
        """Whether there is an alarm."""
        return any(each.alarm for each in self.state.quantities.values()) if self.state else False

    def anew(self, because: str) -> StoredWatch:
        """Return it as it is begun anew."""
        ended = {"state": None, "untold": self.untold or self.alarming}
        return self.model_copy(update={"begun": now(), "because": because} | ended)


class StoredDrift(Document):
    """What is kept of all products of a line."""

    format: Literal["vlmad stored drift 1"] = "vlmad stored drift 1"
    watches: list[StoredWatch]


class DriftFile:
    """The file beside a ledger."""

    def __init__(self, ledger: Path) -> None:
        self.path, self.aside = Path(f"{ledger}.drift"), Path(f"{ledger}.drift.unread")
        self._lock = FileLock(f"{self.path}.lock", timeout=PATIENCE)
        self._stamp: tuple[int, int] | None = None
        self.unread = ""
        """Why what was in it cannot be used; see `give_up`."""
        self._given_up = False

    def read(self) -> list[StoredWatch]:
        """Return what is kept; nothing if there is no file.

        Raises:
            InputError: it cannot be read, or is no such file.
        """
        self._stamp = self._now()
        return StoredDrift.read(self.path).watches if self._stamp else []

    def of_others(self) -> list[StoredWatch]:
        """Return what another process wrote since the last look; what cannot be used is nothing."""
        try:
            return [] if self._now() == self._stamp else self.read()
        except InputError:
            return []

    def give_up(self, why: str) -> None:
        """Take what is in it for of no use; it is put aside before anything else is written."""
        self.unread, self._given_up = f"what was kept cannot be used: {why}", True

    @property
    def alarm(self) -> str:
        """What a person should look at: that something cannot be used, until it is deleted."""
        if not self._given_up and not self.aside.exists():
            return ""
        why = self.unread or "what was kept before cannot be used"
        return f"drift begins anew, {why}; to end this alarm, delete {self.aside}"

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let nobody else change it meanwhile.

        Raises:
            OutputError: another process does not let go of it, or it cannot be written.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise OutputError(f"another process holds {self.path}.lock") from None
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            yield
        finally:
            self._lock.release()

    def write(self, watches: list[StoredWatch]) -> None:
        """Write it, whole or not at all; see `changing`.

        Raises:
            OutputError: it cannot be written.
        """
        if self._given_up:
            self._put_aside()
        StoredDrift(watches=watches).write(self.path)
        self._stamp = self._now()

    def _put_aside(self) -> None:
        try:
            self.path.replace(self.aside)
        except FileNotFoundError:  # somebody took it away
            pass
        except OSError as error:
            raise OutputError(f"cannot write {self.aside}: {error.strerror or error}") from error
        self._given_up = False

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def begin_anew(ledger: Path, product: str | None) -> list[str]:
    """Forget what was seen of the images of a line, or of one product; a running line takes note.

    Returns:
        The names of the products.

    Raises:
        InputError: nothing was kept beside the ledger, or not of that product.
        OutputError: it cannot be written.
    """
    file = DriftFile(ledger)
    if not file.path.exists():
        raise InputError(f"{file.path} does not exist: of that line no image was watched")
    with file.changing():
        stored = file.read()
        chosen = [each for each in stored if product in (None, each.name, each.station)]
        if not chosen:
            names = ", ".join(each.name for each in stored) or "none"
            raise InputError(f"no image of '{product}' was watched; there are {names}")
        because = f"begun anew by vlmad drift --reset ({getpass.getuser()})"
        file.write([each.anew(because) if each in chosen else each for each in stored])
    return [each.name for each in chosen]


def now() -> str:
    """Return the time, in UTC as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
