"""The paper's table over runs: a row a system, a column a task. Knows what stands in it, not how it is printed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from thinklogit.core.errors import OptionError
from thinklogit.evals.metrics import Mean, Metrics, by_problem, mean_of_means, measure
from thinklogit.evals.outcomes import Measurement
from thinklogit.report import published as paper
from thinklogit.report.names import display_name, in_order
from thinklogit.report.systems import different_settings, in_rank, refuse_doubles

AVERAGE = "average"


class SystemRow(NamedTuple):
    """One system's metrics by task."""

    system: str
    metrics: dict[str, Metrics]


class ResultTable(NamedTuple):
    """Ours and the published rows. `n` is None where measurements differ in their completions a problem."""

    tasks: tuple[str, ...]
    n: int | None
    ks: tuple[int, ...]
    systems: tuple[SystemRow, ...]
    published: tuple[paper.PublishedRow, ...]
    notes: tuple[str, ...]

    @property
    def has_average(self) -> bool:
        """Whether there is more than one task to average."""
        return len(self.tasks) > 1

    @property
    def printed_average(self) -> bool:
        """Whether the published average is over the tasks that stand here."""
        return set(self.tasks) == set(paper.TASKS)

    @property
    def metric_names(self) -> str:
        """What stands in a cell: avg@8 / pass@8."""
        return " / ".join([f"avg@{self.n or 'n'}", *(f"pass@{k}" for k in self.ks)])


class Figure(NamedTuple):
    """One number of the table with everything that belongs to it; shares in percent."""

    system: str
    source: str
    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    standard_error: float | None
    unit: str
    problems: int | None
    completions: int | None


def tabulate(
    measurements: Sequence[Measurement], ks: Sequence[int] | None = None, published: bool = True
) -> ResultTable:
    """Compute the table, with pass@k for the `ks` [default: the most completions that a problem has anywhere].

    Raises:
        OptionError: for one system on one task twice, or a k that no task has completions for.
    """
    if not measurements:
        raise OptionError("a table needs a run with at least one measured task; found none; name another run")
    refuse_doubles(measurements)
    most = [max(map(len, by_problem(measurement).values())) for measurement in measurements]
    ks = tuple(sorted(set(ks))) if ks else tuple(k for k in {max(most)} if k > 1)
    if ks and ks[-1] > max(most):
        raise OptionError(f"pass@{ks[-1]} needs {ks[-1]} completions of each problem; these runs have {max(most)}")
    found = {each.task for each in measurements}
    rows: dict[str, dict[str, Metrics]] = {}
    for each, n in zip(measurements, most, strict=True):
        rows.setdefault(each.system, {})[each.task] = measure(each, [*ks, n])
    systems = in_rank(rows)
    printed = paper.ROWS if published and found & set(paper.TASKS) else ()
    table = ResultTable(
        in_order(found),
        most[0] if len(set(most)) == 1 else None,
        ks,
        tuple(SystemRow(s, rows[s]) for s in systems),
        printed,
        (),
    )
    return table._replace(notes=tuple(_notes(table, measurements)))


def average(table: ResultTable, row: SystemRow) -> tuple[Mean | None, ...]:
    """The system's average over tasks of avg@n and each pass@k; None where it lacks a task, or completions for k."""
    every = [row.metrics[task] for task in table.tasks if task in row.metrics]
    if len(every) < len(table.tasks):
        return (None,) * (1 + len(table.ks))
    columns = [shares(metrics, table.ks) for metrics in every]
    return tuple(
        mean_of_means([mean for mean in column if mean]) if all(column) else None
        for column in zip(*columns, strict=True)
    )


def shares(metrics: Metrics, ks: Sequence[int]) -> tuple[Mean | None, ...]:
    """avg@n and each pass@k."""
    return (metrics.accuracy, *(metrics.pass_at[k] for k in ks))


def figures(table: ResultTable) -> Iterator[Figure]:
    """Every number, a line each, in the order of the table: for pandas, or whatever reads CSV."""
    for row in table.systems:
        for task in table.tasks:
            if task in row.metrics:
                yield from _of_task(row.system, task, row.metrics[task])
        if table.has_average:
            names = table.metric_names.split(" / ")
            for name, mean in zip(names, average(table, row), strict=True):
                if mean:
                    yield _figure(row.system, AVERAGE, name, mean, 100)
    for row in table.published:
        for task in table.tasks:
            if task in row.cells:
                yield from _printed(row.system, task, row.cells[task])
        if table.printed_average:
            yield from _printed(row.system, AVERAGE, row.average)


def _of_task(system: str, task: str, metrics: Metrics) -> Iterator[Figure]:
    named = {f"avg@{metrics.n}": metrics.accuracy}
    named |= {f"pass@{k}": mean for k, mean in metrics.pass_at.items() if mean}
    named |= {f"maj@{k}": mean for k, mean in metrics.maj_at.items() if mean}
    named |= {"truncated": metrics.truncated, "no_answer": metrics.no_answer}
    for name, mean in named.items():
        yield _figure(system, task, name, mean, 100, metrics.completions)
    if metrics.new_tokens:
        yield _figure(system, task, "new_tokens", metrics.new_tokens, 1, metrics.completions)


def _figure(system: str, task: str, metric: str, mean: Mean, scale: int, completions: int | None = None) -> Figure:
    def scaled(value: float | None) -> float | None:
        return None if value is None else round(scale * value, 6)

    low, high = mean.interval or (None, None)
    unit = "percent" if scale == 100 else "tokens"
    value = round(scale * mean.value, 6)
    return Figure(
        system, "measured", task, metric, value, scaled(low), scaled(high), scaled(mean.se), unit,
        mean.problems, completions,
    )  # fmt: skip


def _printed(system: str, task: str, cell: paper.Printed) -> Iterator[Figure]:
    for metric, value in (("avg@8", cell.avg_at_8), ("pass@8", cell.pass_at_8)):
        if value is not None:
            yield Figure(
                system, f"published, {paper.SOURCE}", task, metric, value, None, None, None, "percent", None, None
            )


def _notes(table: ResultTable, measurements: Sequence[Measurement]) -> Iterator[str]:
    yield "Brackets: 95% interval over problems."
    if table.n is None:
        each = ((row.system, task, metrics.n) for row in table.systems for task, metrics in row.metrics.items())
        counts = ", ".join(f"{system} {display_name(task)} {n}" for system, task, n in each)
        yield f"n, completions a problem, differs: {counts}."
    for row in table.systems:
        for task, metrics in row.metrics.items():
            if metrics.incomplete:
                short = f"{len(metrics.incomplete)} of {metrics.problems}"
                name = f"{row.system}, {display_name(task)}"
                yield f"{name}: not finished; problems with fewer than {metrics.n} completions: {short}."
    for row in table.systems:
        changed = different_settings([each.settings for each in measurements if each.system == row.system])
        if changed:
            yield f"{row.system}: settings differ between its tasks: {', '.join(changed)}."
    for task in table.tasks:
        yield from _differences(task, [each for each in measurements if each.task == task])
    if table.published:
        yield from _on_published(table)


def _differences(task: str, measurements: Sequence[Measurement]) -> Iterator[str]:
    if len({each.version for each in measurements}) > 1:
        versions = ", ".join(f"{each.system} {each.version}" for each in measurements)
        yield f"{display_name(task)}: versions differ, do not compare these rows: {versions}."
    counts = {len(by_problem(each)) for each in measurements}
    if len(counts) > 1:
        listed = ", ".join(f"{each.system} {len(by_problem(each))}" for each in measurements)
        yield f"{display_name(task)}: numbers of problems differ: {listed}."


def _on_published(table: ResultTable) -> Iterator[str]:
    yield f"Published rows: avg@8 / pass@8 as printed in {paper.SOURCE}, not run here."
    if "math_hard" in table.tasks:
        yield "MATH-hard, published: 262 problems (levels 4 and 5 of the MATH-500 test split), a single figure."
    if table.printed_average:
        yield "Average, published: that of pass@8 is over the three tasks that have one."
