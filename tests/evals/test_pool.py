"""The pool of graders: what goes wrong in one completion stays there, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinklogit.core.errors import OptionError, SandboxError
from thinklogit.evals.grading.pool import KINDS, GraderPool, Kind

GRADERS = "graders_for_tests"
NAMES = ("equal", "endless", "stuck_in_c", "dies", "raises", "cannot", "eats_memory", "talks", "process")


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """The graders of the tests besides the real ones."""
    here = {name: Kind(f"{GRADERS}:{name}") for name in NAMES}
    lost = {"lost": Kind("a_module_that_is_not_there:grade")}
    monkeypatch.setattr("thinklogit.evals.grading.pool.KINDS", {**KINDS, **here, **lost})
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def pool():
    with GraderPool(workers=1, limit_s=20) as pool:
        yield pool


def gone(pid, within_s=3.0):
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def written(path, within_s=10.0):
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{path} was never written")


def test_real_graders_by_kind(pool):
    assert pool.grade("math", r"\boxed{\frac{2}{4}}", "0.5") == (True, r"\frac{2}{4}", "math-verify: equal")
    assert pool.grade("math", r"\boxed{027}", "27", integer=True).reason == "equal as integers"
    assert pool.grade("letter", r"\boxed{B}", "B").correct
    assert not pool.grade("letter", r"\boxed{J}", "B", choices="ABCDEFGHIJ").correct


def test_many_at_a_time_and_in_any_order():
    with GraderPool(workers=3) as pool:
        futures = [pool.submit("equal", str(number % 7), "3") for number in range(200)]
        wait(futures)
        assert [future.result().correct for future in futures] == [number % 7 == 3 for number in range(200)]


def test_a_worker_is_kept_and_imports_nothing_heavy(pool):
    first = pool.grade("process", "", "")
    pool.grade("math", "1", "1")
    pool.grade("letter", "B", "B")
    second = pool.grade("process", "", "")
    assert first.extracted == second.extracted
    assert second.reason == "heavy: []"
    assert os.getpgid(int(second.extracted)) == int(second.extracted)  # Ctrl-C in a terminal does not reach it


def test_what_hangs_is_killed_and_the_pool_goes_on(tmp_path):
    with GraderPool(workers=1, limit_s=0.3) as pool:
        for kind in ("endless", "stuck_in_c"):
            verdict = pool.grade(kind, "", str(tmp_path / kind))
            assert verdict == (False, None, "grading took longer than 0.3 s")
            assert gone(written(tmp_path / kind))
        assert pool.grade("equal", "1", "1").correct


def test_a_number_that_takes_for_ever_to_compute_is_killed():
    with GraderPool(workers=1, limit_s=1.5) as pool:
        verdict = pool.grade("math", r"\boxed{9^{9^{9^{9}}} + 1}", "9^{9^{9^{9}}} + 2")
        assert not verdict.correct
        assert pool.grade("math", r"\boxed{2}", "2").correct


def test_what_dies_or_fails_is_wrong_and_the_pool_goes_on(pool):
    assert pool.grade("dies", "exit", "") == (False, None, "the grader died: exit code 3")
    assert pool.grade("dies", "", "") == (False, None, "the grader died: killed by SIGSEGV")
    assert pool.grade("raises", "", "") == (False, None, "the grader failed: ZeroDivisionError: no reason")
    assert pool.grade("eats_memory", "", "") == (False, None, "the grader needed more than 4 GiB of memory")
    assert pool.grade("equal", "1", "1").correct


def test_a_worker_killed_while_idle_is_replaced(pool):
    pid = int(pool.grade("process", "", "").extracted)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert pool.grade("equal", "1", "1").correct


def test_what_the_user_can_mend_is_raised_and_no_verdict(pool):
    with pytest.raises(SandboxError, match="no sandbox here"):
        pool.grade("cannot", "", "")
    with pytest.raises(OptionError, match=r"a_module_that_is_not_there.*pip install 'thinklogit\[eval\]'"):
        pool.grade("lost", "", "")
    with pytest.raises(OptionError, match="lower"):
        pool.grade("equal", "", "", lower=True)
    with pytest.raises(OptionError, match="did you mean 'letter'"):
        pool.submit("letters", "", "")
    assert pool.grade("equal", "a", "A", upper=True).correct


@pytest.mark.parametrize("options", [{"workers": 0}, {"limit_s": 0}, {"limit_s": float("nan")}])
def test_pools_that_cannot_be(options):
    with pytest.raises(OptionError):
        GraderPool(**options)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([r"\boxed{5}", r"\boxed{6}", "", "5", "<think>5"]), st.sampled_from(["5", "6"]))
def test_a_truncated_completion_is_never_right(completion, reference):
    verdict = _shared().grade("math", completion, reference, truncated=True)
    whole = _shared().grade("math", completion, reference)
    assert verdict == (False, whole.extracted, f"truncated; else: {whole.reason}")


@cache
def _shared():
    return GraderPool(workers=1)


def test_graders_print_nothing_here(pool, capfd):
    assert pool.grade("talks", "", "").correct
    assert capfd.readouterr() == ("", "")


def test_nothing_is_started_before_there_is_something_to_grade():
    pool = GraderPool()
    assert not pool._all
    pool.close()


def test_closing_ends_what_is_being_graded_and_drops_the_rest(tmp_path):
    begun_s = time.monotonic()
    with GraderPool(workers=1) as pool:
        futures = [pool.submit("stuck_in_c", "", str(tmp_path / "pid")) for _ in range(5)]
        pid = written(tmp_path / "pid")
    assert gone(pid)
    assert futures[0].result(timeout=5).reason == "the grader died: killed by SIGKILL"
    assert all(future.cancelled() for future in futures[1:])
    assert time.monotonic() - begun_s < 10


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
print("script run")
from thinklogit.evals.grading import pool as pools
pools.KINDS = {{**pools.KINDS, **{{name: pools.Kind("graders_for_tests:" + name) for name in {names!r}}}}}
pool = pools.GraderPool(workers=1)
"""


def script(tmp_path, rest):
    """A user's script, without `if __name__ == "__main__"`."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(here=str(Path(__file__).parent), names=NAMES) + rest)
    return [sys.executable, str(path)]


def test_a_script_is_not_run_again_in_its_workers(tmp_path):
    """multiprocessing runs the main script again in every spawned process.

    A script that graded at its top level then failed in each worker, and one that imported torch did so again.
    """
    command = script(tmp_path, 'print(pool.grade("process", "", "").reason)')
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "script run\nheavy: []\n"
    assert done.stderr == ""


@pytest.mark.parametrize("kind", ["process", "stuck_in_c"])
def test_a_parent_that_is_killed_leaves_no_worker(tmp_path, kind):
    pid_at = tmp_path / "pid"
    rest = {
        "process": f"open({str(pid_at)!r}, 'w').write(pool.grade('process', '', '').extracted)",
        "stuck_in_c": f"pool.submit('stuck_in_c', '', {str(pid_at)!r})",
    }[kind]
    parent = subprocess.Popen(script(tmp_path, f"{rest}\nimport time; time.sleep(60)"), stdout=subprocess.DEVNULL)
    pid = written(pid_at)
    parent.kill()
    parent.wait()
    assert gone(pid)


def test_an_interrupted_parent_ends_at_once_and_workers_print_nothing(tmp_path):
    pid_at = tmp_path / "pid"
    rest = f"with pool:\n    pool.grade('endless', '', {str(pid_at)!r})"
    parent = subprocess.Popen(
        script(tmp_path, rest), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    pid = written(pid_at)
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
    _, errors = parent.communicate(timeout=5)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert gone(pid)
