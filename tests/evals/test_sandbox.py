"""The sandbox holds every hostile program, and nothing of one is left: no process, no file, no long wait."""

import contextlib
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from evals.hostile_programs import MARKED, REFUSED, STOPPED

from thinklogit.core.errors import OptionError, SandboxError
from thinklogit.evals.grading import bubblewrap, runner_process, syscall_filter
from thinklogit.evals.grading.code import grade_code
from thinklogit.evals.grading.limits import Limits
from thinklogit.evals.grading.process_tree import usage
from thinklogit.evals.grading.runner_process import RunnerProcess, StoppedError
from thinklogit.evals.grading.sandbox import check_available, run_tests

LIMITS = Limits(time_per_test_s=0.3)
PATIENT = Limits(time_per_test_s=4.0, memory_bytes=512 << 20)
"""For what ends by itself, however busy the machine."""


def processes_named(marker: str) -> list[int]:
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text().strip() == marker:
                found.append(int(comm.parent.name))
    return found


@pytest.fixture
def marker() -> str:
    return uuid.uuid4().hex[:15]


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def written_out(program: str, marker: str, outside: Path, port: int = 0) -> str:
    known = {
        "MARKER": marker,
        "OUTSIDE": str(outside),
        "PORT": str(port),
        "GRADER": str(os.getpid()),
        "PREFIX": repr(Path(sys.base_prefix).parts[1]),
    }
    return re.sub("|".join(known), lambda found: known[found[0]], MARKED + program)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, marker: str, listener: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    (tmp_path / "secret").write_text("refused")
    program = written_out(REFUSED[name], marker, tmp_path, listener)
    started_s = time.monotonic()
    verdict = grade_code(program, [["", "refused"]], limits=PATIENT, code_given=True)
    assert verdict.reason == "the test passed"
    assert time.monotonic() - started_s < PATIENT.time_per_test_s
    assert processes_named(marker) == []
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("name", ["network", "mounts", "namespaces"])
def test_namespaces_hold_without_the_filter_of_system_calls(
    name: str, marker: str, listener: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_process, "seccomp_filter", lambda: struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    program = written_out(REFUSED[name], marker, tmp_path, listener)
    assert grade_code(program, [["", "refused"]], limits=PATIENT, code_given=True).reason == "the test passed"


@pytest.mark.parametrize("name", STOPPED)
def test_stopped(name: str, marker: str, tmp_path: Path) -> None:
    code, reason = STOPPED[name]
    started_s = time.monotonic()
    limits = LIMITS if "time limit" in reason else PATIENT
    verdict = grade_code(written_out(code, marker, tmp_path), [["", ""]], limits=limits, code_given=True)
    assert not verdict.correct
    assert re.fullmatch(reason, verdict.reason), verdict.reason
    assert time.monotonic() - started_s < 8
    assert processes_named(marker) == []


def test_marked_processes_can_be_seen_from_outside(marker: str, tmp_path: Path) -> None:
    """Else the tests above would prove nothing when they find none."""
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(
            grade_code, written_out("time.sleep(0.5)", marker, tmp_path), [["", ""]], code_given=True
        )
        seen = []
        while not running.done():
            seen += processes_named(marker)
        assert running.result().correct
    assert seen
    assert processes_named(marker) == []


def test_a_fork_bomb_is_contained_while_it_runs(marker: str, tmp_path: Path) -> None:
    bomb, _ = STOPPED["fork bomb"]
    most = 0
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(
            grade_code, written_out(bomb, marker, tmp_path), [["", ""]], limits=LIMITS, code_given=True
        )
        while not running.done():
            most = max(most, len(processes_named(marker)))
    assert 10 < most <= LIMITS.processes


def test_memory_is_watched_over_all_processes_while_they_run(tmp_path: Path) -> None:
    program = written_out(STOPPED["1 GB by eight"][0], "m", tmp_path)
    most = 0
    with ThreadPoolExecutor(1) as worker:
        limits = Limits(memory_bytes=512 << 20)
        running = worker.submit(grade_code, program, [["", ""]], limits=limits, code_given=True)
        while not running.done():
            most = max(most, usage(os.getpid()).memory_bytes)
            time.sleep(0.005)
        before = usage(os.getpid()).memory_bytes
    assert running.result().reason == "memory limit on test 1"
    assert most - before < 1 << 30  # what eight can touch in one look of the watch more than their limit


def test_each_test_begins_without_the_processes_of_the_last(marker: str, tmp_path: Path) -> None:
    daemon = REFUSED["daemon that holds the pipes"]
    runs = run_tests(written_out(daemon, marker, tmp_path), ["", "", ""], limits=PATIENT)
    assert [(run.stdout, run.failure, len(processes_named(marker))) for run in runs] == [("refused\n", None, 0)] * 3


def test_closing_the_runs_ends_the_sandbox_at_once(marker: str, tmp_path: Path) -> None:
    runs = run_tests(written_out("print(1)\nif os.fork() == 0: time.sleep(1000)", marker, tmp_path), ["", ""])
    assert next(runs).stdout == "1\n"
    runs.close()
    assert processes_named(marker) == []


def test_time_of_all_tests_together() -> None:
    runs = list(run_tests("import time\ntime.sleep(0.4)", [""] * 9, limits=Limits(time_s=1.0)))
    assert len(runs) < 4
    assert runs[-1].failure == ("time limit", "")


def test_killing_the_grader_ends_its_sandboxes(marker: str, tmp_path: Path) -> None:
    """A worker process that is killed at its own limit cannot tidy up."""
    program = written_out("time.sleep(1000)", marker, tmp_path)
    grading = (
        f"from thinklogit.evals.grading.code import grade_code\ngrade_code({program!r}, [['', '']], code_given=True)"
    )
    grader = subprocess.Popen([sys.executable, "-c", grading])
    _await(lambda: processes_named(marker))
    grader.kill()
    grader.wait()
    _await(lambda: not processes_named(marker), within_s=3.0)  # less than the time limit of the test


def _await(condition, within_s: float = 10.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_several_at_once() -> None:
    def graded(number: int) -> bool:
        return grade_code("print(int(input()) + 1)", [[str(number), str(number + 1)]], code_given=True).correct

    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(graded, range(12))) == [True] * 12


def test_a_sandbox_is_available_here() -> None:
    check_available()


def test_no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SandboxError, match=r"needs bwrap.*apt-get install bubblewrap.*--unsafe-local-exec"):
        check_available()


def test_no_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap.sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="needs Linux"):
        check_available()


def test_unknown_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall_filter.platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxError, match=r"x86_64 and aarch64, this machine is riscv64.*--unsafe-local-exec"):
        check_available()


@pytest.mark.parametrize(
    ("complaint", "cure"),
    [
        ("bwrap: No permissions to create new namespace", "user namespaces are off"),
        ("bwrap: setting up uid map: Permission denied", "user namespaces are off"),
        ("bwrap: Unknown option --disable-userns", "bubblewrap 0.8 or newer"),
        ("", "mend that"),
    ],
)
def test_a_sandbox_that_does_not_start_says_why(
    complaint: str, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match=f"{cure}.*--unsafe-local-exec") as error:
        check_available()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("printf '\\0\\0\\0\\0\\0\\0\\0\\2[['; sleep 9", "the program answered for its sandbox"),
        ("printf '\\1\\0\\0\\0\\0\\0\\0\\0'; cat /dev/zero", "the program answered for its sandbox"),
        ("exec sleep 9", "time limit"),
        ("exit 0", "the program ended its sandbox"),
    ],
)
def test_a_runner_that_was_taken_over_gains_nothing(says: str, why: str) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(["/bin/sh", "-c", says], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        runner = RunnerProcess(process, LIMITS)
        with pytest.raises(StoppedError, match=why):
            runner.ask(["x" * (1 << 20)], within_s=0.3)
        process.kill()
        runner.close()


def test_limits_are_above_zero() -> None:
    with pytest.raises(OptionError, match="processes: expected a limit above 0, got 0"):
        Limits(processes=0)


def test_unsafe_runs_are_announced_and_limited(capsys: pytest.CaptureFixture[str], marker: str, tmp_path: Path) -> None:
    runner_process._warn_once.cache_clear()

    def graded(code: str) -> str:
        return grade_code(
            written_out(code, marker, tmp_path), [["", "1"]], limits=LIMITS, code_given=True, unsafe=True
        ).reason

    assert graded("print(1)") == "the test passed"
    assert graded("bytearray(3 << 30)") == "memory limit on test 1"
    assert graded("os.fork()\nwhile True: pass") == "time limit on test 1"
    _await(lambda: not processes_named(marker))
    assert capsys.readouterr().err.count("WARNING: --unsafe-local-exec") == 1


def test_usage_counts_descendants() -> None:
    ready = threading.Event()
    with ThreadPoolExecutor(1) as worker:
        worker.submit(ready.wait)
        before = usage(os.getpid())
        with subprocess.Popen([sys.executable, "-c", "b = b'x' * 50_000_000; input()"], stdin=subprocess.PIPE) as child:
            _await(lambda: usage(os.getpid()).memory_bytes > before.memory_bytes + 50_000_000)
            assert usage(os.getpid()).tasks == before.tasks + 1
            child.communicate(b"\n")
        ready.set()


def test_no_process_is_left_for_others_to_see_off() -> None:
    """bubblewrap's watchers were killed before they had reaped what they watched.

    The zombies went to process 1, and in a container whose process 1 reaps nobody they stayed for ever, one a program.
    """
    script = (
        "import ctypes, os\n"
        "ctypes.CDLL(None).prctl(36, 1)  # orphans of ours come to us\n"
        "from thinklogit.evals.grading.code import grade_code\n"
        "from thinklogit.evals.grading.limits import Limits\n"
        "for code in ('print(1)', 'import os; os.fork(); print(1)', 'while True: pass'):\n"
        "    grade_code(code, [['', '1']], code_given=True, limits=Limits(time_per_test_s=0.5))\n"
        "    try:\n"
        "        print(os.waitpid(-1, os.WNOHANG))\n"
        "    except ChildProcessError:\n"
        "        print('nobody')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["nobody"] * 3, done.stdout + done.stderr
