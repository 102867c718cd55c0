"""A table of results as Markdown, LaTeX (booktabs), CSV and JSON. Markdown and LaTeX have a second table: lengths.

CSV and JSON hold one number a line: system, source, task, metric, value, interval. `pandas.read_csv(...).pivot_table(
"value", "system", ["task", "metric"])` makes the table of it.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence

from thinklogit.evals.metrics import Mean, Metrics
from thinklogit.report.names import display_name
from thinklogit.report.published import Printed
from thinklogit.report.table import AVERAGE, Figure, ResultTable, average, figures, shares

NOTHING = "-"
Grid = list[list[str]]


def markdown(table: ResultTable) -> str:
    """Two tables, padded so that they read as text too, and their notes."""

    def cell(means: Sequence[Mean | None]) -> str:
        return " / ".join(f"{percent(mean)} {interval_text(mean)}".strip() for mean in means)

    return "\n".join(
        [
            f"{table.metric_names}, in percent",
            "",
            *_markdown_grid(results_grid(table, cell)),
            "",
            *_markdown_grid(details_grid(table)),
            "",
            *(f"- {note}" for note in [*table.notes, DETAILS]),
            "",
        ]
    )


def latex(table: ResultTable) -> str:
    """Two table environments for a document that loads booktabs; intervals stand small under their figures."""

    def cell(means: Sequence[Mean | None]) -> str:
        return " / ".join(percent(mean) for mean in means)

    def interval(means: Sequence[Mean | None]) -> str:
        return " / ".join(interval_text(mean) or NOTHING for mean in means) if any(means) else ""

    results, intervals = results_grid(table, cell), results_grid(table, interval)
    body = []
    for place, (row, below) in enumerate(zip(results[1:], intervals[1:], strict=True)):
        if place == len(table.systems):
            body.append(r"\midrule")
        body.append(_latex_row(row))
        if place < len(table.systems):
            body.append(" & ".join(["", *(rf"{{\scriptsize {_escape(each)}}}" for each in below[1:])]) + r" \\")
    details = details_grid(table)
    first = _latex_table(f"{table.metric_names}, in percent. {' '.join(table.notes)}", results[0], body, 1)
    return first + "\n" + _latex_table(DETAILS, details[0], [_latex_row(row) for row in details[1:]], 2)


def csv_text(table: ResultTable) -> str:
    """One number a line under a header line. Its notes do not fit in; whoever prints it tells them elsewhere."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Figure._fields)
    lines.writerows(figures(table))
    return text.getvalue()


def json_text(table: ResultTable) -> str:
    """The same numbers as a list of objects, with the notes."""
    rows = [figure._asdict() for figure in figures(table)]
    return json.dumps({"figures": rows, "notes": list(table.notes)}, ensure_ascii=False, indent=2) + "\n"


FORMATS: dict[str, Callable[[ResultTable], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "json": json_text,
}

DETAILS = "n: completions a problem. ±: standard error over problems. Tokens: new tokens a completion."


def results_grid(table: ResultTable, cell: Callable[[Sequence[Mean | None]], str]) -> Grid:
    """The main table, head first; `cell` prints avg@n and the pass@k of ours."""
    grid = [["system", *map(display_name, table.tasks), *([AVERAGE] if table.has_average else [])]]
    for row in table.systems:
        ours = [shares(row.metrics[task], table.ks) if task in row.metrics else () for task in table.tasks]
        if table.has_average:
            ours.append(average(table, row))
        grid.append([row.system, *(cell(means) if any(means) else NOTHING for means in ours)])
    for row in table.published:
        theirs = [row.cells.get(task) for task in table.tasks]
        if table.has_average:
            theirs.append(row.average if table.printed_average else None)
        grid.append([f"published: {row.system}", *map(_printed, theirs)])
    return grid


def details_grid(table: ResultTable) -> Grid:
    """The second table: how many, how long, how often cut or without an answer; a row a system and task."""
    grid = [["system", "task", "problems", "n", "maj@n", "tokens", "truncated %", "no answer %"]]
    for row in table.systems:
        for task in table.tasks:
            if task in row.metrics:
                grid.append([row.system, display_name(task), *_detail(row.metrics[task])])
    return grid


def _detail(metrics: Metrics) -> Iterator[str]:
    yield from (str(metrics.problems), str(metrics.n))
    yield _with_error(metrics.maj_at[metrics.n], 100, 1)
    yield _with_error(metrics.new_tokens, 1, 0)
    yield _with_error(metrics.truncated, 100, 1)
    yield _with_error(metrics.no_answer, 100, 1)


def _with_error(mean: Mean | None, scale: int, digits: int) -> str:
    if mean is None:
        return NOTHING
    error = "" if mean.se is None else f" ± {scale * mean.se:.{digits}f}"
    return f"{scale * mean.value:.{digits}f}{error}"


def percent(mean: Mean | None) -> str:
    """A share as it is printed: 22.5."""
    return f"{100 * mean.value:.1f}" if mean else NOTHING


def interval_text(mean: Mean | None) -> str:
    """The interval of a share as it is printed: [12.1, 37.9]; nothing where there is none."""
    if mean is None or mean.interval is None:
        return ""
    return f"[{100 * mean.interval.low:.1f}, {100 * mean.interval.high:.1f}]"


def _printed(cell: Printed | None) -> str:
    if cell is None:
        return NOTHING
    return f"{cell.avg_at_8:.1f}" + ("" if cell.pass_at_8 is None else f" / {cell.pass_at_8:.1f}")


def _markdown_grid(grid: Grid) -> Iterator[str]:
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in grid]
    widths = [max(3, *map(len, column)) for column in zip(*escaped, strict=True)]
    escaped.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    for row in escaped:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield f"| {' | '.join(cells)} |"


def _latex_table(caption: str, head: Sequence[str], body: Sequence[str], names: int) -> str:
    """`names` columns are flush left, the others flush right."""
    columns = "l" * names + "r" * (len(head) - names)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_row(head),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(row: Sequence[str]) -> str:
    return " & ".join(map(_escape, row)) + r" \\"


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    NOTHING: "--", "±": r"$\pm$",
}  # fmt: skip


def _escape(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)
