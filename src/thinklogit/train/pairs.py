"""Preference pairs from graded answers: of each problem, a right answer over a wrong one.

Knows no file and no model. What is left out is counted, each by the reason.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, takewhile
from math import lcm
from random import Random
from typing import NamedTuple

from thinklogit.core.errors import RecordError
from thinklogit.core.seeds import derive_seed
from thinklogit.train.choice import Choice, Kind


class Answer(NamedTuple):
    """One graded answer to a problem: who gave it, as their how-manieth, and how long it is in tokens."""

    problem_id: str
    prompt: str
    source: str
    index: int
    text: str
    tokens: int
    finished: bool
    correct: bool


class Response(NamedTuple):
    """An answer as it is trained on: the whole of it, or its first tokens, and then it does not end there."""

    text: str
    tokens: int
    cut: bool
    index: int


class Pair(NamedTuple):
    """One pair of one problem."""

    problem_id: str
    prompt: str
    kind: str
    chosen: Response
    rejected: Response


@dataclass
class Counts:
    """What became of the answers and the pairs: each by source or kind, and why."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)


class Built(NamedTuple):
    """The pairs, in an order to train in, and how they came to be so many."""

    pairs: list[Pair]
    counts: Counts


Ends = Callable[[str], Sequence[int]]
"""Where each token of a text ends, in characters."""


def build(answers: Sequence[Answer], choice: Choice, ends: Ends) -> Built:
    """Make pairs of answers; the same answers and choice give the same pairs.

    Raises:
        RecordError: no pair can be made, naming what is missing and what to try.
    """
    counts, ends = Counts(), cache(ends)
    usable = list(_usable(answers, choice, counts))
    by_problem: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in usable:
        by_problem[answer.problem_id].append(answer)
    shares = _shares_right(answers)
    found = {kind: _pairs_of(kind, by_problem, shares, choice, ends, counts) for kind in choice.kinds}
    _check_found(found, usable, choice, counts)
    pairs = _mixed(found, choice, counts)
    Random(derive_seed(choice.seed, "order")).shuffle(pairs)
    return Built(pairs, counts)


def _usable(answers: Sequence[Answer], choice: Choice, counts: Counts) -> Iterator[Answer]:
    seen: set[tuple[str, str, str]] = set()
    for answer in answers:
        reason = _unusable(answer, choice, seen)
        counts.answers[answer.source, reason or ("right" if answer.correct else "wrong")] += 1
        if reason is None:
            seen.add((answer.problem_id, answer.source, answer.text))
            yield answer


def _unusable(answer: Answer, choice: Choice, seen: set[tuple[str, str, str]]) -> str | None:
    """Why an answer is left out; None where it is not."""
    if not answer.finished:
        return "unfinished"
    if not answer.text.strip():
        return "empty"
    if answer.tokens < choice.min_tokens:
        return "too short"
    if choice.max_tokens and answer.tokens > choice.max_tokens:
        return "too long"
    return "a duplicate" if (answer.problem_id, answer.source, answer.text) in seen else None


def _pairs_of(
    name: str,
    by_problem: Mapping[str, Sequence[Answer]],
    shares: Mapping[tuple[str, str], float],
    choice: Choice,
    ends: Ends,
    counts: Counts,
) -> list[Pair]:
    """Every pair of one kind, at most so many of a problem: each answer as seldom as can be, or the first to part."""
    kind, pairs = Kind.parse(name), []
    for problem_id, answers in by_problem.items():
        right = [answer for answer in answers if answer.correct and answer.source == kind.chosen]
        wrong = [answer for answer in answers if not answer.correct and answer.source == kind.rejected]
        if right and wrong and shares[problem_id, kind.chosen] - shares[problem_id, kind.rejected] < choice.min_gap:
            counts.pairs[name, "problems left out for the gap"] += 1
            continue
        order = Random(derive_seed(choice.seed, name, problem_id))
        order.shuffle(right)
        order.shuffle(wrong)
        candidates = list(_in_turn(right, wrong))
        if cut_tokens := choice.cut_of(name):  # those that part first choose how to answer; others, what to say
            candidates.sort(key=lambda pair: _shared_tokens(pair, ends))
        told = _different(candidates, cut_tokens, ends, lambda why: counts.pairs.update([(name, why)]))
        pairs += [
            Pair(problem_id, answers[0].prompt, name, chosen, rejected)
            for chosen, rejected in islice(told, choice.per_problem)
        ]
    counts.pairs[name, "found"] = len(pairs)
    return pairs


def _shares_right(answers: Sequence[Answer]) -> dict[tuple[str, str], float]:
    """How often each source is right at each problem, among all its answers: an unfinished one is not."""
    graded: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for answer in answers:
        graded[answer.problem_id, answer.source].append(answer.correct)
    return {which: sum(of_problem) / len(of_problem) for which, of_problem in graded.items()}


def _different(
    pairs: Sequence[tuple[Answer, Answer]], cut_tokens: int, ends: Ends, count: Callable[[str], None]
) -> Iterator[tuple[Response, Response]]:
    """The pairs as they are trained on, without those that say the same on both sides, or the same as one before."""
    seen: set[tuple[str, str]] = set()
    for pair in pairs:
        chosen, rejected = _responses(pair, cut_tokens, ends)
        texts = chosen.text, rejected.text
        if chosen.text == rejected.text:
            count("alike once cut")
        elif texts in seen:
            count("a duplicate once cut")
        else:
            seen.add(texts)
            yield chosen, rejected


def _in_turn(right: Sequence[Answer], wrong: Sequence[Answer]) -> Iterator[tuple[Answer, Answer]]:
    """All pairs of a right and a wrong one, so that each comes again only when all others have come."""
    if right and wrong:
        period = lcm(len(right), len(wrong))
        for turn in range(len(right) * len(wrong)):
            yield right[turn % len(right)], wrong[(turn + turn // period) % len(wrong)]


def _responses(pair: tuple[Answer, Answer], cut_tokens: int, ends: Ends) -> tuple[Response, Response]:
    """Both answers as they are trained on: whole, or so many tokens beyond those that both begin with."""
    if not cut_tokens:
        chosen, rejected = (Response(each.text, each.tokens, False, each.index) for each in pair)
        return chosen, rejected
    kept = _shared_tokens(pair, ends) + cut_tokens
    chosen, rejected = (_cut(each, ends(each.text), kept) for each in pair)
    return chosen, rejected


def _shared_tokens(pair: tuple[Answer, Answer], ends: Ends) -> int:
    """How many tokens both answers begin with."""
    one, other = (each.text for each in pair)
    same = (here == there and one[:here] == other[:there] for here, there in zip(ends(one), ends(other), strict=False))
    return sum(takewhile(bool, same))


def _cut(answer: Answer, ends: Sequence[int], tokens: int) -> Response:
    if len(ends) <= tokens:
        return Response(answer.text, len(ends), False, answer.index)
    return Response(answer.text[: ends[tokens - 1]], tokens, True, answer.index)


def _check_found(found: Mapping[str, Sequence[Pair]], usable: Sequence[Answer], choice: Choice, counts: Counts) -> None:
    empty = [name for name, pairs in found.items() if not pairs]
    if not empty or (len(empty) < len(found) and choice.mix is None):
        return
    kind = Kind.parse(empty[0])
    right = sum(answer.correct for answer in usable if answer.source == kind.chosen)
    wrong = sum(not answer.correct for answer in usable if answer.source == kind.rejected)
    if not right:
        why, remedy = (
            f"the {kind.chosen} has no right answer",
            f"more of the {kind.chosen}'s answers, or easier problems",
        )
    elif not wrong:
        why = f"the {kind.rejected} has no wrong answer"
        remedy = f"a higher --{kind.rejected}-temperature, more answers (--n), or harder problems"
    else:
        why = f"no problem has both a right answer of the {kind.chosen} and a wrong one of the {kind.rejected}"
        remedy = "more answers of each problem (--n), or more problems"
    left_out = Counter[str]()
    for (_, reason), count in counts.answers.items():
        left_out[reason] += count if reason not in ("right", "wrong") else 0
    if left_out["unfinished"] > len(usable):
        remedy = "a larger --max-new-tokens with another -o"
    told = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
    among = f"among {len(usable)} usable" + (f" ({told} left out)" if told else "")
    raise RecordError(f"no pair of the kind {kind.name} can be made: {why} {among}; try {remedy}")


def _mixed(found: Mapping[str, list[Pair]], choice: Choice, counts: Counts) -> list[Pair]:
    """As many pairs of each kind as the mix and the limit say."""
    wanted = _wanted({name: len(pairs) for name, pairs in found.items()}, choice)
    mixed = []
    for name, pairs in found.items():
        drawn = Random(derive_seed(choice.seed, "mix", name))
        order = drawn.sample(pairs, len(pairs))
        kept = [order[place % len(order)] for place in range(wanted[name])] if order else []
        counts.pairs[name, "kept"] = len(kept)
        counts.pairs[name, "left out for the mix"] = max(0, len(order) - len(kept))
        counts.pairs[name, "repeated for the mix"] = max(0, len(kept) - len(order))
        mixed += kept
    return mixed


def _wanted(there: Mapping[str, int], choice: Choice) -> dict[str, int]:
    """How many of each kind. Without repeating, the kind that has least for its share sets the number of all."""
    parts = choice.mix or tuple(max(count, 0) for count in there.values())
    total = sum(parts)
    if choice.mix is None:
        most = sum(there.values())
    elif choice.oversample:
        most = max(count * total / part for count, part in zip(there.values(), parts, strict=True))
    else:
        most = min(count * total / part for count, part in zip(there.values(), parts, strict=True))
    most = min(most, choice.pairs or most)
    wanted = {name: int(most * part / total + 1e-9) for name, part in zip(there, parts, strict=True)}
    if choice.pairs:  # what rounding down left goes to the kinds in their order
        for name in list(wanted)[: int(most + 1e-9) - sum(wanted.values())]:
            wanted[name] += int(choice.oversample or wanted[name] < there[name])
    return wanted
