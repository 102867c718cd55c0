"""A comparison in plain sentences: is accuracy better, is reasoning longer, or can so many problems not tell."""

import math

from thinklogit.report.comparison import Comparison
from thinklogit.report.effects import Effect

FEWEST = 6
"""Signs of 5 differences fall alike by chance one time in 16, more often than a p of 0.05 allows."""


def verdicts(comparison: Comparison) -> list[str]:
    """What a reviewer asks, one sentence or two each; every difference is A minus B."""
    return [_on_accuracy(comparison, comparison.accuracy), _on_length(comparison, comparison.length)]


def _on_accuracy(comparison: Comparison, effect: Effect) -> str:
    a, b = comparison.a, comparison.b
    if effect.detectable is None and not effect.difference:
        return f"Accuracy: no difference; {a} and {b} solve each of {effect.problems} problems equally often."
    problems = f"over {effect.problems} problems"
    figures = f"{a} minus {b} is {points(effect)} of {avg_at(comparison)}, {p_text(effect.p)}, {problems}."
    if effect.shown:
        return f"Accuracy is {'better' if effect.difference > 0 else 'worse'}: {figures}"
    return f"Accuracy: no difference is shown. {figures}{_power(effect, 100, 'points')}"


def _on_length(comparison: Comparison, effect: Effect | None) -> str:
    if effect is None:
        return "Length: not compared; the engine of one side counted no tokens."
    a, b, ratio, interval = comparison.a, comparison.b, effect.ratio, effect.ratio_interval
    if effect.detectable is None and not effect.difference:
        return f"Length: no difference; {a} and {b} write as many tokens on each of {effect.problems} problems."
    figures = f"{a} writes {effect.a:,.0f} tokens a completion, {b} {effect.b:,.0f}"
    if ratio is not None:
        between = f" [{interval.low:.2f}, {interval.high:.2f}]" if interval else ""
        figures += f": {ratio:.2f} times as many{between}"
    figures += f", {p_text(effect.p)}."
    if effect.shown:
        told = f"Reasoning is {'longer' if effect.difference > 0 else 'shorter'}: {figures}"
    else:
        told = f"Length: no difference is shown. {figures}{_power(effect, 1, 'tokens')}"
    return told + _cut(comparison)


def _power(effect: Effect, scale: float, unit: str) -> str:
    if effect.problems < FEWEST:
        return f" Fewer than {FEWEST} problems cannot show any."
    if effect.detectable is None:
        return " More problems are needed: these all changed alike."
    told = (
        f" {effect.problems} such problems show a true difference of {scale * effect.detectable:,.1f} {unit} "
        "four times in five"
    )
    if effect.problems_needed is not None:
        told += f"; one as small as this takes about {_rounded(effect.problems_needed):,}"
    return told + "."


def _cut(comparison: Comparison) -> str:
    if not comparison.truncated_a and not comparison.truncated_b:
        return ""
    of_a, of_b = (f"{100 * share:.1f}%" for share in (comparison.truncated_a, comparison.truncated_b))
    return f" Cut at the token limit, so longer in truth: {of_a} of {comparison.a}, {of_b} of {comparison.b}."


def points(effect: Effect) -> str:
    """A difference of shares with its interval, in points of percent: +12.5 points [+4.2, +20.8]."""
    low, high = effect.interval
    return f"{100 * effect.difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"


def avg_at(comparison: Comparison) -> str:
    """The name of the mean accuracy compared: avg@8, or avg@8 against avg@4."""
    if comparison.n_a == comparison.n_b:
        return f"avg@{comparison.n_a}"
    return f"avg@{comparison.n_a} against avg@{comparison.n_b}"


def p_text(p: float) -> str:
    """A p-value as it is read: p 0.032, or p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.1 else f"p {p:.2f}"


def _rounded(count: int) -> int:
    """To two digits: more would claim too much."""
    unit = 10 ** max(0, math.floor(math.log10(count)) - 1)
    return math.ceil(count / unit) * unit
