"""Runs programs that nobody has read: one sandbox a program, all its tests in it, and nothing of it left afterwards.

    limits.py             what a program may use
    bubblewrap.py         the sandbox's namespaces, files and devices
    syscall_filter.py     the system calls it refuses
    sandboxed_program.py  inside: runs the program on each input
    runner_process.py     outside: starts, asks, watches, ends it
    process_tree.py       what all its processes use

Inputs go in and outputs come out; what was expected never enters.
"""

import signal
import time
from collections.abc import Generator, Sequence
from importlib.util import find_spec
from pathlib import Path
from platform import release
from typing import Any, NamedTuple

from thinklogit.evals.grading.bubblewrap import PACKAGES
from thinklogit.evals.grading.limits import Limits
from thinklogit.evals.grading.runner_process import RunnerProcess, StoppedError, started

SLACK_S = 2.0
"""How much later than the runner inside this side loses patience."""
COUNTED_PER_SANDBOX = (5, 14)
"""Before this Linux, the limit on processes counted all of the user, not those of one user namespace."""


class Failure(NamedTuple):
    """What went wrong in one test, in the words of a verdict: ("exit code 1", "NameError: ...")."""

    what: str
    detail: str = ""


class Run(NamedTuple):
    """One test of a program: what it printed, what its function returned (JSON), and why it failed, if it did."""

    stdout: str
    result: str
    failure: Failure | None
    time_s: float


def check_available() -> None:
    """Start an empty sandbox. Raises SandboxError, saying what is missing and how to get it."""
    with started(Limits(), unsafe=False):
        pass


def run_tests(
    code: str, tests: Sequence[str], *, function: str | None = None, limits: Limits | None = None, unsafe: bool = False
) -> Generator[Run, None, None]:
    """Run the program on each test, one run at a time; closing the iterator ends it at once.

    A test is what stands on standard input, or the arguments of `function`, one JSON value a line. After a run that
    broke the sandbox itself there are no more. `unsafe` runs the program as a plain process of this user.

    Raises:
        SandboxError: where the sandbox cannot be had, unless `unsafe`.
    """
    limits = limits or Limits()
    first: list[object] = [_program(code, function, limits, unsafe=unsafe)]
    with started(limits, unsafe=unsafe) as runner:
        end_s = time.monotonic() + limits.whole_time_s(len(tests))
        for test in tests:
            started_s = time.monotonic()
            try:
                answer = _asked(runner, [*first, test], min(limits.time_per_test_s + SLACK_S, end_s - started_s))
            except StoppedError as stopped:
                yield Run("", "", Failure(str(stopped)), time.monotonic() - started_s)
                return
            first = []
            failure = _failure(answer, limits)
            yield Run(answer["stdout"], answer["result"], failure, time.monotonic() - started_s)


def _program(code: str, function: str | None, limits: Limits, *, unsafe: bool) -> dict[str, Any]:
    """What the runner is told first: the fields of its `Program`."""
    counted = tuple(map(int, release().split(".")[:2])) >= COUNTED_PER_SANDBOX
    numpy = find_spec("numpy")
    beside_numpy = str(Path(numpy.origin).parents[1]) if numpy and numpy.origin else None
    return {
        "code": code,
        "function": function,
        "time_per_test_s": limits.time_per_test_s,
        "memory_bytes": limits.memory_bytes,
        "output_bytes": limits.output_bytes,
        "file_bytes": limits.disk_bytes,
        "processes": limits.processes if counted and not unsafe else None,
        "packages": beside_numpy if unsafe else PACKAGES,
    }


ANSWER = {"stopped": (str, type(None)), "exit_code": int, "stdout": str, "stderr": str, "result": str}


def _asked(runner: RunnerProcess, messages: list[object], within_s: float) -> dict[str, Any]:
    answer = runner.ask(messages, within_s)
    if not isinstance(answer, dict) or not all(
        isinstance(answer.get(name, 0.0), kind) for name, kind in ANSWER.items()
    ):
        raise StoppedError("the program answered for its sandbox")
    return answer


def _failure(answer: dict[str, Any], limits: Limits) -> Failure | None:
    """Why the run counts as failed whatever it printed; None where it does not."""
    if answer["stopped"] == "time":
        return Failure("time limit")
    if answer["stopped"] == "output":
        return Failure(f"output larger than {limits.output_bytes / 1e6:g} MB")
    if answer["exit_code"] == 0:
        return None
    if answer["exit_code"] < 0:
        return Failure(f"killed by {_signal_name(-answer['exit_code'])}")
    said = answer["stderr"].strip().splitlines()
    last = said[-1][:200] if said else ""
    if "MemoryError" in last.split(":")[0]:
        return Failure("memory limit")
    return Failure(f"exit code {answer['exit_code']}", last)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
