"""A run: tasks answered in several modes, as logs of inspect-ai in one folder that the same command continues.

    RUN/guided/*.eval       one log a task; `inspect view --log-dir RUN` opens them all
    RUN/target/*.eval
    RUN/guided/shard-2-of-8/*.eval      a part of a job array
    RUN/answers/            what has been answered and is in no finished log yet

inspect's eval set keeps what a killed run has logged; its cache of answers keeps what was answered but not yet logged,
so nothing finished is asked twice. Each completion's seed comes from its problem and index (evals/asking.py).
"""

import gc
import os
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from logging import ERROR, getLogger
from pathlib import Path
from shutil import rmtree
from typing import Any

from inspect_ai import Epochs, Task, eval_set
from inspect_ai._util.error import PrerequisiteError  # what it raises for a folder that it cannot continue
from inspect_ai.hooks import Hooks, SampleEnd, hooks
from inspect_ai.log import EvalLog
from inspect_ai.model import CachePolicy

from thinklogit.core.errors import EvaluationError, OptionError, RunChangedError
from thinklogit.evals.logs import current, headers, measurement_of, path_of
from thinklogit.evals.systems import System

OnSample = Callable[[int], None]
"""Called with the new tokens of each completion, as it is graded and logged."""


@dataclass(frozen=True)
class Shard:
    """Every `of`-th problem, from the `number`-th on; 1 of 1 is all."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "2/8". Raises OptionError."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise OptionError(f"--shard must be i/N with i from 1 to N, such as 2/8; got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def folder(self, system: Path) -> Path:
        """Where its logs lie, so that the jobs of an array do not meet."""
        return system if self.of == 1 else system / f"shard-{self.number}-of-{self.of}"


def chosen(task: Task, limit: int | None, shard: Shard) -> Task:
    """The task with the first `limit` problems only, and of these the shard's."""
    ids = [sample.id for sample in task.dataset][:limit][shard.number - 1 :: shard.of]
    if not ids:
        raise OptionError(f"{task.name}: no problem is left for shard {shard.number}/{shard.of}; use fewer shards")
    wanted = set(ids)
    task.dataset = task.dataset.filter(lambda sample: sample.id in wanted)
    return task


def evaluate(
    tasks: Sequence[Task], system: System, run: Path, *, n: int, shard: Shard, on_sample: OnSample, grade: bool = True
) -> list[EvalLog]:
    """Answer, and unless it is left for later grade, what the run's folder lacks for this system: n of each problem.

    Raises:
        RunChangedError: the folder holds completions made in another way.
        EvaluationError: what a request or a grader failed with; what was finished is kept.
    """
    folder = shard.folder(run / system.label)
    answers = shard.folder(run / "answers" / system.label)
    check_unchanged(folder, tasks, system.settings)
    config = system.config.model_dump(exclude_none=True)
    getLogger("inspect_ai").setLevel(ERROR)  # it warns of retry settings that are meant
    with _answers_kept_in(answers), _reporting(on_sample), _collecting_rarely(), redirect_stdout(StringIO()):
        try:
            eval_set(
                list(tasks),
                log_dir=str(folder),
                log_dir_allow_dirty=True,  # other tasks may join; what has changed is refused above
                model=[system.model],
                epochs=Epochs(n, "mean"),
                metadata={"system": system.label, "settings": system.settings},
                tags=[system.label],
                display="none",
                log_level="error",
                log_realtime=False,
                score=grade,
                retry_attempts=0,
                max_tasks=1,
                max_samples=2 * (system.config.max_connections or 32),  # grading keeps no completion from being asked
                cache=CachePolicy(expiry=None),
                **config,
            )
        except PrerequisiteError as error:
            raise EvaluationError(f"{folder}: {error}") from None
    # What eval_set returns calls an interrupted run finished; what it wrote does not.
    names = {_name(task.name) for task in tasks}
    logs = [log for log in current(folder) if _name(log.eval.task) in names]
    if any(log.status == "cancelled" for log in logs):
        raise KeyboardInterrupt
    for log in logs:
        if log.status != "success":
            raise _failure(log, folder)
    _drop_superseded(folder)
    if all(log.status == "success" for log in current(folder)):  # else they are of tasks that wait to be continued
        rmtree(answers, ignore_errors=True)
        with suppress(OSError):  # there are answers of other shards or systems in it
            os.removedirs(answers.parent)
    return logs


def graded(folder: Path) -> int:
    """How many completions its logs hold already."""
    return sum(len(measurement_of(log).outcomes) for log in current(folder)) if headers(folder) else 0


def check_unchanged(folder: Path, tasks: Sequence[Task], settings: dict[str, Any]) -> None:
    """Refuse to add completions made in another way. Raises RunChangedError, which tells the differences."""
    asked = {_name(task.name): task for task in tasks}
    for log in headers(folder):
        kept = log.eval.metadata or {}
        before, now = dict(kept.get("settings", {})), dict(settings)
        task = asked.get(_name(log.eval.task))
        if task:
            before |= {"version": str(log.eval.task_version), "problems": kept.get("data_digest")}
            now |= {"version": str(task.version), "problems": (task.metadata or {}).get("data_digest")}
        names = [*now, *(name for name in before if name not in now)]
        changes = [
            f"{name} {_shown(before.get(name))}, now {_shown(now.get(name))}"
            for name in names
            if before.get(name) != now.get(name)
        ]
        if changes:
            raise RunChangedError(f"{folder} was made with {'; '.join(changes)}; use another -o, or the same settings")


def _name(task: str) -> str:
    """Without the package, which inspect puts before the names of tasks that it found by entry point."""
    return task.rsplit("/", 1)[-1]


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)


def _drop_superseded(folder: Path) -> None:
    """Remove the logs that a kill left unfinished, where a finished one of the same task took their completions."""
    logs = headers(folder)
    finished = {log.eval.task_id for log in logs if log.status == "success"}
    for log in logs:
        if log.status != "success" and log.eval.task_id in finished:
            path_of(log).unlink(missing_ok=True)


def _failure(log: EvalLog, folder: Path) -> EvaluationError:
    reason = log.error.message if log.error else log.status
    return EvaluationError(
        f"{log.eval.task}: {reason.strip()}; what was finished is kept in {folder}; repeat the command to continue"
    )


@contextmanager
def _answers_kept_in(folder: Path) -> Generator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("INSPECT_CACHE_DIR")
    os.environ["INSPECT_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["INSPECT_CACHE_DIR"]
        else:
            os.environ["INSPECT_CACHE_DIR"] = before


@contextmanager
def _collecting_rarely() -> Generator[None]:
    """Each sample of inspect's makes thousands of objects; to walk all that is loaded again and again costs as much."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


_listeners: list[OnSample] = []


@hooks(name="thinklogit_progress", description="Tells the command line of each completion that is graded.")
class Progress(Hooks):
    """What inspect calls; it has no other way to tell of a sample's end without its own display."""

    def enabled(self) -> bool:
        """Only while a run of ours asks."""
        return bool(_listeners)

    async def on_sample_end(self, data: SampleEnd) -> None:
        """Pass on the length of a graded completion."""
        if data.sample.error is None:
            usage = data.sample.output.usage
            for listener in _listeners:
                listener(usage.output_tokens if usage else 0)


@contextmanager
def _reporting(on_sample: OnSample) -> Generator[None]:
    _listeners.append(on_sample)
    try:
        yield
    finally:
        _listeners.remove(on_sample)
