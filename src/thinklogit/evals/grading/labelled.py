"""Completions in a file, graded one by one, and how the grades agree with labels where the lines have any.

A line is one JSON object: `completion` and `reference` (for code `code` or `completion`, and `tests`); if wanted `id`,
`truncated`, and the label `expected`. Grades go to a file as they come, so that a kill loses none that was finished.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from thinklogit.core.errors import OutputError, RecordError, RunChangedError
from thinklogit.core.records import (
    Grade,
    append_record,
    drop_torn_line,
    parse_json_line,
    read_lines,
    read_records,
)
from thinklogit.evals.grading.pool import GraderPool
from thinklogit.evals.grading.verdicts import Verdict


@dataclass(frozen=True)
class Labelled:
    """One line: a completion, what it is graded against, and what the grade should be (None: not said)."""

    where: str
    id: str
    completion: str
    reference: Any
    options: Mapping[str, Any]
    truncated: bool = False
    expected: bool | None = None


class Disagreement(NamedTuple):
    """A grade that is not the label."""

    id: str
    reference: Any
    extracted: str | None
    reason: str


class Agreement(NamedTuple):
    """How many were right, and of those with a label: accepted though wrong, rejected though right."""

    n: int
    right: int
    labelled_right: int
    labelled_wrong: int
    false_accepts: list[Disagreement]
    false_rejects: list[Disagreement]

    @property
    def labelled(self) -> int:
        """How many had a label."""
        return self.labelled_right + self.labelled_wrong

    @property
    def agreements(self) -> int:
        """How many of those were graded as the label says."""
        return self.labelled - len(self.false_accepts) - len(self.false_rejects)


def read_labelled(path: Path, kind: str) -> list[Labelled]:
    """The lines of a file; empty ones are skipped. Raises RecordError at the first that cannot be graded."""
    lines: dict[str, Labelled] = {}
    for number, (where, text) in enumerate(read_lines(path), start=1):
        if not text.strip():
            continue
        line = _labelled(parse_json_line(text, where), where, str(number), kind)
        if line.id in lines:
            raise RecordError(f"{where}: id {line.id!r} is that of {lines[line.id].where} too; give each line its own")
        lines[line.id] = line
    if not lines:
        raise RecordError(f"{path}: expected completions, one JSON object a line; the file is empty")
    return list(lines.values())


def _labelled(row: dict[str, Any], where: str, number: str, kind: str) -> Labelled:
    code_given = kind == "code" and "code" in row
    completion = _field(row, "code" if code_given else "completion", str, where)
    if kind == "code":
        reference = _field(row, "tests", (list, dict, str), where)
    else:
        reference = str(_field(row, "reference", (str, int, float), where))
    return Labelled(
        where=where,
        id=str(_field(row, "id", (str, int), where, number)),
        completion=completion,
        reference=reference,
        options={"code_given": True} if code_given else {},
        truncated=_field(row, "truncated", bool, where, False),
        expected=_field(row, "expected", bool, where, None),
    )


def _field(row: Mapping[str, Any], name: str, kind: type | tuple[type, ...], where: str, *default: Any) -> Any:
    """A field of the right type. Raises RecordError, unless there is a default for a missing one."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    wanted = " or ".join(
        {str: "text", bool: "true or false", list: "a list", dict: "an object"}.get(k, "a number") for k in kinds
    )
    if row.get(name) is None:
        if default:
            return default[0]
        raise RecordError(f"{where}: expected the field {name!r} ({wanted}); this line has {', '.join(row) or 'none'}")
    value = row[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise RecordError(f"{where}: expected {wanted} in {name!r}, found {value!r:.60}")
    return value


def kept_grades(out: Path, lines: Sequence[Labelled]) -> list[Grade]:
    """The grades that an earlier call left in a file, whole lines only.

    Raises:
        RecordError: it holds something else, and is left as it is.
        RunChangedError: it holds grades of other completions.
    """
    if not out.is_file():
        return []
    drop_torn_line(Grade, out)
    kept = list(read_records(Grade, out))
    completions = {line.id: line.completion for line in lines}
    for grade in kept:
        if completions.get(grade.problem_id) != grade.completion:
            raise RunChangedError(
                f"{out} holds a grade of another completion for id {grade.problem_id!r}; "
                "use another -o, or the same completions"
            )
    return kept


def grade_labelled(
    pool: GraderPool,
    kind: str,
    lines: Sequence[Labelled],
    options: Mapping[str, Any],
    on_grade: Callable[[Grade], object],
) -> None:
    """Grade every line; `on_grade` gets each grade as it comes, in any order.

    Raises:
        ThinkLogitError: where a line cannot be graded at all, naming it.
    """
    futures: dict[Future[Verdict], Labelled] = {
        pool.submit(kind, line.completion, line.reference, line.truncated, **options, **line.options): line
        for line in lines
    }
    for future in as_completed(futures):
        line = futures[future]
        try:
            verdict = future.result()
        except RecordError as error:
            raise RecordError(f"{line.where}: {error}") from None
        on_grade(Grade(line.id, 0, *verdict, completion=line.completion))


def append_grade(out: Path, grade: Grade) -> None:
    """Append one grade and hand it to the disk. Raises OutputError, leaving whole lines only."""
    try:
        append_record(grade, out)
    except OSError as error:
        drop_torn_line(Grade, out)
        raise OutputError(f"{out}: {error.strerror}; make room, then repeat the command to continue") from None


def in_order(grades: Sequence[Grade], lines: Sequence[Labelled]) -> list[Grade]:
    """The grades in the order of their lines."""
    place = {line.id: position for position, line in enumerate(lines)}
    return sorted(grades, key=lambda grade: place[grade.problem_id])


def agreement(lines: Sequence[Labelled], grades: Sequence[Grade]) -> Agreement:
    """Count the grades, and hold them against the labels."""
    graded = {grade.problem_id: grade for grade in grades}
    labels = [line.expected for line in lines]
    off = [
        (line.expected, Disagreement(line.id, line.reference, graded[line.id].extracted, graded[line.id].reason))
        for line in lines
        if line.expected is not None and line.expected != graded[line.id].correct
    ]
    return Agreement(
        n=len(lines),
        right=sum(grade.correct for grade in grades),
        labelled_right=labels.count(True),
        labelled_wrong=labels.count(False),
        false_accepts=[one for expected, one in off if not expected],
        false_rejects=[one for expected, one in off if expected],
    )
