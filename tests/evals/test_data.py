import json
import subprocess
import sys
from pathlib import Path

import pytest

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.evals.data import FieldMap, read_problems


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def error_of(path: str, **options) -> str:
    with pytest.raises((OptionError, RecordError)) as told:
        read_problems(path, **options)
    message = str(told.value).replace(path, Path(path).name)
    assert "\n" not in message
    return message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "p.jsonl"


@pytest.mark.parametrize("name", ["question", "problem", "prompt", "question_content", "Question", "Problem"])
def test_where_the_question_is_found(file: Path, name: str) -> None:
    assert read_problems(write(file, {name: " 1+1? ", "answer": 2}))[0].question == "1+1?"


@pytest.mark.parametrize("name", ["answer", "expected_answer", "final_answer", "Answer"])
def test_where_the_answer_is_found(file: Path, name: str) -> None:
    assert read_problems(write(file, {"question": "1+1?", name: "2", "solution": r"\boxed{3}"}))[0].answer == "2"


@pytest.mark.parametrize("name", ["id", "unique_id", "problem_id", "question_id", "problem_idx", "ID", "Record ID"])
def test_where_the_id_is_found(file: Path, name: str) -> None:
    assert read_problems(write(file, {"question": "1+1?", "answer": "2", name: 17}))[0].id == "17"


def test_without_an_id_a_problem_is_known_by_its_number(file: Path) -> None:
    found = read_problems(write(file, {"question": "a", "answer": 1}, {"question": "b", "answer": 2}))
    assert [problem.id for problem in found] == ["1", "2"]


def test_every_other_field_is_kept(file: Path) -> None:
    found = read_problems(write(file, {"id": 1, "problem": "a", "answer": 1, "level": 5, "solution": "so"}))
    assert found[0].metadata == {"level": 5, "solution": "so"}


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"first \boxed{1}, then \boxed{\frac{3}{4}}.", r"\frac{3}{4}"),
        (r"it is \boxed{\left\{ 1, 2 \right\}}", r"\left\{ 1, 2 \right\}"),
        (r"\boxed{5} and an open \boxed{6", "5"),
    ],
)
def test_a_solution_answers_by_its_last_box(file: Path, solution: str, answer: str) -> None:
    assert read_problems(write(file, {"problem": "a", "solution": solution}))[0].answer == answer


@pytest.mark.parametrize(
    ("written", "text"),
    [(27.0, "27"), (27, "27"), (0.5, "0.5"), ("27.0", "27.0"), (r" 336^\circ ", r"336^\circ"), (["9.6\n"], "9.6")],
)
def test_answers_become_text(file: Path, written: object, text: str) -> None:
    assert read_problems(write(file, {"question": "a", "answer": written}))[0].answer == text


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (27.0, "27"),
        ("27.0", "27"),
        ("027", "27"),
        ("1,234", "1234"),
        (r"336^\circ", "336"),
        (r"$336^{\circ}$", "336"),
        ("336°", "336"),
        ("-5", "-5"),
        ("000", "0"),
    ],
)
def test_whole_numbers_are_read_through_their_ornaments(file: Path, written: object, number: str) -> None:
    assert read_problems(write(file, {"question": "a", "answer": written}), integer=True)[0].answer == number


@pytest.mark.parametrize("written", ["1/2", "2.5", "12,34", "1 or 2", r"\frac{1}{2}", "9" * 101])
def test_what_is_no_whole_number_is_refused(file: Path, written: str) -> None:
    assert error_of(write(file, {"question": "a", "answer": written}), integer=True) == (
        f"p.jsonl:1: expected a whole number as the answer, found {written!r:.60}; is it the right field?"
    )


def test_the_user_says_which_fields(file: Path) -> None:
    path = write(file, {"Q": "a", "A": "1", "key": "x", "question": "not this", "id": "nor this"})
    for given in (
        {"question": "Q", "answer": "A", "id": "key"},
        "question=Q, answer=A,id=key",
        ["question=Q", "answer=A", "id=key"],
    ):
        problem = read_problems(path, fields=FieldMap.of(given))[0]
        assert (problem.id, problem.question, problem.answer) == ("x", "a", "1")


def test_a_benchmarks_own_names_give_way_to_the_users() -> None:
    fields = FieldMap.of("answer=A", question="Question", answer="Correct Answer")
    assert (fields.question, fields.answer) == (("Question",), ("A",))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("anser=A", "unknown part in data_fields 'anser'; did you mean 'answer'?"),
        ("answer=", "data_fields: expected answer=FIELD, such as question=Q,answer=A; got no field"),
    ],
)
def test_fields_that_are_no_part_of_a_problem(given: str, told: str) -> None:
    with pytest.raises(OptionError) as raised:
        FieldMap.of(given)
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"Q": "a", "answer": 1},
            "p.jsonl:1: expected the question in question, problem, prompt, question_content, Question or Problem; "
            "this row has Q, answer; say which with --data-fields question=FIELD",
        ),
        (
            {"question": "a"},
            "p.jsonl:1: expected the answer in answer, expected_answer, final_answer, Answer, solution or Solution; "
            "this row has question; say which with --data-fields answer=FIELD",
        ),
        (
            {"question": "a", "answer": ""},
            "p.jsonl:1: expected text in answer, which is empty; fill it in or remove the problem",
        ),
        (
            {"question": "  ", "answer": 1},
            "p.jsonl:1: expected text in question, which is empty; fill it in or remove the problem",
        ),
        (
            {"question": "a", "answer": 1, "id": None},
            "p.jsonl:1: expected text in id, which is empty; fill it in or remove the problem",
        ),
        ({"question": "a", "answer": True}, "p.jsonl:1: expected answer to be text or a number, found True"),
        (
            {"question": "a", "answer": ["1", "2"]},
            "p.jsonl:1: expected answer to be text or a number, found ['1', '2']",
        ),
        ({"question": "a", "answer": float("nan")}, "p.jsonl:1: expected answer to be text or a number, found nan"),
        (
            {"question": "a", "solution": "no box"},
            r"p.jsonl:1: expected a \boxed{} in solution, found none; name the answer's field",
        ),
        (
            {"question": "a\ud800", "answer": 1},
            "p.jsonl:1: question holds half a surrogate pair, not valid Unicode; mend or remove it",
        ),
    ],
)
def test_a_row_that_is_no_problem(file: Path, row: dict, told: str) -> None:
    assert error_of(write(file, row)) == told


def test_a_field_the_user_named_that_a_row_lacks(file: Path) -> None:
    assert error_of(write(file, {"question": "a", "answer": 1}), fields=FieldMap.of("id=key")) == (
        "p.jsonl:1: expected the id in key; this row has question, answer; say which with --data-fields id=FIELD"
    )


def test_two_problems_with_one_id(file: Path) -> None:
    path = write(file, *({"id": name, "question": "a", "answer": 1} for name in ("x", "y", "x")))
    assert error_of(path).replace(str(file), "p.jsonl") == (
        "p.jsonl:3: id 'x' is that of p.jsonl:1 too; give every problem its own"
    )


def test_a_file_without_problems(file: Path) -> None:
    assert error_of(write(file)) == "p.jsonl: expected problems, found none; name another file"


def test_no_such_file(tmp_path: Path) -> None:
    assert error_of(str(tmp_path / "p.csv")) == (
        "p.csv: no such file; give a .jsonl, .json, .csv or .parquet file of problems"
    )


HEAVY = ("pyarrow", "inspect_ai", "huggingface_hub", "datasets", "math_verify")


def test_reading_lines_needs_no_heavy_library(file: Path) -> None:
    path = write(file, {"question": "a", "answer": 1})
    code = (
        f"import sys; from thinklogit.evals.data import read_problems; read_problems({path!r}); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
