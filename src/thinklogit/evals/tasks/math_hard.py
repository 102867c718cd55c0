r"""MATH-hard: the hard levels of the MATH test set (Hendrycks et al., arXiv 2103.03874).

    levels=4,5               of the 500 problems of arXiv 2305.20050: 262, as in arXiv 2507.12759v1; the default
    levels=5                 of the 500: 134, as in the later versions of the paper
    full=true                the same of all 5,000 test problems: 2,538, or 1,324 of level 5

Source: HuggingFaceH4/MATH-500 (problem, solution, answer, subject, level, unique_id); all: EleutherAI/hendrycks_math,
one file a subject (problem, level, type, solution), the answer being the last \boxed{} of the solution.
Prompt: tasks/maths.py. Extraction: the last \boxed{} after the thinking; compared by math-verify.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from inspect_ai import Task, task

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.core.records import Problem
from thinklogit.evals.data import FieldMap, Fields, read_problems
from thinklogit.evals.tasks.maths import maths_task

DATA = "hf://datasets/HuggingFaceH4/MATH-500@6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be/test.jsonl"
FULL = "hf://datasets/EleutherAI/hendrycks_math@21a5633873b6a120296cce3e2df9d5550074f4a3"
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
VERSION = 1
LEVELS = range(1, 6)


@task
def math_hard(
    levels: str | int | list[str] = "4,5", full: bool = False, data: str | None = None, data_fields: Fields = None
) -> Task:
    """The benchmark, from the hub or from a file of `data`, whose rows must tell their level."""
    if full and data is not None:
        raise OptionError(
            "full=true reads all 5,000 problems from the hub, data=FILE those of a file; give one of them"
        )
    wanted = wanted_levels(levels)
    fields = FieldMap.of(data_fields)
    problems = read_full(fields) if full else read_problems(data or DATA, fields=fields)
    told = [with_level(problem) for problem in problems]
    kept = [problem for problem in told if problem.metadata["level"] in wanted]
    source = FULL if full else data or DATA
    if not kept:
        raise RecordError(f"{source}: expected problems of level {', '.join(map(str, sorted(wanted)))}, found none")
    return maths_task(kept, version=VERSION, data=source, reported=("level", "subject"))


def wanted_levels(given: str | int | Iterable[str]) -> set[int]:
    """The levels of "4,5", 5 or ["4", "5"], as inspect splits it. Raises OptionError."""
    listed = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int) else given
    try:
        levels = {int(level) for level in listed}
    except (TypeError, ValueError):
        levels = set()
    if not levels or not levels <= set(LEVELS):
        raise OptionError(f"levels must be whole numbers from 1 to 5, such as levels=4,5; got {given!r}")
    return levels


def read_full(fields: FieldMap) -> list[Problem]:
    """All test problems; their files have no ids, so that each is known by its subject and number."""
    return [
        replace(problem, id=f"{subject}/{problem.id}")
        for subject in SUBJECTS
        for problem in read_problems(f"{FULL}/{subject}/test-00000-of-00001.parquet", fields=fields)
    ]


def with_level(problem: Problem) -> Problem:
    """The problem with its level, "Level 5" in some copies, as a number, and its `type` as its subject."""
    told = problem.metadata
    level = re.fullmatch(r"(?:Level )?([1-5])", str(told.get("level", "")).strip())
    if level is None:
        found = repr(told["level"]) if "level" in told else f"only {', '.join(told) or 'no more fields'}"
        raise RecordError(
            f"problem {problem.id}: expected a field level from 1 to 5, found {found}; name a file with levels"
        )
    return replace(problem, metadata={"level": int(level[1]), "subject": told.get("subject") or told.get("type")})
