"""What a process and all its descendants use, read from the host's /proc: the watch over a whole sandbox."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """Tasks are processes and threads. Memory that several share is counted for each."""

    tasks: int
    memory_bytes: int


def descendants(pid: int) -> Iterator[int]:
    """The process and all below it, parents first. A process that ends meanwhile is left out."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        with suppress(OSError):  # it ended between two looks
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())


def usage(pid: int) -> Usage:
    """Everything that the process and its descendants use now."""
    each = [_usage_of_one(one) for one in descendants(pid)]
    return Usage(sum(one.tasks for one in each), sum(one.memory_bytes for one in each))


COUNTED = {"RssAnon", "RssShmem", "VmSwap"}


def _usage_of_one(pid: int) -> Usage:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return Usage(0, 0)
    values = {name: value for name, _, value in (line.partition(":") for line in status.splitlines())}
    if "VmRSS" not in values:  # a zombie
        return Usage(0, 0)
    memory_kib = sum(int(values.get(name, "0 kB").split()[0]) for name in COUNTED)
    return Usage(int(values["Threads"]), memory_kib * 1024)
