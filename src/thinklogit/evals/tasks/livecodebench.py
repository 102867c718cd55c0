r"""LiveCodeBench, code generation: contest problems with hidden tests, by release and date (arXiv 2403.07974).

    release=release_v1 .. release_v6    all problems up to a release: 400, 511, 612, 713, 880, 1055
    release=v1 .. v6, v2_v4             what one release added, or several; the names are LiveCodeBench's
    start_date, end_date                those of contests from one day to another, both included: 2024-08-01

Source: livecodebench/code_generation_lite (question_content, starter_code, question_id, contest_date, platform,
difficulty, public_test_cases, private_test_cases, metadata), one file a release; all six are over 4 GB. The paper
takes "the first 200" of a set that its authors did not publish: the nearest is inspect's `--limit 200`.
A file of `data` has those fields, or a question and `tests` in a form of grading/code_tests.py.
Prompt: LiveCodeBench's question with its format block, closed by the authors' own line,
https://github.com/yunx-z/think-logit/blob/295c76cc7f322efdd40490b0e4b5f85964f9a0b0/eval/lcb_prompts.py#L27
after https://github.com/LiveCodeBench/LiveCodeBench/blob/28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24/lcb_runner/prompts/code_generation.py#L39
Extraction: the last closed block of Python after the thinking; right when it passes every test, public and hidden.
"""

import re
from datetime import date, datetime

from inspect_ai import Task, task

from thinklogit.core.errors import OptionError, RecordError, unknown_name
from thinklogit.core.records import Problem
from thinklogit.evals.data import FieldMap, Fields, distinct, id_of, question_of, rows_of
from thinklogit.evals.rows import Row
from thinklogit.evals.scoring import graded
from thinklogit.evals.tasks.benchmark import benchmark
from thinklogit.evals.tasks.hidden_tests import digest_of, place_of

DATA = "hf://datasets/livecodebench/code_generation_lite@0fe84c3912ea0c4d4a78037083943e8f0c4dd505"
FILES = ("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl", "test6.jsonl")
LATEST = "release_v6"
VERSION = 1
INSTRUCTION = (
    "You are an expert Python programmer. You will be given a question (problem specification) and will generate a "
    "correct Python program that matches the specification and passes all tests."
)
WITH_STARTER_CODE = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters."
)
WITHOUT_STARTER_CODE = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT."
)
CLOSING = "Please think step by step and give your answer using the provided format with backticks."
REPORTED = ("platform", "difficulty", "contest_date", "question_title")

Day = str | date | None


@task
def livecodebench(
    release: str | None = None,
    start_date: Day = None,
    end_date: Day = None,
    data: str | None = None,
    data_fields: Fields = None,
    unsafe_local_exec: bool = False,
) -> Task:
    """The benchmark, from the hub (release_v6 unless another is named) or from a file of `data`.

    With `unsafe_local_exec` programs run without a sandbox, and can do whatever you can.
    """
    if release is not None and data is not None:
        raise OptionError("release=NAME reads from the hub, data=FILE from a file; give one of them")
    chosen = release or LATEST
    sources = [data] if data else [f"{DATA}/{name}" for name in files_of(chosen)]
    start, end = day_of("start_date", start_date), day_of("end_date", end_date)
    fields = FieldMap.of(data_fields)
    found = ((row, problem_of(row, source, fields)) for source in sources for row in rows_of(source))
    read = data or f"{DATA} ({chosen})"
    problems = [problem for problem in distinct(found, read) if is_within(problem, start, end)]
    if not problems:
        raise RecordError(f"{read}: expected contests from {start or 'any day'} to {end or 'any day'}, found none")
    return benchmark(
        problems,
        prompt=code_prompt,
        scorer=graded("hidden_tests", **({"unsafe": True} if unsafe_local_exec else {})),
        version=VERSION,
        data=read,
        reported=REPORTED,
        target=lambda problem: problem.metadata["tests_at"],
        about={"start_date": str(start or ""), "end_date": str(end or "")},
    )


def files_of(release: str) -> tuple[str, ...]:
    """The files of a release by LiveCodeBench's name for it. Raises OptionError."""
    numbers = range(1, len(FILES) + 1)
    spans = {f"v{first}_v{last}": (first, last) for first in numbers for last in numbers if first < last}
    spans |= {f"v{number}": (number, number) for number in numbers}
    spans |= {f"release_v{number}": (1, number) for number in numbers} | {"release_latest": (1, len(FILES))}
    if release not in spans:
        raise unknown_name("release", str(release), spans)
    first, last = spans[release]
    return FILES[first - 1 : last]


def problem_of(row: Row, source: str, fields: FieldMap) -> Problem:
    """A row without its tests, but with their place; their digest is what is expected."""
    kept = {name: row.fields[name] for name in (*REPORTED, "starter_code") if name in row.fields}
    kept |= {"tests_at": place_of(row, source)}
    return Problem(id_of(row, fields), question_of(row, fields), digest_of(row), metadata=kept)


def code_prompt(problem: Problem) -> str:
    """Task instruction, blank line, question, format, and to think."""
    starter = problem.metadata.get("starter_code")
    asked = WITH_STARTER_CODE if starter else WITHOUT_STARTER_CODE
    block = f"### Format: {asked}\n```python\n{starter or '# YOUR CODE HERE'}\n```"
    return f"{INSTRUCTION}\n\n### Question:\n{problem.question}\n\n{block}\n\n{CLOSING}\n\n"


def day_of(option: str, given: Day) -> date | None:
    """A day as typed, which inspect has made a date of already. Raises OptionError."""
    if isinstance(given, datetime):
        return given.date()
    if given is None or isinstance(given, date):
        return given
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(given)):
        raise OptionError(f"{option} must be a day such as 2024-08-01; got {given!r}")
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise OptionError(f"{option} must be a day such as 2024-08-01; got {given!r}: {error}") from None


def is_within(problem: Problem, start: date | None, end: date | None) -> bool:
    """Whether the contest was held in these days. Raises RecordError where days are asked for and it tells none."""
    if start is None and end is None:
        return True
    told = problem.metadata.get("contest_date")
    try:
        held = datetime.fromisoformat(str(told)).date()
    except ValueError:
        raise RecordError(
            f"problem {problem.id}: expected a contest_date such as 2024-08-01, found {told!r}; ask without dates"
        ) from None
    return (start or date.min) <= held <= (end or date.max)
