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
    """Train the mini members on two CPU cores, and write target, guider and base as a trio with the others beside.

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
    from thinklogit.models.config import MemberRef
    from thinklogit.models.trios import compose

    with _bars(list(training.STEPS)) as on_progress:
        training.train(out, seed, on_progress, budget)
    # Saved in bfloat16 for their size, computed in float32: on a CPU of this size that is as fast, and exact.
    target, guider, base = (MemberRef(str(out / name), dtype="float32") for name in ("target", "guider", "base"))
    compose(target, guider, base, out, warmup_tokens=training.WARMUP_TOKENS)
    place = shlex.quote(str(out))
    print(f"The trio is in {out}. Try it:")
    print(f"  thinklogit demo --trio {place}")
    print(f"  thinklogit generate --trio {place} 'A pen costs 8, a cup 13. Ann paid 55. How many of each?'")


@contextmanager
def _bars(names: Sequence[str]) -> Generator[Callable[[str, int, int, float], None]]:
    """A bar for each member on a terminal; elsewhere a line at each tenth of its training."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<15}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[loss]}  left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {name: progress.add_task(name, total=None, loss="waiting") for name in names}

        def show(member: str, step: int, total: int, loss: float) -> None:
            progress.update(bars[member], completed=step, total=total, loss=f"loss {loss:.3f}")

        yield show


def _lines() -> Callable[[str, int, int, float], None]:
    shown: dict[str, int] = {}

    def show(member: str, step: int, total: int, loss: float) -> None:
        tenths = 10 * step // total
        if tenths > shown.get(member, 0):
            shown[member] = tenths
            print(f"{member} {10 * tenths}%: step {step} of {total}, loss {loss:.3f}", file=sys.stderr, flush=True)

    return show
