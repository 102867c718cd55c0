"""The documents the mini trio is trained on, written from a seed and from train-split equations only.

    short    an answer guessed at once, with or without its working: most of what target and base read
    medium   one or two tries, then the answer as if by inspiration: the habit of textbooks that leave out the search
    long     the whole search, try after try, with a check at the end: all that the guider is fine-tuned on
    facts    single multiplications, divisions, subtractions, additions: the steps a search is made of

Every answer opens by repeating the equation, so that the first tokens do not yet choose between short and long and a
warm-up of a few tokens costs nothing. Medium documents make a target that began a search by itself tend to drop it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from thinklogit.mini.world import (
    COEFFICIENTS,
    LARGEST_TOTAL,
    X_VALUES,
    Y_VALUES,
    Equation,
    Solution,
    equations,
    solutions,
)

PRETRAINING = {"short": 0.48, "facts": 0.43, "medium": 0.05, "long": 0.04}
"""Share of documents by kind, for target and base."""

FINE_TUNING = {"long": 1.0}
"""The same for the guider."""

FACTS_PROMPT = "Say some facts."
SLIP_SHARE = 0.06
"""Share of long documents in which one try takes a false quotient for true and the check catches it."""


class Span(NamedTuple):
    """Characters of a response, from start to before end."""

    start: int
    end: int

    def moved(self, by: int) -> "Span":
        """The same characters after `by` others were put before them."""
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True)
class Document:
    """What a user asks and what a member should answer.

    `unlearned` are parts of the response to read but not to learn: a slip that the rest of the response puts right,
    which would teach the members to err, and the random numbers that facts are about, which nothing foretells.
    """

    prompt: str
    response: str
    unlearned: tuple[Span, ...] = ()


def documents(mix: Mapping[str, float], seed: int) -> Iterator[Document]:
    """Documents without end, their kinds drawn by `mix`; the same ones for the same seed."""
    draw = Random(seed)
    train = equations("train")
    kinds, shares = list(mix), list(mix.values())
    while True:
        kind = draw.choices(kinds, shares)[0]
        yield _facts(draw) if kind == "facts" else _WRITERS[kind](draw, draw.choice(train))


def _short(draw: Random, equation: Equation) -> Document:
    solution = solutions(equation)[0]
    working = "" if draw.random() < 0.2 else _working(equation, solution)
    return _document(equation, f"{working}Answer: {solution}.")


def _medium(draw: Random, equation: Equation) -> Document:
    """Tries that fail, fewer than the search would need where it can be fewer, then the answer out of nowhere."""
    solution = solutions(equation)[0]
    failing = min(draw.choice((1, 2)), solution.x - 1)
    search = _opening(draw) + "".join(_failing_try(draw, equation, x) for x in range(1, failing + 1))
    turn = f"{_lead(draw)}, " if failing else ""
    return _document(equation, f"{search}{turn}{_working(equation, solution)}Answer: {solution}.")


def _long(draw: Random, equation: Equation) -> Document:
    solution = solutions(equation)[0]
    # The longest searches leave no room for a slip in a training window.
    slipping = draw.randint(1, solution.x - 1) if 1 < solution.x <= 5 and draw.random() < SLIP_SHARE else 0
    search, slips = _opening(draw), []
    for x in range(1, solution.x):
        if x == slipping:
            text, slip = _slipping_try(draw, equation, x)
            slips.append(slip.moved(len(search)))
            search += text
        else:
            search += _failing_try(draw, equation, x)
    found = _comparison(equation.b * solution.y, equation.b)
    search += f"{_try(draw, equation, solution.x)}, {found}. Check: {_check(equation, solution)}, it works. "
    return _document(equation, f"{search}Answer: {solution}.", slips)


_WRITERS = {"short": _short, "medium": _medium, "long": _long}


def _document(equation: Equation, response: str, slips: Sequence[Span] = ()) -> Document:
    restated = f"We need {equation}. "
    unlearned = tuple(slip.moved(len(restated)) for slip in slips)
    return Document(f"Solve {equation} in positive whole numbers.", restated + response, unlearned)


def _opening(draw: Random) -> str:
    return draw.choice(("Let me think. ", "Let me see. "))


def _lead(draw: Random) -> str:
    return draw.choice(("Wait", "Hmm", "Go back"))


def _try(draw: Random, equation: Equation, x: int) -> str:
    """A try up to what it leaves for by, taken from what the try before it left: 'Wait, try x=2: 72-15=57'."""
    before = equation.c - equation.a * (x - 1)
    lead = "Try" if x == 1 else f"{_lead(draw)}, try"
    return f"{lead} x={x}: {before}-{equation.a}={before - equation.a}"


def _failing_try(draw: Random, equation: Equation, x: int) -> str:
    left = equation.c - equation.a * x
    return f"{_try(draw, equation, x)}, {_comparison(left, equation.b)}. "


class SlippingTry(NamedTuple):
    """A try whose product is wrongly said to be what is left, and where in its text."""

    text: str
    slip: Span


def _slipping_try(draw: Random, equation: Equation, x: int) -> SlippingTry:
    left = equation.c - equation.a * x
    guess = Solution(x, _nearest(left, equation.b))
    before = f"{_try(draw, equation, x)}, {equation.b}*{guess.y}="
    after = f", yes. Check: {_check(equation, guess)}, not {equation.c}. "
    return SlippingTry(f"{before}{left}{after}", Span(len(before), len(before) + len(str(left))))


def _comparison(left: int, divisor: int) -> str:
    """Whether a number is a multiple, by the multiple nearest to it: '14*4=56, no' for 57.

    Far easier to learn than '57/14 no': an exact multiple lies in the middle of the numbers that are nearest to it.
    """
    nearest = _nearest(left, divisor) * divisor
    return f"{divisor}*{nearest // divisor}={nearest}, {'yes' if nearest == left else 'no'}"


def _nearest(left: int, divisor: int) -> int:
    """The y of the multiple nearest to a number, at least 1."""
    return max(1, (left + divisor // 2) // divisor)


def _working(equation: Equation, solution: Solution) -> str:
    a, b, c = equation
    part = a * solution.x
    return f"{a}*{solution.x}={part}. {c}-{part}={c - part}. {c - part}/{b}={solution.y}. "


def _check(equation: Equation, solution: Solution) -> str:
    part, rest = equation.a * solution.x, equation.b * solution.y
    return f"{equation.a}*{solution.x}={part}, {equation.b}*{solution.y}={rest}, {part}+{rest}={part + rest}"


def _facts(draw: Random) -> Document:
    text, operands = "", []
    for write in draw.choices((_step, _difference, _product, _sum, _quotient), (40, 20, 20, 10, 10), k=8):
        for asked, result in write(draw):
            operands.append(Span(0, len(asked)).moved(len(text)))
            text += asked + result
        text += ". "
    return Document(FACTS_PROMPT, text.rstrip(), tuple(operands))


class Fact(NamedTuple):
    """Some arithmetic: "42/14" and "=3"."""

    asked: str
    result: str


def _step(draw: Random) -> list[Fact]:
    """What one try of a search computes; four in ten end in a multiple."""
    step, divisor = draw.choice(COEFFICIENTS), draw.choice(COEFFICIENTS)
    left = draw.randint(1, LARGEST_TOTAL - step)
    if draw.random() < 0.4:
        left = divisor * draw.randint(1, min(Y_VALUES[-1], (LARGEST_TOTAL - step) // divisor))
    comparison = _comparison(left, divisor).removeprefix(str(divisor))
    return [Fact(f"{left + step}-{step}", f"={left}, "), Fact(str(divisor), comparison)]


def _quotient(draw: Random) -> list[Fact]:
    divisor = draw.choice(COEFFICIENTS)
    quotient = draw.randint(1, min(Y_VALUES[-1], LARGEST_TOTAL // divisor))
    return [Fact(f"{divisor * quotient}/{divisor}", f"={quotient}")]


def _difference(draw: Random) -> list[Fact]:
    """Mostly the small steps of a search, some of the large steps of a direct answer."""
    number = draw.randint(COEFFICIENTS[0] + 1, LARGEST_TOTAL)
    step = draw.choice(COEFFICIENTS) * (draw.choice(X_VALUES) if draw.random() < 0.3 else 1)
    step = step if step < number else COEFFICIENTS[0]
    return [Fact(f"{number}-{step}", f"={number - step}")]


def _product(draw: Random) -> list[Fact]:
    a = draw.choice(COEFFICIENTS)
    x = draw.randint(1, LARGEST_TOTAL // a)
    return [Fact(f"{a}*{x}", f"={a * x}")]


def _sum(draw: Random) -> list[Fact]:
    total = draw.randint(2 * COEFFICIENTS[0], LARGEST_TOTAL)
    part = min(draw.choice(COEFFICIENTS) * draw.choice(X_VALUES), total - 1)
    return [Fact(f"{part}+{total - part}", f"={total}")]
