import base64
import json
import pickle
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.evals.rows import read_rows
from thinklogit.evals.tasks.hidden_tests import digest_of, grade_by_hidden_tests, hidden_tests_at, place_of

CASES = [{"input": "1 2\n", "output": "3\n"}, {"input": "2 2\n", "output": "4\n"}]


def packed(cases: list[dict]) -> str:
    """As LiveCodeBench writes its private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


def livecodebench_row(name: str, function: str | None = None, **changed: object) -> dict:
    kind = "functional" if function else "stdin"
    public, private = ([{**case, "testtype": kind}] for case in CASES)
    if function:
        public, private = ([{"input": "1\n2", "output": "3", "testtype": kind}] for _ in range(2))
    return {
        "question_id": name,
        "question_content": "Add two numbers.",
        "starter_code": "class Solution: ..." if function else "",
        "contest_date": "2024-08-01T00:00:00",
        "public_test_cases": json.dumps(public),
        "private_test_cases": packed(private),
        "metadata": json.dumps({"func_name": function} if function else {}),
        **changed,
    }


def write(path: Path, rows: list[dict]) -> str:
    text = json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["p.jsonl", "p.json"])
def test_the_tests_are_found_where_the_target_says(tmp_path: Path, name: str) -> None:
    rows = [livecodebench_row("a"), livecodebench_row("b", "add"), {"id": "c", "question": "Add.", "tests": CASES[1:]}]
    source = write(tmp_path / name, rows)
    first, second, third = (hidden_tests_at(place_of(row, source)) for row in read_rows(Path(source)))
    assert (first.inputs, first.outputs, first.function) == (("1 2\n", "2 2\n"), ("3\n", "4\n"), None)
    assert (second.inputs, second.outputs, second.function) == (("1\n2", "1\n2"), ("3", "3"), "add")
    assert (third.inputs, third.outputs) == (("2 2\n",), ("4\n",))


def test_a_target_holds_no_test(tmp_path: Path) -> None:
    """inspect writes every target into the log; with its tests LiveCodeBench's would take gigabytes a run."""
    source = write(tmp_path / "p.jsonl", [livecodebench_row("a")])
    target = place_of(next(read_rows(Path(source))), source)
    assert set(json.loads(target)) == {"source", "place", "digest"}
    assert len(target) < 200


def test_a_file_that_has_moved_is_given_again(tmp_path: Path) -> None:
    source = write(tmp_path / "p.jsonl", [livecodebench_row("a"), livecodebench_row("b")])
    target = place_of(list(read_rows(Path(source)))[1], source)
    moved = Path(source).rename(tmp_path / "moved.jsonl")
    with pytest.raises(OptionError, match="no such file"):
        hidden_tests_at(target)
    assert hidden_tests_at(target, str(moved)).outputs == ("3\n", "4\n")


def test_other_tests_than_those_of_the_run_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "p.jsonl", [livecodebench_row("a")])
    target = place_of(next(read_rows(Path(source))), source)
    write(Path(source), [livecodebench_row("a", private_test_cases=packed(CASES))])
    with pytest.raises(RecordError) as told:
        hidden_tests_at(target)
    assert str(told.value) == (
        f"{source}, place 0: expected the tests of the run, found others; give the file it was made from"
    )


@pytest.mark.parametrize("field", ["public_test_cases", "private_test_cases", "metadata"])
def test_the_digest_depends_on_every_test_and_the_function(tmp_path: Path, field: str) -> None:
    rows = [livecodebench_row("a"), livecodebench_row("a", **{field: '[{"other": 1}]'})]
    source = write(tmp_path / "p.jsonl", rows)
    assert len({digest_of(row) for row in read_rows(Path(source))}) == 2


def test_a_row_without_tests(tmp_path: Path) -> None:
    source = write(tmp_path / "p.jsonl", [{"question": "a", "answer": 1}])
    with pytest.raises(RecordError) as told:
        digest_of(next(read_rows(Path(source))))
    assert str(told.value) == (
        f"{source}:1: expected tests in public_test_cases and private_test_cases, or in tests; "
        "this row has question, answer"
    )


@pytest.mark.parametrize(("program", "correct"), [("print(sum(map(int, input().split())))", True), ("print(3)", False)])
def test_a_program_is_graded_by_the_tests_at_the_target(tmp_path: Path, program: str, correct: bool) -> None:
    source = write(tmp_path / "p.jsonl", [livecodebench_row("a")])
    target = place_of(next(read_rows(Path(source))), source)
    verdict = grade_by_hidden_tests(f"```python\n{program}\n```", target)
    assert (verdict.correct, verdict.extracted) == (correct, program), verdict.reason


def test_a_grading_worker_needs_neither_torch_nor_inspect() -> None:
    code = "import sys; import thinklogit.evals.tasks.hidden_tests; print({'torch', 'inspect_ai'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
