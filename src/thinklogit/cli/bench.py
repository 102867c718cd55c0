"""`thinklogit bench`: how fast guided decoding is beside its target alone, on this machine."""

import json as json_format
import math
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from thinklogit.core.errors import OptionError

if TYPE_CHECKING:
    from thinklogit.bench.measure import Cell

QUICK_ROUNDS, QUICK_TOKENS = 3, 20
QUICK_S = 90.0
"""After so long a quick look begins no other round where there is one: what is left then fits into 3 minutes."""
FEWEST_ROUNDS = 3
IDLE = 0.5


def bench(
    *,
    batch: tuple[int, ...] = (1, 8),
    rounds: Annotated[int, Parameter(show_default=True)] = 7,
    new_tokens: Annotated[int, Parameter(show_default=True)] = 96,
    quick: bool = False,
    json: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
) -> None:
    """Measure tokens a second: the target alone, plain guided, speculative guided, transformers' assisted decoding.

    Contenders take turns; a ratio is the median over rounds of the ratios within them, with a 95% interval. Measured
    are the mini trio and a copy of it that says the same at the cost of a large model, its target 21 times its small
    members; with a GPU, random weights of published shapes too, and steps compiled into CUDA graphs. The bound is the
    ratio if nothing but streaming the weights took time. Quote no figure of a machine that others use meanwhile.

    Args:
        batch: Rows decoded side by side; may be given several times [default: 1 and 8].
        rounds: Timed turns of each contender, after one that is not counted.
        new_tokens: Tokens that each row decodes in a turn.
        quick: A look at it within 3 minutes: at most 3 rounds of 20 tokens a row, where more drafts stand than later,
            on a copy half as large, whose small members weigh more than a real trio's.
        json: Write the figures as JSON to this file, or to standard output for "-".
    """
    if quick:
        rounds, new_tokens = min(rounds, QUICK_ROUNDS), min(new_tokens, QUICK_TOKENS)
    for name, value in (("rounds", rounds), ("new-tokens", new_tokens), *(("batch", each) for each in batch)):
        if value < 1:
            raise OptionError(f"--{name} must be a whole number, 1 or more; got {value}")
    if json not in (None, "-") and not Path(json).parent.is_dir():
        raise OptionError(f"--json {json}: there is no folder {Path(json).parent}; make it, or name another file")
    from thinklogit.bench.measure import hardware

    where = hardware()
    cells = _cells(batch, rounds, new_tokens, quick)
    fewest = min(cell.rounds for cell in cells)
    settings = {"rounds": rounds, "new_tokens": new_tokens}
    told = json_format.dumps({"hardware": where, **settings, "cells": [asdict(cell) for cell in cells]}, indent=2)
    if json == "-":
        print(told)
        return
    if json:
        Path(json).write_text(told + "\n")
    _print(cells)
    rounds_made = rounds if fewest == rounds else f"{fewest} to {rounds}"
    print(
        f"On {where['device']}, {where['threads']} threads; {rounds_made} rounds of {new_tokens} tokens a row, medians."
    )
    print("Accepted: of the drafts tested. A round: tokens it yields. Drafts: as many as most rounds drafted.")
    if fewest < FEWEST_ROUNDS:
        print(f"Of fewer than {FEWEST_ROUNDS} rounds an interval says nothing.")
    if where["load_before"] > IDLE:
        print(f"The machine was not idle (load {where['load_before']:.1f} before): quote no figure of this run.")


def _cells(batches: Sequence[int], rounds: int, new_tokens: int, quick: bool) -> list["Cell"]:
    import torch
    from transformers.utils import logging

    from thinklogit.bench.contenders import contenders
    from thinklogit.bench.measure import measure
    from thinklogit.bench.trios import trios
    from thinklogit.cli.options import quiet

    logging.set_verbosity_error()  # assisted decoding passes itself what it then warns of
    cells = []
    until = perf_counter() + QUICK_S if quick else math.inf
    for make in trios(quick):
        with quiet("making members"):
            prepared = make()
        for batch in batches:
            measured = contenders(prepared, batch, new_tokens, static=torch.cuda.is_available())
            with _bar(f"{prepared.name}, batch {batch}", (1 + rounds) * len(measured)) as on_round:
                cells += measure(prepared, measured, rounds, on_round, until)
        del prepared, measured  # the next is large too
    return cells


@contextmanager
def _bar(doing: str, total: int) -> Generator[Callable[[], object]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda: progress.advance(task)


def _print(cells: Sequence["Cell"]) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ("tokens/s", "of target alone [95%]", "bound", "GB/s", "accepted", "a round", "drafts")
    table = Table("", *columns)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for (trio, batch), alike in groupby(cells, lambda cell: (cell.trio, cell.batch)):
        table.add_section()
        table.add_row(f"{trio}, batch {batch}", style="bold")
        for cell in alike:
            lengths = cell.draft_lengths
            figures = (
                (cell.bound, ".2f"),
                (cell.bandwidth, ".1f"),
                (cell.acceptance, ".3f"),
                (cell.mean_accepted_length, ".1f"),
                (max(lengths, key=lengths.__getitem__) if lengths else None, "d"),
            )
            table.add_row(
                cell.name,
                f"{cell.tokens_per_s:,.1f}",
                f"{cell.ratio_to_target:.2f} [{cell.interval[0]:.2f}, {cell.interval[1]:.2f}]",
                *("" if value is None else f"{value:{how}}" for value, how in figures),
            )
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
