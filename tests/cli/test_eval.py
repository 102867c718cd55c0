"""`thinklogit eval` as a person runs it: in a process of its own, for inspect-ai needs one."""

import json
import signal
import subprocess
import sys
import time

import pytest
from fake_server import serving

pytest_plugins = ["commands"]

COMMAND = [sys.executable, "-c", "from thinklogit.cli.app import main; main()", "eval"]


def run(*arguments, **kwargs):
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=240, **kwargs)
    return done


def figures(output):
    rows = json.loads(output)["figures"]
    return {(row["system"], row["metric"]): row["value"] for row in rows}


def one_line(done, code=1):
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.slow
def test_the_mini_trio_in_two_modes_and_the_same_seed_again(tmp_path):
    arguments = ["mini", "--n", 2, "--limit", 5, "--json"]
    first = run(*arguments, "--mode", "guided,target", "-o", tmp_path / "a")
    assert first.returncode == 0, first.stderr
    assert figures(first.stdout)["guided", "avg@2"] > figures(first.stdout)["target", "avg@2"]
    assert run(*arguments, "-o", tmp_path / "b", "--batch-size", 3).returncode == 0
    guided = texts(tmp_path / "a" / "guided")
    assert guided == texts(tmp_path / "b")
    assert any(guided[problem, 1] != guided[problem, 2] for problem, _ in guided)
    assert not (tmp_path / "a" / "answers").exists()


def texts(folder):
    """What each completion says, read by inspect's own means."""
    code = (
        "import sys, json; from inspect_ai.log import list_eval_logs, read_eval_log\n"
        "logs = [read_eval_log(info) for info in list_eval_logs(sys.argv[1])]\n"
        "print(json.dumps([[s.id, s.epoch, s.output.completion] "
        "for log in logs for s in log.samples]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    return {(problem, epoch): text for problem, epoch, text in json.loads(done.stdout)}


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_answered_and_asks_nothing_twice(tmp_path):
    with serving(delay_s=0.3) as (fake, url):
        arguments = ["mini", "--n", 3, "--limit", 8, "--batch-size", 4, "--json", "--seed", 5, "--base-url", url]
        for wanted, how in ((7, signal.SIGKILL), (15, signal.SIGINT)):
            command = [*COMMAND, *map(str, arguments), "-o", str(tmp_path)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                deadline = time.monotonic() + 120
                while len(fake.answered) < wanted and time.monotonic() < deadline:
                    time.sleep(0.02)
                time.sleep(0.1)  # what was answered now is on its way to the disk
                process.send_signal(how)
                told = process.stderr.read()
            time.sleep(0.5)
        assert process.returncode == 130
        assert told.startswith("thinklogit: interrupted: what was answered is kept in")
        finished = run(*arguments, "-o", tmp_path)
        assert finished.returncode == 0, finished.stderr
        asked = [(body["messages"][-1]["content"], body["seed"]) for body in fake.requests]
        assert len(set(asked)) == 24
        assert len(asked) - 24 <= 2 * 4  # only what was in flight at a kill
        assert figures(finished.stdout)["guided", "avg@3"] == pytest.approx(100 * right(asked) / 24, abs=1e-4)


def right(asked):
    """How many the fake server answers right."""
    return sum(seed % 2 == 0 for _, seed in set(asked))


@pytest.mark.slow
def test_a_finished_run_grows_refuses_other_settings_and_sends_guidance_with_every_request(tmp_path):
    with serving() as (fake, url):
        server = ["mini", "--limit", 3, "--mode", "guided,target", "--alpha", 0.5, "--warmup-tokens", 3, "--raw",
                  "--json", "-o", tmp_path / "run", "--base-url", url]  # fmt: skip
        assert run(*server).returncode == 0
        guided, target = fake.requests[0], fake.requests[-1]
        assert guided["vllm_xargs"] == {"alpha": 0.5, "warmup_tokens": 3}
        assert target["vllm_xargs"] == {"alpha": 0.0}
        assert guided["chat_template"].startswith("{% for message")
        assert (guided["temperature"], guided["top_p"]) == (0.6, 0.95)
        assert run(*server, "--n", 2).returncode == 0
        assert len(fake.requests) == 12
        assert "temperature 0.6, now 0.9" in one_line(run(*server, "--n", 2, "--temperature", 0.9))
        assert len(fake.requests) == 12


@pytest.mark.slow
def test_shards_share_a_run_and_make_it_whole(thinklogit, tmp_path):
    with serving() as (fake, url):
        for shard in ("1/2", "2/2"):
            done = run("mini", "--limit", 5, "--base-url", url, "-o", tmp_path / "run", "--shard", shard)
            assert done.returncode == 0, done.stderr
        together = thinklogit("table", tmp_path / "run", "--format", "json")
        seeds = [body["seed"] for body in fake.requests]
        assert len(set(seeds)) == 5
        assert figures(together.out)["guided", "avg@1"] == 100 * right(enumerate(seeds)) / 5


@pytest.mark.slow
def test_a_run_is_graded_again_and_what_changed_is_listed(tmp_path):
    turned = (
        "import sys; from inspect_ai.log import list_eval_logs, read_eval_log, write_eval_log\n"
        "(info,) = list_eval_logs(sys.argv[1])\n"
        "log = read_eval_log(info)\n"
        "(verdict,) = log.samples[1].scores.values()\n"
        "verdict.value = 'I' if verdict.value == 'C' else 'C'\n"
        "write_eval_log(log, log.location)\n"
    )
    with serving() as (fake, url):
        before = run("mini", "--limit", 3, "--json", "--base-url", url, "-o", tmp_path)
        subprocess.run([sys.executable, "-c", turned, str(tmp_path)], check=True)
        asked = len(fake.requests)
        again = subprocess.run([*COMMAND[:-1], "grade", tmp_path], capture_output=True, text=True)
        assert "1 grade changed" in again.stdout, again.stderr
        assert "completion 0: now " in again.stdout
        assert run("mini", "--limit", 3, "--json", "--base-url", url, "-o", tmp_path).stdout == before.stdout
        assert len(fake.requests) == asked


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mini", "--base-url", "http://127.0.0.1:9/v1"], "no server answers; start it"),
        (["minni"], "unknown task 'minni'; did you mean 'mini'?"),
        ([], "no task given; known: aime24"),
        (["mini", "--mode", "gided"], "unknown mode 'gided'; did you mean 'guided'?"),
        (["mini", "--shard", "3/2"], "--shard must be i/N with i from 1 to N, such as 2/8; got '3/2'"),
        (["mini", "--shard", "8/8", "--limit", "3"], "no problem is left for shard 8/8"),
        (["mini", "-T", "levels=5"], "mini has no option 'levels'; it has split, n, seed, kind, opening"),
        (["mini", "--n", "4", "--temperature", "0"], "4 greedy completions are all the same"),
        (["mini", "--alpha", "nan"], "alpha must be a number from -100 to 100"),
        (["aime24", "--data", "missing.jsonl"], "missing.jsonl: no such file"),
        (["aime24"], "HuggingFaceH4/aime_2024"),
        (["aime24", "aime25", "--data", "x.jsonl"], "--data is for one task"),
    ],
)
def test_a_mistake_prints_one_line(thinklogit, arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = thinklogit("eval", *arguments)
    assert left.code == 1
    assert len(left.err.splitlines()) == 1
    assert told in left.err


@pytest.mark.slow
def test_a_server_that_breaks_down_is_told_and_what_was_finished_is_kept(tmp_path):
    with serving(status=400) as (_, url):
        line = one_line(run("mini", "--limit", 2, "--base-url", url, "-o", tmp_path / "run"))
        assert "out of order" in line
        assert "repeat the command to continue" in line
