"""`thinklogit grade`: completions graded, of a file, and held against labels where there are any, or of a run again."""

import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from thinklogit.cli.progress import grades_bar
from thinklogit.core.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from thinklogit.core.records import Grade
    from thinklogit.evals.grading.labelled import Agreement, Disagreement, Labelled

SHOWN = 20


def grade(
    target: Path,
    *,
    kind: str | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: bool = False,
    integer: bool = False,
    workers: Annotated[int, Parameter(show_default=True)] = 2,
    limit_s: float | None = None,
    unsafe_local_exec: bool = False,
) -> None:
    """Grade completions: those of a file, with --kind, or those of a run once more.

    A file has one JSON object a line: completion, reference; id, truncated, expected if there are any. Where lines say
    the grade that is expected (true, false), tells how often ours is that, and lists where it is not. In a run, a log
    with the new grades takes the place of the old one.

    Args:
        target: A .jsonl file; a run's folder, or one log.
        kind: math, letter (multiple choice) or code (with tests instead of a reference, and code or a completion).
        output: Write grades to this file; repeat the command to continue when it was cut short.
        json: Print one JSON object instead of text.
        integer: Answers are integers, as in AIME: 027 is 27.
        workers: Completions graded at a time.
        limit_s: Seconds that one completion may take [default: 30, for code as its tests need].
        unsafe_local_exec: Run code as a plain process of yours, where there is no sandbox.
    """
    if kind is None and (target.is_dir() or target.suffix == ".eval"):
        _grade_run(target, workers, limit_s, {"unsafe": True} if unsafe_local_exec else {}, json)
        return
    from thinklogit.core.records import rewrite_records
    from thinklogit.evals.grading.labelled import agreement, in_order, read_labelled
    from thinklogit.evals.grading.pool import GraderPool

    options = _options(target, kind, output, integer, unsafe_local_exec)
    assert kind is not None
    lines = read_labelled(target, kind)
    with GraderPool(workers, limit_s) as pool:
        grades = in_order(_graded(pool, kind, lines, options, output), lines)
    if output:
        rewrite_records(grades, output)
    counted = agreement(lines, grades)
    print(_as_json(counted, target, kind, output) if json else _as_text(counted, output))


def _grade_run(run: Path, workers: int, limit_s: float | None, options: dict[str, Any], json: bool) -> None:
    from thinklogit.evals.logs import current
    from thinklogit.evals.regrading import grade_again

    changes = []
    for log in current(run):
        changed = grade_again(log, workers, limit_s, options)
        changes.append(changed)
        if not json:
            print(changed.sentence)
            for line in changed.listed[:SHOWN]:
                print(f"  {line}")
            if len(changed.listed) > SHOWN:
                print(f"  and {len(changed.listed) - SHOWN} more, with --json")
    if json:
        print(json_format.dumps([changed._asdict() for changed in changes], ensure_ascii=False))


def _options(target: Path, kind: str | None, output: Path | None, integer: bool, unsafe: bool) -> dict[str, Any]:
    """What to tell the grader. Raises OptionError for what does not go together."""
    from thinklogit.evals.grading.pool import KINDS

    if not target.exists():
        raise OptionError(f"{target}: no such file")
    if target.is_dir() or kind is None:
        raise OptionError(f"{target}: expected a .jsonl file of completions; give --kind {', '.join(KINDS)} with one")
    if kind not in KINDS:
        raise unknown_name("--kind", kind, KINDS)
    if integer and kind != "math":
        raise OptionError(f"--integer goes with --kind math, not {kind}")
    if unsafe and kind not in ("code", "hidden_tests"):
        raise OptionError(f"--unsafe-local-exec goes with --kind code, not {kind}")
    if output:
        from thinklogit.decode.runs import check_output

        check_output(output)
        if output.exists() and output.samefile(target):
            raise OptionError(f"{output}: --output would write over what is graded; use another -o")
    return ({"integer": True} if integer else {}) | ({"unsafe": True} if unsafe else {})


def _graded(
    pool: Any, kind: str, lines: list["Labelled"], options: dict[str, Any], output: Path | None
) -> list["Grade"]:
    """The grades of all lines, those of an earlier call first; each is in the file before the next is counted."""
    from thinklogit.evals.grading.labelled import append_grade, grade_labelled, kept_grades

    grades = kept_grades(output, lines) if output else []
    if grades:
        print(f"thinklogit: {len(grades)} kept from before; to grade anew use another -o", file=sys.stderr)
    there = {grade.problem_id for grade in grades}
    try:
        with grades_bar(len(grades), len(lines)) as advance:

            def keep(grade: "Grade") -> None:
                if output:
                    append_grade(output, grade)
                grades.append(grade)
                advance()

            grade_labelled(pool, kind, [line for line in lines if line.id not in there], options, keep)
    except KeyboardInterrupt:
        kept = f"{len(grades)} of {len(lines)} grades are kept in {output}; repeat the command to continue"
        raise KeyboardInterrupt(f"interrupted: {kept}" if output else "interrupted") from None
    return grades


def _as_text(counted: "Agreement", output: Path | None) -> str:
    lines = [f"right {_share(counted.right, counted.n)}"]
    if counted.labelled:
        lines.append(f"as expected {_share(counted.agreements, counted.labelled)}")
        for what, found, of, labelled in (
            ("false accepts", counted.false_accepts, counted.labelled_wrong, "wrong"),
            ("false rejects", counted.false_rejects, counted.labelled_right, "right"),
        ):
            lines.append(
                f"{what} {_share(len(found), of)} that are {labelled}" if of else f"{what}: none are {labelled}"
            )
            lines += [f"  {_told(one)}" for one in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"  and {len(found) - SHOWN} more, see {output or 'them with --json'}")
    return "\n".join(lines)


def _share(count: int, n: int) -> str:
    from thinklogit.core.intervals import wilson

    low, high = wilson(count, n)
    return f"{count} of {n} ({count / n:.1%}, 95% interval {low:.1%} to {high:.1%})"


def _told(one: "Disagreement") -> str:
    return f"{one.id}: reference {_shortened(one.reference)}, read {_shortened(one.extracted)}: {one.reason}"


def _shortened(value: object) -> str:
    text = repr(value) if value is not None else "no answer"
    return text if len(text) <= 100 else f"{text[:48]} ... {text[-47:]}"


def _as_json(counted: "Agreement", target: Path, kind: str, output: Path | None) -> str:
    told = {
        "file": str(target),
        "kind": kind,
        "output": str(output) if output else None,
        "n": counted.n,
        "right": counted.right,
        "labelled": counted.labelled,
        "agreements": counted.agreements,
        "false_accepts": [one._asdict() for one in counted.false_accepts],
        "false_rejects": [one._asdict() for one in counted.false_rejects],
    }
    return json_format.dumps(told, ensure_ascii=False)
