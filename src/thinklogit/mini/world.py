"""The mini trio's world: a shop, what can be asked about it, the splits, the exact grader, the words of a search.

Two kinds of problem:

    search    "A pen costs 8, a cup 13. Ann paid 55. How many of each?": hard to say at once, while every step of a
              search (take one more pen away, is what is left a multiple of 14?) anybody can do in the head
    recall    "What does item 57 cost?": one knows the price list or one does not, and no search finds it
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import NamedTuple

from thinklogit.core.errors import OptionError, unknown_name
from thinklogit.core.records import Grade, Problem

# fmt: off
GOODS = (
    "pen", "cup", "book", "lamp", "ring", "map", "bell", "bag", "coin", "key",
    "mug", "pot", "saw", "toy", "vase", "clock", "drum", "flute", "kite", "basket",
)
# fmt: on
FIRST_PRICES = range(3, 13)
SECOND_PRICES = range(3, 20)
LARGEST_TOTAL = 160
FIRST_COUNTS = range(1, 7)
"""How many tries a search takes: a problem's level."""
SECOND_COUNTS = range(1, 10)
ITEMS = range(1, 151)
HIGHEST_PRICE = 99

SPLIT_PERCENT = {"train": 60, "dev": 12, "report": 28}
"""dev chooses settings, report is read once per published figure; no member has read either's purchases."""
ITEM_SPLIT_PERCENT = {"train": 30, "dev": 20, "report": 50}
"""The target knows the whole list; the guider's fine-tuning asks about the items of train only."""
KINDS = ("search", "recall")

PURCHASE = re.compile(
    r"\b([a-z]+?)s?\s+(?:costs?\s+)?(\d{1,9})\s*(?:,|and)\s*(?:an?\s+)?([a-z]+?)s?\s+(?:costs?\s+)?(\d{1,9})\D+?"
    r"(?:paid|pays)\s+(\d{1,9})(?!\d|\.\d)",
    re.ASCII | re.IGNORECASE,
)
ITEM = re.compile(r"\bitem\s+(\d{1,9})(?!\d|\.\d)", re.ASCII | re.IGNORECASE)
COUNTS = re.compile(
    r"answer[^\w+-]{0,5}(\d{1,9})\s+([a-z]+)\s*(?:,|and)\s*(\d{1,9})\s+([a-z]+)", re.ASCII | re.IGNORECASE
)
PRICE = re.compile(r"answer[^\w+-]{0,5}([+-]?\d{1,9})(?!\d|\.\d)", re.ASCII | re.IGNORECASE)
CHECKS = re.compile(r"\bcheck\b", re.IGNORECASE)
BACKTRACKS = re.compile(r"\b(?:wait|hmm|back)\b", re.IGNORECASE)


class Counts(NamedTuple):
    """How many of the first good, and of the second."""

    first: int
    second: int


class Purchase(NamedTuple):
    """Some of one good and some of another, and what they cost together."""

    first: str
    first_price: int
    second: str
    second_price: int
    paid: int

    @property
    def question(self) -> str:
        """What a user asks."""
        prices = f"A {self.first} costs {self.first_price}, a {self.second} {self.second_price}."
        return f"{prices} Ann paid {self.paid}. How many of each?"

    @property
    def restated(self) -> str:
        """How every answer opens, short or long."""
        prices = f"{self.first}s at {self.first_price}, {self.second}s at {self.second_price}"
        return f"So {prices}, {self.paid} in all. "

    def counted(self, counts: Counts) -> str:
        """Counts in words: "3 pens, 1 cup"."""
        return f"{some(counts.first, self.first)}, {some(counts.second, self.second)}"

    def solutions(self) -> list[Counts]:
        """Every solution, fewest of the first first; any number of either."""
        left = ((count, self.paid - count * self.first_price) for count in range(1, self.paid // self.first_price + 1))
        return [
            Counts(count, rest // self.second_price)
            for count, rest in left
            if rest > 0 and rest % self.second_price == 0
        ]


class Listed(NamedTuple):
    """A number of the price list."""

    number: int

    @property
    def question(self) -> str:
        """What a user asks."""
        return f"What does item {self.number} cost?"

    @property
    def restated(self) -> str:
        """How every answer opens, short or long."""
        return f"So the price of item {self.number} in the list. "

    @property
    def price(self) -> int:
        """What the list says: nothing foretells it."""
        return 1 + _hash(f"price of {self.number}") % HIGHEST_PRICE


Subject = Purchase | Listed


def some(count: int, good: str) -> str:
    """1 pen, 2 pens."""
    return f"{count} {good}{'' if count == 1 else 's'}"


def _hash(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def split_of(subject: Subject) -> str:
    """The split, from a hash of what makes problems twins: goods do not count, nor which of two prices is first."""
    if isinstance(subject, Purchase):
        low, high = sorted((subject.first_price, subject.second_price))
        return _split_at(_hash(f"{low} {high} {subject.paid}") % 100, SPLIT_PERCENT)
    return _split_at(_hash(f"item {subject.number}") % 100, ITEM_SPLIT_PERCENT)


def _split_at(point: int, percents: dict[str, int]) -> str:
    for split, percent in percents.items():
        if point < percent:
            return split
        point -= percent
    raise AssertionError("the percents of the splits must add up to 100")


@lru_cache
def purchases(split: str) -> tuple[Purchase, ...]:
    """Every purchase of a split, in rising order: one for each prices and total with exactly one solution."""
    return tuple(purchase for purchase in _family() if split_of(purchase) == split)


@lru_cache
def items(split: str) -> tuple[Listed, ...]:
    """Every number of the price list that belongs to a split."""
    return tuple(item for item in map(Listed, ITEMS) if split_of(item) == split)


def _family() -> Iterator[Purchase]:
    for first_price in FIRST_PRICES:
        for second_price in SECOND_PRICES:
            for paid in range(first_price + second_price, LARGEST_TOTAL + 1):
                first, second = Random(f"{first_price} {second_price} {paid}").sample(GOODS, 2)
                purchase = Purchase(first, first_price, second, second_price, paid)
                found = purchase.solutions()
                if first_price != second_price and len(found) == 1 and _within_reach(found[0]):
                    yield purchase


def _within_reach(counts: Counts) -> bool:
    return counts.first in FIRST_COUNTS and counts.second in SECOND_COUNTS


def problems(split: str, n: int | None = None, seed: int = 0, kind: str | None = None) -> list[Problem]:
    """The split's problems, of one kind or of both, in an order drawn from `seed`; all of them, or the first n.

    Raises OptionError for an unknown split or kind, and when n is negative or more than there are.
    """
    if split not in SPLIT_PERCENT:
        raise unknown_name("split", split, SPLIT_PERCENT)
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    subjects: dict[str, tuple[Subject, ...]] = {"search": purchases(split), "recall": items(split)}
    found = [_problem(subject) for name in KINDS if kind in (None, name) for subject in subjects[name]]
    if n is not None and not 0 <= n <= len(found):
        raise OptionError(
            f"expected at most {len(found)} problems, all that split {split!r} holds; got {n}; ask for fewer"
        )
    Random(seed).shuffle(found)
    return found[:n]


def _problem(subject: Subject) -> Problem:
    split = split_of(subject)
    if isinstance(subject, Listed):
        about = {"kind": "recall", "level": 0}
        return Problem(f"item {subject.number}", subject.question, str(subject.price), split, about)
    counts = next(filter(_within_reach, subject.solutions()))
    about = {"kind": "search", "level": counts.first}
    return Problem(_id_of(subject), subject.question, subject.counted(counts), split, about)


def _id_of(purchase: Purchase) -> str:
    first, first_price, second, second_price, paid = purchase
    return f"{first} {first_price}, {second} {second_price}, paid {paid}"


def subject_of(question: str) -> Subject:
    """What is asked, by a question or the id of a problem, in a user's words.

    Raises OptionError when it is neither kind, or outside what the members have read in training.
    """
    if listed := ITEM.search(question):
        number = int(listed[1])
        if number not in ITEMS:
            raise OptionError(f"expected an item from {ITEMS[0]} to {ITEMS[-1]}; got {number}")
        return Listed(number)
    form = (
        f"{Purchase('pen', 8, 'cup', 13, 55).question!r}, with the first price from {FIRST_PRICES[0]} to "
        f"{FIRST_PRICES[-1]}, the second from {SECOND_PRICES[0]} to {SECOND_PRICES[-1]}, "
        f"and at most {LARGEST_TOTAL} paid"
    )
    match = PURCHASE.search(question)
    if match is None:
        raise OptionError(f"expected {Listed(57).question!r} or {form}; got {question[:80]!r}")
    first, first_price, second, second_price, paid = match.groups()
    purchase = Purchase(first.lower(), int(first_price), second.lower(), int(second_price), int(paid))
    unknown = [good for good in (purchase.first, purchase.second) if good not in GOODS]
    if unknown:
        raise unknown_name("good", unknown[0], GOODS)
    if (
        purchase.first_price not in FIRST_PRICES
        or purchase.second_price not in SECOND_PRICES
        or purchase.paid > LARGEST_TOTAL
    ):
        raise OptionError(f"expected {form}; got {purchase.question!r}, which the mini trio cannot read")
    return purchase


def parse(question: str) -> Problem:
    """The problem a user typed, as "a pen costs 8, a cup 13, Ann paid 55" or "item 57".

    Raises OptionError as `subject_of` does, and for a purchase that nothing within the members' reach solves.
    """
    subject = subject_of(question)
    if isinstance(subject, Purchase) and not _is_solvable(subject):
        near = min(
            (other for paid in range(1, LARGEST_TOTAL + 1) if _is_solvable(other := subject._replace(paid=paid))),
            key=lambda other: abs(other.paid - subject.paid),
        )
        reach = f"1 to {FIRST_COUNTS[-1]} of the first and 1 to {SECOND_COUNTS[-1]} of the second"
        raise OptionError(f"expected what {reach} can cost; {subject.paid} is not; {near.paid} is, try it")
    return _problem(subject)


def _is_solvable(purchase: Purchase) -> bool:
    return any(map(_within_reach, purchase.solutions()))


def grade(problem: Problem, text: str, index: int = 0) -> Grade:
    """Whether the last "Answer: ..." of a completion is right, exactly; no text makes it raise."""
    subject = subject_of(problem.question)
    read = _price_read(subject, text) if isinstance(subject, Listed) else _counts_read(subject, text)
    return Grade(problem.id, index, read.correct, read.extracted, read.reason, text)


class Reading(NamedTuple):
    """What was read from a completion, and what it is worth."""

    extracted: str | None
    reason: str
    correct: bool = False


def _price_read(item: Listed, text: str) -> Reading:
    found = PRICE.findall(text)
    if not found:
        return Reading(None, 'no "Answer: ..." with a price in the completion')
    return Reading(found[-1], f"item {item.number} costs {item.price}", int(found[-1]) == item.price)


def _counts_read(purchase: Purchase, text: str) -> Reading:
    found = COUNTS.findall(text)
    if not found:
        return Reading(None, 'no "Answer: ..." with two counts in the completion')
    one, its_good, other, other_good = found[-1]
    extracted = f"{one} {its_good}, {other} {other_good}"
    counted = {its_good.lower().removesuffix("s"): int(one), other_good.lower().removesuffix("s"): int(other)}
    if set(counted) != {purchase.first, purchase.second}:
        return Reading(extracted, f"expected {purchase.first}s and {purchase.second}s")
    counts = Counts(counted[purchase.first], counted[purchase.second])
    if min(counts) < 1:
        return Reading(extracted, "expected at least one of each")
    total = counts.first * purchase.first_price + counts.second * purchase.second_price
    worked = f"{counts.first}*{purchase.first_price}+{counts.second}*{purchase.second_price}={total}"
    right = total == purchase.paid
    return Reading(extracted, worked if right else f"{worked}, not {purchase.paid}", right)


def checks(text: str) -> int:
    """How many times a completion begins to check what it found."""
    return len(CHECKS.findall(text))


def backtracks(text: str) -> int:
    """How many times a completion gives up a try and takes the next."""
    return len(BACKTRACKS.findall(text))
