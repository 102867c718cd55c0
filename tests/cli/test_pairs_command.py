"""`thinklogit pairs` on the mini trio: what it asks, keeps and makes of it, and what it says where it cannot."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

pytest_plugins = ["commands"]
PAIRS = ["pairs", "--problems", "mini", "--limit", "10", "--n", "2", "--batch-size", "64", "--max-new-tokens", "160"]


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One run, for tests that only look."""
    from thinklogit.cli.app import main

    folder = tmp_path_factory.mktemp("pairs") / "pairs"
    with suppress(SystemExit):
        main([*PAIRS, "-o", str(folder)])
    return folder


def test_answers_grades_pairs_and_a_card(made):
    for source in ("target", "guider"):
        answers, grades = (lines(made / "samples" / f"{source}{end}") for end in (".jsonl", ".grades.jsonl"))
        assert len(answers) == len(grades) == 20
        assert {answer["settings"]["mode"] for answer in answers} == {source}
    from thinklogit.train import dataset

    rows = dataset.read(made)
    assert {row["kind"] for row in rows} <= {"target_over_guider", "guider_over_target"}
    assert all(row["prompt"].startswith("<|user|>") and row["prompt"].endswith("<|assistant|>") for row in rows)
    assert f"{len(rows)} pairs of" in (made / "README.md").read_text()


def test_chosen_is_right_and_rejected_is_wrong_by_the_graders_of_eval(made):
    from thinklogit.mini import world
    from thinklogit.train import dataset

    for row in dataset.read(made):
        problem = world.parse(row["problem_id"])
        assert world.grade(problem, row["chosen"]).correct
        assert not world.grade(problem, row["rejected"]).correct


@pytest.mark.slow
def test_the_same_seed_gives_the_same_file_in_batches_of_any_size(thinklogit, made, tmp_path):
    again = [*PAIRS, "-o", str(tmp_path / "again")]
    again[again.index("64")] = "7"
    assert thinklogit(*again).code == 0
    ours, theirs = ((folder / "data" / "train.parquet").read_bytes() for folder in (made, tmp_path / "again"))
    assert ours == theirs


def test_other_pairs_of_the_same_answers_ask_nothing(thinklogit, made, monkeypatch):
    def never(*_, **__):
        raise AssertionError("nothing is missing, so no weight is to be loaded")

    monkeypatch.setattr("thinklogit.cli.options.TrioOptions.load", never)
    before = (made / "samples" / "guider.jsonl").read_bytes()
    outcome = thinklogit(*PAIRS, "-o", made, "--cut-tokens", "2", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["pairs"] >= 1
    assert (made / "samples" / "guider.jsonl").read_bytes() == before
    assert thinklogit(*PAIRS, "-o", made).code == 0


def test_a_dry_run_says_what_would_be_asked(thinklogit, made, tmp_path):
    told = thinklogit(*PAIRS, "-o", tmp_path / "new", "--dry-run", "--target-temperature", "1.3").out
    assert "10 problems, graded by mini" in told
    assert "target: 20 answers to ask for, 0 there, at temperature 1.3, at most 160 tokens each" in told
    assert not (tmp_path / "new").exists()
    assert "guider: 0 answers to ask for, 20 there" in thinklogit(*PAIRS, "-o", made, "--dry-run").out


@pytest.mark.slow
def test_shards_answer_apart_and_become_the_pairs_of_all(thinklogit, made, tmp_path):
    folder = tmp_path / "sharded"
    for shard in ("1/2", "2/2"):
        outcome = thinklogit(*PAIRS, "-o", folder, "--shard", shard)
        assert "when all are, repeat the command without --shard" in outcome.err
        assert not (folder / "data").exists()
    assert thinklogit(*PAIRS, "-o", folder).code == 0
    ours, theirs = ((each / "data" / "train.parquet").read_bytes() for each in (made, folder))
    assert ours == theirs
    assert not (folder / "samples" / "target.jsonl").exists()  # nothing was left to ask


def test_answers_made_otherwise_are_not_mixed(thinklogit, made):
    outcome = thinklogit(*PAIRS, "-o", made, "--temperature", "0.9")
    assert outcome.code == 1
    assert "was made with temperature 0.6, now 0.9; use another -o, or the same settings" in outcome.err


def test_more_answers_keep_those_that_are_there(thinklogit, made, tmp_path):
    shutil.copytree(made, tmp_path / "more")
    more = [*PAIRS, "-o", tmp_path / "more"]
    more[more.index("2")] = "3"
    assert thinklogit(*more).code == 0
    answers = lines(tmp_path / "more" / "samples" / "target.jsonl")
    assert answers[:20] == lines(made / "samples" / "target.jsonl")
    assert len(answers) == 30


def test_options_of_a_file_and_flags_over_them(thinklogit, made, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text(
        "trio: mini\npairs:\n  problems: [mini]\n  limit: 10\n  n: 2\n  cut_tokens: [2, 0]\n  max_new_tokens: 160\n"
    )
    told = thinklogit(
        "pairs", "--config", config, "-o", made, "--dry-run", "--kinds", "guider_over_guider,target_over_guider"
    ).out
    assert "pairs of guider_over_guider, target_over_guider, cut (2, 0) tokens" in told


def test_values_of_a_file_are_read_as_those_of_the_command_line(thinklogit, made, tmp_path):
    """`problems: mini` in a file was taken for four files of one letter each, and a list of kinds, or 6e-1, which YAML
    reads as text, ended in a traceback. Values of a file now become what the same words on the command line would.
    """
    config = tmp_path / "recipe.yaml"
    config.write_text(
        "pairs:\n  problems: mini\n  limit: '10'\n  n: 2\n  max_new_tokens: 160\n  temperature: 6e-1\n"
        "  kinds: [guider_over_target, target_over_guider]\n  mix: [1, 2]\n  cut_tokens: 2\n  chat: true\n"
    )
    told = thinklogit("pairs", "--config", config, "-o", made, "--dry-run").out
    assert "pairs of guider_over_target, target_over_guider, cut (2,) tokens" in told
    assert "guider: 0 answers to ask for, 20 there, at temperature 0.6" in told


def test_fewer_problems_make_pairs_of_the_answers_that_are_there(thinklogit, made, tmp_path):
    """With a smaller --limit than before, grades of the problems now left out were called those of other answers, and
    removing the file was advised. They are passed over, and are still there when all problems are asked for again."""
    shutil.copytree(made, tmp_path / "p")
    fewer = [*PAIRS, "-o", tmp_path / "p"]
    fewer[fewer.index("10")] = "6"
    assert thinklogit(*fewer).code == 0
    assert (tmp_path / "p" / "data" / "train.parquet").read_bytes() != (made / "data" / "train.parquet").read_bytes()
    assert thinklogit(*PAIRS, "-o", tmp_path / "p").code == 0
    assert (tmp_path / "p" / "data" / "train.parquet").read_bytes() == (made / "data" / "train.parquet").read_bytes()


def test_grades_against_another_answer_are_not_taken_over(thinklogit, tmp_path):
    """After a mistaken answer was mended in the problems' file, the grades of before were used as they were, without a
    word. They are refused now, and the line says which file to remove."""
    problems = tmp_path / "problems.jsonl"
    asked = ["pairs", "--problems", problems, "-o", tmp_path / "p", "--n", "2", "--max-new-tokens", "8"]
    problems.write_text('{"id": "a", "problem": "pen 3 cup 4", "answer": "7"}\n')
    thinklogit(*asked)
    problems.write_text('{"id": "a", "problem": "pen 3 cup 4", "answer": "8"}\n')
    assert "was graded by the answer '7' to 'a', now '8'; remove that file" in thinklogit(*asked).err
    note = tmp_path / "p" / "samples" / "target.grades.json"
    note.write_text(note.read_text()[:40])
    assert "target.grades.json: cannot be read; remove it and target.grades.jsonl" in thinklogit(*asked).err
    for grades in (tmp_path / "p" / "samples").glob("*.grades.jsonl"):
        grades.unlink()
    assert "was graded by" not in thinklogit(*asked).err


def test_grading_that_is_interrupted_says_what_is_kept(thinklogit, made, tmp_path, monkeypatch):
    """Ctrl-C while answers were graded ended in the one word "interrupted". It tells how many grades are kept, and
    that the same command continues."""
    shutil.copytree(made, tmp_path / "p")
    grades = tmp_path / "p" / "samples" / "target.grades.jsonl"
    grades.write_text("".join(grades.read_text().splitlines(keepends=True)[:5]))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("thinklogit.evals.grading.completions.as_completed", interrupted)
    outcome = thinklogit(*PAIRS, "-o", tmp_path / "p")
    assert outcome.code == 130
    assert "interrupted: 5 of 20 grades are kept in" in outcome.err
    assert "repeat the command to continue" in outcome.err


def test_problems_of_a_file_and_near_copies_refused(thinklogit, tmp_path):
    problems = tmp_path / "problems.jsonl"
    rows = [
        {"id": n, "problem": f"What is {n} times {n + 3}, and why does Ann ask?", "answer": str(n * n + 3 * n)}
        for n in range(4)
    ]
    rows.append({"id": "old", "problem": "How many primes are there below one hundred, counting two?", "answer": "25"})
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text(json.dumps(rows[-1] | {"id": "x"}) + "\n")
    outcome = thinklogit(
        "pairs", "--problems", problems, "--held-out", held_out, "--raw", "-o", tmp_path / "p", "--dry-run"
    )
    assert "1 problems refused: near copies of --held-out ones" in outcome.err
    assert "4 problems, graded by math" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no problems given; name a .jsonl, .json, .csv or .parquet file, hf://..., or mini"),
        (["--problems", "mini", "--grader", "maths"], "unknown grader 'maths'; did you mean 'math'?"),
        (["--problems", "mini", "--kinds", "both"], "unknown kind of pair 'both'"),
        (["--problems", "mini", "--mix", "1;1"], "--mix takes numbers with commas between, such as 2,1; got '1;1'"),
        (["--problems", "mini", "--batch-size", "0"], "batch_size must be a whole number, 1 or more; got 0"),
        (["--problems", "mini", "--workers", "0"], "workers must be a whole number, 1 or more; got 0"),
        (["--problems", "mini", "--limit", "0"], "limit must be a whole number of problems, 1 or more; got 0"),
        (["--problems", "mini", "--levels", "5"], "the problems of mini have one grader, no levels and no fields"),
        (["--problems", "none.jsonl", "--grader", "mini"], "the grader mini reads the answers to mini's problems only"),
        (["--problems", "mini", "--temperature", "0"], "--n 4 greedy answers are all the same"),
        (["--problems", "mini", "--shard", "3/2"], "--shard must be i/N"),
        (["--problems", "none.jsonl"], "none.jsonl: no such file"),
        (["--problems", "mini", "--config", "none.yaml"], "none.yaml: no such file"),
        (["--problems", "mini", "--trio", "none"], "none: expected a trio folder"),
        (["--problems", "mini", "--held-out", "none.jsonl"], "none.jsonl: no such file"),
    ],
)
def test_bad_input_is_one_line(thinklogit, tmp_path, arguments, told):
    outcome = thinklogit("pairs", "-o", tmp_path / "p", *arguments)
    assert outcome.code in (1, 2)
    assert told in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a section 'pairs' of options; the file has none"),
        ('pairs:\n  n: "four"\n', "n must be a whole number; got 'four'"),
        ("pairs:\n  limit: 1.5\n", "limit must be a whole number; got 1.5"),
        ("pairs:\n  chat: maybe\n", "chat must be true or false; got 'maybe'"),
        ("pairs:\n  engine: tensorrt\n", "engine must be hf or vllm; got 'tensorrt'"),
        ("pairs:\n  data_fields: {question: Q}\n", "data_fields must be text; got {'question': 'Q'}"),
        ("pairs:\n  n: 2\nlimit: 3\n", "unknown section or shared option in"),
        ("pairs: [1", "line 1: expected YAML"),
        ("pairs:\n  temprature: 1\n", "unknown option in pairs of"),
    ],
)
def test_a_bad_config_file_is_one_line(thinklogit, tmp_path, text, told):
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    outcome = thinklogit("pairs", "--config", config, "-o", tmp_path / "p")
    assert outcome.code == 1
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


def test_of_several_guiders_none_is_taken_for_the_one(thinklogit, tmp_path):
    """Of a trio with two guiders the first one's answers were sampled as the guider's, without a word, while train
    refused such a trio. Both refuse it now."""
    guiders = (
        "--guider",
        "mini/guider",
        "--base",
        "mini/base",
        "--guider",
        "mini/guider_rewarded",
        "--base",
        "mini/base",
    )
    thinklogit("compose", "--target", "mini/target", *guiders, "-o", tmp_path / "two")
    outcome = thinklogit(*PAIRS, "--trio", tmp_path / "two", "-o", tmp_path / "p", "--dry-run")
    assert outcome.code == 1
    assert "has several guiders; compose a trio of the one that is to answer" in outcome.err


def test_an_empty_problem_file_is_told(thinklogit, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    outcome = thinklogit("pairs", "--problems", tmp_path / "empty.jsonl", "-o", tmp_path / "p")
    assert "expected problems, found none; name another file" in outcome.err


def test_where_every_answer_is_wrong_it_is_said_and_the_answers_are_kept(thinklogit, tmp_path):
    problems = tmp_path / "hard.jsonl"
    problems.write_text('{"id": "a", "problem": "pen 3 cup 4", "answer": "\\\\aleph_0"}\n')
    asked = ["pairs", "--problems", problems, "-o", tmp_path / "p", "--n", "2", "--max-new-tokens", "8"]
    outcome = thinklogit(*asked)
    assert outcome.code == 1
    assert "no pair of the kind target_over_guider can be made: the target has no right answer" in outcome.err
    assert "a larger --max-new-tokens with another -o" in outcome.err
    assert "among 0 usable (2 unfinished, 2 empty left out)" in outcome.err
    assert len(lines(tmp_path / "p" / "samples" / "target.jsonl")) == 2


def test_a_full_disk_is_told_and_what_is_there_kept(thinklogit, tmp_path, monkeypatch):
    from thinklogit.core import records

    written = []
    append = records.append_record

    def full_after_three(record, path):
        written.append(record)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        append(record, path)

    monkeypatch.setattr("thinklogit.decode.runs.append_record", full_after_three)
    outcome = thinklogit(*PAIRS, "-o", tmp_path / "p")
    assert outcome.code == 1
    assert "No space left on device; completions kept there: 3; make room" in outcome.err


@pytest.mark.slow
def test_killed_at_any_moment_no_answer_is_lost_or_doubled(made, tmp_path):
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "thinklogit", *PAIRS, "-o", str(folder)]
    for enough in (1, 15, 25):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and count(folder) < enough:
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, capture_output=True).returncode == 0
    for name in ("data/train.parquet", "README.md"):
        assert (folder / name).read_bytes() == (made / name).read_bytes()
    answers = lines(folder / "samples" / "guider.jsonl")
    assert len({(each["problem_id"], each["index"]) for each in answers}) == len(answers) == 20


def count(folder):
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("samples/*.jsonl"))


def test_a_guider_of_another_tokenizer_answers_in_its_own(thinklogit, tmp_path):
    from transformers import AutoTokenizer

    from thinklogit.models.places import MINI

    asked = [
        "pairs",
        "--trio",
        "mini-cross",
        "--problems",
        "mini",
        "--limit",
        "6",
        "--n",
        "2",
        "--max-new-tokens",
        "60",
    ]
    thinklogit(*asked, "-o", str(tmp_path / "pairs"))  # so few may make no pair
    for source, member in (("target", "target_other"), ("guider", "guider")):
        tokenizer = AutoTokenizer.from_pretrained(MINI / member)
        answers = lines(tmp_path / "pairs" / "samples" / f"{source}.jsonl")
        assert len(answers) == 12
        for answer in answers:
            own = tokenizer(answer["text"], add_special_tokens=False)["input_ids"]
            assert answer["text"].startswith("So ")
            assert abs(answer["new_tokens"] - len(own)) <= 2  # but for the end, and a cut that is drawn otherwise
