"""Confidence intervals, so that no mean goes without one."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from thinklogit.core.errors import OptionError


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


def wilson(correct: float, n: float, z: float = 1.959964) -> Interval:
    """The Wilson score interval of a share, `correct` in `n`; 95% where `z` is the normal's 97.5th percentile.

    Source: E. B. Wilson, JASA 22 (1927), 209-212; written as in Brown, Cai and DasGupta, Statistical Science 16 (2001),
    equation 4. Unlike mean +- z * standard error it has its coverage near 0 and 1 and for small n. An effective sample
    size need not be a whole number.
    """
    if not 0 <= correct <= n or n == 0:
        raise OptionError(f"an interval needs 0 to n correct out of n, n at least 1; got {correct} of {n}")
    share = correct / n
    centre = (correct + z**2 / 2) / (n + z**2)
    half = z * math.sqrt(n) / (n + z**2) * math.sqrt(share * (1 - share) + z**2 / (4 * n))
    # The share lies inside; rounding alone could leave 0 or 1 outside by 1e-18.
    return Interval(max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


class Difference(NamedTuple):
    """How much more often the first was right than the second, with its interval."""

    mean: float
    interval: Interval


def paired_difference(first: Sequence[bool], second: Sequence[bool], z: float = 1.959964) -> Difference:
    """The difference of two accuracies over the same problems, which share what makes a problem hard.

    The interval is normal, from the standard error of the differences problem by problem; 95% by default.
    """
    if len(first) != len(second) or len(first) < 2:
        raise OptionError(f"a paired difference needs the same problems, 2 or more; got {len(first)} and {len(second)}")
    differences = [int(a) - int(b) for a, b in zip(first, second, strict=True)]
    mean = statistics.fmean(differences)
    half = z * statistics.stdev(differences) / math.sqrt(len(differences))
    return Difference(mean, Interval(mean - half, mean + half))
