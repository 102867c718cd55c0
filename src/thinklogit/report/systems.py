"""Which systems there are in some runs, and what each is called, so that no two go by one name."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from thinklogit.core.errors import OptionError
from thinklogit.evals.outcomes import Measurement
from thinklogit.report.names import display_name

RANK = {"target": 0, "guider": 1, "base": 2, "guided": 4}
"""Baselines above ours, as in the paper; other models stand between, in the order they came."""


def tell_apart(runs: Mapping[Path, Sequence[Measurement]]) -> list[Measurement]:
    """All measurements, in order; a system that answered one task in several runs gets their names: "guided (half)"."""
    places: dict[tuple[str, str], set[Path]] = {}
    for run, measurements in runs.items():
        for each in measurements:
            places.setdefault((each.system, each.task), set()).add(run)
    doubled = {system for (system, _), where in places.items() if len(where) > 1}
    names = _names(list(runs))
    return [
        replace(each, system=f"{each.system} ({names[run]})") if each.system in doubled else each
        for run, measurements in runs.items()
        for each in measurements
    ]


def by_system(measurements: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """The measurements of each system, in the order of a table's rows."""
    found: dict[str, list[Measurement]] = {}
    for each in measurements:
        found.setdefault(each.system, []).append(each)
    return {system: found[system] for system in in_rank(found)}


def in_rank(systems: Iterable[str]) -> list[str]:
    """Systems in the order of a table's rows."""
    return sorted(systems, key=lambda system: RANK.get(system.split(" (")[0], 3))


def refuse_doubles(measurements: Iterable[Measurement]) -> None:
    """Raise OptionError where one system answered one task twice: which of them should stand?"""
    seen = set()
    for each in measurements:
        if (each.system, each.task) in seen:
            raise OptionError(
                f"{each.system} answered {display_name(each.task)} twice in what was named; name only one of the two"
            )
        seen.add((each.system, each.task))


def different_settings(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The settings that are not the same in all, each with its values; None where one is not set."""
    names = dict.fromkeys(name for each in settings for name in each)
    values = {name: tuple(each.get(name) for each in settings) for name in names}
    return {name: found for name, found in values.items() if any(each != found[0] for each in found)}


def _names(runs: Sequence[Path]) -> dict[Path, str]:
    """The part of each path that tells it from the others."""
    whole = {run: run.resolve() for run in runs}
    shared = os.path.commonpath([path.parent for path in whole.values()])
    return {run: str(path.relative_to(shared)) for run, path in whole.items()}
