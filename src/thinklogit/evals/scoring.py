"""The scorer of every task: hands the completion to a grader in a worker process and keeps the whole verdict."""

from asyncio import wrap_future
from functools import lru_cache
from typing import Any

from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState

from thinklogit.evals.grading.pool import GraderPool

TRUNCATED = ("max_tokens", "model_length")


@scorer(metrics=[accuracy(), stderr()])
def graded(kind: str, **options: Any) -> Scorer:
    """Grade with `thinklogit.evals.grading`; `options` go to that grader.

    inspect reduces the epochs of a problem to their mean first, so `stderr` is over problems: clustered.
    """

    async def score(state: TaskState, target: Target) -> Score:
        truncated = state.output.stop_reason in TRUNCATED
        reference = target.text
        future = pool().submit(kind, state.output.completion, reference, truncated=truncated, **options)
        verdict = await wrap_future(future)
        usage = state.output.usage
        return Score(
            value=CORRECT if verdict.correct else INCORRECT,
            answer=verdict.extracted,
            explanation=verdict.reason,
            metadata={"new_tokens": usage.output_tokens if usage else None, "truncated": truncated},
        )

    return score


@lru_cache
def pool() -> GraderPool:
    """One pool of workers for all tasks of this process."""
    return GraderPool()
