"""`thinklogit table`: the paper's table over runs, with the published rows beside ours."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from thinklogit.core.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from thinklogit.evals.metrics import Mean
    from thinklogit.report.table import ResultTable


def table(
    *runs: Path,
    format: str | None = None,
    published: Annotated[bool, Parameter(negative="--no-published")] = True,
    k: str | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> None:
    """Print avg@n and pass@k with 95% intervals, a row a system and a column a task; then lengths.

    Args:
        runs: Folders of runs, of one system in them, or logs.
        format: markdown, latex (needs booktabs), csv or json [default: drawn on a terminal, else markdown].
        published: With the results that the paper prints, for the tasks that it has [default: --published].
        k: The k of pass@k, with commas between, such as 1,8 [default: the completions of a problem].
        output: A file to write, instead of printing.
    """
    if not runs:
        raise OptionError("a table needs a run: name one or more folders that thinklogit eval wrote")
    ks = None if k is None else _ks(k)
    from thinklogit.decode.runs import check_output
    from thinklogit.evals.logs import read_measurements
    from thinklogit.report.formats import FORMATS
    from thinklogit.report.systems import tell_apart
    from thinklogit.report.table import tabulate

    if format is not None and format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    if output is not None:
        check_output(output)
    made = tabulate(tell_apart({run: read_measurements([run]) for run in runs}), ks, published)
    if format is None and output is None and sys.stdout.isatty():
        _draw(made)
        return
    text = FORMATS[format or "markdown"](made)
    if format == "csv":
        for note in made.notes:
            print(f"note: {note}", file=sys.stderr)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")
        print(f"wrote {output}")


def _draw(made: "ResultTable") -> None:
    """On a terminal intervals stand under their figures, and long names are folded: it is as wide as it is."""
    from rich.console import Console
    from rich.table import Table

    from thinklogit.report.formats import DETAILS, details_grid, interval_text, percent, results_grid

    def cell(means: Sequence["Mean | None"]) -> str:
        return "\n".join([" / ".join(map(percent, means)), *filter(None, map(interval_text, means))])

    console = Console(highlight=False)
    titles = (f"{made.metric_names}, in percent", "")
    for title, grid in zip(titles, (results_grid(made, cell), details_grid(made)), strict=True):
        drawn = Table(grid[0][0], title=title, title_justify="left")
        for name in grid[0][1:]:
            drawn.add_column(name, justify="right")
        for row in grid[1:]:
            drawn.add_row(*row)
        console.print(drawn, markup=False)
    for note in [*made.notes, DETAILS]:
        console.print(f"- {note}", markup=False)


def _ks(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise OptionError(f"--k takes whole numbers, 1 or more, with commas between, such as 1,8; got {text!r}")
    return [int(part) for part in parts]
