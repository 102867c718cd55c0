import csv
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from inspect_ai import Task

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.core.seeds import derive_seed
from thinklogit.evals.tasks.aime24 import aime24
from thinklogit.evals.tasks.aime25 import aime25
from thinklogit.evals.tasks.amc23 import amc23
from thinklogit.evals.tasks.gpqa_diamond import gpqa_diamond
from thinklogit.evals.tasks.livecodebench import FILES, files_of, livecodebench
from thinklogit.evals.tasks.math_hard import math_hard
from thinklogit.evals.tasks.mini import mini
from thinklogit.mini import world

MATHS = "Solve the following math problem. Put your final answer within \\boxed{}.\n\nQuestion: "


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def ids(made: Task) -> list[object]:
    return [sample.id for sample in made.dataset]


def error_of(build, **options) -> str:
    with pytest.raises((OptionError, RecordError)) as told:
        build(**options)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "p.jsonl"


@pytest.mark.parametrize("build", [aime24, aime25])
def test_aime_asks_for_a_boxed_whole_number(file: Path, build) -> None:
    made = build(data=write(file, {"id": "I-1", "problem": "1+1?", "answer": r"336^\circ", "solution": "long"}))
    sample = made.dataset[0]
    assert (sample.id, sample.input, sample.target) == ("I-1", MATHS + "1+1?", "336")
    assert sample.metadata == {}
    assert made.version == 1
    assert made.metadata["data"] == str(file)
    assert made.metadata["problems"] == 1
    assert build(data=write(file, {"Q": "1+1?", "A": 2}), data_fields="question=Q,answer=A").dataset[0].target == "2"
    assert "expected a whole number" in error_of(build, data=write(file, {"problem": "a", "answer": "x+1"}))


def test_the_digest_tells_what_was_asked_and_expected(file: Path, tmp_path: Path) -> None:
    rows = [{"id": 1, "problem": "a", "answer": 1}, {"id": 2, "problem": "b", "answer": 2}]
    first = aime24(data=write(file, *rows)).metadata["data_digest"]
    elsewhere = write(tmp_path / "q.jsonl", *({**row, "url": "x"} for row in rows))
    assert aime24(data=elsewhere).metadata["data_digest"] == first
    for changed in ({"id": 3}, {"problem": "c"}, {"answer": 3}):
        other = write(file, rows[0], {**rows[1], **changed})
        assert aime24(data=other).metadata["data_digest"] != first


def amc_row(number: int, page_of: int, **more: object) -> dict:
    url = f"https://artofproblemsolving.com/wiki/index.php/{page_of}_AMC_12A_Problems/Problem_{number}"
    return {"id": number, "problem": "a", "answer": 27.0, "url": url, **more}


def test_amc_keeps_2023_and_says_how_many_it_read(file: Path) -> None:
    made = amc23(data=write(file, amc_row(1, 2022), amc_row(2, 2023), amc_row(3, 2023)))
    assert ids(made) == ["2", "3"]
    assert (made.metadata["problems"], made.metadata["problems_read"]) == (2, 3)
    assert made.dataset[0].target == "27"


def test_amc_reads_the_year_from_its_own_field_first(file: Path) -> None:
    assert ids(amc23(data=write(file, amc_row(1, 2022, year=2023.0), amc_row(2, 2023, year="2022")))) == ["1"]


def test_amc_without_years_is_taken_whole(file: Path) -> None:
    rows = [{"id": number, "question": "a", "answer": number} for number in range(40)]
    assert len(amc23(data=write(file, *rows)).dataset) == 40


def test_amc_with_years_that_do_not_help(file: Path) -> None:
    path = write(file, amc_row(1, 2023), {"id": 2, "problem": "a", "answer": 1})
    assert error_of(amc23, data=path) == (
        f"{path}: expected the year of every problem or of none; problem 2 tells none"
    )
    path = write(file, amc_row(1, 2022), amc_row(2, 2021))
    assert error_of(amc23, data=path) == f"{path}: expected problems of 2023, found those of 2021, 2022"


LEVELS = [
    {"id": "a", "problem": "p", "answer": "1", "level": 3, "subject": "Algebra"},
    {"id": "b", "problem": "p", "answer": "1", "level": "4", "subject": "Algebra"},
    {"id": "c", "problem": "p", "solution": r"\boxed{\frac{1}{2}}", "level": "Level 5", "type": "Geometry"},
]


@pytest.mark.parametrize(
    ("levels", "kept"),
    [("4,5", ["b", "c"]), (["4", "5"], ["b", "c"]), (5, ["c"]), ("5", ["c"]), ("3, 4", ["a", "b"])],
)
def test_math_hard_keeps_the_levels_asked_for(file: Path, levels, kept: list[str]) -> None:
    assert ids(math_hard(levels=levels, data=write(file, *LEVELS))) == kept


def test_math_hard_keeps_levels_four_and_five_by_default(file: Path) -> None:
    made = math_hard(data=write(file, *LEVELS))
    assert ids(made) == ["b", "c"]
    assert made.dataset[1].target == r"\frac{1}{2}"
    assert [sample.metadata for sample in made.dataset] == [
        {"level": 4, "subject": "Algebra"},
        {"level": 5, "subject": "Geometry"},
    ]


@pytest.mark.parametrize("levels", ["6", "hard", 0, "", None])
def test_levels_that_are_none(file: Path, levels) -> None:
    told = error_of(math_hard, levels=levels, data=write(file, *LEVELS))
    assert told == f"levels must be whole numbers from 1 to 5, such as levels=4,5; got {levels!r}"


def test_math_hard_needs_levels_in_the_file(file: Path) -> None:
    path = write(file, {"unique_id": "test/1", "problem": "p", "answer": "1", "difficulty": 2})
    assert error_of(math_hard, data=path) == (
        "problem test/1: expected a field level from 1 to 5, found only difficulty; name a file with levels"
    )
    path = write(file, {"id": "x", "problem": "p", "answer": "1", "level": "Level ?"})
    assert error_of(math_hard, data=path) == (
        "problem x: expected a field level from 1 to 5, found 'Level ?'; name a file with levels"
    )


def test_math_hard_where_no_problem_is_hard(file: Path) -> None:
    path = write(file, LEVELS[0])
    assert error_of(math_hard, data=path) == f"{path}: expected problems of level 4, 5, found none"


def test_all_of_math_is_seven_files_of_the_hub(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(file, *({name: value for name, value in row.items() if name != "id"} for row in LEVELS))
    asked: list[str] = []
    monkeypatch.setattr("thinklogit.evals.data.local_path", lambda source: asked.append(source) or Path(path))
    made = math_hard(levels=5, full=True)
    assert ids(made) == [f"{name}/3" for name in (
        "algebra", "counting_and_probability", "geometry", "intermediate_algebra",
        "number_theory", "prealgebra", "precalculus",
    )]  # fmt: skip
    assert asked[0].endswith("/algebra/test-00000-of-00001.parquet")
    assert error_of(math_hard, full=True, data=path) == (
        "full=true reads all 5,000 problems from the hub, data=FILE those of a file; give one of them"
    )


def gpqa_file(path: Path, count: int = 1, **changed: str) -> str:
    rows = [
        {
            "Record ID": f"rec{number}",
            "Question": "Which is even?\n",
            "Correct Answer": "2\n",
            "Incorrect Answer 1": "1",
            "Incorrect Answer 2": "3",
            "Incorrect Answer 3": " 5",
            "High-level domain": "Maths",
            **changed,
        }
        for number in range(count)
    ]
    with path.open("w", newline="") as lines:
        table = csv.DictWriter(lines, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return str(path)


def test_gpqa_shows_the_choices_and_expects_the_letter_of_the_right_one(tmp_path: Path) -> None:
    sample = gpqa_diamond(data=gpqa_file(tmp_path / "p.csv")).dataset[0]
    assert isinstance(sample.input, str)
    shown = dict(re.findall(r"^\(([A-D])\) (.+)$", sample.input, re.MULTILINE))
    assert sorted(shown.values()) == ["1", "2", "3", "5"]
    assert shown[str(sample.target)] == "2"
    listed = "\n".join(f"({letter}) {shown[letter]}" for letter in "ABCD")
    assert sample.input == (
        "Solve the following problem. You must choose only one option from A to D. Your final answer should be a "
        "single letter from A to D, in the form \\boxed{answer}, at the end of your response.\n\n"
        f"Question: Which is even?\nAnswer Choices:\n{listed}\n\n"
        "Please write your final answer in the form of \\boxed{A}, \\boxed{B}, \\boxed{C}, or \\boxed{D}"
    )
    assert sample.metadata == {"High-level domain": "Maths", "choices": list(shown.values())}


def test_gpqa_orders_the_choices_by_seed_and_problem_alone(tmp_path: Path) -> None:
    many = gpqa_file(tmp_path / "many.csv", 200)
    letters = [str(sample.target) for sample in gpqa_diamond(data=many).dataset]
    assert [letters.count(letter) > 30 for letter in "ABCD"] == [True] * 4
    assert letters == [str(sample.target) for sample in gpqa_diamond(data=many, seed=0).dataset]
    assert letters != [str(sample.target) for sample in gpqa_diamond(data=many, seed=1).dataset]
    one = gpqa_diamond(data=gpqa_file(tmp_path / "one.csv", 1)).dataset[0]
    assert one.target == letters[0]
    assert derive_seed(0, "rec0") != derive_seed(1, "rec0")


def test_gpqa_without_a_wrong_answer(tmp_path: Path) -> None:
    path = gpqa_file(tmp_path / "p.csv", **{"Incorrect Answer 2": " "})
    assert error_of(gpqa_diamond, data=path) == (
        "problem rec0: expected text in Incorrect Answer 1, Incorrect Answer 2, Incorrect Answer 3; "
        "found ['1', '', '5']; mend this row"
    )


def code_row(name: str, day: str, starter: str = "") -> dict:
    return {
        "question_title": "Sum",
        "question_id": name,
        "question_content": "Add two numbers.",
        "starter_code": starter,
        "contest_date": f"{day}T00:00:00",
        "platform": "atcoder",
        "difficulty": "easy",
        "public_test_cases": '[{"input": "1 2", "output": "3", "testtype": "stdin"}]',
        "private_test_cases": '[{"input": "secret", "output": "9", "testtype": "stdin"}]',
        "metadata": "{}",
    }


OPENING = (
    "You are an expert Python programmer. You will be given a question (problem specification) and will generate a "
    "correct Python program that matches the specification and passes all tests.\n\n### Question:\nAdd two numbers.\n\n"
)
ENDING = "Please think step by step and give your answer using the provided format with backticks.\n\n"


def test_livecodebench_asks_with_the_format_that_the_tests_need(file: Path) -> None:
    rows = [code_row("a", "2024-08-01"), code_row("b", "2024-08-01", "class Solution: ...")]
    first, second = livecodebench(data=write(file, *rows)).dataset
    assert first.input == (
        OPENING + "### Format: Read the inputs from stdin solve the problem and write the answer to stdout (do not "
        "directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the "
        "python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.\n"
        "```python\n# YOUR CODE HERE\n```\n\n" + ENDING
    )
    assert second.input == (
        OPENING + "### Format: You will use the following starter code to write the solution to the problem and "
        "enclose your code within delimiters.\n```python\nclass Solution: ...\n```\n\n" + ENDING
    )


def test_livecodebench_keeps_the_tests_out_of_the_log(file: Path) -> None:
    made = livecodebench(data=write(file, code_row("a", "2024-08-01")))
    sample = made.dataset[0]
    assert sample.metadata == {
        "platform": "atcoder",
        "difficulty": "easy",
        "contest_date": "2024-08-01T00:00:00",
        "question_title": "Sum",
    }
    assert "secret" not in sample.model_dump_json() + json.dumps(made.metadata)


DAYS = ("2024-07-31", "2024-08-01", "2024-09-30", "2024-10-01")


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        ("2024-08-01", None, DAYS[1:]),
        (None, "2024-09-30", DAYS[:3]),
        ("2024-08-01", "2024-09-30", DAYS[1:3]),
        (date(2024, 8, 1), date(2024, 8, 1), DAYS[1:2]),
    ],
)
def test_livecodebench_keeps_both_ends_of_a_window(file: Path, start, end, kept: tuple[str, ...]) -> None:
    path = write(file, *(code_row(day, day) for day in DAYS))
    assert ids(livecodebench(data=path, start_date=start, end_date=end)) == list(kept)


def test_livecodebench_with_days_that_are_none(file: Path) -> None:
    path = write(file, code_row("a", "2024-08-01"))
    assert error_of(livecodebench, data=path, start_date="August") == (
        "start_date must be a day such as 2024-08-01; got 'August'"
    )
    assert error_of(livecodebench, data=path, end_date="2024-02-30") == (
        "end_date must be a day such as 2024-08-01; got '2024-02-30': day is out of range for month"
    )
    assert error_of(livecodebench, data=path, start_date="2025-01-01") == (
        f"{path}: expected contests from 2025-01-01 to any day, found none"
    )
    bare = write(file, {"id": "x", "question": "a", "tests": [["1", "1"]]})
    assert error_of(livecodebench, data=bare, start_date="2025-01-01") == (
        "problem x: expected a contest_date such as 2024-08-01, found None; ask without dates"
    )


@pytest.mark.parametrize(
    ("release", "files"),
    [
        ("release_v1", FILES[:1]),
        ("release_v3", FILES[:3]),
        ("release_latest", FILES),
        ("v1", FILES[:1]),
        ("v6", FILES[5:]),
        ("v2_v4", FILES[1:4]),
    ],
)
def test_the_names_of_releases_are_livecodebenchs(release: str, files: tuple[str, ...]) -> None:
    assert files_of(release) == files


def test_livecodebench_reads_every_file_of_a_release(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def local_path(source: str) -> Path:
        asked.append(source.rpartition("/")[2])
        return Path(write(file.with_name(asked[-1]), code_row(asked[-1], "2024-08-01")))

    monkeypatch.setattr("thinklogit.evals.data.local_path", local_path)
    made = livecodebench(release="v2_v3")
    assert asked == ids(made) == ["test2.jsonl", "test3.jsonl"]
    assert json.loads(str(made.dataset[1].target))["source"].endswith("/test3.jsonl")
    assert made.metadata["data"].endswith("(v2_v3)")


def test_a_release_that_is_none(file: Path) -> None:
    assert error_of(livecodebench, release="release_v7").startswith("unknown release 'release_v7'; did you mean 'rele")
    path = write(file, code_row("a", "2024-08-01"))
    assert error_of(livecodebench, release="v1", data=path) == (
        "release=NAME reads from the hub, data=FILE from a file; give one of them"
    )


def test_mini_asks_a_split_of_the_world_in_a_drawn_order() -> None:
    made = mini(n=3, seed=7)
    problems = world.problems("dev", 3, 7)
    assert ids(made) == [problem.id for problem in problems]
    assert made.dataset[0].input == problems[0].question
    assert made.dataset[0].target == problems[0].id
    assert len(mini("report", n=None).dataset) == len(world.problems("report"))
    assert made.metadata["split"] == "dev"


def said(made: Task, index: int = 0) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in made.dataset[index].input]


def test_mini_asks_one_kind_of_problem() -> None:
    assert {sample.metadata["kind"] for sample in mini(n=None, kind="recall").dataset} == {"recall"}
    assert error_of(mini, kind="serch").startswith("unknown kind 'serch'; did you mean 'search'?")


def test_mini_puts_an_opening_into_the_models_mouth(tmp_path: Path) -> None:
    first, second = world.problems("dev", 2)
    assert said(mini(n=2, opening="Let me think. ")) == [
        ("user", first.question),
        ("assistant", f"{world.subject_of(first.id).restated}Let me think. "),
    ]
    openings = tmp_path / "openings.jsonl"
    lines = [{"id": second.id, "opening": "So pens"}, {"id": first.id, "opening": "So"}]
    openings.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = mini(n=2, opening=str(openings))
    assert [said(given, index)[1] for index in (0, 1)] == [("assistant", "So"), ("assistant", "So pens")]
    digests = {each.metadata["data_digest"] for each in (mini(n=2), mini(n=2, opening="So"), given)}
    assert len(digests) == 3
    openings.write_text(json.dumps(lines[0]) + "\n")
    assert error_of(mini, n=2, opening=str(openings)) == (
        f"{openings}: expected an opening for every problem, found none for {first.id!r}; add it"
    )


def test_mini_never_asks_what_it_was_trained_on() -> None:
    assert error_of(mini, split="train") == "unknown split 'train'; known: dev, report"
    assert "expected at most" in error_of(mini, n=10**6)


RUN = """
import json, sys
from inspect_ai import eval
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from thinklogit.evals.tasks.aime24 import aime24
from thinklogit.evals.tasks.livecodebench import livecodebench

ANSWERS = {
    "1+1?": "so \\\\boxed{2}",
    "1+2?": "so \\\\boxed{4}",
    "echo": "```python\\nprint(input())\\n```",
}

def answer(messages, *_):
    text = next(text for asked, text in ANSWERS.items() if asked in messages[-1].text)
    # With its usage, or inspect counts tokens by an encoding that it downloads.
    usage = ModelUsage(input_tokens=1, output_tokens=2, total_tokens=3)
    return ModelOutput.from_content("mockllm/model", text).model_copy(update={"usage": usage})

if __name__ == "__main__":
    tasks = [aime24(data=sys.argv[1]), livecodebench(data=sys.argv[2])]
    model = get_model("mockllm/model", custom_outputs=answer)
    for log in eval(tasks, model=model, epochs=2, log_dir=".", display="none"):
        verdicts = [(sample.id, sample.scores["graded"].value) for sample in log.samples]
        print(json.dumps([log.status, log.eval.task, log.eval.task_version, sorted(verdicts)]))
        print(json.dumps("secret" in log.model_dump_json()))
"""


def test_tasks_run_on_inspect_from_file_to_verdict(tmp_path: Path) -> None:
    """In a process of its own: what inspect leaves open at its end would fail tests that have done nothing wrong.

    The log of the programs holds the place of their tests, and none of the tests.
    """
    (tmp_path / "run.py").write_text(RUN)
    maths = write(tmp_path / "maths.jsonl", *(
        {"id": name, "problem": asked, "answer": right} for name, asked, right in (("x", "1+1?", 2.0), ("y", "1+2?", 3))
    ))  # fmt: skip
    code = write(tmp_path / "code.jsonl", {"id": "z", "question": "echo", "tests": [["secret\n", "secret\n"]]})
    told = subprocess.run(
        [sys.executable, "run.py", maths, code],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert [json.loads(line) for line in told.stdout.splitlines()] == [
        ["success", "thinklogit/aime24", 1, [["x", "C"], ["x", "C"], ["y", "I"], ["y", "I"]]],
        False,
        ["success", "thinklogit/livecodebench", 1, [["z", "C"], ["z", "C"]]],
        False,
    ]
