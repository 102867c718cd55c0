"""Reads what inspect-ai wrote: its logs, ours or any that our tasks were run with, as measurements.

Loads no samples where their summaries do.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

from inspect_ai.log import (
    EvalLog,
    EvalSampleSummary,
    list_eval_logs,
    read_eval_log,
    read_eval_log_sample_summaries,
)

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.evals.outcomes import Measurement, Outcome

RIGHT = ("C", 1, 1.0, True)


def headers(place: Path) -> list[EvalLog]:
    """The logs in a folder and the folders in it, or one log, without their samples; oldest first.

    Raises RecordError for a log that cannot be read.
    """
    if place.is_file():
        return [read_log(place, header_only=True)]
    if not place.is_dir():
        return []
    found = (path_of(info.name) for info in list_eval_logs(str(place), recursive=True))
    return sorted((read_log(path, header_only=True) for path in found), key=lambda log: log.eval.created)


def path_of(log: EvalLog | str) -> Path:
    """Where a log lies."""
    location = log if isinstance(log, str) else log.location
    return Path(unquote(urlparse(location).path) if location.startswith("file:") else location)


def current(place: Path) -> list[EvalLog]:
    """One log a task and system and shard: a finished one, else the newest. Raises OptionError when there is none."""
    latest: dict[str, EvalLog] = {}
    for log in headers(place):
        before = latest.get(log.eval.task_id)
        if before is None or log.status == "success" or before.status != "success":
            latest[log.eval.task_id] = log
    if not latest:
        raise OptionError(f"{place}: no logs of an evaluation; expected a folder that `thinklogit eval -o` wrote")
    return list(latest.values())


def read_measurements(paths: Sequence[Path]) -> list[Measurement]:
    """What runs measured, shards of one task and system put together, in the order they were begun.

    Raises:
        OptionError: a place without logs.
        RecordError: a log that cannot be read, or that holds a completion another holds too.
    """
    parts: dict[tuple[str, ...], list[Measurement]] = {}
    for path in paths:
        for log in current(path):
            part = measurement_of(log)
            parts.setdefault((str(path), part.task, part.version, part.system), []).append(part)
    return [_joined(each) for each in parts.values()]


def measurement_of(log: EvalLog) -> Measurement:
    """What one log holds. A completion that failed, or is not graded yet, is left out."""
    metadata = log.eval.metadata or {}
    summaries = read_eval_log_sample_summaries(log.location)
    return Measurement(
        task=log.eval.task.rsplit("/", 1)[-1],
        version=str(log.eval.task_version),
        system=metadata.get("system", log.eval.model),
        outcomes=tuple(_outcome(each) for each in summaries if each.scores and not each.error),
        settings=metadata.get("settings", {}),
    )


def read_log(path: Path, header_only: bool) -> EvalLog:
    """A log, with its samples or without. Raises RecordError for what is none."""
    try:
        return read_eval_log(str(path), header_only=header_only)
    except Exception as error:  # whatever a zip, JSON or schema library says of a file that is none
        reason = " ".join(str(error).split())
        raise RecordError(f"{path}: expected a log of inspect-ai, found something else: {reason:.100}") from None


def _outcome(summary: EvalSampleSummary) -> Outcome:
    verdict = next(iter((summary.scores or {}).values()))
    noted = verdict.metadata or {}
    used = sum(usage.output_tokens for usage in summary.model_usage.values()) if summary.model_usage else None
    return Outcome(
        problem_id=str(summary.id),
        index=summary.epoch - 1,
        correct=verdict.value in RIGHT,
        extracted=verdict.answer,
        new_tokens=noted.get("new_tokens", used),
        truncated=noted.get("truncated", False),
        reason=verdict.explanation or "",
    )


def _joined(parts: Iterable[Measurement]) -> Measurement:
    first, *others = parts
    outcomes = {(each.problem_id, each.index): each for each in first.outcomes}
    for part in others:
        for each in part.outcomes:
            if (each.problem_id, each.index) in outcomes:
                raise RecordError(
                    f"{part.task}, {part.system}: two logs hold completion {each.index} of problem {each.problem_id}; "
                    "name one of them"
                )
            outcomes[each.problem_id, each.index] = each
    return Measurement(first.task, first.version, first.system, tuple(outcomes.values()), first.settings)
