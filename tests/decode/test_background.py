import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thinklogit.core.errors import ContextError, OptionError, TrioError
from thinklogit.decode.background import BackgroundEngine

CHAT = [{"role": "user", "content": "A pen costs 8, a cup 13. Ann paid 55. How many of each?"}]


@pytest.fixture(scope="module")
def background():
    return BackgroundEngine("mini", batch_size=4)


def test_requests_are_answered_side_by_side_and_the_trio_fills_in_what_they_leave_open(background):
    futures = [background.submit(CHAT, {"mode": mode, "max_new_tokens": 120}) for mode in ("guided", "target") * 3]
    replies = [future.result(timeout=60) for future in futures]
    assert len({completion.text for completion, _ in replies[::2]}) == 1
    completion, prompt_tokens = replies[0]
    assert completion.text.endswith("Answer: 2 pens, 3 cups.")
    assert prompt_tokens > 5
    assert completion.settings == background.settings({"mode": "guided", "max_new_tokens": 120})
    assert completion.settings["alpha"] == 1.0
    assert replies[1][0].settings["alpha"] is None


def test_what_cannot_be_answered_is_told_to_who_asked_and_the_rest_goes_on(background):
    too_long = background.submit(CHAT, {"max_new_tokens": 10_000})
    not_finite = background.submit(CHAT, {"alpha": float("nan")})
    fine = background.submit(CHAT, {"max_new_tokens": 3})
    with pytest.raises(ContextError, match="10000 new ones are asked for"):
        too_long.result(timeout=60)
    with pytest.raises(OptionError, match="alpha must be a number from -100 to 100"):
        not_finite.result(timeout=60)
    assert fine.result(timeout=60)[0].new_tokens == 3


def test_who_gives_up_waiting_stops_nobody_else(background):
    """Ctrl-C in a harness cancels what it waits for; the answer then came to a future that could not take it."""
    given_up = background.submit(CHAT, {"max_new_tokens": 20})
    others = background.submit(CHAT, {"max_new_tokens": 5})
    assert not given_up.cancel()
    assert others.result(timeout=60)[0].new_tokens == 5
    assert background.submit(CHAT, {"max_new_tokens": 3}).result(timeout=60)[0].new_tokens == 3


def test_a_trio_that_cannot_be_loaded_is_told_at_once():
    with pytest.raises(TrioError, match="expected a trio folder"):
        BackgroundEngine("no/such-trio/anywhere")


def test_a_killed_process_is_told_to_all_who_wait_and_to_who_comes_later():
    engine = BackgroundEngine("mini")
    waiting = engine.submit(CHAT, {"max_new_tokens": 200})
    os.kill(engine.process.pid, signal.SIGKILL)
    with pytest.raises(TrioError, match="ended with code -9; if it was killed for memory"):
        waiting.result(timeout=60)
    with pytest.raises(TrioError, match="ended with code -9"):
        engine.submit(CHAT, {}).result(timeout=60)


def test_the_process_ends_with_its_caller():
    """However the caller ends: kill -9 leaves it no time to say so."""
    code = (
        "import os\nfrom thinklogit.decode.background import BackgroundEngine\n"
        "print(BackgroundEngine('mini').process.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    caller = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    decoding = Path(f"/proc/{int(caller.stdout)}")
    deadline = time.monotonic() + 20
    while decoding.exists() and "zombie" not in (decoding / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not decoding.exists() or "zombie" in (decoding / "status").read_text()


@pytest.mark.slow
def test_the_process_keeps_freed_memory_unless_its_user_says_otherwise(background, monkeypatch):
    def environment(engine):
        return Path(f"/proc/{engine.process.pid}/environ").read_text().split("\0")

    assert f"MALLOC_TRIM_THRESHOLD_={1 << 40}" in environment(background)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    other = BackgroundEngine("mini")
    assert "MALLOC_TRIM_THRESHOLD_=65536" in environment(other)
    other.process.kill()
