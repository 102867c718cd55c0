"""Grades the completions of a log again: with graders that have changed since, or tests that have moved."""

from typing import Any, NamedTuple

from inspect_ai import score
from inspect_ai.log import EvalLog, write_eval_log

from thinklogit.core.errors import EvaluationError, OptionError
from thinklogit.evals.grading.pool import GraderPool
from thinklogit.evals.logs import measurement_of, path_of, read_log
from thinklogit.evals.outcomes import Outcome
from thinklogit.evals.scoring import graded, pool_of


class Change(NamedTuple):
    """What new grades changed in one log."""

    log: str
    task: str
    system: str
    completions: int
    right_before: int
    right: int
    listed: list[str]

    @property
    def sentence(self) -> str:
        """For a person."""
        changed = len(self.listed)
        count = "no grade" if not changed else "1 grade" if changed == 1 else f"{changed} grades"
        right = f"right {self.right} of {self.completions}, before {self.right_before}"
        return f"{self.task}, {self.system}: {right}; {count} changed"


def grade_again(
    log: EvalLog, workers: int = 2, limit_s: float | None = None, options: dict[str, Any] | None = None
) -> Change:
    """Put a log with new grades in the place of this one, at once or not at all.

    Args:
        log: its header is enough.
        workers: completions graded at a time.
        limit_s: how long one may take.
        options: of the grader, over those of the run.

    Raises:
        OptionError: a log that none of our tasks wrote.
        EvaluationError: a grader that can say nothing, such as that of code without a sandbox.
    """
    path = path_of(log)
    before = measurement_of(log)
    ours = [scorer for scorer in log.eval.scorers or [] if scorer.name in ("graded", "thinklogit/graded")]
    if not ours:
        raise OptionError(f"{path}: not graded by a task of thinklogit; use `inspect score` for it")
    scorer = graded(**{**(ours[0].options or {}), **(options or {})})
    with GraderPool(workers, limit_s) as pool, pool_of(pool):
        try:
            # Without a model of our choice it would load the one that answered, which no grader of ours asks.
            new = score(
                read_log(path, header_only=False), scorer, model="mockllm/model", action="overwrite", display="none"
            )
        except Exception as error:
            raise EvaluationError(f"{path}: {error}; the grades it has are kept") from error
    write_eval_log(new, str(path))
    after = measurement_of(read_log(path, header_only=True))
    old = {(each.problem_id, each.index): each for each in before.outcomes}
    listed = [_told(old[each.problem_id, each.index], each) for each in after.outcomes if _differs(old, each)]
    right_before, right = (sum(each.correct for each in found.outcomes) for found in (before, after))
    return Change(str(path), after.task, after.system, len(after.outcomes), right_before, right, listed)


def _differs(old: dict[tuple[str, int], Outcome], new: Outcome) -> bool:
    was = old.get((new.problem_id, new.index))
    return was is not None and was.correct != new.correct


def _told(was: Outcome, now: Outcome) -> str:
    verdict = "right" if now.correct else "wrong"
    return f"{now.problem_id}, completion {now.index}: now {verdict} ({now.reason}), before: {was.reason}"
