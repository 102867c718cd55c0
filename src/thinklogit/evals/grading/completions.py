"""Completions in a file of records, graded into another: what an earlier call graded is kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from thinklogit.core.errors import OutputError, RecordError, RunChangedError
from thinklogit.core.records import Completion, Grade, append_record, drop_torn_line, read_records
from thinklogit.evals.grading.pool import GraderPool


def kept_grades(out: Path, completions: Sequence[Completion]) -> list[Grade]:
    """What an earlier call graded of these, whole lines only. Raises RecordError; RunChangedError for other texts."""
    if not out.is_file():
        return []
    drop_torn_line(Grade, out)
    texts = {(completion.problem_id, completion.index): completion.text for completion in completions}
    kept = [grade for grade in read_records(Grade, out) if (grade.problem_id, grade.index) in texts]
    for grade in kept:
        if texts[grade.problem_id, grade.index] != grade.completion:
            raise RunChangedError(
                f"{out} grades another answer {grade.index} to {grade.problem_id!r}; remove that file to grade anew"
            )
    return kept


def check_graded_alike(out: Path, kind: str, references: Mapping[str, str]) -> None:
    """Keep beside `out` what its grades are held against, and refuse to add others to them.

    Raises RunChangedError, RecordError, OutputError.
    """
    note, known = out.with_suffix(".json"), {}
    if out.is_file() and note.is_file():
        try:
            was = json.loads(note.read_text(encoding="utf-8"))
            known = was["references"]
        except (ValueError, KeyError, TypeError):
            raise RecordError(f"{note}: cannot be read; remove it and {out.name} to grade anew") from None
        changes = [] if was["grader"] == kind else [f"{was['grader']}, now {kind}"]
        changes += [
            f"the answer {known[name]!r:.60} to {name!r:.60}, now {answer!r:.60}"
            for name, answer in references.items()
            if known.get(name, answer) != answer
        ]
        if changes:
            raise RunChangedError(f"{out} was graded by {changes[0]}; remove that file to grade anew")
    partial = note.with_name(f".{note.name}.partial")
    try:
        partial.write_text(json.dumps({"grader": kind, "references": {**known, **references}}), encoding="utf-8")
        partial.replace(note)
    except OSError as error:
        raise OutputError(f"{note}: {error.strerror}; make room, then repeat the command to continue") from None


def grade_completions(
    pool: GraderPool,
    kind: str,
    completions: Sequence[Completion],
    references: Mapping[str, str],
    out: Path,
    on_grade: Callable[[], None],
) -> list[Grade]:
    """Grade what is not graded in `out` yet, each into it as it comes. Returns all grades, in no order.

    Raises:
        OutputError: a full disk; what was graded is kept.
        RunChangedError: the file holds grades of another grader, or against other answers.
    """
    check_graded_alike(out, kind, references)
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
        on_grade()
    return grades
