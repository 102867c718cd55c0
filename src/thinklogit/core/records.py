"""Problems, completions and grades, and the JSON Lines files they live in.

One record a line, each naming its schema and version, so that a file can be read alone, split or joined with others.
A reader meets a line half written by a killed process only at the very end of a file; `drop_torn_line` removes it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from thinklogit.core.errors import RecordError

SCHEMA_VERSION = 1
"""Rises when a reader of the older files would misread the newer ones."""


@dataclass(frozen=True)
class Problem:
    """One item of a benchmark. `metadata` holds what its grader needs beyond the reference answer."""

    id: str
    question: str
    answer: str
    split: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Completion:
    """One sampled answer: the raw text, why it ended, and every setting it was made with."""

    problem_id: str
    index: int
    prompt: str | list[dict[str, str]]
    text: str
    new_tokens: int
    finish_reason: Literal["stop", "length"]
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grade:
    """The verdict on one completion, with what it was read from, so that grading can be questioned and redone."""

    problem_id: str
    index: int
    correct: bool
    extracted: str | None
    reason: str
    completion: str


Record = TypeVar("Record", Problem, Completion, Grade)


def to_line(record: Problem | Completion | Grade) -> str:
    """The record as one line of JSON, newline included."""
    schema = f"thinklogit.{type(record).__name__.lower()}/{SCHEMA_VERSION}"
    return json.dumps({"schema": schema, **asdict(record)}, ensure_ascii=False) + "\n"


def from_line(kind: type[Record], line: str, where: str) -> Record:
    """Read one line back as `kind`; `where` (file and line number) goes into the error."""
    row = parse_json_line(line, where)
    schema = f"thinklogit.{kind.__name__.lower()}/{SCHEMA_VERSION}"
    if row.pop("schema", None) != schema:
        raise RecordError(f"{where}: expected a {schema} record; this line is not one. Was it made by another version?")
    try:
        return kind(**row)
    except TypeError:
        wanted = ", ".join(f.name for f in fields(kind))
        raise RecordError(f"{where}: a {schema} record holds {wanted}; this line holds {', '.join(row)}") from None


def parse_json_line(line: str, where: str) -> dict[str, Any]:
    """One JSON object from one line, or a RecordError that names `where`."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise RecordError(f"{where}: expected one JSON object, found {_shorten(line)}: {error.msg}; mend or remove this line") from None
    if not isinstance(row, Mapping):
        raise RecordError(f"{where}: expected one JSON object, found {_shorten(line)}; mend or remove this line")
    return dict(row)


def read_records(kind: type[Record], path: Path) -> Iterator[Record]:
    """Read a file of records, one at a time. Raises RecordError at the first line that is not one."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            yield from_line(kind, line, f"{path}:{number}")


def append_record(record: Problem | Completion | Grade, path: Path) -> None:
    """Append one record and hand it to the disk, so that a kill at any later moment cannot lose it."""
    with path.open("a", encoding="utf-8") as lines:
        lines.write(to_line(record))
        lines.flush()
        os.fsync(lines.fileno())


def drop_torn_line(path: Path) -> None:
    """Cut the half-written last line that a killed process or a full disk left behind, if there is one."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        keep = end
        while keep and not _ends_line(file, keep):
            keep -= 1
        if keep < end:
            file.truncate(keep)


def _ends_line(file: Any, end: int) -> bool:
    file.seek(end - 1)
    return file.read(1) == b"\n"


def _shorten(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= 60 else line[:57] + "...")
