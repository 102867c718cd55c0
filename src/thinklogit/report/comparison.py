"""Two systems on the same problems: is accuracy better, is reasoning longer, which problems were gained and lost.

Every difference is A - B, and every change of a problem reads from B to A. Only problems that both answered are
compared; the others are named.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from thinklogit.core.errors import OptionError
from thinklogit.evals.metrics import by_problem, mean_accuracy, mean_length, pass_at_k
from thinklogit.evals.outcomes import Measurement, Outcome
from thinklogit.report.effects import Effect, Pairs, paired_effect
from thinklogit.report.names import display_name, in_order
from thinklogit.report.systems import different_settings, refuse_doubles

Valued = Callable[[Sequence[Outcome]], float | None]


class Change(NamedTuple):
    """One problem that A and B do not solve equally often."""

    task: str
    problem_id: str
    b_correct: int
    b_n: int
    a_correct: int
    a_n: int

    @property
    def gain(self) -> float:
        """The accuracy of A minus that of B."""
        return self.a_correct / self.a_n - self.b_correct / self.b_n


@dataclass(frozen=True)
class Comparison:
    """A against B on one task, or on the average of several.

    `gained` and `lost` hold problems that A solves more and less often than B, the largest changes first. `pass_at` is
    None where tasks differ in `k`; `length` where tokens were not counted. `settings` holds those that differ, as
    (A's, B's).
    """

    task: str
    a: str
    b: str
    n_a: int
    n_b: int
    k: int | None
    accuracy: Effect
    pass_at: Effect | None
    length: Effect | None
    truncated_a: float
    truncated_b: float
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    settings: dict[str, tuple[Any, ...]]


class Comparisons(NamedTuple):
    """Task by task; `average` weighs tasks equally, and is there for more than one."""

    tasks: tuple[Comparison, ...]
    average: Comparison | None
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


class _Paired(NamedTuple):
    """One task: its problems that both answered, by id."""

    a: Measurement
    b: Measurement
    pairs: dict[str, tuple[list[Outcome], list[Outcome]]]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    n_a: int
    n_b: int

    @property
    def k(self) -> int:
        return min(self.n_a, self.n_b)


def compare(a: Measurement, b: Measurement, *, seed: int = 0, resamples: int = 10_000) -> Comparison:
    """Compare A with B on one task. Raises OptionError for two tasks, or two versions of one."""
    return _comparison([_pair(a, b)], seed, resamples)


def compare_tasks(
    a: Sequence[Measurement], b: Sequence[Measurement], *, seed: int = 0, resamples: int = 10_000
) -> Comparisons:
    """Compare A with B on every task that both answered, and on their average. Raises OptionError for no such task."""
    refuse_doubles(a)
    refuse_doubles(b)
    of_a, of_b = ({measurement.task: measurement for measurement in side} for side in (a, b))
    shared = in_order(of_a.keys() & of_b.keys())
    if not shared:
        raise OptionError(
            f"two systems are compared on the same task; A answered {_listed(of_a)}, B {_listed(of_b)}; name other runs"
        )
    paired = [_pair(of_a[task], of_b[task]) for task in shared]
    return Comparisons(
        tuple(_comparison([each], seed, resamples) for each in paired),
        _comparison(paired, seed, resamples) if len(paired) > 1 else None,
        in_order(of_a.keys() - of_b.keys()),
        in_order(of_b.keys() - of_a.keys()),
    )


def _pair(a: Measurement, b: Measurement) -> _Paired:
    if a.task != b.task:
        raise OptionError(f"two systems are compared on the same task; A answered {a.task}, B {b.task}")
    if a.version != b.version:
        raise OptionError(
            f"{a.task}: A answered version {a.version}, B version {b.version}, whose problems or grades differ; "
            "run one of them again"
        )
    of_a, of_b = by_problem(a), by_problem(b)
    # in one order, whatever the logs' was: the same answers give the same interval
    pairs = {problem: (of_a[problem], of_b[problem]) for problem in sorted(of_a.keys() & of_b.keys())}
    if len(pairs) < 2:
        raise OptionError(
            f"{a.task}: a paired comparison needs 2 problems or more that both answered; got {len(pairs)} "
            f"(A has {len(of_a)}, B {len(of_b)}); run more problems"
        )
    return _Paired(
        a,
        b,
        pairs,
        tuple(problem for problem in of_a if problem not in of_b),
        tuple(problem for problem in of_b if problem not in of_a),
        max(map(len, of_a.values())),
        max(map(len, of_b.values())),
    )


def _comparison(tasks: Sequence[_Paired], seed: int, resamples: int) -> Comparison:
    def effect(values: Sequence[Valued]) -> Effect | None:
        pairs = [_values(task, value) for task, value in zip(tasks, values, strict=True)]
        return paired_effect(pairs, seed, resamples) if all(len(each.a) >= 2 for each in pairs) else None

    first, several = tasks[0], len(tasks) > 1
    accuracy = effect([mean_accuracy] * len(tasks))
    assert accuracy is not None  # _pair saw to two pairs
    changes = sorted(_changes(tasks), key=lambda change: -abs(change.gain))
    ks = {task.k for task in tasks}
    return Comparison(
        task=f"average of {len(tasks)} tasks" if several else first.a.task,
        a=first.a.system,
        b=first.b.system,
        n_a=max(task.n_a for task in tasks),
        n_b=max(task.n_b for task in tasks),
        k=first.k if len(ks) == 1 else None,
        accuracy=accuracy,
        pass_at=effect([_pass_at(task.k) for task in tasks]) if len(ks) == 1 else None,
        length=effect([mean_length] * len(tasks)),
        truncated_a=float(np.mean([_values(task, _truncated).a.mean() for task in tasks])),
        truncated_b=float(np.mean([_values(task, _truncated).b.mean() for task in tasks])),
        gained=tuple(change for change in changes if change.gain > 0),
        lost=tuple(change for change in changes if change.gain < 0),
        only_a=tuple(problem for task in tasks for problem in task.only_a),
        only_b=tuple(problem for task in tasks for problem in task.only_b),
        settings={} if several else different_settings([first.a.settings, first.b.settings]),
    )


def _values(task: _Paired, value: Valued) -> Pairs:
    """What both are worth on each problem, where both are worth anything."""
    both = [(value(a), value(b)) for a, b in task.pairs.values()]
    kept = [pair for pair in both if None not in pair]
    return Pairs(*np.array(kept, dtype=float).reshape(-1, 2).T)


def _pass_at(k: int) -> Valued:
    return lambda outcomes: pass_at_k(outcomes, k) if len(outcomes) >= k else None


def _truncated(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.truncated for outcome in outcomes) / len(outcomes)


def _changes(tasks: Iterable[_Paired]) -> Iterable[Change]:
    for task in tasks:
        for problem, (a, b) in task.pairs.items():
            change = Change(
                task.a.task, problem, sum(each.correct for each in b), len(b), sum(each.correct for each in a), len(a)
            )
            if change.gain:
                yield change


def _listed(tasks: Iterable[str]) -> str:
    return ", ".join(map(display_name, in_order(tasks))) or "none"
