r"""AIME 2024: 30 problems of the American Invitational Mathematics Examination, I and II.

Source: HuggingFaceH4/aime_2024 (id, problem, solution, answer, url, year). Answers are whole numbers from 0 to 999.
Prompt: tasks/maths.py. Extraction: the last \boxed{} after the thinking, compared as a whole number first.
"""

from inspect_ai import Task, task

from thinklogit.evals.data import FieldMap, Fields, read_problems
from thinklogit.evals.tasks.maths import maths_task

DATA = (
    "hf://datasets/HuggingFaceH4/aime_2024@2fe88a2f1091d5048c0f36abc874fb997b3dd99a/data/train-00000-of-00001.parquet"
)
VERSION = 1


@task
def aime24(data: str = DATA, data_fields: Fields = None) -> Task:
    """The benchmark, from the hub or from a file of `data`."""
    problems = read_problems(data, fields=FieldMap.of(data_fields), integer=True)
    return maths_task(problems, version=VERSION, data=data, integer=True, reported=("url", "year"))
