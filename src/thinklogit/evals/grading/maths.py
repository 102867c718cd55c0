r"""Maths answers: what a completion answers, and whether that equals the reference.

math-verify 0.9.0 decides equality. What stands around it are its traps, each met in real completions or tried by hand:

    a box inside the thinking, two boxes read as one number        `answers` says where the answer stands
    1,234 against 1 234, 4.5e33, 5 dollars, "17."                   `tidied` rewrites them
    p = 5, q = 2 and p = 7, q = 2                                   `tidied` keeps the two solutions apart
    1e-30 against 2e-30, 204_5 against 204_6, 5 m against 5 km      taken as equal there, `_contradiction` here

It runs no timer: math-verify's are alarms, which work in the main thread only and cannot end what hangs in C. `pool`
kills what takes too long.
"""

import logging
import re
from typing import Any, NamedTuple

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from sympy import Eq, Expr, FiniteSet, Interval, Tuple

from thinklogit.evals.grading.answers import after_thinking, boxes, innermost, joined_tail
from thinklogit.evals.grading.notation import NUMBER, as_integer, as_words, base_of, tidied, unit_of, variables_kept
from thinklogit.evals.grading.verdicts import Verdict

FORMULA = re.compile(r"\s*(?:\$\$?([^$]+)\$\$?|\\\((.+)\\\)|\\\[(.+)\\\])\s*", re.DOTALL)
BROKEN_FORMULA = re.compile(r"(?<!\$)\$[ \t]*\n[^$]*?\n[ \t]*\$(?!\$)|\\\([ \t]*\n.*?\n[ \t]*\\\)", re.DOTALL)
"""An inline formula over several lines: math-verify reads none, so it must not read the numbers inside as prose."""


INLINE = re.compile(r"(?<![$\\])\$(?!\s)([^$\n]+)(?<![\s\\])\$(?!\$)")
NEGATED = re.compile(r"\b(?:is not|isn't|cannot be|can't be|not)\s+(?:\$[^$\n]+\$|-?\d[\d.,/]*)")
LIST_AT_END = re.compile(r"(?<![\w.,/$\\])(-?[\d./]+),? (?:or|and) (?:\w+ = )?(-?[\d./]*\d)[.\s]*$")
STATED = re.compile(r"(?i:answer(?: is|:))\s*(\S.{0,200}?)[.\s]*$")
MINERVA = re.compile(r"final answer is:?\s*\S.{0,200}?\.?\s*I hope", re.IGNORECASE | re.DOTALL)
"""How the few-shot prompt of Minerva (arXiv 2206.14858, listing 4) ends; said after the last box, it counts."""


class Answer(NamedTuple):
    """An answer as it was written, and what math-verify made of it: expressions, and the text it read them from."""

    text: str
    parsed: list[Any]


def grade_maths(completion: str, reference: str, *, integer: bool = False) -> Verdict:
    r"""Grade the last box of the completion, or without one the answer that math-verify finds in its prose.

    `reference` is an answer, or a text with the answer in its last box or in $...$. With `integer` (AIME, AMC), two
    integers are compared as such first, whatever stands around them: 027, 27.0, 27^\circ, m+n=27.
    """
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # else it warns that nobody limits its time
    text = after_thinking(completion)
    if text is None:
        return Verdict(False, None, "no answer found: the thinking never ends")
    try:
        return _graded(text, reference, integer)
    except (NameError, ImportError, MemoryError):
        raise  # not for what was written
    except Exception as error:  # math-verify, sympy and antlr raise whatever comes to their minds
        return Verdict(False, None, f"math-verify failed on it: {type(error).__name__}")


def _graded(text: str, reference: str, integer: bool) -> Verdict:
    right = read_reference(reference)
    given = read_completion(text, right)
    if not given:
        return Verdict(False, None, "no answer found")
    verdicts = [_compared(answer, right, integer) for answer in given]
    return next((verdict for verdict in verdicts if verdict.correct), verdicts[0])


def read_completion(text: str, right: Answer) -> list[Answer]:
    """What the completion answers. Two readings where its last boxes may be one list, like the reference."""
    found = boxes(text)
    stated = MINERVA.search(text, found[-1].end if found else 0)
    if stated or not found:
        return read_prose(stated[0] if stated else text)
    readings = [read(innermost(found[-1]))]
    tail = joined_tail(text, found)
    is_list = right.parsed and not isinstance(right.parsed[0], Expr)
    return [read(", ".join(map(innermost, tail))), *readings] if is_list and len(tail) > 1 else readings


def read(latex: str) -> Answer:
    """An answer that is known to be one, such as what a box holds."""
    return Answer(latex, parse(f"\\boxed{{{tidied(latex)}}}", [LatexExtractionConfig()], parsing_timeout=0))


def read_prose(text: str) -> list[Answer]:
    """The final answer that math-verify finds in a text: after "final answer is", else the last formula or number."""
    text = NEGATED.sub(" ", BROKEN_FORMULA.sub(" ", text))
    text = INLINE.sub(lambda formula: f"${variables_kept(formula[1])}$", text)
    listed = LIST_AT_END.search(text)
    if listed:
        return [read(f"{listed[1]}, {listed[2]}")]
    parsed = parse(text, parsing_timeout=0)
    if parsed:
        return [Answer(str(parsed[-1]), parsed)]
    stated = STATED.search(text)
    return [read(stated[1])] if stated else []


def read_reference(reference: str) -> Answer:
    """The answer that the reference is, or holds in its last box or in its formulas."""
    tail = joined_tail(reference, boxes(reference))
    if tail:
        return read(", ".join(map(innermost, tail)))
    formula = FORMULA.fullmatch(reference)
    if formula:
        return read(next(filter(None, formula.groups())).strip())
    if re.search(r"\$.*\$|\\\(|\\\[|\\boxed", reference, re.DOTALL):
        return next(iter(read_prose(reference)), Answer(reference, []))
    answer = read(reference.strip())
    if NUMBER.fullmatch(reference.strip()):  # 1,22 may be 1.22
        answer.parsed.extend(parse(reference, [ExprExtractionConfig()], parsing_timeout=0))
    return answer


def _compared(given: Answer, right: Answer, integer: bool) -> Verdict:
    if integer:
        numbers = as_integer(given.text), as_integer(right.text)
        if None not in numbers:
            equal = numbers[0] == numbers[1]
            return Verdict(equal, given.text, "equal as integers" if equal else "another integer")
    if "".join(given.text.split()) == "".join(right.text.split()):
        return Verdict(True, given.text, "the same text")
    words = as_words(given.text), as_words(right.text)
    if None not in words and words[0] == words[1]:
        return Verdict(True, given.text, "the same words")
    if None not in words and not re.search(r"\d", given.text + right.text):
        return Verdict(False, given.text, "other words")
    if not verify(right.parsed, given.parsed, timeout_seconds=0):
        return Verdict(False, given.text, "math-verify: not equal")
    contradiction = _contradiction(given, right)
    return Verdict(not contradiction, given.text, contradiction or "math-verify: equal")


def _contradiction(given: Answer, right: Answer) -> str:
    """Why two answers that math-verify calls equal are not, else nothing."""
    if None not in (bases := (base_of(given.text), base_of(right.text))) and bases[0] != bases[1]:
        return "equal digits in another base"
    if None not in (units := (unit_of(given.text), unit_of(right.text))) and units[0] != units[1]:
        return "equal numbers of another unit"
    if _differ_in_order(given.parsed[0], right.parsed[0]):
        return "equal numbers for other unknowns"
    return "another small number" if _differ_in_size(given.parsed[0], right.parsed[0]) else ""


def _differ_in_order(given: Any, right: Any) -> bool:
    """Whether one is a tuple, the other names unknowns (x=1, y=2), and the tuple is not theirs by alphabet."""
    for point, named in ((given, right), (right, given)):
        if isinstance(point, Tuple | Interval) and isinstance(named, FiniteSet):
            values = point.args[: len(named.args)]  # of an interval, (1,2) being one too, its ends
            unknowns = {str(each.lhs): each.rhs for each in named.args if isinstance(each, Eq)}
            if len(unknowns) == len(values) == len(named.args):
                return any(
                    not verify(unknowns[name], value, timeout_seconds=0)
                    for name, value in zip(sorted(unknowns), values, strict=True)
                )
    return False


def _differ_in_size(given: Any, right: Any) -> bool:
    """Whether both are numbers so small that math-verify's six decimals say too little, or hold such numbers."""
    if isinstance(given, Tuple | Interval | FiniteSet) and type(given) is type(right):
        return any(map(_differ_in_size, given.args, right.args))
    numbers = [each.doit().evalf() for each in (given, right) if isinstance(each, Expr)]
    if len(numbers) < 2 or not all(number.is_comparable for number in numbers):
        return False
    largest = max(map(abs, numbers))
    return bool(largest < 0.1 and abs(numbers[0] - numbers[1]) > 5e-5 * largest)
