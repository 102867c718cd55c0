"""Contenders in turns, so that all see the same machine; medians over rounds, with bootstrap intervals."""

import math
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Any

import torch

from thinklogit.bench.contenders import Contender
from thinklogit.bench.trios import Prepared

UNCOUNTED_ROUNDS = 1
RESAMPLES = 2000


@dataclass(frozen=True)
class Cell:
    """One contender on one trio at one batch size.

    `ratio_to_target`, of tokens a second, is the median of the ratios within rounds, for a machine that others share is
    faster in one than in the next; `interval` is its 95% interval. `bound` is that ratio if nothing but streaming the
    weights took time, for the rounds that there were; `bandwidth` what was streamed of them, in GB/s. The last four are
    of contenders in which the guider drafts through us.
    """

    trio: str
    name: str
    batch: int
    rounds: int
    tokens_per_s: float
    ratio_to_target: float
    interval: tuple[float, float]
    bound: float | None = None
    bandwidth: float | None = None
    mean_accepted_length: float | None = None
    acceptance: float | None = None
    draft_lengths: dict[int, int] | None = None
    histogram: dict[int, int] | None = None


def measure(
    prepared: Prepared,
    contenders: Sequence[Contender],
    rounds: int,
    on_round: Callable[[], object],
    until: float = math.inf,
) -> Iterator[Cell]:
    """Measure contenders of one batch size; the first is what the others are compared with.

    Once `perf_counter` is past `until` no other round begins, but one there is.
    """
    speeds: dict[str, list[float]] = {each.name: [] for each in contenders}
    for number in range(UNCOUNTED_ROUNDS + rounds):
        if number > UNCOUNTED_ROUNDS and perf_counter() > until:
            break
        for contender in contenders:
            speed = contender.round(number)
            if number >= UNCOUNTED_ROUNDS:
                speeds[contender.name].append(speed)
            on_round()
    first = speeds[contenders[0].name]
    for contender in contenders:
        own, counts = speeds[contender.name], contender.counts
        speed, streamed = statistics.median(own), contender.streamed
        ratios = [ours / theirs for ours, theirs in zip(own, first, strict=True)]
        yield Cell(
            prepared.name,
            contender.name,
            contender.batch,
            len(own),
            speed,
            statistics.median(ratios),
            median_interval(ratios),
            bound=None if streamed is None else prepared.bytes_by_member["target"] / streamed,
            bandwidth=None if streamed is None else speed / contender.batch * streamed / 1e9,
            mean_accepted_length=counts.mean_accepted_length if counts else None,
            acceptance=counts.rate if counts else None,
            draft_lengths=counts.draft_lengths if counts else None,
            histogram=counts.histogram if counts else None,
        )


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% bootstrap interval of the median."""
    random = Random(0)
    medians = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[round(0.025 * RESAMPLES)], medians[round(0.975 * RESAMPLES) - 1]


def hardware() -> dict[str, Any]:
    """What it was measured on."""
    cuda = torch.cuda.is_available()
    processor = f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"
    return {
        "device": torch.cuda.get_device_name() if cuda else processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }
