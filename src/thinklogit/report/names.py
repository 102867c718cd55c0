"""The names that tasks go by in print, and their order."""

from collections.abc import Iterable

TASKS = {
    "aime24": "AIME 2024",
    "aime25": "AIME 2025",
    "amc23": "AMC 2023",
    "math_hard": "MATH-hard",
    "gpqa_diamond": "GPQA-diamond",
    "livecodebench": "LiveCodeBench",
    "mini": "mini",
}
"""In the order of the paper's table."""


def display_name(task: str) -> str:
    """The name in print; a task of one's own goes by its id."""
    return TASKS.get(task, task)


def in_order(tasks: Iterable[str]) -> tuple[str, ...]:
    """Each task once, in the paper's order; those of one's own after them, by id."""
    found = set(tasks)
    return tuple([task for task in TASKS if task in found] + sorted(found - set(TASKS)))
