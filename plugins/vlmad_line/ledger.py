"""The ledger of a line: what was said, on disk before anyone hears it, until every sink has it.

It is a SQLite file. What `write` returned from is there after a crash of the process or machine.
Each sink has a place in it, up to which it has everything; so nothing is lost while the other side
is away, and after a restart each goes on where it was.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from vlmad.errors import InputError, OutputError
from vlmad_line.judgements import read_message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from vlmad_line.judgements import Message

KEPT = 100_000
"""Messages that are kept at least, whoever has them."""
VERSION, APPLICATION = 1, 0x766C6164
SCHEMA = """
CREATE TABLE message (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, content BLOB);
CREATE TABLE sink (name TEXT PRIMARY KEY, has INTEGER NOT NULL);
CREATE TABLE seen (source TEXT, key TEXT, PRIMARY KEY (source, key)) WITHOUT ROWID;
"""
"""A sink has all messages up to a number. A row of `seen` without a key says of a source that what
was there at its start is marked."""


class Ledger:
    """A ledger that this process alone writes to; use it in a ``with`` statement.

    Args:
        path: the file; it is made if it does not exist.
        kept: how many messages are kept though all sinks have them. What a sink does not have yet
            is kept beyond that.

    Raises:
        OutputError: it cannot be written, or another process writes to it.
        InputError: the file is no ledger.
    """

    def __init__(self, path: Path, kept: int = KEPT) -> None:
        self.path, self.kept = path, kept
        self._sinks: set[str] = set()
        self._turn = threading.RLock()
        self._news = threading.Condition(self._turn)

    def __enter__(self) -> Self:
        """Open the file."""
        self._lock = FileLock(f"{self.path}.lock", timeout=0, fallback_to_soft=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise OutputError(f"another line writes to {self.path}; choose another") from None
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with self._turn:
            self._database.close()
            self._lock.release()

    def write(self, messages: Sequence[Message], seen: Collection[tuple[str, str]] = ()) -> None:
        """Keep messages and that images of these sources and keys are done, all or nothing.

        Raises:
            OutputError: they cannot be kept.
        """
        rows = [(each.id, each.to_json(indent=None)) for each in messages]
        with self._changing() as database:
            database.executemany("INSERT INTO message (id, content) VALUES (?, ?)", rows)
            database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", _storable(seen))
            self._news.notify_all()

    def seen(self, source: str) -> set[str]:
        """Return the keys of a source whose images are done."""
        with self._turn:
            rows = self._database.execute(
                "SELECT key FROM seen WHERE source = ?", *_storable([(source,)])
            )
            return {key for (key,) in rows if key}

    def is_new(self, source: str) -> bool:
        """Return whether nobody said of a source yet what was there at its start."""
        with self._turn:
            query = "SELECT 1 FROM seen WHERE source = ? AND key = ''"
            return self._database.execute(query, *_storable([(source,)])).fetchone() is None

    def mark(self, source: str, keys: Collection[str]) -> None:
        """Take images that are there at the start of a source for done."""
        self.write([], [(source, key) for key in ("", *keys)])

    def forget(self, source: str, keys: Collection[str]) -> None:
        """Forget images that are no longer there."""
        with self._changing() as database:
            rows = _storable((source, key) for key in keys if key)
            database.executemany("DELETE FROM seen WHERE source = ? AND key = ?", rows)

    def join(self, sink: str) -> int:
        """Give a sink its place: where it was before, or if it is new, after all that is there.

        Returns:
            How many messages it does not have and never will: they are no longer kept.
        """
        with self._changing() as database:
            database.execute("INSERT OR IGNORE INTO sink VALUES (?, ?)", [sink, self._last()])
            self._sinks.add(sink)
            query = "SELECT coalesce(min(number) - 1, ?) FROM message"
            (gone,) = database.execute(query, [self._last()]).fetchone()
            lost = int(gone) - self._place_of(sink)
            if lost > 0:
                database.execute("UPDATE sink SET has = ? WHERE name = ?", [gone, sink])
        return max(0, lost)

    def missing(self, sink: str, most: int) -> list[tuple[int, Message]]:
        """Return the first messages that a sink does not have, with their numbers."""
        query = (
            "SELECT number, content FROM message WHERE number > "
            "(SELECT has FROM sink WHERE name = ?) ORDER BY number LIMIT ?"
        )
        with self._turn:
            rows = self._database.execute(query, [sink, most]).fetchall()
        return [(number, read_message(content, f"{self.path}")) for number, content in rows]

    def has(self, sink: str, number: int) -> None:
        """Note that a sink has all messages up to this one."""
        with self._changing() as database:
            database.execute("UPDATE sink SET has = ? WHERE name = ?", [number, sink])

    def waiting(self, sink: str) -> int:
        """Return how many messages a sink does not have."""
        with self._turn:
            return self._last() - self._place_of(sink)

    def wait(self, sink: str, stopping: threading.Event) -> None:
        """Wait until there is something that a sink does not have, or `wake` after it stops."""
        with self._news:
            if not self.waiting(sink) and not stopping.is_set():
                self._news.wait()

    def wake(self) -> None:
        """Let all who wait look again."""
        with self._news:
            self._news.notify_all()

    def latest(self, most: int, before: int | None = None) -> list[tuple[int, Message]]:
        """Return the latest messages, the last first, or those before a number."""
        query = "SELECT number, content FROM message WHERE number < ? ORDER BY number DESC LIMIT ?"
        with self._turn:
            end = self._last() + 1 if before is None else before
            rows = self._database.execute(query, [end, most]).fetchall()
        return [(number, read_message(content, f"{self.path}")) for number, content in rows]

    def trim(self) -> int:
        """Delete what is more than `kept` and every sink has; return how much that was."""
        with self._changing() as database:
            marks = ",".join("?" * len(self._sinks))
            query = f"SELECT min(has) FROM sink WHERE name IN ({marks})"
            (least,) = database.execute(query, [*self._sinks]).fetchone()
            end = min(self._last() - self.kept, self._last() if least is None else least)
            return database.execute("DELETE FROM message WHERE number <= ?", [end]).rowcount

    def _place_of(self, sink: str) -> int:
        query = "SELECT has FROM sink WHERE name = ?"
        return int(self._database.execute(query, [sink]).fetchone()[0])

    def _last(self) -> int:
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'message'"
        row = self._database.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _open(self) -> None:
        try:
            self._database = sqlite3.connect(
                self.path, check_same_thread=False, isolation_level=None
            )
            for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
                self._database.execute(f"PRAGMA {setting}")
            (made,) = self._database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if not made:
                own = f"PRAGMA user_version = {VERSION}; PRAGMA application_id = {APPLICATION};"
                self._database.executescript(f"BEGIN; {SCHEMA} {own} COMMIT;")
            _check_made_by(self._database, self.path)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path} cannot be used as a ledger: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Let all changes be made, or none."""
        with self._turn:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._database
                    self._database.execute("COMMIT")
                except BaseException:
                    self._database.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise OutputError(f"cannot write {self.path}: {error}") from error


def _storable(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows as SQLite takes them: a folder's name may be no UTF-8."""
    return [
        tuple(each.encode("utf-8", "backslashreplace").decode() for each in row) for row in rows
    ]


def _check_made_by(database: sqlite3.Connection, path: Path) -> None:
    names = ("application_id", "user_version")
    found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    if found != [APPLICATION, VERSION]:
        raise InputError(f"{path} is no ledger of this vlmad; choose another")


def is_database(path: Path) -> bool:
    """Return whether a file is one of SQLite, such as a ledger."""
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def read_ledger(path: Path) -> list[Message]:
    """Return all messages of a ledger in their order; a line may go on writing to it.

    Raises:
        InputError: it cannot be read, or is no ledger of this vlmad.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            _check_made_by(database, path)
            rows = database.execute("SELECT content FROM message ORDER BY number").fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read as a ledger: {error}") from error
    return [read_message(content, f"{path}") for (content,) in rows]
