"""`thinklogit mini train`: train the small trio that comes with thinklogit anew, from a seed."""

import shlex
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cyclopts import App

from thinklogit.core.errors import OptionError

app = App(name="mini", help="The small trio that comes with thinklogit: train your own.")


@app.command
def train(*, out: Path, seed: int = 0, budget: float = 1.0) -> None:
    """Train target, base and guider on two CPU cores, and write them as a trio.

    Args:
        out: The folder to write: new or empty.
        seed: Of the weights and the documents; the same seed gives the same trio.
        budget: Share of the full recipe's steps; 0.01 tries it out in a minute.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} is there already; name another --out, or remove it")
    if out.is_dir():
        out.rmdir()
    from thinklogit.mini import training
    from thinklogit.models.trios import compose

    stages = [stage.name for stage in (training.TARGET, training.BASE, training.GUIDER)]
    with _stages(stages) as on_progress:
        training.train(out, seed, on_progress, budget)
    compose(out / "target", out / "guider", out / "base", out, warmup_tokens=0)
    place = shlex.quote(str(out))
    print(f"The trio is in {out}. Try it:")
    print(f"  thinklogit demo --trio {place}")
    print(f'  thinklogit generate --trio {place} "Solve 15x+14y=87 in positive whole numbers."')


@contextmanager
def _stages(names: Sequence[str]) -> Generator[Callable[[str, int, int, float], None]]:
    """A bar for each stage on a terminal; elsewhere a line at each tenth of a stage."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<7}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[loss]}  left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {name: progress.add_task(name, total=None, loss="waiting") for name in names}

        def show(stage: str, step: int, total: int, loss: float) -> None:
            progress.update(bars[stage], completed=step, total=total, loss=f"loss {loss:.3f}")

        yield show


def _lines() -> Callable[[str, int, int, float], None]:
    shown: dict[str, int] = {}

    def show(stage: str, step: int, total: int, loss: float) -> None:
        tenths = 10 * step // total
        if tenths > shown.get(stage, 0):
            shown[stage] = tenths
            print(f"{stage} {10 * tenths}%: step {step} of {total}, loss {loss:.3f}", file=sys.stderr, flush=True)

    return show
