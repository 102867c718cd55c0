"""Rows of any file of problems, each with where it stands. Knows formats, not what the fields mean.

    .jsonl .json    one object a line, or one array of objects; told apart by the first character
    .csv            comma-separated, with the names of the fields in its first line
    .parquet        read by pyarrow

A byte order mark, Windows line ends and empty lines are passed over. Lines are read one at a time: LiveCodeBench's
files hold a gigabyte each.
"""

import csv
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.core.records import parse_json_line

BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One row: its fields, where it stands for errors, its number from 1, and its place for `row_at`."""

    fields: dict[str, Any]
    where: str
    number: int
    place: int


def read_rows(path: Path) -> Iterator[Row]:
    """Every row of the file, in order.

    Raises:
        OptionError: no such file, or a name that tells none of the formats.
        RecordError: a row that cannot be read.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise OptionError(f"{path}: expected problems in a .jsonl, .json, .csv or .parquet file; convert or rename it")
    if not path.is_file():
        raise OptionError(f"{path}: no such file; give a .jsonl, .json, .csv or .parquet file of problems")
    return read(path)


def row_at(path: Path, place: int) -> dict[str, Any]:
    """The fields of the row that had this place when the file was read. Raises RecordError where none has it now."""
    if path.is_file() and path.suffix.lower() in (".jsonl", ".json") and not _is_array(path):
        with path.open("rb") as file:
            file.seek(place)
            return _object_of(file.readline(), f"{path}, byte {place}")
    rows = _all_rows(path, path.stat().st_mtime_ns if path.is_file() else 0)
    if place >= len(rows):
        raise RecordError(f"{path}: expected more than {place} rows, found {len(rows)}; the file has changed")
    return rows[place].fields


@lru_cache(maxsize=2)
def _all_rows(path: Path, changed_ns: int) -> tuple[Row, ...]:
    """The rows of a format that cannot be entered in the middle; read again once the file has changed."""
    return tuple(read_rows(path))


def _json_rows(path: Path) -> Iterator[Row]:
    return _array_rows(path) if _is_array(path) else _line_rows(path)


def _is_array(path: Path) -> bool:
    with path.open("rb") as lines:
        first = next((text for line in lines if (text := line.removeprefix(BOM).strip())), b"")
    return first.startswith(b"[")


def _line_rows(path: Path) -> Iterator[Row]:
    place = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.removeprefix(BOM).strip():
                where = f"{path}:{number}"
                yield Row(_object_of(line, where), where, number, place)
            place += len(line)


def _object_of(line: bytes, where: str) -> dict[str, Any]:
    return parse_json_line(_text(line, where), where)


def _array_rows(path: Path) -> Iterator[Row]:
    text = _text(path.read_bytes(), str(path))
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecordError(
            f"{path}:{error.lineno}: expected an array of JSON objects: {error.msg}; mend or download it again"
        ) from None
    for number, item in enumerate(items, start=1):
        where = f"{path}, item {number}"
        if not isinstance(item, dict):
            raise RecordError(f"{where}: expected a JSON object, found {item!r:.60}; mend or remove this item")
        yield Row(item, where, number, number - 1)


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{where}: expected text in UTF-8, found {error.reason}; convert the file") from None


def _csv_rows(path: Path) -> Iterator[Row]:
    lines = _text(path.read_bytes(), str(path)).splitlines(keepends=True)
    reader = csv.reader(lines, strict=True)
    names: list[str] | None = None
    count, where = 0, f"{path}:1"
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                pass
            elif names is None:
                names = cells
            elif len(cells) != len(names):
                raise RecordError(f"{where}: expected {len(names)} cells, as in the first line; found {len(cells)}")
            else:
                count += 1
                yield Row(dict(zip(names, cells, strict=True)), where, count, count - 1)
            where = f"{path}:{reader.line_num + 1}"
    except csv.Error as error:
        raise RecordError(f"{where}: expected comma-separated values: {error}; mend this line") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        batches = [batch.to_pylist() for batch in ParquetFile(path).iter_batches()]
    except (pyarrow.ArrowException, OSError) as error:
        told = str(error).splitlines()[0]
        raise RecordError(f"{path}: expected a parquet file: {told}; download it again") from None
    for number, fields in enumerate((fields for batch in batches for fields in batch), start=1):
        yield Row(fields, f"{path}, row {number}", number, number - 1)


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}
