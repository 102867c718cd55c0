"""The scorer of every task: hands the completion to a grader in a worker process and keeps the whole verdict."""

from asyncio import wrap_future
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
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
        answer = _opening(state) + state.output.completion
        future = (_chosen_pool.get() or own_pool()).submit(kind, answer, target.text, truncated=truncated, **options)
        verdict = await wrap_future(future)
        usage = state.output.usage
        return Score(
            value=CORRECT if verdict.correct else INCORRECT,
            answer=verdict.extracted,
            explanation=verdict.reason,
            metadata={"new_tokens": usage.output_tokens if usage else None, "truncated": truncated},
        )

    return score


def _opening(state: TaskState) -> str:
    """The words that an answer was made to begin with; the model only went on from there."""
    last = state.input[-1] if isinstance(state.input, list) else None
    return last.text if last and last.role == "assistant" else ""


_chosen_pool: ContextVar[GraderPool | None] = ContextVar("grader pool", default=None)


@contextmanager
def pool_of(pool: GraderPool) -> Generator[None]:
    """Grade in this pool meanwhile."""
    token = _chosen_pool.set(pool)
    try:
        yield
    finally:
        _chosen_pool.reset(token)


@lru_cache
def own_pool() -> GraderPool:
    """One pool of workers for all tasks of this process."""
    return GraderPool()
