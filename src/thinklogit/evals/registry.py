"""What inspect-ai finds by our entry point: the model provider and every task; and the tasks by name, for ourselves."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from inspect_ai import Task

from thinklogit.core.errors import OptionError, unknown_name
from thinklogit.evals.provider import ThinkLogitAPI
from thinklogit.evals.tasks.aime24 import aime24
from thinklogit.evals.tasks.aime25 import aime25
from thinklogit.evals.tasks.amc23 import amc23
from thinklogit.evals.tasks.gpqa_diamond import gpqa_diamond
from thinklogit.evals.tasks.livecodebench import livecodebench
from thinklogit.evals.tasks.math_hard import math_hard
from thinklogit.evals.tasks.mini import mini

__all__ = ["TASKS", "ThinkLogitAPI", "task_named"]

TASKS: dict[str, Callable[..., Task]] = {
    "aime24": aime24,
    "aime25": aime25,
    "amc23": amc23,
    "math_hard": math_hard,
    "gpqa_diamond": gpqa_diamond,
    "livecodebench": livecodebench,
    "mini": mini,
}


def task_named(name: str, options: Mapping[str, Any]) -> Task:
    """A task with its options. Raises OptionError for an unknown name or option, and what its data are refused with."""
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    known = signature(TASKS[name]).parameters
    for option in options:
        if option not in known:
            raise OptionError(f"{name} has no option {option!r}; it has {', '.join(known) or 'none'}")
    return TASKS[name](**options)
