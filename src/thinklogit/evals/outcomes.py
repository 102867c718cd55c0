"""What became of the completions of one task by one system: all that metrics and reports know of a run."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """One completion, graded. `new_tokens` is None where the engine did not count."""

    problem_id: str
    index: int
    correct: bool
    extracted: str | None
    new_tokens: int | None
    truncated: bool
    reason: str = ""


@dataclass(frozen=True)
class Measurement:
    """One task answered by one system, with every setting that its completions depend on.

    `system` is the label of its row: "target", "guided", or whatever told it apart from others.
    """

    task: str
    version: str
    system: str
    outcomes: tuple[Outcome, ...]
    settings: dict[str, Any] = field(default_factory=dict)
