"""A grader's own process: takes one task after another from `pool`, until the other end of the pipe is gone.

It is started afresh and imports what its graders need and nothing else: no torch, and not the script of whoever grades.
"""

import ctypes
import importlib
import inspect
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from thinklogit.core.errors import OptionError, ThinkLogitError
from thinklogit.evals.grading.verdicts import Verdict

PR_SET_PDEATHSIG = 1


class Task(NamedTuple):
    """One completion to grade: by which function, given as "module:name", with how much memory, on what."""

    place: str
    memory_bytes: int | None
    completion: str
    reference: Any
    options: Mapping[str, Any]


def main(pipe: int) -> None:
    """Load the grader that a task names, say so, grade, and so on; the pipe is the number of an inherited file."""
    end_with_parent()
    connection = Connection(pipe)
    try:
        while True:
            task = connection.recv()
            try:
                grader = _loaded(task.place)
            except ImportError as error:
                missing = f"this grader needs what is not installed ({error})"
                connection.send(OptionError(f"{missing}: pip install 'thinklogit[eval]'"))
                continue
            connection.send(None)
            connection.send(_graded(grader, task))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass


def end_with_parent() -> None:
    """Let Linux kill this process with the thread that started it, so also when that is killed and we hang in C."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _loaded(place: str) -> Callable[..., Verdict]:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _graded(grader: Callable[..., Verdict], task: Task) -> Verdict | ThinkLogitError:
    """The verdict, or an error that the user can mend: then nothing is known of the completion."""
    try:
        inspect.signature(grader).bind(task.completion, task.reference, **task.options)
    except TypeError as error:
        return OptionError(f"{task.place}: {error}; see its options")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    soft = limits[1] if task.memory_bytes is None else task.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (soft, limits[1]))
    try:
        return grader(task.completion, task.reference, **task.options)
    except ThinkLogitError as error:
        return error
    except MemoryError:
        return Verdict(False, None, f"the grader needed more than {soft >> 30} GiB of memory")
    except Exception as error:
        return Verdict(False, None, f"the grader failed: {type(error).__name__}: {error}")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
