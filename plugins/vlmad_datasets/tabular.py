"""Reading the rows of a CSV file or of JSON lines, each with the number of its line."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmad.datasets import Problem
from vlmad.errors import InputError, first_line
from vlmad.images import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv"}) | JSON_SUFFIXES
DELIMITERS = ",;\t"
NAMED_DELIMITER = re.compile(r'"?sep=([,;\t])"?\r?\n')
"""A first line by which Excel is given what separates the fields."""


@dataclass(frozen=True, slots=True)
class TableRow:
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

    def lacking(self, needed: Iterable[str]) -> list[str]:
        """Return the needed columns that are not there."""
        return [name for name in needed if name not in self.columns]

    def problem(self, row: TableRow, what: object) -> Problem:
        """Return a fatal problem of one row."""
        return Problem(self.path, f"line {row.line}: {what}", "fatal")


def read_rows(path: Path) -> TableRows:
    """Read a table; the ending of its name tells CSV from JSON lines.

    Fields are separated by comma, semicolon or tab, whichever is most frequent in the header.

    Raises:
        InputError: it cannot be read, is neither UTF-8 nor UTF-16, or has no usable header.
    """
    text = _text(path)
    if path.suffix.lower() in JSON_SUFFIXES:
        return _json_rows(path, text)
    named = NAMED_DELIMITER.match(text)
    sign = named[1] if named else max(DELIMITERS, key=text.partition("\n")[0].count)
    records = _csv_records(path, text, sign)
    if named:
        next(records)
    return _csv_rows(path, records)


def _text(path: Path) -> str:
    data = read_file(path)
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as in Excel's "Unicode text"
    try:
        return data.decode("utf-16" if data.startswith(marks) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        remedy = "save the table as UTF-8 (in Excel: CSV UTF-8)"
        raise InputError(f"{path} line {line}: not UTF-8; {remedy}") from None


def _csv_records(path: Path, text: str, sign: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, with the line where each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    line = 1
    try:
        for record in reader:
            if any(field.strip() for field in record):
                yield line, [field.strip() for field in record]
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path} line {line}: {first_line(error)}") from error


def _csv_rows(path: Path, records: Iterator[tuple[int, list[str]]]) -> TableRows:
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


def _trimmed(record: Sequence[str], least: int) -> Sequence[str]:
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
            rows.append(TableRow(number, _fields(json.loads(line))))
        except (ValueError, RecursionError) as error:
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
