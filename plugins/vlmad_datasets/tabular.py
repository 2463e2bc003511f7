"""Reading the rows of a CSV file or of JSON lines, each with the number of its line."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vlmad import Problem
from vlmad.errors import InputError, first_line
from vlmad.images import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Delimiter: TypeAlias = Literal["auto", "comma", "semicolon", "tab"]
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
SUFFIXES = frozenset({".csv", ".tsv"}) | JSON_SUFFIXES
NAMED_DELIMITER = re.compile(r'"?sep=([,;\t])"?\r?\n')
"""A first line by which Excel is told what separates the fields."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """The fields of one row, by column, and the line of the file where it begins."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class TableRows:
    """All rows of a table that could be read, and the lines that could not."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    problems: tuple[Problem, ...]


def read_rows(path: Path, delimiter: Delimiter = "auto") -> TableRows:
    """Read a table; the ending of its name tells CSV from JSON lines.

    Raises:
        InputError: it cannot be read, is neither UTF-8 nor UTF-16, or has no usable header.
    """
    text = _text(path)
    if path.suffix.lower() in JSON_SUFFIXES:
        return _json_rows(path, text)
    return _csv_rows(path, text, delimiter)


def _text(path: Path) -> str:
    data = read_file(path)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Excel's "Unicode text"
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        wrong = [n for n, line in enumerate(data.split(b"\n"), 1) if not _is_utf8(line)]
        others = f" and {len(wrong) - 1} other lines" if len(wrong) > 1 else ""
        raise InputError(
            f"{path} line {wrong[0]}{others}: not UTF-8; save the table as UTF-8 "
            "(in Excel: CSV UTF-8)"
        ) from None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _csv_rows(path: Path, text: str, delimiter: Delimiter) -> TableRows:
    named = NAMED_DELIMITER.match(text)
    sign = DELIMITERS.get(delimiter) or (named and named[1])
    sign = sign or _likely_delimiter(text.partition("\n")[0])
    records = _csv_records(path, text, sign)
    if named:
        next(records)
    line, header = next(records, (1, []))
    columns = tuple(name.strip().casefold() for name in header)
    if not any(columns):
        raise InputError(f"{path}: the table is empty; its first line names the columns")
    while not columns[-1]:  # separators that a spreadsheet adds behind the last column
        columns = columns[:-1]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError(f"{path} line {line}: column '{twice[0]}' stands there more than once")
    rows, problems = [], []
    for line, record in records:
        while len(record) > len(columns) and not record[-1].strip():
            record.pop()
        if len(record) != len(columns):
            what = f"line {line}: {len(record)} fields, but {len(columns)} columns"
            problems.append(Problem(path, what, "fatal"))
        else:
            fields = (field.strip() for field in record)
            rows.append(TableRow(line, dict(zip(columns, fields, strict=True))))
    return TableRows(columns, tuple(rows), tuple(problems))


def _csv_records(path: Path, text: str, sign: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, with the line where each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    line = 1
    try:
        for record in reader:
            if any(field.strip() for field in record):
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path} line {line}: {first_line(error)}") from error


def _likely_delimiter(header: str) -> str:
    return max(DELIMITERS.values(), key=header.count)


def _json_rows(path: Path, text: str) -> TableRows:
    columns: dict[str, None] = {}
    rows, problems = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = _fields(json.loads(line))
        except (ValueError, RecursionError) as error:
            problems.append(Problem(path, f"line {number}: {first_line(error)}", "fatal"))
            continue
        columns.update(dict.fromkeys(fields))
        rows.append(TableRow(number, fields))
    empty = dict.fromkeys(columns, "")
    filled = tuple(TableRow(row.line, {**empty, **row.fields}) for row in rows)
    return TableRows(tuple(columns), filled, tuple(problems))


def _fields(value: Any) -> dict[str, str]:
    """Return a JSON object's fields as texts.

    Raises:
        ValueError: it is no object, or holds something that is no text, number or null.
    """
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    fields = {}
    for name, content in value.items():
        if not isinstance(content, str | int | None):
            raise ValueError(f"'{name}' is neither text nor a whole number")
        text = "" if content is None else str(content).strip()
        fields[name.strip().casefold()] = text
    return fields


def at_line(row: TableRow, path: Path, what: str) -> Problem:
    """Return a fatal problem of one row."""
    return Problem(path, f"line {row.line}: {what}", "fatal")


def missing(needed: Iterable[str], columns: Iterable[str]) -> list[str]:
    """Return the needed columns that are not there."""
    return [name for name in needed if name not in set(columns)]
