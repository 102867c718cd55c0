"""Grades programs by running them: LiveCodeBench's rules of comparison, our sandbox.

The rules are those of
https://github.com/LiveCodeBench/LiveCodeBench/blob/28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24/lcb_runner/evaluation/testing_util.py
"""

import json
import re
from contextlib import closing
from decimal import Decimal, DecimalException

from thinklogit.evals.grading.code_tests import parse_tests
from thinklogit.evals.grading.limits import Limits
from thinklogit.evals.grading.sandbox import Failure, Run, run_tests
from thinklogit.evals.grading.verdicts import Verdict

FENCE = re.compile(r"\s*```\s*(\w*)")


def extract_code(completion: str) -> str | None:
    """The last closed block of Python after the thinking, else the last closed block that names no language.

    LiveCodeBench takes what stands between the last two fences, whatever they are; on answers that end in their
    program the two agree. https://github.com/LiveCodeBench/LiveCodeBench/blob/28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24/lcb_runner/utils/extraction_utils.py#L4
    """
    named, unnamed = None, None
    language, block = None, []
    for line in completion.rpartition("</think>")[2].split("\n"):
        fence = FENCE.match(line)
        if fence is None or (language is not None and fence[1]):
            block.append(line)  # also a fence with a language inside a block: no block ends with one
        elif language is None:
            language, block = fence[1].lower(), []
        else:
            if language in ("python", "py", "python3"):
                named = "\n".join(block)
            elif language == "":
                unnamed = "\n".join(block)
            language = None
    return named if named is not None else unnamed


def grade_code(
    completion: str,
    tests: object,
    *,
    limits: Limits | None = None,
    unsafe: bool = False,
    code_given: bool = False,
    every_test: bool = False,
) -> Verdict:
    """Run the program of a completion (or the completion itself, if `code_given`) on its tests.

    `tests` are in any form that `parse_tests` reads. Ends at the first test that fails, unless `every_test`.

    Raises:
        RecordError: tests in an unknown form.
        SandboxError: no sandbox here, unless `unsafe`.
    """
    asked = parse_tests(tests)
    code = completion if code_given else extract_code(completion)
    if code is None:
        return Verdict(False, None, "no closed code block")
    failures = []
    number = 0
    with closing(run_tests(code, asked.inputs, function=asked.function, limits=limits, unsafe=unsafe)) as runs:
        for number, run in enumerate(runs, start=1):
            failure = failure_of(run, asked.outputs[number - 1], asked.function)
            if failure is not None:
                failures.append(_reason(failure, number))
                if not every_test:
                    break
    if not failures:
        return Verdict(True, code, f"all {number} tests passed" if number > 1 else "the test passed")
    others = f"; {len(failures)} of the {number} tests run failed" if len(failures) > 1 else ""
    return Verdict(False, code, failures[0] + others)


def _reason(failure: Failure, number: int) -> str:
    return f"{failure.what} on test {number}" + (f": {failure.detail}" if failure.detail else "")


def failure_of(run: Run, expected: str, function: str | None = None) -> Failure | None:
    """Why the run does not pass its test; None where it does."""
    if run.failure is not None:
        return run.failure
    wrong = wrong_text(run.stdout, expected) if function is None else wrong_value(run.result, expected)
    return None if wrong is None else Failure("wrong answer", wrong)


def wrong_text(got: str, wanted: str) -> str | None:
    """How a printed text differs, line by line without outer spaces (#L372); None where it does not."""
    got_lines, wanted_lines = _lines(got), _lines(wanted)
    if len(got_lines) != len(wanted_lines):
        return f"expected {len(wanted_lines)} lines, got {len(got_lines)}: {_shown(got.strip())}"
    for got_line, wanted_line in zip(got_lines, wanted_lines, strict=True):
        if got_line != wanted_line and not _same_numbers(got_line, wanted_line):
            return f"expected {_shown(wanted_line)}, got {_shown(got_line)}"
    return None


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_numbers(got: str, wanted: str) -> bool:
    """Whether both lines hold the same decimal numbers, however written (#L214): 1.50 is 1.5, 0.3333 is not 1/3."""
    try:
        return [Decimal(word) for word in got.split()] == [Decimal(word) for word in wanted.split()]
    except DecimalException:
        return False


def wrong_value(got: str, wanted: str) -> str | None:
    """How a returned value differs, both as JSON (#L268: equality, tuples being lists); None where it does not."""
    try:
        same = json.loads(got) == json.loads(wanted)
    except (ValueError, RecursionError):
        same = False
    return None if same else f"expected {_shown(wanted)}, got {_shown(got)}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
