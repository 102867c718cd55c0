"""Every error a user can cause, and the one line each prints.

    ThinkLogitError
    ├── OptionError        a value an option cannot take: alpha NaN, an unknown schedule or split
    ├── TrioError          members that are missing, unreadable, or do not go together
    ├── ContextError       a prompt, or a prompt with its answer, longer than a member's context
    ├── RecordError        a line of a record file that cannot be read
    ├── OutputError        records that cannot be written: a missing folder, a full disk
    ├── RunChangedError    a run continued with settings other than those it began with
    ├── ServerError        a server that is not there, refuses a request, or breaks off an answer
    ├── SandboxError       programs that cannot be run here in safety
    └── EvaluationError    an evaluation that cannot go on: a server that dies, a grader that fails

A message says what was expected, what came and what to do next, on one line. The command line prints it and exits
with a code other than 0; a traceback is for our mistakes only.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from errno import EDQUOT, ENOSPC


class ThinkLogitError(Exception):
    """Parent of all errors raised on purpose by thinklogit.

    `prompt_index` says which of several prompts it is about, for whoever knows where that one came from.
    """

    def __init__(self, message: str = "", prompt_index: int | None = None) -> None:
        super().__init__(message)
        self.prompt_index = prompt_index


class OptionError(ThinkLogitError, ValueError):
    """A value that an option cannot take."""


class TrioError(ThinkLogitError):
    """Members that are missing, unreadable, or do not go together."""


class ContextError(ThinkLogitError):
    """More tokens than a member's context holds."""


class RecordError(ThinkLogitError):
    """A line of a record file that cannot be read."""


class OutputError(ThinkLogitError):
    """Records that cannot be written."""


class RunChangedError(ThinkLogitError):
    """A run continued with settings other than those it began with."""


class ServerError(ThinkLogitError):
    """A server that is not there, refuses a request, or breaks off an answer."""


class SandboxError(ThinkLogitError):
    """Programs that cannot be run here in safety."""


class EvaluationError(ThinkLogitError):
    """An evaluation that cannot go on; what was finished is kept."""


def room_or_place(error: BaseException, room: str) -> str:
    """What to do where nothing can be written: make room where the disk is full, else use another place."""
    full = getattr(error, "errno", None) in (None, ENOSPC, EDQUOT)
    return f"make room, then {room}" if full else "use another -o, or mend what is there"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """The error for an unknown option or registry name: names the nearest known one, else lists them all."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return OptionError(f"unknown {kind} {name!r}; {hint}")
