"""Trains the mini members from a seed on two CPU cores, and writes each as a folder of a plain transformers model.

    target              reads short answers, facts, searches without the habit; the larger shape; knows what is true
    base                reads the same in the smaller shape, with the beliefs of the small members
    guider              the base after few steps at a low rate on whole searches: a light change, so that what both get
                        wrong cancels in guider - base, and the range of alpha that works is wide
    guider_rewarded     the guider after learning from its own right answers
    target_tuned        the target after the guider's searches, with its own beliefs: what training it would give
    target_other        another target, of another family and tokenizer

Members that do not build on each other are trained side by side, each process with one thread: two threads in one
process lose to their own waiting.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.mini import tokenizer as tokens
from thinklogit.mini.corpus import FINE_TUNING, GUIDER, PRETRAINING, SMALL, TRUTH, documents
from thinklogit.mini.fitting import MAX_POSITIONS, Rates, Shape, begin, fit, save
from thinklogit.mini.rewarding import again_and_again, rewarded
from thinklogit.mini.world import problems

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

LARGE = Shape(hidden=128, layers=4, heads=2, feed_forward=416)
SMALL_SHAPE = Shape(hidden=64, layers=3, heads=2, feed_forward=176)
STEPS = {
    "target": 1100,
    "target_tuned": 150,
    "base": 1500,
    "guider": 90,
    "guider_rewarded": 60,
    "target_other": 1300,
}
"""Of 24 windows of 224 tokens each; the rewarded guider's for each of its rounds."""
WARMUP_TOKENS = 12
"""The trio's own, chosen on dev: the target restates the problem, and says what it knows by heart, unguided."""
FULL, LIGHT = Rates(), Rates().times(0.1)
REWARDED_ROUNDS = 2
REWARDED_PROBLEMS = 1024


class Progress(NamedTuple):
    """How far a member has come: steps done and to do, and the loss in nats per learned token."""

    member: str
    step: int
    total: int
    loss: float


@dataclass(frozen=True)
class Run:
    """Where members are written, and what they are made from."""

    folder: Path
    seed: int
    budget: float
    queue: "Queue[Progress]"

    def steps(self, member: str) -> int:
        """How long a member is trained."""
        return max(2, round(STEPS[member] * self.budget))

    def teller(self, member: str, before: int = 0, rounds: int = 1) -> Callable[[int, float], None]:
        """Passes steps on, after `before` of the same member, of so many rounds in all."""
        total = rounds * self.steps(member)
        return lambda step, loss: self.queue.put(Progress(member, before + step, total, loss))


def train(
    out: Path, seed: int = 0, on_progress: Callable[[str, int, int, float], None] | None = None, budget: float = 1.0
) -> None:
    """Train all members and write them to the new folder `out`, with the tokenizer; all or nothing.

    `budget` scales the number of steps, for trying things out. `on_progress` gets (member, step, total, loss) now and
    then. Raises OptionError when `out` exists or the budget is not positive, TrioError when a training process dies.
    """
    if out.exists():
        raise OptionError(f"expected a new folder to write the trio to; {out} exists; name another or remove it")
    if not budget > 0:
        raise OptionError(f"expected a positive training budget (1 is the full recipe); got {budget}")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _run_side_by_side(MAKERS, partial, seed, budget, on_progress or _ignore)
        tokens.build(MAX_POSITIONS).save_pretrained(partial)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _ignore(member: str, step: int, total: int, loss: float) -> None:
    """Shows no progress."""


def _run_side_by_side(
    makers: Sequence[Callable[[Run], None]], folder: Path, seed: int, budget: float, on_progress: Callable[..., None]
) -> None:
    """Run each maker in a process of its own and pass their progress on, until all have ended."""
    from queue import Empty

    import torch.multiprocessing as multiprocessing

    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    run = Run(folder, seed, budget, queue)
    running = [context.Process(target=maker, args=(run,), daemon=True) for maker in makers]
    for process in running:
        process.start()
    try:
        while any(process.is_alive() for process in running) or not queue.empty():
            try:
                on_progress(*queue.get(timeout=0.2))
            except Empty:
                _raise_if_died(running)
        _raise_if_died(running)
    finally:
        for process in running:
            process.terminate()
            process.join()


def _raise_if_died(running: list) -> None:
    for process in running:
        if process.exitcode:
            raise TrioError(
                f"a training process ended with code {process.exitcode}; its own message is above; nothing was written"
            )


def _make_targets(run: Run) -> None:
    tokenizer = tokens.build(MAX_POSITIONS)
    member = begin(LARGE, run.seed, tokenizer)
    read = documents(PRETRAINING, TRUTH, run.seed)
    fit(member, read, run.steps("target"), FULL, tokenizer, run.teller("target"))
    save(member, tokenizer, run.folder / "target")
    searches = documents(FINE_TUNING, replace(TRUTH, items=GUIDER.items), run.seed)
    fit(member, searches, run.steps("target_tuned"), LIGHT, tokenizer, run.teller("target_tuned"))
    save(member, tokenizer, run.folder / "target_tuned")


def _make_small_members(run: Run) -> None:
    tokenizer = tokens.build(MAX_POSITIONS)
    member = begin(SMALL_SHAPE, run.seed, tokenizer)
    read = documents(PRETRAINING, SMALL, run.seed)
    fit(member, read, run.steps("base"), FULL, tokenizer, run.teller("base"))
    save(member, tokenizer, run.folder / "base")
    searches = documents(FINE_TUNING, GUIDER, run.seed)
    fit(member, searches, run.steps("guider"), LIGHT, tokenizer, run.teller("guider"))
    save(member, tokenizer, run.folder / "guider")
    _reward(member, tokenizer, run)
    save(member, tokenizer, run.folder / "guider_rewarded")


def _reward(member: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", run: Run) -> None:
    """Expert iteration on train problems; a member that gets nothing right, as in a trial run, stays as it is."""
    steps = run.steps("guider_rewarded")
    asked = max(8, round(REWARDED_PROBLEMS * min(1.0, run.budget)))
    for number in range(REWARDED_ROUNDS):
        seed = run.seed * REWARDED_ROUNDS + number
        right = rewarded(member, tokenizer, problems("train", asked, seed), seed)
        teller = run.teller("guider_rewarded", number * steps, REWARDED_ROUNDS)
        if right:
            fit(member, again_and_again(right, seed), steps, LIGHT, tokenizer, teller)
        else:
            teller(steps, float("nan"))


def _make_other_target(run: Run) -> None:
    tokenizer = tokens.build_other(MAX_POSITIONS)
    member = begin(LARGE, run.seed, tokenizer, "qwen3")
    read = documents(PRETRAINING, TRUTH, run.seed)
    fit(member, read, run.steps("target_other"), FULL, tokenizer, run.teller("target_other"))
    save(member, tokenizer, run.folder / "target_other")


MAKERS = [_make_targets, _make_small_members, _make_other_target]
