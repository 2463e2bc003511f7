"""The SQLite file of a ledger: its tables, and whether a file is one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from vlmad.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

VERSION, APPLICATION = 2, 0x766C6164
SCHEMA = """
CREATE TABLE message (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, content BLOB,
  run TEXT, row BLOB);
CREATE INDEX waiting ON message (number) WHERE row IS NOT NULL;
CREATE TABLE run (name TEXT PRIMARY KEY, manifest BLOB);
CREATE TABLE sink (name TEXT PRIMARY KEY, has INTEGER NOT NULL);
CREATE TABLE seen (source TEXT, key TEXT, PRIMARY KEY (source, key)) WITHOUT ROWID;
"""
"""A sink has all messages up to a number. The row of an image waits with its message for sinks that
take rows. One of `seen` without a key says of a source that what was there at its start is
marked."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file of a ledger, and make it if there is none.

    Raises:
        InputError: it is something else.
    """
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
            database.execute(f"PRAGMA {setting}")
        (made,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not made:
            own = f"PRAGMA user_version = {VERSION}; PRAGMA application_id = {APPLICATION};"
            database.executescript(f"BEGIN; {SCHEMA} {own} COMMIT;")
        check_made_by(database, path)
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} cannot be used as a ledger: {error}") from error
    return database


def check_made_by(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of another program, or of another vlmad.

    Raises:
        InputError: it is.
    """
    names = ("application_id", "user_version")
    found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    if found != [APPLICATION, VERSION]:
        raise InputError(f"{path} is no ledger of this vlmad; choose another")
