"""Graders in processes of their own, apart from generation: what hangs or dies there is one wrong answer, no more.

A pool is threads that each hold one `worker` and wait for it no longer than allowed; then it is killed, by SIGKILL and
so also where it hangs in C, and the next task gets a fresh one. multiprocessing's pools, and those built on it, run the
caller's script again in each worker: it would import torch there, and fail where it calls `eval()` at its top level.
"""

import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self

from thinklogit.core.errors import OptionError, ThinkLogitError, unknown_name
from thinklogit.evals.grading.verdicts import Verdict
from thinklogit.evals.grading.worker import Task


class Kind(NamedTuple):
    """A grader: where it is, how long one completion may take and how much memory. Code has limits of its own."""

    place: str
    limit_s: float = 30.0
    memory_bytes: int | None = 4 << 30


GRADING = "thinklogit.evals.grading"
KINDS: Mapping[str, Kind] = {
    "math": Kind(f"{GRADING}.maths:grade_maths"),
    "letter": Kind(f"{GRADING}.letters:grade_letter"),
    "mini": Kind(f"{GRADING}.mini:grade_mini", memory_bytes=None),
    "code": Kind(f"{GRADING}.code:grade_code", limit_s=3600.0, memory_bytes=None),
    "hidden_tests": Kind(
        "thinklogit.evals.tasks.hidden_tests:grade_by_hidden_tests", limit_s=3600.0, memory_bytes=None
    ),
}

LOADING_LIMIT_S = 300.0
"""For a grader's imports, on a disk that is slow or shared; not counted as grading."""


class GraderPool:
    """Grades completions in worker processes, started when there is something to grade.

    Args:
        workers: Completions graded at a time.
        limit_s: How long one may take, instead of what its kind says.
    """

    def __init__(self, workers: int = 2, limit_s: float | None = None) -> None:
        if workers < 1:
            raise OptionError(f"expected 1 or more workers, got {workers}")
        if limit_s is not None and not limit_s > 0:
            raise OptionError(f"expected a limit above 0 seconds, got {limit_s}")
        self._limit_s = limit_s
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="grader")
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        # Also without `close`, when the pool is forgotten or the program ends.
        self._end = weakref.finalize(self, _end_all, self._threads, self._all)

    def submit(
        self, kind: str, completion: str, reference: Any, truncated: bool = False, **options: Any
    ) -> Future[Verdict]:
        """Grade soon. The future raises ThinkLogitError where nothing can be said, such as code without a sandbox.

        A truncated completion is never right; its verdict says what an untruncated one would have got.
        """
        if kind not in KINDS:
            raise unknown_name("kind of grader", kind, KINDS)
        place, kind_limit_s, memory_bytes = KINDS[kind]
        task = Task(place, memory_bytes, completion, reference, options)
        return self._threads.submit(self._graded, task, self._limit_s or kind_limit_s, truncated)

    def grade(self, kind: str, completion: str, reference: Any, truncated: bool = False, **options: Any) -> Verdict:
        """Grade now."""
        return self.submit(kind, completion, reference, truncated, **options).result()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _graded(self, task: Task, limit_s: float, truncated: bool) -> Verdict:
        worker = self._worker()
        try:
            verdict = worker.grade(task, limit_s)
        finally:
            if worker.alive():
                self._idle.append(worker)
            else:
                self._all.discard(worker)
        return Verdict(False, verdict.extracted, f"truncated; else: {verdict.reason}") if truncated else verdict

    def _worker(self) -> "Worker":
        """An idle one that still lives, else a new one. No two threads pop the same."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive():
                return worker
            self._all.discard(worker)
        worker = Worker()
        self._all.add(worker)
        if not self._end.alive:  # closed meanwhile
            worker.end()
        return worker


class Worker:
    """One worker process, seen from the thread that it works for."""

    def __init__(self) -> None:
        ours, theirs = Pipe()
        start = f"import sys; sys.path[:] = {sys.path!r}; from {GRADING}.worker import main; main({theirs.fileno()})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", start],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the parent
            )
        self._connection: Connection = ours

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def grade(self, task: Task, limit_s: float) -> Verdict:
        """Have one completion graded; what overruns the limit, or dies, is wrong.

        Raises:
            ThinkLogitError: what the grader raised of it.
        """
        try:
            self._connection.send(task)
            loaded = self._answer(LOADING_LIMIT_S)
            answer = self._answer(limit_s) if loaded is None else loaded
        except TimeoutError:
            self.end()
            return Verdict(False, None, f"grading took longer than {limit_s:g} s")
        except (EOFError, OSError):
            self.end()
            return Verdict(False, None, f"the grader died: {_how_ended(self._process.returncode)}")
        if isinstance(answer, ThinkLogitError):
            raise answer
        return answer

    def _answer(self, limit_s: float) -> Any:
        if not self._connection.poll(limit_s):
            raise TimeoutError
        return self._connection.recv()

    def end(self) -> None:
        """Kill it, and what it has started; twice is once."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()


def _end_all(threads: ThreadPoolExecutor, workers: set[Worker]) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    for worker in list(workers):
        worker.end()


def _how_ended(exit_code: int) -> str:
    return f"killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"
