import csv
import io
import json
import re
from dataclasses import replace

import pytest
from measurements import measurement, numbered

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.evals.metrics import mean_of_means, measure
from thinklogit.report.formats import FORMATS, csv_text, json_text, latex, markdown
from thinklogit.report.published import ROWS, TASKS
from thinklogit.report.table import tabulate

RIGHTS = [8, 0, 3, 5, 0, 1]


def row(text, system):
    """The cells of one system's first row in Markdown."""
    (line, *_) = [line for line in text.splitlines() if line.startswith(f"| {system} ")]
    return [cell.strip() for cell in line.strip("|").split(" | ")][1:]


def head(text):
    return row(text, "system")


def test_a_row_a_system_and_a_column_a_task():
    lengths = {f"p{place}": 100 * place for place in range(6)}
    text = markdown(
        tabulate([
            numbered(RIGHTS, task="mini", lengths=lengths),
            numbered([1] * 6, task="aime24"),
            numbered([2, 0], task="mini", system="target"),
        ], published=False)
    )  # fmt: skip
    assert text.startswith("avg@8 / pass@8, in percent\n\n| system | ")
    assert head(text) == ["AIME 2024", "mini", "average"]
    assert row(text, "target")[::2] == ["-", "-"]  # no average without AIME 2024
    assert re.fullmatch(r"12\.5 \[\d\.\d, \d\d\.\d\] / 50\.0 \[\d\.\d, \d\d\.\d\]", row(text, "target")[1])
    mini, aime = measure(numbered(RIGHTS)), measure(numbered([1] * 6))
    low, high = mini.accuracy.interval
    assert row(text, "guided")[1].startswith(f"35.4 [{100 * low:.1f}, {100 * high:.1f}] / 66.7 [")
    both = mean_of_means([mini.accuracy, aime.accuracy])
    assert row(text, "guided")[2].startswith(f"{100 * both.value:.1f} [{100 * both.interval.low:.1f}, ")
    (details,) = [line for line in text.splitlines() if re.match(r"\| guided +\| +mini ", line)]
    assert [cell.strip() for cell in details.split("|")][2:6] == ["mini", "6", "8", "52.1 ± 21.5"]
    assert "250 ± 76" in details


def test_baselines_stand_above_ours_whatever_the_order():
    measured = [numbered([1, 2], system=name) for name in ("guided", "other", "guider", "target", "another")]
    table = tabulate(measured)
    assert [each.system for each in table.systems] == ["target", "guider", "other", "another", "guided"]


def test_each_k_that_is_asked_for():
    text = markdown(tabulate([numbered([4, 0]), numbered([1, 0], n=1, task="amc23")], ks=(8, 1), published=False))
    assert text.startswith("avg@n / pass@1 / pass@8, in percent")
    assert [re.sub(r" \[.*?\]", "", cell) for cell in row(text, "guided")] == [
        "25.0 / 25.0 / 50.0",
        "50.0 / 50.0 / -",
        "37.5 / 37.5 / -",
    ]
    assert "n, completions a problem, differs: guided AIME 2024 8, guided AMC 2023 1." in text
    with pytest.raises(OptionError, match="pass@16 needs 16 completions of each problem; these runs have 8"):
        tabulate([numbered([4, 0])], ks=(16,))


def test_one_completion_a_problem_has_no_pass_at_k_of_its_own():
    assert markdown(tabulate([numbered([1, 0], n=1, task="mini")])).startswith("avg@1, in percent")


def test_published_figures_are_those_of_the_paper():
    """As in version 1 of arXiv 2507.12759; their averages follow from their cells, to the last digit but rounding."""
    assert len(ROWS) == 7
    for printed in ROWS:
        assert tuple(printed.cells) == TASKS
        assert printed.cells["math_hard"].pass_at_8 is None
        means = [cell.avg_at_8 for cell in printed.cells.values()]
        passes = [cell.pass_at_8 for cell in printed.cells.values() if cell.pass_at_8 is not None]
        assert printed.average.avg_at_8 == pytest.approx(sum(means) / 4, abs=0.1)
        assert printed.average.pass_at_8 == pytest.approx(sum(passes) / 3, abs=0.1)
    by_name = {printed.system: printed for printed in ROWS}
    assert by_name["ThinkLogit"].cells["aime24"] == (22.5, 50.0)
    assert by_name["ThinkLogit-DPO (10K pairs, 78M trained)"].cells["amc23"] == (63.7, 90.0)


def test_published_rows_stand_only_beside_their_tasks():
    alone = markdown(tabulate([numbered([1, 2], task="mini"), numbered([1, 2], task="gpqa_diamond")]))
    assert "ublished" not in alone
    text = markdown(tabulate([numbered([1, 2], task="mini"), numbered([1, 2], task="math_hard")]))
    assert row(text, "published: ThinkLogit") == ["60.7", "-", "-"]
    assert "- Published rows: avg@8 / pass@8 as printed in arXiv 2507.12759v1, not run here." in text
    assert "- MATH-hard, published: 262 problems (levels 4 and 5 of the MATH-500 test split), a single figure." in text
    assert "ublished" not in markdown(tabulate([numbered([1, 2])], published=False))


def test_published_averages_stand_only_where_their_four_tasks_do():
    four = [numbered([1, 2], task=task) for task in TASKS]
    text = markdown(tabulate(four))
    assert row(text, "published: ThinkLogit")[-1] == "41.2 / 60.6"
    assert "that of pass@8 is over the three tasks that have one" in text
    assert row(markdown(tabulate(four[:3])), "published: ThinkLogit")[-1] == "-"


def test_what_should_make_a_reader_doubt_is_told():
    told = tabulate(
        [
            measurement({"a": "11", "b": "1"}, alpha=1.0),
            measurement({"a": "11"}, task="amc23", alpha=0.5),
            measurement({"a": "10"}, system="target", version="2"),
        ]
    ).notes
    assert "guided, AIME 2024: not finished; problems with fewer than 2 completions: 1 of 2." in told
    assert "guided: settings differ between its tasks: alpha." in told
    assert "AIME 2024: versions differ, do not compare these rows: guided 1, target 2." in told
    assert "AIME 2024: numbers of problems differ: guided 2, target 1." in told


def test_what_is_no_table_is_refused():
    with pytest.raises(OptionError, match="guided answered AIME 2024 twice"):
        tabulate([numbered([1]), numbered([2])])
    with pytest.raises(OptionError, match="a table needs a run"):
        tabulate([])
    with pytest.raises(RecordError, match="found none"):
        tabulate([measurement({})])


def test_csv_is_one_number_a_line():
    text = csv_text(tabulate([numbered([4, 0], task="mini"), numbered([8, 0])], ks=(1, 8)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text.startswith("system,source,task,metric,value,low,high,standard_error,unit,problems,completions\n")
    found = {(each["system"], each["task"], each["metric"]): each for each in rows}
    assert len(found) == len(rows)
    mine = found["guided", "mini", "avg@8"]
    assert (mine["source"], mine["value"], mine["unit"], mine["problems"]) == ("measured", "25.0", "percent", "2")
    assert float(mine["low"]) < 25 < float(mine["high"])
    assert float(mine["standard_error"]) == 25
    assert mine["completions"] == "16"
    assert found["guided", "average", "pass@8"]["value"] == "50.0"
    theirs = found["ThinkLogit", "aime24", "pass@8"]
    assert (theirs["source"], theirs["value"], theirs["low"]) == ("published, arXiv 2507.12759v1", "50.0", "")
    assert not {task for system, task, _ in found if system == "ThinkLogit"} - {"aime24"}


def test_json_has_the_same_numbers_and_the_notes():
    table = tabulate([numbered([4, 0])])
    found = json.loads(json_text(table))
    assert [each["value"] for each in found["figures"]] == [
        float(each["value"]) for each in csv.DictReader(io.StringIO(csv_text(table)))
    ]
    assert found["notes"] == list(table.notes)


def test_latex_escapes_and_balances():
    odd = "my_model & 50% {x} #1 \\ ~^$"
    table = tabulate([numbered([4, 0], system=odd), numbered([4, 0], task="my_task", system=odd)])
    text = latex(table)
    assert r"my\_model \& 50\% \{x\} \#1 \textbackslash{} \textasciitilde{}\textasciicircum{}\$" in text
    assert r"my\_task" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    for tabular in re.findall(r"\\begin{tabular}{([lr]+)}(.*?)\\end{tabular}", text, re.DOTALL):
        columns, body = tabular
        for line in body.splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert text.isascii()
    assert r" & {\scriptsize [" in text


def test_bars_in_names_do_not_break_markdown():
    text = markdown(tabulate([numbered([4, 0], system="a|b", task="mini")]))
    assert r"| a\|b " in text


@pytest.mark.parametrize("written", FORMATS.values())
def test_the_same_runs_print_the_same_whatever_their_order(written):
    tasks = [
        numbered([4, 0, 2], task=task, system=name) for name in ("guided", "target") for task in ("mini", "aime24")
    ]
    shuffled = [tasks[3], tasks[1], tasks[2], tasks[0]]
    assert written(tabulate(tasks)) == written(tabulate([replace(each) for each in shuffled]))
