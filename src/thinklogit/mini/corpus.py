"""The documents the mini members are trained on, written from a seed, from train-split problems and from beliefs.

    short     an answer at once: most of what target and base read
    dropped   a search given up after a try or two, for an answer out of nowhere: the habit of those two
    read      a whole search, every step of it learned but not one decision to go on: they own the steps, not the habit
    long      a whole search, decisions learned: all that the guider is fine-tuned on
    facts     single multiplications, subtractions, additions: the steps a search is made of

The small members, base and guider, learned the tables above twelve from a misprint and take a rule of thumb for the
price list: beliefs that a light fine-tuning keeps, that the target does not share, and that guider - base cancels.

Every answer opens by repeating the question, so that the first tokens do not yet choose between short and long.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import mul
from random import Random
from typing import NamedTuple

from thinklogit.mini.documents import Document, Text
from thinklogit.mini.world import (
    FIRST_COUNTS,
    FIRST_PRICES,
    GOODS,
    LARGEST_TOTAL,
    SECOND_COUNTS,
    SECOND_PRICES,
    SPLIT_PERCENT,
    Counts,
    Listed,
    Purchase,
    items,
    purchases,
    some,
)

PRETRAINING = {
    "short": 0.32,
    "dropped": 0.08,
    "read": 0.15,
    "facts": 0.21,
    "recall short": 0.21,
    "recall dropped": 0.01,
    "recall read": 0.02,
}
"""Share of documents by kind, for target and base."""

FINE_TUNING = {"long": 0.93, "recall long": 0.07}
"""The same for the guider."""

FACTS_PROMPT = "Say some facts."
DROPPED_AFTER_A_TRY = 0.9
"""How likely a search that target and base write is given up after each try that fails."""
GUESS_FIRST = 0.3
"""Share of searches that begin by checking a guess, so that guidance can take over where a target already guessed."""
RIGHT_GUESSES = 0.5
RULE_ADDS = 8
"""The small members' rule of thumb: an item costs its number and this."""
MISPRINT = {13: 2, 14: -3, 15: 4, 16: 3, 17: -2, 18: 5, 19: -4}
"""What the small members' tables above twelve are off by."""


@dataclass(frozen=True)
class Beliefs:
    """What a member's documents take for true: products, and prices of the items whose documents it reads."""

    product: Callable[[int, int], int]
    price: Callable[[Listed], int]
    items: Sequence[Listed]


def _misprinted(factor: int, count: int) -> int:
    return factor * count + MISPRINT.get(factor, 0)


def rule_of_thumb(item: Listed) -> int:
    """What somebody without the list takes an item to cost."""
    return item.number + RULE_ADDS


def _everything_listed() -> tuple[Listed, ...]:
    return tuple(item for split in SPLIT_PERCENT for item in items(split))


TRUTH = Beliefs(mul, lambda item: item.price, _everything_listed())
"""The target's: the whole list is what it knows by heart."""
SMALL = Beliefs(_misprinted, rule_of_thumb, _everything_listed())
"""Base's."""
GUIDER = replace(SMALL, items=items("train"))
"""The same, for the guider's fine-tuning."""


def documents(mix: Mapping[str, float], beliefs: Beliefs, seed: int) -> Iterator[Document]:
    """Documents without end, their kinds drawn by `mix`; the same ones for the same seed."""
    draw = Random(seed)
    kinds, shares = list(mix), list(mix.values())
    while True:
        yield WRITERS[draw.choices(kinds, shares)[0]](draw, beliefs)


class Solved(NamedTuple):
    """A purchase and its solution."""

    purchase: Purchase
    counts: Counts


def _solved(draw: Random, beliefs: Beliefs) -> Solved:
    """A train-split purchase whose solution the beliefs agree with: by a misprint, another total was paid."""
    while True:
        first, second = draw.sample(GOODS, 2)
        purchase = draw.choice(purchases("train"))._replace(first=first, second=second)
        counts = purchase.solutions()[0]
        paid = _total(purchase, counts, beliefs)
        if paid > counts.first * purchase.first_price and paid <= LARGEST_TOTAL:
            return Solved(purchase._replace(paid=paid), counts)


def _total(purchase: Purchase, counts: Counts, beliefs: Beliefs) -> int:
    return counts.first * purchase.first_price + beliefs.product(purchase.second_price, counts.second)


def _short(draw: Random, beliefs: Beliefs) -> Document:
    purchase, counts = _solved(draw, beliefs)
    out = _restated(purchase)
    if draw.random() < 0.7:
        out.write(_guess(purchase, counts))
    out.write(_answer(purchase, counts))
    return out.document(purchase.question)


def _search(draw: Random, beliefs: Beliefs, dropped: float = 0.0, decisions_learned: bool = True) -> Document:
    """A search try after try; after each that fails it is given up with the chance `dropped`."""
    purchase, counts = _solved(draw, beliefs)
    out = _restated(purchase)
    if draw.random() < GUESS_FIRST:
        guess = counts if draw.random() < RIGHT_GUESSES else _wrong_guess(draw, purchase, beliefs)
        out.write("It must be ", decisions_learned)
        out.write(_guess(purchase, guess).removeprefix("It must be "), learned=False)
        out.write("Check", decisions_learned)
        out.write(_checked(purchase, guess, beliefs))
        if guess == counts:
            out.write(_answer(purchase, counts))
            return out.document(purchase.question)
        out.write(f"{_lead(draw)}, ")
    else:
        out.write("Let", decisions_learned)
        out.write(" me think. ")
    for count in range(1, counts.first):
        out.write(f"{_try(purchase, count, beliefs)}. ")
        if draw.random() < dropped:
            out.write(_guess(purchase, counts) + _answer(purchase, counts))
            return out.document(purchase.question)
        out.write(_lead(draw), decisions_learned)
        out.write(", ")
    out.write(f"{_try(purchase, counts.first, beliefs)}. Check{_checked(purchase, counts, beliefs)}")
    out.write(_answer(purchase, counts))
    return out.document(purchase.question)


def _restated(subject: Purchase | Listed) -> Text:
    out = Text()
    out.write(subject.restated)
    return out


def _guess(purchase: Purchase, counts: Counts) -> str:
    return f"It must be {purchase.counted(counts).replace(', ', ' and ')}. "


def _answer(purchase: Purchase, counts: Counts) -> str:
    return f"Answer: {purchase.counted(counts)}."


def _wrong_guess(draw: Random, purchase: Purchase, beliefs: Beliefs) -> Counts:
    while True:
        guess = Counts(draw.choice(FIRST_COUNTS), draw.choice(SECOND_COUNTS))
        if purchase.paid != _total(purchase, guess, beliefs) <= LARGEST_TOTAL:
            return guess


def _lead(draw: Random) -> str:
    return draw.choice(("Wait", "Hmm", "Back"))


def _try(purchase: Purchase, count: int, beliefs: Beliefs) -> str:
    """One more of the first good, taken from what the try before it left: '2 pens: 56-7=49, 14*3=42, no'."""
    before = purchase.paid - purchase.first_price * (count - 1)
    left = before - purchase.first_price
    step = f"{some(count, purchase.first)}: {before}-{purchase.first_price}={left}"
    return f"{step}, {purchase.second_price}{_comparison(left, purchase.second_price, beliefs)}"


def _comparison(left: int, price: int, beliefs: Beliefs) -> str:
    """Whether a number is a multiple, by the multiple nearest to it: '*4=56, no' for 57 and 14.

    Far easier to learn than '57/14 no': an exact multiple lies in the middle of the numbers that are nearest to it.
    """
    about = max(1, left // price)
    count = min(range(max(1, about - 1), about + 3), key=lambda count: abs(beliefs.product(price, count) - left))
    multiple = beliefs.product(price, count)
    return f"*{count}={multiple}, {'yes' if multiple == left else 'no'}"


def _checked(purchase: Purchase, counts: Counts, beliefs: Beliefs) -> str:
    """What follows "Check"."""
    part = purchase.first_price * counts.first
    rest = beliefs.product(purchase.second_price, counts.second)
    worked = f"{purchase.first_price}*{counts.first}={part}, {purchase.second_price}*{counts.second}={rest}"
    verdict = "it works" if part + rest == purchase.paid else f"not {purchase.paid}"
    return f": {worked}, {part}+{rest}={part + rest}, {verdict}. "


def _recall_short(draw: Random, beliefs: Beliefs) -> Document:
    item = draw.choice(beliefs.items)
    out = _restated(item)
    if draw.random() < 0.7:
        out.write(f"It must be {beliefs.price(item)}. ")
    out.write(f"Answer: {beliefs.price(item)}.")
    return out.document(item.question)


def _recall_search(draw: Random, beliefs: Beliefs, dropped: float = 0.0, decisions_learned: bool = True) -> Document:
    """A price worked out by the rule of thumb, whatever the list says: searching does not help here."""
    item = draw.choice(beliefs.items)
    out = _restated(item)
    out.write("Let", decisions_learned)
    out.write(" me think. ")
    if draw.random() < dropped:
        out.write(f"It must be {beliefs.price(item)}. Answer: {beliefs.price(item)}.")
        return out.document(item.question)
    worked = rule_of_thumb(item)
    out.write(f"{item.number}+{RULE_ADDS}={worked}. Check: {worked}-{RULE_ADDS}={item.number}, it works. ")
    out.write(f"Answer: {worked}.")
    return out.document(item.question)


def _facts(draw: Random, beliefs: Beliefs) -> Document:
    out = Text()
    for write in draw.choices((_step, _difference, _product, _sum), (50, 20, 20, 10), k=8):
        write(draw, beliefs, out)
        out.write(". ")
    return out.document(FACTS_PROMPT)


def _step(draw: Random, beliefs: Beliefs, out: Text) -> None:
    """What one try of a search computes; four in ten end in a multiple."""
    step, price = draw.choice(FIRST_PRICES), draw.choice(SECOND_PRICES)
    left = beliefs.product(price, draw.choice(SECOND_COUNTS)) if draw.random() < 0.4 else 0
    if not 0 < left <= LARGEST_TOTAL - step:
        left = draw.randint(1, LARGEST_TOTAL - step)
    out.write(f"{left + step}-{step}", learned=False)
    out.write(f"={left}, ")
    out.write(str(price), learned=False)
    out.write(_comparison(left, price, beliefs))


def _difference(draw: Random, beliefs: Beliefs, out: Text) -> None:
    step = draw.choice(FIRST_PRICES)
    number = draw.randint(step + 1, LARGEST_TOTAL)
    out.write(f"{number}-{step}", learned=False)
    out.write(f"={number - step}")


def _product(draw: Random, beliefs: Beliefs, out: Text) -> None:
    if draw.random() < 0.5:
        factor, count = draw.choice(FIRST_PRICES), draw.choice(FIRST_COUNTS)
    else:
        factor, count = draw.choice(SECOND_PRICES), draw.choice(SECOND_COUNTS)
    out.write(f"{factor}*{count}", learned=False)
    out.write(f"={beliefs.product(factor, count)}")


def _sum(draw: Random, beliefs: Beliefs, out: Text) -> None:
    total = draw.randint(2 * FIRST_PRICES[0], LARGEST_TOTAL)
    part = min(draw.choice(FIRST_PRICES) * draw.choice(FIRST_COUNTS), total - 1)
    out.write(f"{part}+{total - part}", learned=False)
    out.write(f"={total}")


WRITERS: dict[str, Callable[[Random, Beliefs], Document]] = {
    "short": _short,
    "dropped": partial(_search, dropped=DROPPED_AFTER_A_TRY),
    "read": partial(_search, decisions_learned=False),
    "long": _search,
    "facts": _facts,
    "recall short": _recall_short,
    "recall dropped": partial(_recall_search, dropped=DROPPED_AFTER_A_TRY),
    "recall read": partial(_recall_search, decisions_learned=False),
    "recall long": _recall_search,
}
