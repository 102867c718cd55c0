"""Files of completions: what is read, what is kept, what is counted."""

import json

import pytest

from thinklogit.core.errors import RecordError, RunChangedError
from thinklogit.core.records import Grade, append_record
from thinklogit.evals.grading.labelled import Labelled, agreement, grade_labelled, kept_grades, read_labelled
from thinklogit.evals.grading.pool import GraderPool


def a_file(tmp_path, *rows):
    path = tmp_path / "completions.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def a_line(name, completion="c", expected=None):
    return Labelled("here:1", name, completion, "r", {}, False, expected)


def a_grade(name, correct, completion="c"):
    return Grade(name, 0, correct, "x", "why", completion)


def test_lines_read(tmp_path):
    path = a_file(
        tmp_path,
        {"completion": "a", "reference": 27.0},
        "",
        {"id": 7, "completion": "b", "reference": "r", "expected": True, "truncated": True, "more": [1]},
    )
    assert read_labelled(path, "math") == [
        Labelled(f"{path}:1", "1", "a", "27.0", {}),
        Labelled(f"{path}:3", "7", "b", "r", {}, truncated=True, expected=True),
    ]


def test_lines_of_code(tmp_path):
    tests = [["1", "1"]]
    path = a_file(tmp_path, {"code": "print(1)", "tests": tests}, {"completion": "```\n```", "tests": tests})
    given, extracted = read_labelled(path, "code")
    assert (given.completion, given.reference, given.options) == ("print(1)", tests, {"code_given": True})
    assert (extracted.completion, extracted.options) == ("```\n```", {})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"completion": "a"},
            r":1: expected the field 'reference' \(text or a number or a number\); this line has comp",
        ),
        ({"reference": "a"}, ":1: expected the field 'completion'"),
        ({"completion": 5, "reference": "5"}, ":1: expected text in 'completion', found 5"),
        ({"completion": "5", "reference": True}, "in 'reference', found True"),
        ({"completion": "5", "reference": "5", "expected": "yes"}, "expected true or false in 'expected', found 'yes'"),
        ({"completion": "5", "reference": "5", "id": [1]}, "in 'id'"),
        ("{oops", ":1: expected one JSON object"),
        ("[1]", ":1: expected one JSON object"),
    ],
)
def test_a_line_that_cannot_be_graded_is_named(tmp_path, row, message):
    with pytest.raises(RecordError, match=message):
        read_labelled(a_file(tmp_path, row), "math")


def test_ids_are_told_apart_and_empty_files_refused(tmp_path):
    row = {"id": "a", "completion": "1", "reference": "1"}
    with pytest.raises(RecordError, match=r":2: id 'a' is that of .*:1 too"):
        read_labelled(a_file(tmp_path, row, row), "math")
    with pytest.raises(RecordError, match="the file is empty"):
        read_labelled(a_file(tmp_path, ""), "math")


def test_every_line_is_graded_as_it_says(tmp_path):
    path = a_file(
        tmp_path,
        {"id": "right", "completion": r"\boxed{1/2}", "reference": "0.5"},
        {"id": "cut", "completion": r"\boxed{1/2}", "reference": "0.5", "truncated": True},
        {"id": "wrong", "completion": r"\boxed{3}", "reference": 2},
    )
    grades = []
    with GraderPool() as pool:
        grade_labelled(pool, "math", read_labelled(path, "math"), {}, grades.append)
    assert {grade.problem_id: (grade.correct, grade.extracted) for grade in grades} == {
        "right": (True, "1/2"),
        "cut": (False, "1/2"),
        "wrong": (False, "3"),
    }


def test_a_line_whose_tests_cannot_be_read_is_named():
    line = Labelled("file:9", "9", "print(1)", {"what": "?"}, {"code_given": True})
    with GraderPool() as pool, pytest.raises(RecordError, match=r"^file:9: tests: expected"):
        grade_labelled(pool, "code", [line], {}, print)


def test_agreement_with_labels():
    lines = [a_line("a", expected=True), a_line("b", expected=True), a_line("c", expected=False), a_line("d")]
    lines.append(a_line("e", expected=False))
    counted = agreement(lines, [a_grade(name, name in "acd") for name in "edcba"])
    assert (counted.n, counted.right, counted.labelled, counted.agreements) == (5, 3, 4, 2)
    assert (counted.labelled_right, counted.labelled_wrong) == (2, 2)
    assert [one.id for one in counted.false_accepts] == ["c"]
    assert [one.id for one in counted.false_rejects] == ["b"]


def test_grades_kept_are_those_of_the_same_completions(tmp_path):
    out = tmp_path / "out.jsonl"
    assert kept_grades(out, []) == []
    append_record(a_grade("a", True), out)
    with out.open("a") as file:
        file.write('{"schema": "thinklogit.gr')  # killed while writing
    assert kept_grades(out, [a_line("a"), a_line("b")]) == [a_grade("a", True)]
    for other in (a_line("b"), a_line("a", "another completion")):
        with pytest.raises(RunChangedError, match="another completion for id 'a'"):
            kept_grades(out, [other])


def test_a_file_of_something_else_is_left_alone(tmp_path):
    out = tmp_path / "notes.txt"
    out.write_text("mine")
    with pytest.raises(RecordError, match="ends in something else"):
        kept_grades(out, [])
    assert out.read_text() == "mine"
