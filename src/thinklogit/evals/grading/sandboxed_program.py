"""Inside the sandbox: runs one program over the tests that arrive, and tells what it wrote. Standard library only.

The tests come one at a time on standard input and the outcomes leave on standard output, each as eight bytes of length
and that much JSON. Expected outputs never come here, so a program that takes this process over has nothing to gain: it
can only hand back some output, as it could before.

Each test runs in a fork of this warm process. In the sandbox this is process 1, which no signal from within can stop.
"""

import builtins
import contextlib
import gc
import json
import os
import resource
import selectors
import signal
import sys
import time
import types
from typing import Any, NamedTuple

PREAMBLE = """\
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
from builtins import *
from typing import *
import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics
import itertools, functools, operator, io, sys, json
sys.setrecursionlimit(50000)
"""
"""What LiveCodeBench puts before every program, so before ours too.

https://github.com/LiveCodeBench/LiveCodeBench/blob/28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24/lcb_runner/evaluation/testing_util.py#L27
"""

STACK_BYTES = 120 << 20
"""What recursion in C may use of the main stack: the kernel keeps 128 MiB free below it."""
STDERR_BYTES = 4096
"""Only the end of standard error is kept: its last line names the exception."""
WATCH_S = 0.02


class Program(NamedTuple):
    """The source, the function that a test calls (None: it reads standard input), and what it may use."""

    code: str
    function: str | None
    time_per_test_s: float
    memory_bytes: int
    output_bytes: int
    file_bytes: int
    processes: int | None
    packages: str | None


class Pipes(NamedTuple):
    """(read, write) ends between this process and one run of the program."""

    stdin: tuple[int, int]
    stdout: tuple[int, int]
    stderr: tuple[int, int]
    result: tuple[int, int]


def main() -> None:
    """Say that the sandbox stands, take the program, then run it on each test until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # as the `site` module would have it
    sys.set_int_max_str_digits(50_000)  # as LiveCodeBench does
    exec(PREAMBLE, {})  # imports what it imports, once for all tests
    send({"ready": True})
    program = Program(**receive())
    limit_resources(program)
    warm_up(program)
    gc.freeze()  # half of what a run costs is its exit, and this halves that
    while True:
        test = receive()
        pipes = Pipes(*(os.pipe() for _ in range(4)))
        pid = os.fork()
        if pid == 0:
            return run(program, test, pipes)  # out by the interpreter's own exit: threads joined, buffers written
        send(attend(pid, pipes, test.encode(errors="surrogatepass"), program))


def receive() -> Any:
    """The next message from outside; ends this process when there is none."""
    size = int.from_bytes(_read_exactly(8), "big")
    return json.loads(_read_exactly(size))


def _read_exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(message: dict[str, Any]) -> None:
    """One message to the outside."""
    content = json.dumps(message).encode()
    _write(1, len(content).to_bytes(8, "big") + content)


def _write(end: int, content: bytes) -> None:
    unsent = memoryview(content)
    while unsent:
        unsent = unsent[os.write(end, unsent) :]


def limit_resources(program: Program) -> None:
    """Limits that this process and all it starts can never raise again."""
    limits = {
        resource.RLIMIT_AS: program.memory_bytes,
        resource.RLIMIT_FSIZE: program.file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_STACK: STACK_BYTES,
    }
    if program.processes is not None:
        limits[resource.RLIMIT_NPROC] = program.processes
    for what, wanted in limits.items():
        allowed = resource.getrlimit(what)[1]
        value = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
        resource.setrlimit(what, (value, value))


def warm_up(program: Program) -> None:
    """Import what takes long before the tests, so that it is paid once."""
    if program.packages is not None:
        sys.path.append(program.packages)
        if "numpy" in program.code:
            with contextlib.suppress(ImportError):  # then the program's own import says so
                import numpy  # noqa: F401


def run(program: Program, test: str, pipes: Pipes) -> None:
    """Be the program: in a fresh `__main__`, with the test on standard input or as arguments of its function."""
    _take_over(pipes)
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = ["program.py"]
    # LiveCodeBench takes what was printed, whatever the program said on leaving (#L176).
    with contextlib.suppress(SystemExit):
        exec(PREAMBLE, module.__dict__)
        exec(compile(program.code, "program.py", "exec"), module.__dict__)
        if program.function is not None:
            _write(3, json.dumps(call(program, module, test), default=_plain).encode())


def call(program: Program, module: types.ModuleType, test: str) -> Any:
    """What the function returns for arguments given as one JSON value a line (LiveCodeBench: #L192, #L246)."""
    holder = module.Solution() if "class Solution" in program.code else module
    return getattr(holder, str(program.function))(*(json.loads(line) for line in test.split("\n")))


def _take_over(pipes: Pipes) -> None:
    """Let the run have its pipes as 0 to 3 and nothing else of this process."""
    for number, end in enumerate((pipes.stdin[0], pipes.stdout[1], pipes.stderr[1])):
        os.dup2(end, number)
    os.dup2(pipes.result[1], 3)
    os.closerange(4, 64)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return value.tolist()
    raise TypeError(f"the function returned {type(value).__name__}, which is not a JSON value")


def attend(pid: int, pipes: Pipes, stdin: bytes, program: Program) -> dict[str, Any]:
    """Feed one run, gather what it writes, end it at a limit, and leave no process of it behind."""
    for end in (pipes.stdin[0], pipes.stdout[1], pipes.stderr[1], pipes.result[1]):
        os.close(end)
    run_of = Attended(pid, pipes, b"" if program.function else stdin, program)
    stopped, status = run_of.until_end()
    _end_all(pid)
    run_of.drain()
    if stopped is None and run_of.too_much():
        stopped = "output"
    texts = {name: content.decode("utf-8", errors="replace") for name, content in run_of.content.items()}
    return {"stopped": stopped, "exit_code": os.waitstatus_to_exitcode(status), **texts}


class Attended:
    """One run of the program, as seen from this process."""

    def __init__(self, pid: int, pipes: Pipes, stdin: bytes, program: Program) -> None:
        self.pid, self.program = pid, program
        self.unsent = memoryview(stdin)
        self.content = {"stdout": bytearray(), "stderr": bytearray(), "result": bytearray()}
        self.open = selectors.DefaultSelector()
        for name in self.content:
            self._watch(getattr(pipes, name)[0], selectors.EVENT_READ, name)
        self._watch(pipes.stdin[1], selectors.EVENT_WRITE, "stdin")
        self.open.register(0, selectors.EVENT_READ, "outside")
        self.started_s = time.monotonic()
        self.time_s = 0.0

    def _watch(self, end: int, event: int, name: str) -> None:
        os.set_blocking(end, False)
        self.open.register(end, event, name)

    def until_end(self) -> tuple[str | None, int]:
        """Why it was stopped (None: it ended by itself), and its wait status."""
        while True:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.time_s = time.monotonic() - self.started_s
            if ended:
                return None, status
            stopped = self._beyond_limit()
            if stopped is not None:
                os.kill(self.pid, signal.SIGKILL)
                return stopped, os.waitpid(self.pid, 0)[1]
            self.pass_on(WATCH_S if self._any_pipe() else 0.001)  # all pipes closed: about to exit, as a rule

    def _any_pipe(self) -> bool:
        return len(self.open.get_map()) > 1

    def _beyond_limit(self) -> str | None:
        if self.too_much():
            return "output"
        return "time" if self.time_s > self.program.time_per_test_s else None

    def too_much(self) -> bool:
        """Whether it wrote more than it may."""
        limit = self.program.output_bytes
        return len(self.content["stdout"]) > limit or len(self.content["result"]) > limit

    def pass_on(self, timeout_s: float) -> bool:
        """Wait for a pipe and serve it once; False where none was ready."""
        ready = self.open.select(timeout_s)
        for key, _ in ready:
            if key.data == "outside":
                os._exit(0)  # during a run nothing comes from outside but the end: whoever asked was killed
            if not (self._feed(key.fd) if key.data == "stdin" else self._gather(key.fd, key.data)):
                self.open.unregister(key.fd)
                os.close(key.fd)
        return bool(ready)

    def _feed(self, end: int) -> bool:
        try:
            self.unsent = self.unsent[os.write(end, self.unsent[: 1 << 16]) :]
        except BrokenPipeError:
            return False
        return bool(self.unsent)

    def _gather(self, end: int, name: str) -> bool:
        part = os.read(end, 1 << 16)
        self.content[name] += part
        if name == "stderr":
            del self.content[name][:-STDERR_BYTES]
        return bool(part)

    def drain(self) -> None:
        """What is still in the pipes when nobody writes any more."""
        while self._any_pipe() and not self.too_much() and self.pass_on(0):
            pass
        for key in list(self.open.get_map().values()):
            if key.data != "outside":
                os.close(key.fd)
        self.open.close()


def _end_all(pid: int) -> None:
    """Kill whatever the run left: in the sandbox everything but this process, outside of it only its own session."""
    sandboxed = os.getpid() == 1
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL) if sandboxed else os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while sandboxed:
            os.waitpid(-1, 0)


if __name__ == "__main__":
    main()
