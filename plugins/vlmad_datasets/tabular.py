"""Reading the rows of a CSV file or of JSON lines, each with the number of its line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from vlmad.datasets import Problem
from vlmad.errors import InputError, first_line
from vlmad.files import parse
from vlmad_run.csv_cells import as_meant
from vlmad_run.texts import lines_of, read_people_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sized
    from pathlib import Path

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv"}) | JSON_SUFFIXES
DELIMITERS = ",;\t"
NAMED_DELIMITER = re.compile(r'("?)sep=([^"])\1[,;\s]*', re.I)
"""A first line by which Excel is told how fields are separated."""
MOST_COLUMNS = 1000


class TableRow(NamedTuple):
    """The fields of one row, by column, and the line of the file where it begins."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class TableRows:
    """All rows of a table that could be read, and the lines that could not."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    problems: tuple[Problem, ...]

    def problem(self, row: TableRow, what: object) -> Problem:
        """Return a fatal problem of one row."""
        return Problem(self.path, f"line {row.line}: {what}", "fatal")


def read_rows(path: Path, needed: Iterable[str] = ()) -> TableRows:
    """Read a table; the ending of its name tells CSV from JSON lines.

    Fields are separated by what a first line such as ``sep=;`` names, else by comma, semicolon
    or tab, whichever is most frequent in the header.

    Args:
        path: the file.
        needed: columns that must be there.

    Raises:
        InputError: it cannot be read, is no table, or has no usable header.
    """
    read = _json_rows if path.suffix.lower() in JSON_SUFFIXES else _csv_rows
    table = read(path, read_people_text(path))
    lacking = " or ".join(repr(name) for name in needed if name not in table.columns)
    if lacking:
        raise InputError(f"{path} has no column {lacking}")
    return table


def _csv_rows(path: Path, text: str) -> TableRows:
    records = _csv_records(path, text)
    line, header = next(records, (1, []))
    if isinstance(header, csv.Error):
        raise InputError(f"{path} line {line}: {header}")
    columns = tuple(name.casefold() for name in _trimmed(header, 0))
    if not columns:
        raise InputError(f"{path}: the table is empty; its first line names the columns")
    _check_number(path, columns)
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise InputError(f"{path} line {line}: column '{min(twice)}' stands there more than once")
    rows, problems = [], []
    for line, record in records:
        if isinstance(record, csv.Error):
            problems.append(Problem(path, f"line {line}: {record}", "fatal"))
            continue
        fields = _trimmed(record, len(columns))
        if len(fields) == len(columns):
            rows.append(TableRow(line, dict(zip(columns, fields, strict=True))))
        else:
            what = f"{len(fields)} fields, but {len(columns)} columns"
            problems.append(Problem(path, f"line {line}: {what}", "fatal"))
    return TableRows(path, columns, tuple(rows), tuple(problems))


def _check_number(path: Path, columns: Sized) -> None:
    if len(columns) > MOST_COLUMNS:
        raise InputError(f"{path}: {len(columns)} columns; at most {MOST_COLUMNS} are read")


def _csv_records(path: Path, text: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the records that are not blank, or what is wrong, with the line where each begins."""
    lines = lines_of(text, path)
    header, named = next(filter(str.strip, lines), ""), NAMED_DELIMITER.fullmatch(lines[0])
    sign = named[2] if named else max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    if named:
        next(reader)
    line = reader.line_num + 1
    while True:
        try:
            record = next(reader)
            if any(field.strip() for field in record):
                yield line, [as_meant(field.strip()) for field in record]
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error
        line = reader.line_num + 1


def _trimmed(record: list[str], least: int) -> list[str]:
    """Return a record without the empty fields that a spreadsheet adds at the end of a line."""
    while len(record) > least and not record[-1]:
        record.pop()
    return record


def _json_rows(path: Path, text: str) -> TableRows:
    rows, problems = [], []
    for number, line in enumerate(lines_of(text, path), start=1):
        if not line.strip():
            continue
        try:
            rows.append(TableRow(number, _fields(parse(json.loads, line))))
        except ValueError as error:
            problems.append(Problem(path, f"line {number}: {first_line(error)}", "fatal"))
    empty = dict.fromkeys((name for row in rows for name in row.fields), "")
    _check_number(path, empty)
    filled = tuple(TableRow(row.line, {**empty, **row.fields}) for row in rows)
    return TableRows(path, tuple(empty), filled, tuple(problems))


def _fields(value: Any) -> dict[str, str]:
    """Return a JSON object's fields as texts.

    Raises:
        ValueError: it is no object, or holds something that is no text, number or null.
    """
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    for name, content in value.items():
        if not isinstance(content, str | int | None):
            raise ValueError(f"'{name}' is neither text nor a whole number")
    texts = {name: "" if content is None else str(content) for name, content in value.items()}
    return {name.strip().casefold(): text.strip() for name, text in texts.items()}
