"""An engine in a process of its own, for callers that ask one request at a time: a harness, a server.

A Python thread would share one interpreter lock with its caller: beside a busy harness it decoded a third slower.
Requests join the batch under way as soon as there is room. Loads no torch here; the other end is `engine_process`.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from socket import socketpair
from typing import Any

from thinklogit.core.errors import TrioError
from thinklogit.core.records import Completion
from thinklogit.decode.engine import Prompt

KEEPING_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
"""For glibc: a cache that grows by copying asked the kernel for new pages at every step, a sixth of all CPU time."""


class BackgroundEngine:
    """Starts the process and loads the trio there. Raises TrioError when it cannot be loaded.

    Args:
        trio: a folder, a hub id, or "mini".
        batch_size: completions decoded side by side.
        allow_past_context: decode past the context of the members instead of refusing.
        **how: as in `load_engine`: dtype, device_map, engine, engine_args, speculate.
    """

    def __init__(self, trio: str, batch_size: int = 32, allow_past_context: bool = False, **how: str) -> None:
        ours, theirs = socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "thinklogit.decode.engine_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=KEEPING_FREED_MEMORY | os.environ,
            )
        self._connection = Connection(ours.detach())
        self._asked: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._lost: Exception | None = None
        self._connection.send((trio, batch_size, allow_past_context, how))
        self.has_chat_template: bool = self._receive(trio)
        threading.Thread(target=self._take_replies, args=(trio,), daemon=True).start()

    def submit(self, prompt: Prompt, given: Mapping[str, Any]) -> Future[tuple[Completion, int]]:
        """Ask for one completion; what `given`, fields of SamplingParams, leaves open is the trio's own.

        The future holds the completion and the number of its prompt's tokens, or a ContextError or OptionError where
        the request cannot be answered.
        """
        future: Future[tuple[Completion, int]] = Future()
        self._send(future, prompt, given)
        return future

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What completions made with these are labelled with, the trio's own settings filled in."""
        future: Future[dict[str, Any]] = Future()
        self._send(future, None, given)
        return future.result()

    def _send(self, future: Future[Any], prompt: Prompt | None, given: Mapping[str, Any]) -> None:
        future.set_running_or_notify_cancel()  # whoever gives up waiting does not take it back: others are beside it
        with self._lock:
            if self._lost:
                future.set_exception(self._lost)
                return
            self._count += 1
            self._asked[self._count] = future
            with suppress(OSError):  # it has just ended, and the thread that reads is about to tell everybody
                self._connection.send((self._count, prompt, dict(given)))

    def _receive(self, trio: str) -> Any:
        try:
            received = self._connection.recv()
        except (EOFError, OSError):
            code = self.process.wait()
            raise TrioError(
                f"{trio}: the process that decodes ended with code {code}; if it was killed for memory, use a smaller "
                "batch size; repeat the command to continue"
            ) from None
        if isinstance(received, Exception):  # its last word
            self.process.wait()
            raise received
        return received

    def _take_replies(self, trio: str) -> None:
        try:
            while True:
                number, reply = self._receive(trio)
                future = self._asked.pop(number)
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except Exception as error:  # told to everyone whose request can no longer be answered
            with self._lock:
                self._lost = error
                for future in self._asked.values():
                    future.set_exception(error)
