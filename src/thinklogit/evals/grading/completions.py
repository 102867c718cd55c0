"""Completions in a file of records, graded into another: what an earlier call graded is kept."""

from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from thinklogit.core.errors import OutputError, RunChangedError
from thinklogit.core.records import Completion, Grade, append_record, drop_torn_line, read_records
from thinklogit.evals.grading.pool import GraderPool


def kept_grades(out: Path, completions: Sequence[Completion]) -> list[Grade]:
    """What an earlier call graded, whole lines only. Raises RecordError, and RunChangedError for other completions."""
    if not out.is_file():
        return []
    drop_torn_line(Grade, out)
    texts = {(completion.problem_id, completion.index): completion.text for completion in completions}
    kept = list(read_records(Grade, out))
    for grade in kept:
        if texts.get((grade.problem_id, grade.index)) != grade.completion:
            raise RunChangedError(
                f"{out} grades another answer {grade.index} to {grade.problem_id!r}; remove that file to grade anew"
            )
    return kept


def grade_completions(
    pool: GraderPool,
    kind: str,
    completions: Sequence[Completion],
    references: Mapping[str, str],
    out: Path,
) -> list[Grade]:
    """Grade what is not graded in `out` yet, each into it as it comes. Returns all grades, in no order.

    Raises:
        OutputError: a full disk; what was graded is kept.
    """
    grades = kept_grades(out, completions)
    there = {(grade.problem_id, grade.index) for grade in grades}
    futures = {
        pool.submit(kind, one.text, references[one.problem_id], one.finish_reason == "length"): one
        for one in completions
        if (one.problem_id, one.index) not in there
    }
    for future in as_completed(futures):
        one = futures[future]
        grade = Grade(one.problem_id, one.index, *future.result(), completion=one.text)
        try:
            append_record(grade, out)
        except OSError as error:
            drop_torn_line(Grade, out)
            told = f"grades kept there: {len(grades)}; make room, then repeat the command to continue"
            raise OutputError(f"{out}: {error.strerror}; {told}") from None
        grades.append(grade)
    return grades
