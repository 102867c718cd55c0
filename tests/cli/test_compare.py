"""`thinklogit compare` as typed, over measurements that are handed to it."""

import json
from pathlib import Path

import pytest
from measurements import measurement, numbered

import thinklogit.evals.logs as logs
from thinklogit.evals.outcomes import Measurement

pytest_plugins = ["commands"]

LENGTHS = {f"p{place}": 10 + place for place in range(8)}
LONGER = {problem: 3 * length for problem, length in LENGTHS.items()}
GUIDED = numbered([8, 7, 6, 8, 5, 7, 8, 6], lengths=LONGER, alpha=1.0)
TARGET = numbered([4, 3, 1, 5, 2, 3, 8, 7], lengths=LENGTHS, system="target", alpha=None)
GUIDER = numbered([4, 3, 1, 5, 2, 3, 8, 7], lengths=LONGER, system="guider")


@pytest.fixture
def runs(monkeypatch):
    """Runs by path, as if they had been read: set runs["RUN"] = [measurements]."""
    held: dict[str, list[Measurement]] = {}
    monkeypatch.setattr(logs, "read_measurements", lambda paths: [each for path in paths for each in held[str(path)]])
    return held


def test_two_runs(thinklogit, runs):
    runs |= {"a": [GUIDED], "b": [TARGET]}
    code, out, err = thinklogit("compare", "a", "b")
    assert (code, err) == (0, "")
    assert out.startswith("A: guided    B: target    every difference is A - B\n\nAIME 2024\n")
    assert "avg@8 %" in out
    assert "pass@8 %" in out
    assert "+34.4 [" in out
    assert "\nAccuracy is better: guided minus target is +34.4 points [" in out
    assert "\nReasoning is longer: guided writes 40 tokens a completion, target 14: 3.00 times as many [3.00" in out
    assert "\nGained, B -> A (6): p2 1/8 -> 6/8, p0 4/8 -> 8/8, " in out
    assert "\nLost, B -> A (1): p7 7/8 -> 6/8\n" in out
    assert "\nSettings that differ, A | B: alpha 1.0 | unset\n" in out


def test_of_one_run_the_guided_system_against_each_other(thinklogit, runs):
    runs["run"] = [GUIDER, GUIDED, TARGET]
    _, out, _ = thinklogit("compare", "run")
    assert [line[:22] for line in out.splitlines() if line.startswith("A: ")] == [
        "A: guided    B: target",
        "A: guided    B: guider",
    ]


def test_two_runs_of_one_system_are_told_apart(thinklogit, runs):
    runs |= {"runs/half/guided": [GUIDED], "runs/one/guided": [GUIDED]}
    _, out, _ = thinklogit("compare", "runs/half/guided", "runs/one/guided")
    assert out.startswith("A: guided (half/guided)    B: guided (one/guided) ")


def test_show_counts_what_it_leaves_out(thinklogit, runs):
    runs |= {"a": [GUIDED], "b": [TARGET]}
    out = thinklogit("compare", "a", "b", "--show", 1).out
    assert "Gained, B -> A (6): p2 1/8 -> 6/8, 5 more (--show 6)\n" in out
    assert "Gained, B -> A (6): 6 more (--show 6)\n" in thinklogit("compare", "a", "b", "--show", 0).out


def test_what_only_one_answered_is_named(thinklogit, runs):
    theirs = measurement({"x": "00", "z": "01", "w": "11"}, system="target")
    runs |= {
        "a": [measurement({"x": "11", "y": "10", "z": "11"}), numbered([1, 2], task="mini")],
        "b": [theirs, numbered([1, 2], task="amc23", system="target")],
    }
    out = thinklogit("compare", "a", "b").out
    assert "Left out, answered only by guided (1): y\n" in out
    assert "Left out, answered only by target (1): w\n" in out
    assert out.endswith("Left out, answered only by guided: mini\nLeft out, answered only by target: AMC 2023\n")


def test_several_tasks_and_their_average(thinklogit, runs):
    runs |= {
        "a": [GUIDED, numbered([1, 2], task="mini")],
        "b": [TARGET, numbered([0, 2], task="mini", system="target")],
    }
    out = thinklogit("compare", "a", "b").out
    assert [out.index(title) for title in ("AIME 2024", "\nmini\n", "average of 2 tasks")] == sorted(
        out.index(title) for title in ("AIME 2024", "\nmini\n", "average of 2 tasks")
    )


def test_names_in_brackets_are_printed_as_they_are(thinklogit, runs):
    runs |= {"a": [GUIDED], "b": [numbered([1] * 8, system="model [bold] v2")]}
    assert "B: model [bold] v2 " in thinklogit("compare", "a", "b").out


def test_json(thinklogit, runs):
    runs["run"] = [GUIDED, TARGET]
    code, out, err = thinklogit("compare", "run", "--json", "--seed", 3)
    found = json.loads(out)
    assert (code, err, found["difference"], found["seed"], found["resamples"]) == (0, "", "A minus B", 3, 10_000)
    (only,) = found["comparisons"]
    (task,) = only["tasks"]
    assert (only["average"], task["a"], task["b"], task["task"]) == (None, "guided", "target", "aime24")
    assert task["accuracy"]["difference"] == pytest.approx(0.34375)
    assert set(task["accuracy"]["interval"]) == set(task["length"]["ratio_interval"]) == {"low", "high"}
    assert task["lost"] == [{"task": "aime24", "problem_id": "p7", "b_correct": 7, "b_n": 8, "a_correct": 6, "a_n": 8}]
    assert len(task["verdicts"]) == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("one",), "one holds only guided; name a second run to compare it with"),
        (("three", "one"), "three holds target, guider, guided: name one, such as three/guided"),
        (("bare",), "bare holds target, guider, none of them guided: name two, such as bare/target bare/guider"),
        (("one", "one"), "one was named twice; name two runs, or only this one to compare the systems in it"),
        (("none",), "none holds no measured task; name a run of thinklogit eval"),
        (("one", "other"), "A answered AIME 2024, B mini; name other runs"),
        (("one", "bare/target", "--show", "-1"), "--show must be a number of problems, 0 or more; got -1"),
    ],
)
def test_what_cannot_be_compared_is_one_line(thinklogit, runs, arguments, line):
    runs |= {
        "one": [GUIDED],
        "three": [GUIDED, GUIDER, TARGET],
        "bare": [GUIDER, TARGET],
        "bare/target": [TARGET],
        "other": [numbered([1, 2], task="mini")],
        "none": [],
    }
    code, out, err = thinklogit("compare", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert line in err


def test_a_place_without_logs_is_one_line(thinklogit, tmp_path):
    code, out, err = thinklogit("compare", tmp_path, Path("nowhere"))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"{tmp_path}: no logs of an evaluation" in err
