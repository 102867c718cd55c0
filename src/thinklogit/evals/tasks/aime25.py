r"""AIME 2025: 30 problems of the American Invitational Mathematics Examination, I and II.

Source: math-ai/aime25 (id, problem, answer). Answers are whole numbers; some copies write 336 as 336^\circ.
Prompt: tasks/maths.py. Extraction: the last \boxed{} after the thinking, compared as a whole number first.
"""

from inspect_ai import Task, task

from thinklogit.evals.data import FieldMap, Fields, read_problems
from thinklogit.evals.tasks.maths import maths_task

DATA = "hf://datasets/math-ai/aime25@563bb8404243c5f09de6ec262f2db674fe5bce9b/test.jsonl"
VERSION = 1


@task
def aime25(data: str = DATA, data_fields: Fields = None) -> Task:
    """The benchmark, from the hub or from a file of `data`."""
    problems = read_problems(data, fields=FieldMap.of(data_fields), integer=True)
    return maths_task(problems, version=VERSION, data=data, integer=True, reported=("url",))
