"""The mini trio's world: equations ax+by=c in positive whole numbers, their splits, their exact grader, its words.

Anybody can check an answer in the head, a direct answer is hard, and every step of a search (a multiplication, a
subtraction, "does it divide?") is easy: what a guider that searches can give to a target that answers at once.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import NamedTuple

from thinklogit.core.errors import OptionError, unknown_name
from thinklogit.core.records import Grade, Problem

COEFFICIENTS = range(3, 20)
LARGEST_TOTAL = 180
X_VALUES = range(1, 9)
Y_VALUES = range(1, 13)
SPLIT_PERCENT = {"train": 78, "dev": 9, "report": 13}
"""dev chooses settings, report is read once per published figure; both are unseen in training."""

EQUATION = re.compile(
    r"(?<![\d.])(\d{1,9})\s*\*?\s*x\s*\+\s*(\d{1,9})\s*\*?\s*y\s*=\s*(\d{1,9})(?![\d.]*\d)", re.ASCII | re.IGNORECASE
)
ANSWER = re.compile(
    r"answer\W{0,5}x\s*=\s*([+-]?\d{1,9})(?!\d|\.\d)[\s,;]*(?:and\s*)?y\s*=\s*([+-]?\d{1,9})(?!\d|\.\d)",
    re.ASCII | re.IGNORECASE,
)
CHECKS = re.compile(r"\bcheck\b", re.IGNORECASE)
BACKTRACKS = re.compile(r"\b(?:wait|go back|hmm)\b", re.IGNORECASE)


class Equation(NamedTuple):
    """ax+by=c."""

    a: int
    b: int
    c: int

    def __str__(self) -> str:
        return f"{self.a}x+{self.b}y={self.c}"


class Solution(NamedTuple):
    """A pair of positive whole numbers."""

    x: int
    y: int

    def __str__(self) -> str:
        return f"x={self.x}, y={self.y}"


def solutions(equation: Equation) -> list[Solution]:
    """Every solution in positive whole numbers, smallest x first; any size of x and y."""
    a, b, c = equation
    return [Solution(x, (c - a * x) // b) for x in range(1, (c - 1) // a + 1) if (c - a * x) % b == 0 and c > a * x]


def split_of(equation: Equation) -> str:
    """The split, from a hash of what makes problems twins: 15x+14y=87 and 14x+15y=87 never part."""
    a, b, c = equation
    digest = sha256(f"{min(a, b)} {max(a, b)} {c}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") % 100
    for split, percent in SPLIT_PERCENT.items():
        if point < percent:
            return split
        point -= percent
    raise AssertionError("SPLIT_PERCENT must add up to 100")


def problems(split: str, n: int | None = None, seed: int = 0) -> list[Problem]:
    """The split's problems in an order drawn from `seed`; all of them, or the first n.

    Raises OptionError for an unknown split, and when n is negative or more than the split holds.
    """
    if split not in SPLIT_PERCENT:
        raise unknown_name("split", split, SPLIT_PERCENT)
    found = [_problem(equation) for equation in equations(split)]
    if n is not None and not 0 <= n <= len(found):
        raise OptionError(
            f"expected at most {len(found)} problems, all that split {split!r} holds; got {n}; ask for fewer"
        )
    Random(seed).shuffle(found)
    return found[:n]


@lru_cache
def equations(split: str) -> tuple[Equation, ...]:
    """Every equation of a split, in rising order: those with exactly one solution, and that one within reach."""
    return tuple(equation for equation in _family() if split_of(equation) == split)


def _family() -> Iterator[Equation]:
    for a in COEFFICIENTS:
        for b in COEFFICIENTS:
            for c in range(a + b, LARGEST_TOTAL + 1):
                found = solutions(Equation(a, b, c))
                if a != b and len(found) == 1 and _within_reach(found[0]):
                    yield Equation(a, b, c)


def _within_reach(solution: Solution) -> bool:
    return solution.x in X_VALUES and solution.y in Y_VALUES


def _problem(equation: Equation) -> Problem:
    reachable = [solution for solution in solutions(equation) if _within_reach(solution)]
    return Problem(
        id=str(equation),
        question=f"Solve {equation} in positive whole numbers.",
        answer=str(reachable[0]),
        split=split_of(equation),
        metadata=equation._asdict(),
    )


def parse(question: str) -> Problem:
    """The problem a user typed, as "15x+14y=87" or "Solve 15x + 14y = 87.".

    Raises OptionError when no equation is found, when a number is outside what the members have read in training,
    or when nothing within their reach solves it.
    """
    sizes = f"a and b from {COEFFICIENTS[0]} to {COEFFICIENTS[-1]} and c at most {LARGEST_TOTAL}"
    form = f"ax+by=c such as 15x+14y=87, with {sizes}"
    match = EQUATION.search(question)
    if match is None:
        raise OptionError(f"expected an equation {form}; found none in {question[:60]!r}")
    equation = Equation(*map(int, match.groups()))
    if equation.a not in COEFFICIENTS or equation.b not in COEFFICIENTS or equation.c > LARGEST_TOTAL:
        raise OptionError(f"expected {form}; got {equation}, which the mini trio cannot read")
    if not _is_solvable(equation):
        near = _nearest_solvable(equation)
        reach = f"x from 1 to {X_VALUES[-1]} and y from 1 to {Y_VALUES[-1]}"
        raise OptionError(f"expected an equation solved by {reach}; {equation} is not; {near} is, try it")
    return _problem(equation)


def _is_solvable(equation: Equation) -> bool:
    return any(_within_reach(solution) for solution in solutions(equation))


def _nearest_solvable(equation: Equation) -> Equation:
    near = (equation._replace(c=c) for c in range(1, LARGEST_TOTAL + 1))
    return min(filter(_is_solvable, near), key=lambda other: abs(other.c - equation.c))


def grade(problem: Problem, text: str, index: int = 0) -> Grade:
    """Whether the last "Answer: x=., y=." of a completion solves the problem, exactly; no text makes it raise."""
    found = ANSWER.findall(text)
    if not found:
        return Grade(problem.id, index, False, None, 'no "Answer: x=., y=." in the completion', text)
    answer = Solution(*map(int, found[-1]))
    a, b, c = (problem.metadata[name] for name in Equation._fields)
    total = a * answer.x + b * answer.y
    worked = f"{a}*{answer.x}+{b}*{answer.y}={total}"
    if min(answer) < 1:
        return Grade(problem.id, index, False, str(answer), "x and y must be positive", text)
    if total != c:
        return Grade(problem.id, index, False, str(answer), f"{worked}, not {c}", text)
    return Grade(problem.id, index, True, str(answer), worked, text)


def checks(text: str) -> int:
    """How many times a completion begins to check what it found."""
    return len(CHECKS.findall(text))


def backtracks(text: str) -> int:
    """How many times a completion gives up a try and takes the next."""
    return len(BACKTRACKS.findall(text))
