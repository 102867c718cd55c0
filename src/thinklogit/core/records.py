"""Problems, completions and grades, and the JSON Lines files they live in.

One record a line, each naming its schema and version, so that a file can be read alone, split or joined with others.
A killed process or a full disk leaves a line half written, at the very end of a file only; `drop_torn_line` removes it.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
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
    """One sampled answer: the raw text, why it ended, every setting it was made with, log-probabilities if wanted."""

    problem_id: str
    index: int
    prompt: str | list[dict[str, str]]
    text: str
    new_tokens: int
    finish_reason: Literal["stop", "length"]
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    logprobs: list[float] | None = None


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


def schema_of(kind: type[Problem | Completion | Grade]) -> str:
    """The name and version that every line of this kind begins with."""
    return f"thinklogit.{kind.__name__.lower()}/{SCHEMA_VERSION}"


def to_line(record: Problem | Completion | Grade) -> str:
    """The record as one line of JSON, newline included."""
    row = {name: value for name, value in asdict(record).items() if name != "logprobs" or value is not None}
    return json.dumps({"schema": schema_of(type(record)), **row}, ensure_ascii=False) + "\n"


def from_line(kind: type[Record], line: str, where: str) -> Record:
    """Read one line back as `kind`; `where` (file and line number) goes into the error."""
    row = parse_json_line(line, where)
    schema = schema_of(kind)
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
        raise RecordError(
            f"{where}: expected one JSON object, found {_shorten(line)}: {error.msg}; mend or remove this line"
        ) from None
    if not isinstance(row, Mapping):
        raise RecordError(f"{where}: expected one JSON object, found {_shorten(line)}; mend or remove this line")
    return dict(row)


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line with where it stands, as "file:number". Raises RecordError where a file is not text."""
    with path.open(encoding="utf-8-sig") as lines:
        try:
            for number, line in enumerate(lines, start=1):
                yield f"{path}:{number}", line
        except UnicodeDecodeError as error:
            raise RecordError(
                f"{path}: expected text in UTF-8, found {error.reason}; convert or name another file"
            ) from None


def read_records(kind: type[Record], path: Path) -> Iterator[Record]:
    """Read a file of records, one at a time. Raises RecordError at the first line that is not one."""
    for where, line in read_lines(path):
        yield from_line(kind, line, where)


def append_record(record: Problem | Completion | Grade, path: Path) -> None:
    """Append one record and hand it to the disk, so that a kill at any later moment cannot lose it."""
    with path.open("a", encoding="utf-8") as lines:
        lines.write(to_line(record))
        lines.flush()
        os.fsync(lines.fileno())


def rewrite_records(records: Iterable[Problem | Completion | Grade], path: Path) -> None:
    """Put a whole file of records in the place of this one, at once or not at all. Raises OSError, changing nothing."""
    whole = path.resolve()
    beside = whole.with_name(f".{whole.name}.rewritten")
    try:
        with beside.open("w", encoding="utf-8") as lines:
            lines.writelines(map(to_line, records))
            lines.flush()
            os.fsync(lines.fileno())
        beside.chmod(whole.stat().st_mode)
        beside.replace(whole)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def drop_torn_line(kind: type[Record], path: Path) -> None:
    """Cut the half-written last line of a record file, if there is one.

    Raises RecordError, and cuts nothing, when what stands there is not the beginning of such a record: then the file is
    somebody else's.
    """
    content = path.read_bytes()
    keep = content.rfind(b"\n") + 1
    torn = content[keep:]
    opening = f'{{"schema": "{schema_of(kind)}"'.encode()
    if not torn.startswith(opening[: len(torn)]):
        raise RecordError(
            f"{path}: expected {schema_of(kind)} records; this file ends in something else; name another file"
        )
    if torn:
        os.truncate(path, keep)


def _shorten(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= 60 else line[:57] + "...")
