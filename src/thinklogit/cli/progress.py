"""The bars that a person watches while completions or grades come in; nothing where no person looks on."""

from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def completions_bar(done: int, total: int, shown: bool = True) -> Generator[Callable[[int], None]]:
    """A bar on standard error, when that is a terminal; yields what to call with the tokens of each as it ends."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("completions"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("", total=total, completed=done, rate="")
        all_tokens = 0

        def advance(new_tokens: int) -> None:
            nonlocal all_tokens
            all_tokens += new_tokens
            elapsed_s = progress.tasks[0].elapsed or 0.0
            rate = f"{all_tokens / elapsed_s:.0f} tokens/s" if elapsed_s else ""
            progress.update(task, advance=1, rate=rate)

        yield advance


@contextmanager
def grades_bar(done: int, total: int) -> Generator[Callable[[], None]]:
    """A bar where a person looks on; yields what to call as each grade comes."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("graded, left:"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, completed=done)
        yield lambda: progress.advance(task)
