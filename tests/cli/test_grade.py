"""`thinklogit grade` as typed: what is printed, what is written, what is refused, what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from thinklogit.core.records import Grade, read_records

pytest_plugins = ["commands"]


@pytest.fixture
def completions(tmp_path):
    """A file of four answers, one label of which no grader should agree with."""
    return a_file(
        tmp_path,
        {"id": "a", "completion": r"\boxed{\frac{2}{4}}", "reference": "0.5", "expected": True},
        {"id": "b", "completion": r"\boxed{7}", "reference": "8", "expected": False},
        {"id": "c", "completion": r"\boxed{9}", "reference": "9", "expected": False},
        {"id": "d", "completion": "I do not know.", "reference": "9", "expected": True},
    )


def a_file(folder, *rows):
    path = folder / "completions.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_what_is_printed(thinklogit, completions):
    code, out, errors = thinklogit("grade", "--kind", "math", completions)
    assert (code, errors) == (0, "")
    assert out == (
        "right 2 of 4 (50.0%, 95% interval 15.0% to 85.0%)\n"
        "as expected 2 of 4 (50.0%, 95% interval 15.0% to 85.0%)\n"
        "false accepts 1 of 2 (50.0%, 95% interval 9.5% to 90.5%) that are wrong\n"
        "  c: reference '9', read '9': the same text\n"
        "false rejects 1 of 2 (50.0%, 95% interval 9.5% to 90.5%) that are right\n"
        "  d: reference '9', read no answer: no answer found\n"
    )


def test_without_labels_only_what_is_right(thinklogit, tmp_path):
    path = a_file(tmp_path, {"completion": r"\boxed{B}", "reference": "B"}, {"completion": "A", "reference": "(A) x"})
    assert thinklogit("grade", "--kind", "letter", path).out.startswith("right 2 of 2 (100.0%")
    assert thinklogit("grade", "--kind", "letter", path).out.count("\n") == 1


def test_as_json(thinklogit, completions, tmp_path):
    out = tmp_path / "grades.jsonl"
    told = json.loads(thinklogit("grade", "--kind", "math", completions, "--json", "-o", out).out)
    assert (told["n"], told["right"], told["labelled"], told["agreements"]) == (4, 2, 4, 2)
    assert told["false_accepts"] == [{"id": "c", "reference": "9", "extracted": "9", "reason": "the same text"}]
    assert [one["id"] for one in told["false_rejects"]] == ["d"]
    assert told["output"] == str(out)


def test_what_is_written_and_kept(thinklogit, completions, tmp_path):
    out = tmp_path / "grades.jsonl"
    first = thinklogit("grade", "--kind", "math", completions, "-o", out)
    grades = list(read_records(Grade, out))
    assert [grade.problem_id for grade in grades] == ["a", "b", "c", "d"]
    assert grades[0] == Grade("a", 0, True, r"\frac{2}{4}", "math-verify: equal", r"\boxed{\frac{2}{4}}")
    kept = out.read_text()
    again = thinklogit("grade", "--kind", "math", completions, "-o", out)
    assert (again.out, out.read_text()) == (first.out, kept)
    assert again.err == "thinklogit: 4 kept from before; to grade anew use another -o\n"


def test_only_what_is_missing_is_graded(thinklogit, completions, tmp_path):
    out = tmp_path / "grades.jsonl"
    thinklogit("grade", "--kind", "math", completions, "-o", out)
    lines = out.read_text().splitlines(keepends=True)
    marked = lines[3].replace("no answer found", "kept")
    out.write_text(marked + lines[0] + lines[1][:20])
    told = thinklogit("grade", "--kind", "math", completions, "-o", out)
    assert told.err.startswith("thinklogit: 2 kept from before")
    assert out.read_text().splitlines(keepends=True) == [*lines[:3], marked]


def test_integers(thinklogit, tmp_path):
    path = a_file(tmp_path, {"completion": r"\boxed{m+n=\text{27}}", "reference": "027"})
    assert thinklogit("grade", "--kind", "math", "--integer", path).out.startswith("right 1 of 1")


def test_many_disagreements_are_cut(thinklogit, tmp_path):
    rows = [{"completion": "B", "reference": "B", "expected": False} for _ in range(23)]
    out = thinklogit("grade", "--kind", "letter", a_file(tmp_path, *rows)).out
    assert out.count("reference 'B'") == 20
    assert "  and 3 more, see them with --json\n" in out


def test_a_completion_that_takes_too_long(thinklogit, tmp_path):
    path = a_file(tmp_path, {"id": "slow", "completion": r"\boxed{1}", "reference": "2"})
    told = json.loads(thinklogit("grade", "--kind", "math", path, "--limit-s", "1e-9", "--json").out)
    assert told["right"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "maths"], "unknown --kind 'maths'; did you mean 'math'?"),
        ([], "completions.jsonl: expected a .jsonl file of completions; give --kind math, letter, mini, code"),
        (["--kind", "letter", "--integer"], "--integer goes with --kind math, not letter"),
        (["--kind", "math", "--unsafe-local-exec"], "--unsafe-local-exec goes with --kind code, not math"),
        (["--kind", "math", "--workers", "0"], "expected 1 or more workers, got 0"),
        (["--kind", "math", "--limit-s", "-1"], "expected a limit above 0 seconds, got -1.0"),
        (["--kind", "math", "-o", "/no/such/folder/out"], "/no/such/folder: no such folder to write out in"),
        (["--kind", "code"], "completions.jsonl:1: expected the field 'tests'"),
    ],
)
def test_what_is_refused_in_one_line(thinklogit, completions, arguments, message):
    code, out, errors = thinklogit("grade", completions, *arguments)
    assert (code, out) == (1, "")
    assert message in errors
    assert errors.count("\n") == 1


def test_files_that_cannot_be_graded(thinklogit, completions, tmp_path):
    assert "expected a .jsonl file" in thinklogit("grade", "--kind", "math", tmp_path).err
    assert "no such file" in thinklogit("grade", "--kind", "math", tmp_path / "none.jsonl").err
    assert "write over what is graded" in thinklogit("grade", "--kind", "math", completions, "-o", completions).err
    broken = a_file(tmp_path, {"completion": "1", "reference": "1"}, "{oops")
    assert thinklogit("grade", "--kind", "math", broken).err.startswith(f"thinklogit: {broken}:2: expected one JSON")


def test_a_kill_loses_nothing_that_was_graded(tmp_path):
    path = a_file(tmp_path, *({"completion": "B", "reference": "ABCD"[n % 4]} for n in range(3000)))
    out = tmp_path / "grades.jsonl"
    command = [sys.executable, "-c", "from thinklogit.cli.app import main; main()"]
    command += ["grade", "--kind", "letter", str(path), "-o", str(out)]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not (out.exists() and out.read_bytes().count(b"\n") > 20):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    left = out.read_text().rpartition("\n")[0].split("\n")
    interrupted = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while out.read_bytes().count(b"\n") < len(left) + 20:
        assert interrupted.poll() is None
        time.sleep(0.01)
    os.kill(interrupted.pid, signal.SIGINT)
    _, errors = interrupted.communicate()
    assert interrupted.returncode == 130
    assert f"{len(left)} kept from before" in errors
    assert "of 3000 grades are kept in" in errors
    assert "Traceback" not in errors
    assert set(left) <= set(out.read_text().splitlines())
