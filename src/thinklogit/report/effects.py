"""How much two systems differ over the same problems, and whether so many problems can tell.

Problems are the unit throughout: a problem's mean over its completions in one system is paired with that in the other,
which takes out what makes it hard. Several tasks are weighed equally, and resampled each within itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, permutation_test, t

from thinklogit.core.errors import OptionError
from thinklogit.core.intervals import Interval

SIGNIFICANT = 0.05
POWER = 0.8
Floats = NDArray[np.floating[Any]]


class Pairs(NamedTuple):
    """The values of one task's problems in A and in B, in the same order."""

    a: Floats
    b: Floats


@dataclass(frozen=True)
class Effect:
    """A against B. `difference` is a - b; `ratio` is a / b, where b is not 0.

    `detectable` is the smallest true difference that so many problems show with 80% power, and `problems_needed` how
    many would show one as large as was seen: (z_0.975 + z_0.8) * standard error, the power analysis of Miller, arXiv
    2411.00640, for the former with Student's quantiles. Both are None where nothing varies or differs.
    """

    a: float
    b: float
    difference: float
    interval: Interval
    p: float
    ratio: float | None
    ratio_interval: Interval | None
    problems: int
    detectable: float | None
    problems_needed: int | None

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance; the p-value alone decides."""
        return self.p < SIGNIFICANT


def paired_effect(tasks: Sequence[Pairs], seed: int = 0, resamples: int = 10_000) -> Effect:
    """The difference of the means of `tasks`, with an interval from a bootstrap over problems and a permutation test.

    Raises:
        OptionError: for a task with fewer than 2 pairs, which have no spread.
    """
    for pairs in tasks:
        if len(pairs.a) < 2:
            raise OptionError(f"a paired comparison needs 2 problems or more that both answered; got {len(pairs.a)}")
    a, b = (float(np.mean([side.mean() for side in sides])) for sides in zip(*tasks, strict=True))
    # summed from the pairs: equal ones give exactly 0, which a - b would miss by rounding
    difference = float(np.mean([(pairs.a - pairs.b).mean() for pairs in tasks]))
    problems = sum(len(pairs.a) for pairs in tasks)
    se = math.sqrt(sum((pairs.a - pairs.b).var(ddof=1) / len(pairs.a) for pairs in tasks)) / len(tasks)
    degrees = problems - len(tasks)
    detectable = float(t.ppf(0.975, degrees) + t.ppf(POWER, degrees)) * se or None
    asymptotic = float(norm.ppf(0.975) + norm.ppf(POWER)) * se
    means = _bootstrap(tasks, seed, resamples)
    share = _tail(problems, degrees)
    always_positive = bool((means.b > 0).all())
    return Effect(
        a=a,
        b=b,
        difference=difference,
        interval=_percentiles(means.a - means.b, share),
        p=_p_value(tasks, seed, resamples),
        ratio=a / b if b else None,
        ratio_interval=_percentiles(means.a / means.b, share) if always_positive else None,
        problems=problems,
        detectable=detectable,
        problems_needed=math.ceil(problems * (asymptotic / difference) ** 2) if se and difference else None,
    )


def _bootstrap(tasks: Sequence[Pairs], seed: int, resamples: int) -> Pairs:
    """The mean of both systems in each resample: one draw of the problems for both."""
    generator = np.random.default_rng(seed)
    a, b = np.zeros(resamples), np.zeros(resamples)
    for pairs in tasks:
        n = len(pairs.a)
        times_drawn = generator.multinomial(n, np.full(n, 1 / n), size=resamples)
        a += times_drawn @ pairs.a / n / len(tasks)
        b += times_drawn @ pairs.b / n / len(tasks)
    return Pairs(a, b)


def _tail(problems: int, degrees: int) -> float:
    """The share of resamples left out at each end: a little less than 2.5%.

    Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69 (2015), 371-386: the
    expanded percentile interval. The plain one lacks the factor n / (n - 1) of the variance and Student's tails. In
    simulations of 30 problems with 8 completions, five settings, the plain one covered 92.0 to 96.0% (median 93.0), the
    expanded one 93.2 to 96.7% (94.3) and BCa 90.7 to 95.3% (91.8): its corrections are noise where differences of
    shares are coarse and nearly symmetric.
    """
    return float(norm.cdf(-math.sqrt(problems / degrees) * t.ppf(0.975, degrees)))


def _percentiles(means: Floats, share: float) -> Interval:
    # rounding: a value drawn in every resample must not leave an interval of width 1e-17 beside it
    low, high = np.round(np.quantile(means, (share, 1 - share)), 12)
    return Interval(float(low) + 0.0, float(high) + 0.0)


def _p_value(tasks: Sequence[Pairs], seed: int, resamples: int) -> float:
    """Two-sided: were A and B the same, each problem's difference might as well have the other sign.

    Exact where `resamples` would not be fewer than all signs. Problems without a difference say nothing here.
    """
    weighed = np.concatenate([(pairs.a - pairs.b) / (len(pairs.a) * len(tasks)) for pairs in tasks])
    changed = weighed[weighed != 0]
    if not len(changed):
        return 1.0
    if len(changed) == 1:
        changed = np.append(changed, 0.0)  # scipy wants two
    found = permutation_test(
        (changed,),
        lambda each, axis: each.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
