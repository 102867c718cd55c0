"""What every grader says of a completion."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """Whether a completion is right, the answer that was read from it (None where none was found), and why."""

    correct: bool
    extracted: str | None
    reason: str
