r"""Problems from a file of any benchmark, local or on the hub, by a documented map of its fields.

    question    question, problem, prompt, question_content, Question, Problem
    answer      answer, expected_answer, final_answer, Answer, or the last \boxed{} of solution, Solution
    id          id, unique_id, problem_id, question_id, problem_idx, ID, Record ID, else the row's number

The first of these names that a row has is taken; `data_fields` says another. Every other field becomes metadata.
Problems are known by id, never by their text: copies of one benchmark word problems differently.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from thinklogit.core.errors import OptionError, RecordError, unknown_name
from thinklogit.core.records import Problem
from thinklogit.evals.grading.answers import boxes
from thinklogit.evals.hub import local_path
from thinklogit.evals.rows import Row, read_rows

SOLUTIONS = ("solution", "Solution")
ORNAMENT = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\N{DEGREE SIGN}|\$|\\[,;! ]|(?<=\d),(?=\d{3}(?!\d))")
WHOLE = re.compile(r"[+-]?[0-9]{1,100}(?:\.0*)?")

Fields: TypeAlias = Mapping[str, str] | str | Iterable[str] | None
"""Which field holds what: {"question": "Q"}, "question=Q,answer=A", or the parts of that, as inspect splits it."""


@dataclass(frozen=True)
class FieldMap:
    """The names that each part of a problem is looked for under, in this order."""

    question: tuple[str, ...] = ("question", "problem", "prompt", "question_content", "Question", "Problem")
    answer: tuple[str, ...] = ("answer", "expected_answer", "final_answer", "Answer", *SOLUTIONS)
    id: tuple[str, ...] = ("id", "unique_id", "problem_id", "question_id", "problem_idx", "ID", "Record ID")

    @classmethod
    def of(cls, given: Fields, **known: str) -> "FieldMap":
        """The map of a benchmark whose names are `known`, changed by what the user gave. Raises OptionError."""
        return replace(cls(), **{part: (name,) for part, name in {**known, **_parts(given)}.items()})

    def name_in(self, row: Row, part: str) -> str | None:
        """The field of this row that holds a part, if any does."""
        return next((name for name in getattr(self, part) if name in row.fields), None)


def read_problems(source: str, *, fields: FieldMap | None = None, integer: bool = False) -> list[Problem]:
    r"""Every problem of a file, a path or hf://datasets/OWNER/NAME@REVISION/FILE.

    With `integer`, every answer must be a whole number, which 27.0 and 336^\circ are.

    Raises:
        OptionError: no such file, or one of another format.
        RecordError: a file that cannot be had or read, a field that is missing or empty, an id that occurs twice.
    """
    known = fields or FieldMap()
    return distinct(((row, _problem_of(row, known, integer)) for row in rows_of(source)), source)


def rows_of(source: str) -> Iterator[Row]:
    """The rows of a file, a path or hf://..., read as they are asked for."""
    return read_rows(local_path(source))


def distinct(found: Iterable[tuple[Row, Problem]], source: str) -> list[Problem]:
    """The problems made of rows. Raises RecordError where there is none, or where two have one id."""
    problems: list[Problem] = []
    first: dict[str, str] = {}
    for row, problem in found:
        if problem.id in first:
            raise RecordError(
                f"{row.where}: id {problem.id!r} is that of {first[problem.id]} too; give every problem its own"
            )
        first[problem.id] = row.where
        problems.append(problem)
    if not problems:
        raise RecordError(f"{source}: expected problems, found none; name another file")
    return problems


def question_of(row: Row, fields: FieldMap) -> str:
    """What is asked."""
    return text_in(row, _required(row, fields, "question"))


def answer_of(row: Row, fields: FieldMap, integer: bool = False) -> str:
    """The reference answer as text."""
    name = _required(row, fields, "answer")
    text = text_in(row, name)
    if name in SOLUTIONS:
        boxed = boxes(text)
        if not boxed:
            raise RecordError(rf"{row.where}: expected a \boxed{{}} in {name}, found none; name the answer's field")
        text = boxed[-1].content
    return _whole(text, row.where) if integer else text


def id_of(row: Row, fields: FieldMap) -> str:
    """The row's own id, else its number."""
    name = _required(row, fields, "id") if len(fields.id) == 1 else fields.name_in(row, "id")
    return str(row.number) if name is None else text_in(row, name)


def text_in(row: Row, name: str) -> str:
    """A field as text: 27.0 as 27, a list of one as that one. Raises RecordError for anything else, or nothing."""
    value = row.fields.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and math.isfinite(value):
        value = int(value) if value.is_integer() else value
    elif value is not None and (isinstance(value, bool | float) or not isinstance(value, str | int)):
        raise RecordError(f"{row.where}: expected {name} to be text or a number, found {value!r:.60}")
    text = "" if value is None else str(value).strip()
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RecordError(f"{row.where}: {name} holds half a surrogate pair, not valid Unicode; mend or remove it")
    if not text:
        raise RecordError(f"{row.where}: expected text in {name}, which is empty; fill it in or remove the problem")
    return text


def _parts(given: Fields) -> dict[str, str]:
    if given is None or isinstance(given, Mapping):
        pairs = list((given or {}).items())
    else:
        listed = given.split(",") if isinstance(given, str) else given
        pairs = [(part.strip(), name.strip()) for part, _, name in (text.partition("=") for text in listed)]
    for part, name in pairs:
        if part not in FieldMap.__dataclass_fields__:
            raise unknown_name("part in data_fields", part, FieldMap.__dataclass_fields__)
        if not name:
            raise OptionError(f"data_fields: expected {part}=FIELD, such as question=Q,answer=A; got no field")
    return dict(pairs)


def _required(row: Row, fields: FieldMap, part: str) -> str:
    name = fields.name_in(row, part)
    if name is None:
        raise RecordError(
            f"{row.where}: expected the {part} in {_either(getattr(fields, part))}; this row has "
            f"{', '.join(row.fields) or 'no fields'}; say which with --data-fields {part}=FIELD"
        )
    return name


def _either(names: tuple[str, ...]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _problem_of(row: Row, fields: FieldMap, integer: bool) -> Problem:
    used = {fields.name_in(row, part) for part in FieldMap.__dataclass_fields__}
    rest = {name: value for name, value in row.fields.items() if name not in used}
    return Problem(id_of(row, fields), question_of(row, fields), answer_of(row, fields, integer), metadata=rest)


def _whole(text: str, where: str) -> str:
    number = ORNAMENT.sub("", text).strip()
    if not WHOLE.fullmatch(number):
        raise RecordError(f"{where}: expected a whole number as the answer, found {text!r:.60}; is it the right field?")
    return str(int(number.partition(".")[0]))
