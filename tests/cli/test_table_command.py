"""`thinklogit table` as typed, over measurements that are handed to it."""

import json

import pytest
from measurements import numbered

import thinklogit.cli.table as table_command
import thinklogit.evals.logs as logs
from thinklogit.evals.metrics import measure
from thinklogit.evals.outcomes import Measurement

pytest_plugins = ["commands"]


@pytest.fixture
def runs(monkeypatch):
    """Runs by path, as if they had been read."""
    held: dict[str, list[Measurement]] = {
        "run": [numbered([4, 0, 8]), numbered([1, 0, 2], system="target")],
        "again": [numbered([5, 0, 8])],
    }
    monkeypatch.setattr(logs, "read_measurements", lambda paths: [each for path in paths for each in held[str(path)]])
    return held


def test_markdown_is_what_a_pipe_gets(thinklogit, runs):
    code, out, err = thinklogit("table", "run")
    assert (code, err) == (0, "")
    assert out.startswith("avg@8 / pass@8, in percent\n\n| system ")
    assert out == thinklogit("table", "run", "--format", "markdown").out
    assert "| published: ThinkLogit " in out
    assert "ublished" not in thinklogit("table", "run", "--no-published").out


def test_a_terminal_gets_it_drawn(thinklogit, runs, monkeypatch):
    monkeypatch.setattr(table_command.sys.stdout, "isatty", lambda: True)
    out = thinklogit("table", "run", "--k", "1,8").out
    assert "avg@8 / pass@1 / pass@8, in percent" in out
    assert "│ published: ThinkLogit " in out
    low, high = measure(runs["run"][0]).accuracy.interval
    assert f" [{100 * low:.1f}, {100 * high:.1f}] │\n" in out
    assert "- Brackets: 95% interval over problems." in out
    assert thinklogit("table", "run", "--format", "markdown").out.startswith("avg@8 / pass@8, in percent\n\n| system")


def test_systems_of_one_name_are_told_apart_by_their_runs(thinklogit, runs):
    out = thinklogit("table", "run", "again", "--no-published").out
    assert [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("| ")][:5] == [
        "system",
        "------------" + "--",
        "target",
        "guided (run)",
        "guided (again)",
    ]


def test_a_file(thinklogit, runs, tmp_path):
    out = tmp_path / "table.json"
    assert thinklogit("table", "run", "--format", "json", "-o", out).out == f"wrote {out}\n"
    assert json.loads(out.read_text())["figures"][0]["system"] == "target"


def test_notes_that_csv_has_no_place_for_go_where_errors_go(thinklogit, runs):
    code, out, err = thinklogit("table", "run", "--format", "csv")
    assert (code, out.splitlines()[1].split(",")[:4]) == (0, ["target", "measured", "aime24", "avg@8"])
    assert "note: Published rows: avg@8 / pass@8 as printed in arXiv 2507.12759v1, not run here.\n" in err


def test_latex(thinklogit, runs):
    assert thinklogit("table", "run", "--format", "latex").out.startswith("\\begin{table}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "a table needs a run: name one or more folders that thinklogit eval wrote"),
        (("run", "--format", "latx"), "unknown format 'latx'; did you mean 'latex'?"),
        (("run", "--k", "1,x"), "--k takes whole numbers, 1 or more, with commas between, such as 1,8; got '1,x'"),
        (("run", "--k", "0"), "--k takes whole numbers, 1 or more"),
        (("run", "--k", "16"), "pass@16 needs 16 completions of each problem; these runs have 8"),
        (("run", "-o", "nowhere/table.md"), "nowhere: no such folder to write table.md in"),
    ],
)
def test_what_cannot_be_printed_is_one_line(thinklogit, runs, arguments, line):
    code, out, err = thinklogit("table", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert line in err
