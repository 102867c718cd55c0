r"""AMC 2023: 40 problems of the American Mathematics Competitions 12A and 12B whose answers are whole numbers.

Source: math-ai/amc23 (id, question, answer, url). The choices are left out: the number itself is asked for.
Some copies hold 83 problems, of 2022 and 2023 together. Where rows tell the year, by a field `year` or by the page in
`url`, those of 2023 are kept; the task's metadata says how many problems were read.
Prompt: tasks/maths.py. Extraction: the last \boxed{} after the thinking, compared as a whole number first.
"""

import re

from inspect_ai import Task, task

from thinklogit.core.errors import RecordError
from thinklogit.core.records import Problem
from thinklogit.evals.data import FieldMap, Fields, read_problems
from thinklogit.evals.tasks.maths import maths_task

DATA = "hf://datasets/math-ai/amc23@80815d37005feb82cd7f8fbc6901d5d3eff43057/test-00000-of-00001.parquet"
VERSION = 1
YEAR = "2023"
YEAR_IN_URL = re.compile(r"/(\d{4})_AMC_")


@task
def amc23(data: str = DATA, data_fields: Fields = None) -> Task:
    """The benchmark, from the hub or from a file of `data`."""
    read = read_problems(data, fields=FieldMap.of(data_fields), integer=True)
    kept = of_2023(read, data)
    about = {"problems_read": len(read)}
    return maths_task(kept, version=VERSION, data=data, integer=True, reported=("url", "year"), about=about)


def of_2023(problems: list[Problem], data: str) -> list[Problem]:
    """Those of 2023; all, where none tells its year. Raises RecordError where only some do, or none is of 2023."""
    years = [year_of(problem) for problem in problems]
    if not any(years):
        return problems
    if not all(years):
        lacking = problems[years.index(None)].id
        raise RecordError(f"{data}: expected the year of every problem or of none; problem {lacking} tells none")
    kept = [problem for problem, year in zip(problems, years, strict=True) if year == YEAR]
    if not kept:
        raise RecordError(
            f"{data}: expected problems of {YEAR}, found those of {', '.join(sorted(set(map(str, years))))}"
        )
    return kept


def year_of(problem: Problem) -> str | None:
    """The year that a problem's fields tell."""
    if problem.metadata.get("year"):
        return str(problem.metadata["year"]).strip().removesuffix(".0")
    found = YEAR_IN_URL.search(str(problem.metadata.get("url") or ""))
    return found[1] if found else None
