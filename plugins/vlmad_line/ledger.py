"""The ledger of a line: what was said, on disk before anyone hears it, until every sink has it.

It is a SQLite file. What `write` returned from is there after a crash of the process or machine.
Each sink has a place in it, up to which it has everything; so nothing is lost while the other side
is away, and after a restart each goes on where it was.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from vlmad.errors import InputError, OutputError
from vlmad_line._ledger_file import check_made_by, open_database
from vlmad_line.endpoints import WaitingRow
from vlmad_line.judgements import read_message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from vlmad_line.judgements import Message

KEPT = 100_000
"""Messages that are kept at least, whoever has them."""


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
        self._sinks: dict[str, bool] = {}
        """Which there are, and whether each takes rows."""
        self._before = 0
        """Up to which number all was there when the file was opened."""
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
            self._database = open_database(self.path)
        except BaseException:
            self._lock.release()
            raise
        self._before = self._last()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with self._turn:
            self._database.close()
            self._lock.release()

    def write(
        self,
        messages: Sequence[Message],
        seen: Collection[tuple[str, str]] = (),
        rows: Mapping[str, WaitingRow] = MappingProxyType({}),
    ) -> None:
        """Keep messages and that images of these sources and keys are done, all or nothing.

        Args:
            messages: what was said.
            seen: sources and keys.
            rows: of the images of some messages, by their `id`, for sinks that take rows.

        Raises:
            OutputError: they cannot be kept.
        """
        runs = {row.run: row.manifest for row in rows.values()}
        said = [
            (each.id, each.to_json(indent=None), row and row.run, row and row.content)
            for each in messages
            for row in [rows.get(each.id)]
        ]
        with self._changing() as database:
            database.executemany("INSERT OR IGNORE INTO run VALUES (?, ?)", runs.items())
            query = "INSERT INTO message (id, content, run, row) VALUES (?, ?, ?, ?)"
            database.executemany(query, said)
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

    def join(self, sink: str, takes_rows: bool = False) -> int:
        """Give a sink its place: where it was before, or if it is new, after all that is there.

        Args:
            sink: its name.
            takes_rows: whether rows are kept for it.

        Returns:
            How many messages, or their rows if it takes those, it does not have and never will:
            they are no longer kept.
        """
        with self._changing() as database:
            database.execute("INSERT OR IGNORE INTO sink VALUES (?, ?)", [sink, self._last()])
            self._sinks[sink] = takes_rows
            query = "SELECT coalesce(min(number) - 1, ?) FROM message"
            (gone,) = database.execute(query, [self._last()]).fetchone()
            lost = int(gone) - self._place_of(sink)
            if lost > 0:
                database.execute("UPDATE sink SET has = ? WHERE name = ?", [gone, sink])
            return max(0, lost) + (self._rows_gone(sink) if takes_rows else 0)

    def missing(self, sink: str, most: int) -> list[tuple[int, Message]]:
        """Return the first messages that a sink does not have, with their numbers."""
        query = (
            "SELECT number, content FROM message WHERE number > "
            "(SELECT has FROM sink WHERE name = ?) ORDER BY number LIMIT ?"
        )
        with self._turn:
            rows = self._database.execute(query, [sink, most]).fetchall()
        return [(number, read_message(content, f"{self.path}")) for number, content in rows]

    def row(self, number: int) -> WaitingRow | None:
        """Return the row that waits with a message, if there is one."""
        query = "SELECT run, manifest, row FROM message JOIN run ON run = name WHERE number = ?"
        with self._turn:
            found = self._database.execute(query, [number]).fetchone()
        return None if found is None or found[2] is None else WaitingRow(*found)

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
        """Delete what is more than `kept` and every sink has; return how much that was.

        Rows are deleted as soon as the sinks that take them have them. Those that were there when
        the file was opened may wait for a sink that is left out this time.
        """
        with self._changing() as database:
            taken = self._least(sink for sink, takes_rows in self._sinks.items() if takes_rows)
            names = {name for (name,) in database.execute("SELECT name FROM sink")}
            query = (
                "UPDATE message SET row = NULL WHERE row IS NOT NULL AND number <= ? "
                "AND (number <= ? OR number > ?)"
            )
            left_out = self._least(names - self._sinks.keys())
            database.execute(query, [taken, left_out, self._before])
            end = min(self._last() - self.kept, self._least(self._sinks))
            return database.execute("DELETE FROM message WHERE number <= ?", [end]).rowcount

    def _least(self, sinks: Iterable[str]) -> int:
        """Return up to which number all these sinks have everything."""
        return min(map(self._place_of, sinks), default=self._last())

    def _rows_gone(self, sink: str) -> int:
        """Return how many rows there were beyond what a sink has."""
        query = "SELECT count(*) FROM message WHERE number > ? AND run IS NOT NULL AND row IS NULL"
        return int(self._database.execute(query, [self._place_of(sink)]).fetchone()[0])

    def _place_of(self, sink: str) -> int:
        query = "SELECT has FROM sink WHERE name = ?"
        return int(self._database.execute(query, [sink]).fetchone()[0])

    def _last(self) -> int:
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'message'"
        row = self._database.execute(query).fetchone()
        return int(row[0]) if row else 0

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
            check_made_by(database, path)
            rows = database.execute("SELECT content FROM message ORDER BY number").fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read as a ledger: {error}") from error
    return [read_message(content, f"{path}") for (content,) in rows]
