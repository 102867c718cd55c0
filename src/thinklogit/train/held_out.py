"""Which problems are near copies of those that a guider will be measured by: they are not to be trained on.

Two texts are compared by the runs of three words they share, numbers and letters of formulas being words: MATH's twins
that differ in their numbers differ in those. A problem is refused where most of its runs are in one held-out problem,
so that an instruction around the other, or a sentence more, hides nothing.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

WORD = re.compile(r"\d+|[^\W\d_]+|[^\w\s]")
WORDS_IN_RUN = 3
MOST_SHARED = 0.8
"""Share of a problem's runs found in a held-out one from which on it is refused; measured on MATH, see LOG.md."""
COMMON = 2000
"""A run found in more held-out problems than this, such as "Find the value", tells nothing and is passed over."""


class NearCopy(NamedTuple):
    """A problem that is not to be trained on, and the held-out text it is like, by its place."""

    problem_id: str
    held_out: int
    shared: float


def runs_of(text: str) -> set[tuple[str, ...]]:
    """The runs of words of a text; of a shorter text, all of it."""
    words = WORD.findall(text.casefold())
    if len(words) <= WORDS_IN_RUN:
        return {tuple(words)} if words else set()
    return set(zip(*(words[start:] for start in range(WORDS_IN_RUN)), strict=False))


def near_copies(problems: Mapping[str, str], held_out: Iterable[str]) -> list[NearCopy]:
    """The problems, by id with their questions, that are near copies of held-out texts."""
    places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, text in enumerate(held_out):
        for run in runs_of(text):
            places[run].append(place)
    found = (_nearest(problem_id, runs_of(question), places) for problem_id, question in problems.items())
    return [near for near in found if near is not None and near.shared >= MOST_SHARED]


def _nearest(
    problem_id: str, runs: set[tuple[str, ...]], places: Mapping[tuple[str, ...], list[int]]
) -> NearCopy | None:
    """The held-out text that shares most of these runs; None where none shares any."""
    telling = [run for run in runs if len(places.get(run, ())) <= COMMON]
    counted = Counter(place for run in telling for place in places.get(run, ()))
    if not counted:
        return None
    place, count = counted.most_common(1)[0]
    return NearCopy(problem_id, place, count / len(telling))
