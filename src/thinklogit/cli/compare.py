"""`thinklogit compare`: two systems on the same problems, with what so many problems can and cannot show."""

import json as json_format
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter
from rich.console import Console

from thinklogit.core.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from thinklogit.evals.outcomes import Measurement
    from thinklogit.report.comparison import Comparison, Comparisons
    from thinklogit.report.effects import Effect

RESAMPLES = 10_000


class Contest(NamedTuple):
    """The measurements of two systems, A and B."""

    a: list["Measurement"]
    b: list["Measurement"]


def compare(
    run_a: Path,
    run_b: Path | None = None,
    /,
    *,
    json: bool = False,
    seed: Annotated[int, Parameter(show_default=True)] = 0,
    show: Annotated[int, Parameter(show_default=True)] = 20,
) -> None:
    """Compare two systems problem by problem: accuracy, pass@k, tokens, and which problems were gained and lost.

    Every difference is A minus B. Of a single run, its guided system (A) is compared with each other one (B).
    Intervals are a bootstrap over problems, p-values a sign-flip permutation test.

    Args:
        run_a: A run's folder, the folder of one system in it, such as RUN/guided, or a log.
        run_b: What to compare it with.
        json: Print one JSON object.
        seed: Of the bootstrap and the permutations.
        show: Problems to list of those gained, and of those lost.
    """
    if show < 0:
        raise OptionError(f"--show must be a number of problems, 0 or more; got {show}")
    contests = _within(run_a) if run_b is None else [_between(run_a, run_b)]
    from thinklogit.report.comparison import compare_tasks

    compared = [compare_tasks(each.a, each.b, seed=seed, resamples=RESAMPLES) for each in contests]
    if json:
        settings = {"difference": "A minus B", "seed": seed, "resamples": RESAMPLES}
        print(json_format.dumps({**settings, "comparisons": [_as_json(each) for each in compared]}, indent=2))
        return
    for place, each in enumerate(compared):
        if place:
            _say("")
        _print(each, show)


def _within(run: Path) -> list[Contest]:
    """The guided system of a run against each other one of it. Raises OptionError where that cannot be told."""
    systems = _systems(run)
    others = [measurements for system, measurements in systems.items() if system != "guided"]
    if len(systems) == 1:
        raise OptionError(f"{run} holds only {_named(systems)}; name a second run to compare it with")
    if "guided" not in systems:
        first, second = list(systems)[:2]
        raise OptionError(
            f"{run} holds {_named(systems)}, none of them guided: name two, such as {run / first} {run / second}"
        )
    return [Contest(systems["guided"], other) for other in others]


def _between(run_a: Path, run_b: Path) -> Contest:
    """The one system of each run, told apart by the runs' names where both have the same."""
    from thinklogit.report.systems import tell_apart

    if run_a.resolve() == run_b.resolve():
        raise OptionError(f"{run_a} was named twice; name two runs, or only this one to compare the systems in it")
    runs = {run: _only(run) for run in (run_a, run_b)}
    apart = tell_apart(runs)
    count = len(runs[run_a])
    return Contest(apart[:count], apart[count:])


def _only(run: Path) -> list["Measurement"]:
    systems = _systems(run)
    if len(systems) > 1:
        raise OptionError(f"{run} holds {_named(systems)}: name one, such as {run / _likely(systems)}")
    return next(iter(systems.values()))


def _systems(run: Path) -> dict[str, list["Measurement"]]:
    from thinklogit.evals.logs import read_measurements
    from thinklogit.report.systems import by_system

    systems = by_system(read_measurements([run]))
    if not systems:
        raise OptionError(f"{run} holds no measured task; name a run of thinklogit eval")
    return systems


def _likely(systems: Iterable[str]) -> str:
    """The one that was probably meant: the last in rank is ours."""
    return list(systems)[-1]


def _named(systems: Iterable[str]) -> str:
    return ", ".join(systems)


def _as_json(compared: "Comparisons") -> dict[str, Any]:
    from thinklogit.report.sentences import verdicts

    def plain(comparison: "Comparison") -> dict[str, Any]:
        row = asdict(comparison)
        for name in ("accuracy", "pass_at", "length"):
            for interval in ("interval", "ratio_interval"):
                if row[name] and row[name][interval]:
                    row[name][interval] = dict(zip(("low", "high"), row[name][interval], strict=True))
        for name in ("gained", "lost"):
            row[name] = [change._asdict() for change in getattr(comparison, name)]
        return {**row, "verdicts": verdicts(comparison)}

    return {
        "tasks": [plain(each) for each in compared.tasks],
        "average": plain(compared.average) if compared.average else None,
        "tasks_only_a": compared.only_a,
        "tasks_only_b": compared.only_b,
    }


def _print(compared: "Comparisons", show: int) -> None:
    from thinklogit.report.names import display_name

    first = compared.tasks[0]
    _say(f"A: {first.a}    B: {first.b}    every difference is A - B", style="bold")
    for comparison in compared.tasks:
        _print_comparison(comparison, show)
    if compared.average:
        _say("")
        _print_figures(compared.average)
    for system, tasks in ((first.a, compared.only_a), (first.b, compared.only_b)):
        if tasks:
            _say(f"Left out, answered only by {system}: {', '.join(map(display_name, tasks))}")


def _print_figures(comparison: "Comparison") -> None:
    from thinklogit.report.sentences import verdicts

    _say(_table(comparison))
    for sentence in verdicts(comparison):
        _say(sentence)


def _print_comparison(comparison: "Comparison", show: int) -> None:
    _say("")
    _print_figures(comparison)
    for title, changes in (("Gained", comparison.gained), ("Lost", comparison.lost)):
        each = [f"{c.problem_id} {c.b_correct}/{c.b_n} -> {c.a_correct}/{c.a_n}" for c in changes]
        _say(f"{title}, B -> A ({len(each)}): {_listed(each, show)}")
    for system, problems in ((comparison.a, comparison.only_a), (comparison.b, comparison.only_b)):
        if problems:
            _say(f"Left out, answered only by {system} ({len(problems)}): {_listed(problems, show)}")
    if comparison.settings:
        different = (f"{name} {_shown(a)} | {_shown(b)}" for name, (a, b) in comparison.settings.items())
        _say(f"Settings that differ, A | B: {', '.join(different)}")


def _table(comparison: "Comparison") -> "Table":
    from rich.table import Table

    from thinklogit.report.names import display_name
    from thinklogit.report.sentences import avg_at, p_text

    table = Table(
        "", "A", "B", "A - B [95%]", "", "problems", title_justify="left", title=display_name(comparison.task)
    )
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True

    def add(name: str, effect: "Effect | None", scale: float, digits: int = 1) -> None:
        if effect:
            difference, *interval = (f"{scale * each:+,.{digits}f}" for each in (effect.difference, *effect.interval))
            values = (f"{scale * each:,.{digits}f}" for each in (effect.a, effect.b))
            told = f"{difference} [{', '.join(interval)}]"
            table.add_row(name, *values, told, p_text(effect.p), str(effect.problems))

    add(f"{avg_at(comparison)} %", comparison.accuracy, 100)
    add(f"pass@{comparison.k} %", comparison.pass_at, 100)
    add("tokens", comparison.length, 1, digits=0)
    return table


def _listed(names: Sequence[str], show: int) -> str:
    more = len(names) - show
    return ", ".join([*names[:show], *([f"{more} more (--show {len(names)})"] if more > 0 else [])]) or "none"


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)


def _say(what: Any, style: str | None = None) -> None:
    """Words are kept whole on a terminal; elsewhere a sentence is a line."""
    Console(highlight=False, soft_wrap=not sys.stdout.isatty()).print(what, style=style, markup=False)
