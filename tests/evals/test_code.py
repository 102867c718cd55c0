"""The code grader: which program a completion holds, what counts as its right output, and what a verdict says."""

import base64
import json
import pickle
import subprocess
import sys
import zlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinklogit.core.errors import RecordError
from thinklogit.evals.grading import code_tests
from thinklogit.evals.grading.code import extract_code, grade_code, wrong_text, wrong_value
from thinklogit.evals.grading.code_tests import CodeTests, decode_private_tests, livecodebench_tests, parse_tests
from thinklogit.evals.grading.limits import Limits


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("```python\nprint(1)\n```", "print(1)"),
        ("First\n```python\nprint(1)\n```\nbetter\n```py\nprint(2)\n```\nDone.", "print(2)"),
        ("<think>\n```python\ndraft\n```\n</think>\n```python\nfinal\n```", "final"),
        ("<think>\n```python\ndraft\n```\n</think>\nI do not know.", None),
        ("```\nprint(1)\n```", "print(1)"),
        ("```python\nprint(1)\n```\nIt prints\n```\n1\n```", "print(1)"),  # LiveCodeBench would run the output
        ("```python\nprint(1)\n```\nnow in full\n```python\nprint(2", "print(1)"),
        ("```python\nprint(1", None),
        ("```cpp\nint main;\n```", None),
        ("  ```Python\n  print(1)\n  ```", "  print(1)"),
        ("print(1)", None),
        ("```python\n```", ""),
        ("", None),
    ],
)
def test_extracted(completion: str, code: str | None) -> None:
    assert extract_code(completion) == code


@given(
    st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"])).filter(
        lambda text: "</think>" not in text
    )
)
def test_a_closed_block_is_extracted_whole(code: str) -> None:
    assert extract_code(f"Some words.\n```python\n{code}\n```\nMore words.") == code


@pytest.mark.parametrize(
    ("got", "wanted", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("\n 1 2 \n3\n\n", "1 2\n3", True),
        ("1 2\r\n3", "1 2\n3", True),
        ("1\n\n2", "1\n2", False),
        ("0.50", "0.5", True),
        ("1e3 2", "1000 2.0", True),
        ("50000000000000000", "50000000000000001", False),
        ("0.3333333", "0.3333334", False),  # LiveCodeBench has no tolerance
        ("1  2", "1 2", True),
        ("a  b", "a b", False),
        ("Yes", "YES", False),
        ("", "", True),
        ("", "1", False),
        ("nan", "nan", True),
        ("nan 1", "nan 1.0", False),
        ("snan", "1", False),
    ],
)
def test_text_is_compared_as_livecodebench_does(got: str, wanted: str, same: bool) -> None:
    assert (wrong_text(got, wanted) is None) == same


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 3))
def test_a_number_is_the_same_however_it_is_written(number: Decimal, zeros: int) -> None:
    written = f"{number:f}"
    longer = written + ("" if "." in written else ".") + "0" * zeros
    assert wrong_text(longer, f"{number:E}") is None


@pytest.mark.parametrize(
    ("got", "wanted", "same"),
    [
        ("[1, 2]", "[1,2]", True),
        ("1.0", "1", True),
        ("true", "1", True),
        ("0.30000000000000004", "0.3", False),
        ('"a"', '"a"', True),
        ("null", "[]", False),
        ("[" * 100_000, "[]", False),
        ("", "[]", False),
    ],
)
def test_values_are_compared_as_livecodebench_does(got: str, wanted: str, same: bool) -> None:
    assert (wrong_value(got, wanted) is None) == same


HASH = subprocess.check_output(
    [sys.executable, "-c", "print(hash('the same each time'))"], env={"PYTHONHASHSEED": "0"}, text=True
).strip()


def verdict_of(code: str, *tests: tuple[str, str], function: str | None = None, **options) -> str:
    inputs, outputs = zip(*tests, strict=True)
    return grade_code(code, CodeTests(inputs, outputs, function), code_given=True, **options).reason


@pytest.mark.parametrize(
    ("code", "test"),
    [
        ("print(input()[::-1])", ("abc\n", "cba\n")),
        ("import sys\nprint(sum(map(int, sys.stdin)))", ("1\r\n2\r\n", "3")),
        ("import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read().upper())", ("é a", "é A")),
        ("import os\nprint(os.read(0, 9).decode())", ("raw", "raw")),
        ("print(open(0).read())", ("whole", "whole")),
        ("if __name__ == '__main__':\n    print(1)", ("", "1")),
        ("print(gcd(12, 18), Counter('aab')['a'], inf, List[int])", ("", "6 2 inf typing.List[int]")),
        ("print(7)\nexit(1)", ("", "7")),
        ("print(7)\nquit()", ("", "7")),
        ("import resource as r\nprint(r.getrlimit(r.RLIMIT_STACK)[0] >> 20)", ("", "120")),
        ("print(7)\nimport sys\nsys.exit('bye')", ("", "7")),
        ("from __future__ import annotations\nprint(1)", ("", "1")),
        ("def f(n):\n    return n and 1 + f(n - 1)\nprint(f(20000))", ("", "20000")),
        ("import threading\nthreading.Thread(target=lambda: print(input())).start()", ("late", "late")),
        (
            "import sys, threading\nsys.setrecursionlimit(10**7)\nthreading.stack_size(256 << 20)\n"
            "t = threading.Thread(target=lambda: print(max([1, 2])))\nt.start()\nt.join()",
            ("", "2"),
        ),
        ("import atexit\natexit.register(print, 5)", ("", "5")),
        ("import numpy as np\nprint(np.arange(3).sum())", ("", "3")),
        ("import asyncio\nasync def f(): print(4)\nasyncio.run(f())", ("", "4")),
        ("left = open(1, 'w', closefd=False)\nleft.write('unflushed')", ("", "unflushed")),
        ("import sys\nprint(1)\nsys.stdout.close()", ("", "1")),
        (
            "import io, sys\nsys.stdout = io.StringIO()\nprint(1)\nsys.__stdout__.write(sys.stdout.getvalue())",
            ("", "1"),
        ),
        ("print(len(str(10 ** 40_000)))", ("", "40001")),
        ("print(hash('the same each time') == HASH)", ("", "True")),
        ("open('note', 'w').write('x')\nprint(open('note').read())", ("", "x")),
        ("print('x' * 9_000_000)", ("", "x" * 9_000_000)),
        ("print(len(input()))", ("y" * 3_000_000, "3000000")),
        ("print(1)", ("y" * 3_000_000, "1")),
        ("print(len(__import__('pickle').dumps(Solution)))\nclass Solution: pass", None),
    ],
)
def test_programs_that_read_and_print(code: str, test: tuple[str, str] | None) -> None:
    code = code.replace("HASH", HASH)
    if test is None:
        assert verdict_of(code, ("", "")).startswith("exit code 1 on test 1: NameError")
    else:
        assert verdict_of(code, test) == "the test passed"


@pytest.mark.parametrize(
    "code",
    [
        "class Solution:\n    def add(self, a: List[int], b: int):\n        print('seen')\n        return sum(a) + b",
        "def add(a, b):\n    return sum(a) + b",
        "import numpy as np\ndef add(a, b):\n    return np.sum(a) + b",
    ],
)
def test_functions(code: str) -> None:
    assert verdict_of(code, ("[1, 2]\n3", "6"), ("[]\n0", "0"), function="add") == "all 2 tests passed"


def test_tuples_are_lists() -> None:
    assert verdict_of("def f(n): return (n, (n,))", ("1", "[1, [1]]"), function="f") == "the test passed"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(n): return n + 1", "wrong answer on test 2: expected '5', got '6'"),
        ("def g(n): return n", "exit code 1 on test 1: AttributeError: module '__main__' has no attribute 'f'"),
        (
            "def f(n): return {n}",
            "exit code 1 on test 1: TypeError: the function returned set, which is not a JSON value",
        ),
        ("def f(n): import os; os._exit(0)", "wrong answer on test 1: expected '2', got ''"),
        ("def f(n): print(2)", "wrong answer on test 1: expected '2', got 'null'"),
    ],
)
def test_functions_that_fail(code: str, reason: str) -> None:
    assert verdict_of(code, ("1", "2"), ("5", "5"), function="f") == reason


def test_wrong_answers_say_where() -> None:
    assert verdict_of("print(input())", ("1", "1"), ("1", "2")) == "wrong answer on test 2: expected '2', got '1'"
    assert verdict_of("print(1)", ("", "1\n2")) == "wrong answer on test 1: expected 2 lines, got 1: '1'"
    assert len(verdict_of("print('x' * 1000)", ("", "y" * 1000))) < 300


def test_grading_ends_at_the_first_failure_unless_told_otherwise() -> None:
    code, tests = "print(input())", (("1", "1"), ("1", "2"), ("1", "3"), ("1", "1"))
    assert verdict_of(code, *tests) == "wrong answer on test 2: expected '2', got '1'"
    told = "wrong answer on test 2: expected '2', got '1'; 2 of the 4 tests run failed"
    assert verdict_of(code, *tests, every_test=True) == told


def test_time_is_counted_for_each_test() -> None:
    code = "import time\ntime.sleep(float(input()))"
    reason = verdict_of(code, ("0", ""), ("0.1", ""), ("9", ""), limits=Limits(time_per_test_s=0.5))
    assert reason == "time limit on test 3"


def test_the_verdict_holds_the_code() -> None:
    verdict = grade_code("So:\n```python\nprint(2)\n```", [["", "2"]])
    assert verdict.correct
    assert verdict.extracted == "print(2)"
    assert grade_code("no program", [["", "2"]]) == (False, None, "no closed code block")


STDIN = {"input": "1\n", "output": "2\n", "testtype": "stdin"}
CALL = {"input": "1\n[2]", "output": "3", "testtype": "functional"}


@pytest.mark.parametrize(
    ("tests", "parsed"),
    [
        ([["1", "2"], ("3", "4")], CodeTests(("1", "3"), ("2", "4"))),
        ([STDIN], CodeTests(("1\n",), ("2\n",))),
        ([["a\r\nb\r\n", "c\r\n"]], CodeTests(("a\nb\n",), ("c\n",))),  # else input() is "a\r"
        ([{"input": "1", "output": "2"}], CodeTests(("1",), ("2",))),
        ([CALL | {"metadata": {"func_name": "f"}}], CodeTests(("1\n[2]",), ("3",), "f")),
        ([CALL | {"func_name": "f"}, CALL], CodeTests(("1\n[2]",) * 2, ("3",) * 2, "f")),
        ({"inputs": ["1"], "outputs": ["2"]}, CodeTests(("1",), ("2",))),
        ({"inputs": [["1", "2"]], "outputs": [["3"]], "fn_name": None}, CodeTests(("1\n2",), ("3",))),
        ({"inputs": [[1, [2]]], "outputs": [[3]], "fn_name": "f"}, CodeTests(("1\n[2]",), ("[3]",), "f")),
        ({"inputs": ["1\n[2]"], "outputs": ["3"], "fn_name": "f"}, CodeTests(("1\n[2]",), ("3",), "f")),
    ],
)
def test_known_forms_of_tests(tests: object, parsed: CodeTests) -> None:
    assert parse_tests(tests) == parsed
    assert parse_tests(json.loads(json.dumps(parsed.as_record()))) == parsed


@pytest.mark.parametrize(
    "tests",
    [
        None,
        [],
        "text",
        [["1"]],
        [[1, "2"]],
        [STDIN, CALL],
        [CALL],
        [STDIN | {"testtype": "other"}],
        [CALL | {"func_name": "f"}, CALL | {"func_name": "g"}],
        [{"input": "1"}],
        {"inputs": ["1"], "outputs": []},
        {"inputs": [], "outputs": []},
        {"inputs": "1", "outputs": "2"},
        {"inputs": ["one"], "outputs": ["2"], "fn_name": "f"},
        {"functional": "assert f(1) == 2"},
    ],
)
def test_unknown_forms_of_tests(tests: object) -> None:
    with pytest.raises(RecordError, match="tests: expected") as error:
        parse_tests(tests)
    assert "\n" not in str(error.value)


def encoded(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


@given(st.lists(st.fixed_dictionaries({"input": st.text(), "output": st.text(), "testtype": st.just("stdin")})))
def test_private_tests_are_read_back(cases: list[dict[str, str]]) -> None:
    assert decode_private_tests(encoded(json.dumps(cases))) == cases
    assert decode_private_tests(json.dumps(cases)) == cases


def test_a_row_of_livecodebench() -> None:
    row = {
        "public_test_cases": json.dumps([CALL]),
        "private_test_cases": encoded(json.dumps([CALL | {"output": "4"}])),
        "metadata": json.dumps({"func_name": "f"}),
    }
    assert livecodebench_tests(row) == CodeTests(("1\n[2]",) * 2, ("3", "4"), "f")


class Opened:
    def __reduce__(self) -> tuple:
        return (print, ("a pickle that runs what it likes",))


@pytest.mark.parametrize(
    "text",
    [encoded(Opened()), encoded([1]), encoded("no JSON"), encoded("[]")[:-8], "!", "", base64.b64encode(b"x").decode()],
)
def test_private_tests_that_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecordError, match="private tests: expected"):
        decode_private_tests(text)
    assert capsys.readouterr().out == ""


def test_private_tests_have_a_greatest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_tests, "MAX_PRIVATE_BYTES", 1000)
    with pytest.raises(RecordError, match="at most 1000 bytes"):
        decode_private_tests(encoded(json.dumps([" " * 1_000_000])))
