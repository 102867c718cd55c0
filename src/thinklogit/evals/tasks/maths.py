r"""What the maths benchmarks share: the prompt, and the grader that compares the boxed answer with the reference."""

from collections.abc import Sequence
from typing import Any

from inspect_ai import Task

from thinklogit.core.records import Problem
from thinklogit.evals.scoring import graded
from thinklogit.evals.tasks.benchmark import benchmark

INSTRUCTION = r"Solve the following math problem. Put your final answer within \boxed{}."
"""As in the authors' code, with its "Question: ":
https://github.com/yunx-z/think-logit/blob/295c76cc7f322efdd40490b0e4b5f85964f9a0b0/eval/gsm/run_eval.py#L65"""


def maths_prompt(problem: Problem) -> str:
    """Task instruction, blank line, question."""
    return f"{INSTRUCTION}\n\nQuestion: {problem.question}"


def maths_task(problems: Sequence[Problem], *, version: int, data: str, integer: bool = False, **kept: Any) -> Task:
    """A maths benchmark; with `integer`, answers are compared as whole numbers first. `kept` as in `benchmark`."""
    scorer = graded("math", integer=integer)
    return benchmark(problems, prompt=maths_prompt, scorer=scorer, version=version, data=data, **kept)
