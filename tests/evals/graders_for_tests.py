"""Graders that go wrong in every way, for the pool's tests; named by "graders_for_tests:name"."""

import os
import signal
import sys
import time
from pathlib import Path

from thinklogit.core.errors import SandboxError
from thinklogit.evals.grading.verdicts import Verdict


def equal(completion, reference, *, upper=False):
    given = completion.upper() if upper else completion
    return Verdict(given == reference, given, "compared")


def endless(completion, reference):
    Path(reference).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


def stuck_in_c(completion, reference):
    """Holds the interpreter's lock and looks at no signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(reference).write_text(str(os.getpid()))
    sum(range(10**13))


def dies(completion, reference):
    os._exit(3) if completion == "exit" else os.kill(os.getpid(), signal.SIGSEGV)


def raises(completion, reference):
    raise ZeroDivisionError("no reason")


def cannot(completion, reference):
    raise SandboxError("no sandbox here; take another machine")


def eats_memory(completion, reference):
    return Verdict(True, str(len(bytearray(5 << 30))), "")


def talks(completion, reference):
    print("to standard output")
    print("to standard error", file=sys.stderr)
    return Verdict(True, completion, "talked")


def process(completion, reference):
    heavy = [name for name in ("torch", "transformers", "inspect_ai", "cyclopts", "rich") if name in sys.modules]
    return Verdict(True, str(os.getpid()), f"heavy: {heavy}")
