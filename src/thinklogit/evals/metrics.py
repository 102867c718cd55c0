"""What a measurement comes to: avg@n, pass@k, maj@k, lengths, and how sure each of them is.

    avg@n    mean accuracy of the n completions of a problem, then the mean over problems
    pass@k   chance that k of the n completions hold a right one, unbiased, then the mean over problems
    maj@k    accuracy of the answer that most of the first k completions give, then the mean over problems

The completions of one problem share what makes it hard, so that the problem is what was sampled: standard errors are
those of the means of problems, the clustered ones of Miller, "Adding Error Bars to Evals" (arXiv 2411.00640). Counting
completions instead would make the intervals of an easy and hard mixture up to sqrt(n) too narrow.

Knows no files and no third-party library.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.core.intervals import Interval, wilson
from thinklogit.evals.outcomes import Measurement, Outcome

Z = statistics.NormalDist().inv_cdf(0.975)


class Mean(NamedTuple):
    """A mean over problems. One problem has no standard error (None), and its length no interval."""

    value: float
    se: float | None
    interval: Interval | None
    problems: int


@dataclass(frozen=True)
class Metrics:
    """All metrics of one measurement. Shares lie between 0 and 1.

    `n` is the most completions that any problem has, and the n of avg@n; problems with fewer, of an interrupted run,
    are named in `incomplete`. They count in avg@n like any other, and in pass@k and maj@k where they have k. None
    stands where no problem has k completions, and where the engine counted no tokens.
    """

    n: int
    problems: int
    completions: int
    accuracy: Mean
    pass_at: dict[int, Mean | None]
    maj_at: dict[int, Mean | None]
    new_tokens: Mean | None
    truncated: Mean
    no_answer: Mean
    incomplete: tuple[str, ...]


def measure(measurement: Measurement, ks: Sequence[int] | None = None) -> Metrics:
    """Compute all metrics, pass@k and maj@k for the `ks` [default: 1 and n]."""
    problems = by_problem(measurement)
    n = max(map(len, problems.values()))
    ks = sorted({1, n} if ks is None else set(ks))
    if ks[0] < 1:
        raise OptionError(f"k of pass@k is a whole number of completions, 1 or more; got {ks[0]}")
    completions = sum(map(len, problems.values()))

    def share(of: Callable[[Sequence[Outcome]], float], k: int = 1) -> Mean | None:
        values = [of(outcomes) for outcomes in problems.values() if len(outcomes) >= k]
        return mean_share(values, completions // k) if values else None

    def rate(of: Callable[[Outcome], bool]) -> Mean:
        return mean_share([statistics.fmean(map(of, each)) for each in problems.values()], completions)

    return Metrics(
        n=n,
        problems=len(problems),
        completions=completions,
        accuracy=rate(lambda outcome: outcome.correct),
        pass_at={k: share(lambda outcomes, k=k: pass_at_k(outcomes, k), k) for k in ks},
        maj_at={k: share(lambda outcomes, k=k: maj_at_k(outcomes, k), k) for k in ks},
        new_tokens=mean_amount([length for each in problems.values() if (length := mean_length(each)) is not None]),
        truncated=rate(lambda outcome: outcome.truncated),
        no_answer=rate(lambda outcome: vote(outcome) is None),
        incomplete=tuple(problem for problem, outcomes in problems.items() if len(outcomes) < n),
    )


def by_problem(measurement: Measurement) -> dict[str, list[Outcome]]:
    """The outcomes of each problem, in the order of their indices. Raises RecordError for none, or for one twice."""
    where = f"{measurement.task} by {measurement.system}"
    if not measurement.outcomes:
        raise RecordError(f"{where}: expected graded completions, found none; run it, or leave it out")
    problems: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in sorted(measurement.outcomes, key=lambda outcome: outcome.index):
        outcomes = problems[outcome.problem_id]
        if outcomes and outcomes[-1].index == outcome.index:
            raise RecordError(
                f"{where}: completion {outcome.index} of problem {outcome.problem_id} came twice; name each run once"
            )
        outcomes.append(outcome)
    # in the order of the run, not in that of the indices
    return {problem: problems[problem] for problem in dict.fromkeys(each.problem_id for each in measurement.outcomes)}


def mean_accuracy(outcomes: Iterable[Outcome]) -> float:
    """avg@n of one problem."""
    return statistics.fmean(outcome.correct for outcome in outcomes)


def mean_length(outcomes: Iterable[Outcome]) -> float | None:
    """Mean new tokens of one problem's completions; None where the engine did not count."""
    counted = [outcome.new_tokens for outcome in outcomes if outcome.new_tokens is not None]
    return statistics.fmean(counted) if counted else None


def pass_at_k(outcomes: Sequence[Outcome], k: int) -> float:
    """Chance that `k` completions drawn from these without replacement hold a right one.

    Chen et al. 2021, arXiv 2107.03374, equation 1. Python's integers do not overflow, so it is exact as it stands.
    """
    n, correct = len(outcomes), sum(outcome.correct for outcome in outcomes)
    if k > n:
        raise OptionError(f"pass@{k} needs {k} completions of each problem; there are {n}; ask for a k of at most {n}")
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def maj_at_k(outcomes: Sequence[Outcome], k: int) -> float:
    """Accuracy of the answer that most of the first `k` completions give.

    A completion without an answer does not vote; where none votes, the majority is wrong. Of tied answers each is
    taken with equal chance: the value is the mean of their accuracies. Answers are the same when their texts are,
    white space and enclosing $ aside; a grader that called only some of the same answers right counts by its share.
    """
    votes: defaultdict[str, list[bool]] = defaultdict(list)
    for outcome in outcomes[:k]:
        answer = vote(outcome)
        if answer is not None:
            votes[answer].append(outcome.correct)
    most = max(map(len, votes.values()), default=0)
    winners = [statistics.fmean(correct) for correct in votes.values() if len(correct) == most]
    return statistics.fmean(winners) if winners else 0.0


def vote(outcome: Outcome) -> str | None:
    """The answer as it is compared with others; None where there is none."""
    return "".join((outcome.extracted or "").split()).strip("$") or None


def mean_share(values: Sequence[float], most: int) -> Mean:
    """The mean of problems' shares, with a Wilson interval for as many problems as it is worth.

    The effective size, share * (1 - share) / se**2, and Student's quantile in place of the normal's are those of Korn
    and Graubard, Survey Methodology 24 (1998), 193-201, here in Wilson's interval. The size lies between the number of
    problems (all completions of a problem alike) and `most`, that of independent completions. mean +- t * se instead
    covers too little where most problems are never solved, and nothing around it where none is; tests/evals simulates.
    """
    value, problems = statistics.fmean(values), len(values)
    se = _standard_error(values)
    size = value * (1 - value) / se**2 if se else problems
    size = max(problems, min(size, most))
    return Mean(value, se, wilson(value * size, size, t_quantile(problems - 1)), problems)


def mean_amount(values: Sequence[float]) -> Mean | None:
    """The mean of problems' amounts, with Student's interval; None of none."""
    if not values:
        return None
    value, se = statistics.fmean(values), _standard_error(values)
    half = None if se is None else t_quantile(len(values) - 1) * se
    return Mean(value, se, None if half is None else Interval(max(0.0, value - half), value + half), len(values))


def mean_of_means(means: Sequence[Mean]) -> Mean:
    """The unweighted mean over tasks. Its interval squares and adds the arms of theirs.

    Zou and Donner, Statistics in Medicine 27 (2008), 1693-1702: keeps the skew of each, and a task of which nothing
    was solved still adds its doubt.
    """
    count, value = len(means), statistics.fmean(mean.value for mean in means)
    errors = [mean.se for mean in means if mean.se is not None]
    below = [mean.value - mean.interval.low for mean in means if mean.interval]
    above = [mean.interval.high - mean.value for mean in means if mean.interval]
    se = math.hypot(*errors) / count if len(errors) == count else None
    sure = len(below) == count
    interval = Interval(value - math.hypot(*below) / count, value + math.hypot(*above) / count) if sure else None
    return Mean(value, se, interval, sum(mean.problems for mean in means))


def t_quantile(degrees: int) -> float:
    """The 97.5th percentile of Student's t, by Abramowitz and Stegun 26.7.5: 1% off at 2 degrees, 0.03% at 4."""
    v = max(1, degrees)
    terms = (
        Z,
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return sum(term / v**power for power, term in enumerate(terms))


def _standard_error(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
