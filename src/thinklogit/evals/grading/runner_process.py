"""The runner of a sandbox as a process of this machine: started, asked, watched, and ended with all it started.

Its word is not trusted, since a program may have taken it over: every answer has a deadline and a greatest size, and
memory and tasks of the whole sandbox are counted from here.
"""

import contextlib
import json
import os
import select
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

from thinklogit.core.errors import SandboxError
from thinklogit.evals.grading.bubblewrap import ENVIRONMENT, RUNNER, python_command, sandbox_command, start_failure
from thinklogit.evals.grading.limits import Limits
from thinklogit.evals.grading.process_tree import descendants, usage
from thinklogit.evals.grading.syscall_filter import seccomp_filter

START_S = 30.0
"""How long a sandbox may take to stand on a busy machine; below 0.1 s as a rule."""
ENDING_S = 2.0
"""How long bubblewrap's watchers may take to end after what they watch."""
WATCH_S = 0.02
MONITORS = 4
"""Tasks beside the program's: bubblewrap's own, which wait, and the runner."""


class StoppedError(Exception):
    """The sandbox is to be ended, or has ended; the message says why, in the words of a verdict."""


class RunnerProcess:
    """A started runner."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.limits = process, limits
        self.requests: IO[bytes] = process.stdin
        self.answers: IO[bytes] = process.stdout
        self._unsent = memoryview(b"")
        self._received = bytearray()
        self._watched_s = time.monotonic()
        self._ready = selectors.DefaultSelector()
        for pipe in (self.requests, self.answers):
            os.set_blocking(pipe.fileno(), False)
        self._ready.register(self.answers, selectors.EVENT_READ)

    def ask(self, messages: list[object], within_s: float) -> Any:
        """Send the messages and await one answer. Raises StoppedError where none comes, or a limit is passed."""
        deadline_s = time.monotonic() + within_s
        self._unsent = memoryview(b"".join(map(_framed, messages)))
        if self._unsent:
            self._ready.register(self.requests, selectors.EVENT_WRITE)
        while (answer := self._whole_answer()) is None:
            if time.monotonic() > deadline_s:
                raise StoppedError("time limit")
            self._watch()
            for key, _ in self._ready.select(WATCH_S):
                self._write() if key.fileobj is self.requests else self._read()
        return answer

    def _write(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it ended: the answers' pipe says so too
            self._unsent = self._unsent[os.write(self.requests.fileno(), self._unsent[: 1 << 16]) :]
            if self._unsent:
                return
        self._ready.unregister(self.requests)

    def _read(self) -> None:
        part = os.read(self.answers.fileno(), 1 << 20)
        if not part:
            raise StoppedError("the program ended its sandbox")
        self._received += part
        if len(self._received) > 8 * self.limits.output_bytes + (1 << 16):  # JSON writes up to 6 bytes for one
            raise StoppedError("the program answered for its sandbox")

    def _whole_answer(self) -> Any:
        end = 8 + int.from_bytes(self._received[:8], "big")
        if len(self._received) < max(end, 8):
            return None
        content = bytes(self._received[8:end])
        del self._received[:end]
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise StoppedError("the program answered for its sandbox") from None

    def _watch(self) -> None:
        if time.monotonic() - self._watched_s < WATCH_S:
            return
        used = usage(self.process.pid)
        if used.memory_bytes > self.limits.memory_bytes:
            raise StoppedError("memory limit")
        if used.tasks > self.limits.processes + MONITORS:
            raise StoppedError("process limit")
        self._watched_s = time.monotonic()

    def close(self) -> None:
        """Let go of the pipes."""
        self._ready.close()
        for pipe in (self.requests, self.answers, self.process.stderr):
            assert pipe is not None
            pipe.close()


@contextmanager
def started(limits: Limits, *, unsafe: bool) -> Generator[RunnerProcess, None, None]:
    """A runner that is ready for a program. Raises SandboxError where the sandbox cannot be had."""
    with _unsafe_process() if unsafe else _sandboxed_process(limits) as process:
        runner = RunnerProcess(process, limits)
        try:
            _await_start(runner)
            with _nothing_left(process, unsafe=unsafe):
                yield runner
        finally:
            runner.close()


def _await_start(runner: RunnerProcess) -> None:
    try:
        runner.ask([], START_S)
    except StoppedError as stopped:
        complaints = runner.process.stderr
        assert complaints is not None
        os.set_blocking(complaints.fileno(), False)  # a sandbox that hangs keeps it open
        raise start_failure((complaints.read(1 << 16) or str(stopped).encode()).decode(errors="replace")) from None


@contextmanager
def _sandboxed_process(limits: Limits) -> Generator[subprocess.Popen[bytes], None, None]:
    with RUNNER.open("rb") as runner, tempfile.TemporaryFile() as rules:
        rules.write(seccomp_filter())
        rules.seek(0)
        command = sandbox_command(limits.disk_bytes, runner.fileno(), rules.fileno())
        process = _popen(command, pass_fds=(runner.fileno(), rules.fileno()))
    try:
        yield process
    finally:
        try:
            process.wait(ENDING_S)  # its watchers end from the inside out, each after it has seen off the next
        except subprocess.TimeoutExpired:
            process.kill()  # what they watch dies with them, but zombies stay where nobody reaps orphans
            process.wait()


@contextmanager
def _nothing_left(process: subprocess.Popen[bytes], *, unsafe: bool) -> Generator[None, None, None]:
    """Afterwards every process of the sandbox has ended, not only been told to."""
    first = list(descendants(process.pid))[-1]  # a chain of watchers, and process 1 of the sandbox at its end
    if unsafe:
        yield
        return
    if first == process.pid:
        raise SandboxError(
            "the sandbox cannot be watched: this kernel has no /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN); "
            "use another kernel, or pass --unsafe-local-exec"
        )
    handle = os.pidfd_open(first)
    try:
        yield
    finally:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        ended.poll()  # process 1 ends when all others of its namespace have
        os.close(handle)


@contextmanager
def _unsafe_process() -> Generator[subprocess.Popen[bytes], None, None]:
    _warn_once()
    folder = tempfile.mkdtemp(prefix="thinklogit-unsafe-")
    process = _popen([*python_command(), str(RUNNER)], cwd=folder)
    try:
        yield process
    finally:
        for pid in list(descendants(process.pid)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _popen(command: list[str], *, pass_fds: tuple[int, ...] = (), cwd: str | None = None) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, cwd=cwd, pass_fds=pass_fds
    )


@cache
def _warn_once() -> None:
    print(
        "WARNING: --unsafe-local-exec runs programs written by a model as plain processes of this user, with the "
        "user's files and network; use it in a machine you can throw away only",
        file=sys.stderr,
    )


def _framed(message: object) -> bytes:
    content = json.dumps(message).encode()
    return len(content).to_bytes(8, "big") + content
