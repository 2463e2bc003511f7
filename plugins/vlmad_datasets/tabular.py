"""Reading the rows of a CSV file or of JSON lines, each with the number of its line."""

from __future__ import annotations

import codecs
import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from vlmad.datasets import Problem
from vlmad.errors import InputError, first_line
from vlmad.files import parse
from vlmad.images import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv"}) | JSON_SUFFIXES
DELIMITERS = ",;\t"


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

    Fields are separated by comma, semicolon or tab, whichever is most frequent in the header.

    Args:
        path: the file.
        needed: columns that must be there.

    Raises:
        InputError: it cannot be read, is neither UTF-8 nor UTF-16, or has no usable header.
    """
    read = _json_rows if path.suffix.lower() in JSON_SUFFIXES else _csv_rows
    table = read(path, _text(path))
    lacking = " or ".join(repr(name) for name in needed if name not in table.columns)
    if lacking:
        raise InputError(f"{path} has no column {lacking}")
    return table


def _csv_rows(path: Path, text: str) -> TableRows:
    records = _csv_records(path, text)
    line, header = next(records, (1, []))
    columns = tuple(name.casefold() for name in _trimmed(header, 0))
    if not columns:
        raise InputError(f"{path}: the table is empty; its first line names the columns")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError(f"{path} line {line}: column '{twice[0]}' stands there more than once")
    rows, problems = [], []
    for line, record in records:
        fields = _trimmed(record, len(columns))
        if len(fields) == len(columns):
            rows.append(TableRow(line, dict(zip(columns, fields, strict=True))))
        else:
            what = f"{len(fields)} fields, but {len(columns)} columns"
            problems.append(Problem(path, f"line {line}: {what}", "fatal"))
    return TableRows(path, columns, tuple(rows), tuple(problems))


def _text(path: Path) -> str:
    data = read_file(path)
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as in Excel's "Unicode text"
    try:
        return data.decode("utf-16" if data.startswith(marks) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        remedy = "save the table as UTF-8 (in Excel: CSV UTF-8)"
        raise InputError(f"{path} line {line}: not UTF-8; {remedy}") from None


def _csv_records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, with the line where each begins."""
    sign = max(DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    line = 1
    try:
        for record in reader:
            if any(field.strip() for field in record):
                yield line, [field.strip() for field in record]
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path} line {line}: {first_line(error)}") from error


def _trimmed(record: list[str], least: int) -> list[str]:
    """Return a record without the empty fields that a spreadsheet adds at the end of a line."""
    while len(record) > least and not record[-1]:
        record = record[:-1]
    return record


def _json_rows(path: Path, text: str) -> TableRows:
    rows, problems = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(TableRow(number, _fields(parse(json.loads, line))))
        except ValueError as error:
            problems.append(Problem(path, f"line {number}: {first_line(error)}", "fatal"))
    empty = dict.fromkeys((name for row in rows for name in row.fields), "")
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
