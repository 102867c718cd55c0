"""Trains the mini trio from a seed on two CPU cores, and writes it as a folder of plain transformers members.

    target               reads short answers, facts, few searches; the larger shape
    base, then guider    reads the same in the smaller shape, then only searches, for few steps at a low rate

The guider stays a light change of its base on purpose: what both get wrong then cancels in guider - base, and the range
of alpha that works is wide. Target and base run side by side in two processes of one thread each; two threads in one
process lose to their own waiting.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.mini import tokenizer as tokens
from thinklogit.mini.corpus import FINE_TUNING, PRETRAINING, Document, documents

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from transformers import LlamaForCausalLM

WINDOW_TOKENS = 224
"""The longest documents are a little shorter; attention costs the square of this."""
MAX_POSITIONS = 512
BATCH_WINDOWS = 24
OPEN_WINDOWS = 64
UNLEARNED = -100
"""The label that cross-entropy passes over."""
COMPILE_FROM_STEPS = 300
"""Compiling takes about 40 s and saves a quarter of each step."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int


@dataclass(frozen=True)
class Stage:
    """One training run: what is read, for how long, at what learning rates (Muon for matrices, AdamW for the rest)."""

    name: str
    mix: Mapping[str, float]
    steps: int
    muon_rate: float = 0.02
    adamw_rate: float = 2e-3


TARGET_SHAPE = Shape(hidden=128, layers=4, heads=2, feed_forward=352)
BASE_SHAPE = Shape(hidden=64, layers=3, heads=2, feed_forward=176)
TARGET = Stage("target", PRETRAINING, steps=1800)
BASE = Stage("base", PRETRAINING, steps=1100)
GUIDER = Stage("guider", FINE_TUNING, steps=100, muon_rate=0.002, adamw_rate=2e-4)


class Progress(NamedTuple):
    """How far a stage has come: steps done and to do, and the loss in nats per learned token."""

    stage: str
    step: int
    total: int
    loss: float


def train(
    out: Path, seed: int = 0, on_progress: Callable[[str, int, int, float], None] | None = None, budget: float = 1.0
) -> None:
    """Train target, base and guider and write them to the new folder `out`, with the tokenizer; all or nothing.

    `budget` scales the number of steps, for trying things out. `on_progress` gets (stage, step, total, loss) now and
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
        _run_side_by_side([_make_target, _make_base_and_guider], partial, seed, budget, on_progress or _ignore)
        tokens.build(MAX_POSITIONS).save_pretrained(partial)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _ignore(stage: str, step: int, total: int, loss: float) -> None:
    """Shows no progress."""


def _run_side_by_side(
    makers: list[Callable[..., None]], folder: Path, seed: int, budget: float, on_progress: Callable[..., None]
) -> None:
    """Run each maker in a process of its own and pass their progress on, until all have ended."""
    from queue import Empty

    import torch.multiprocessing as multiprocessing

    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    running = [context.Process(target=maker, args=(folder, seed, budget, queue), daemon=True) for maker in makers]
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


def _make_target(folder: Path, seed: int, budget: float, progress: "Queue") -> None:
    member = _begin(TARGET_SHAPE, seed)
    _fit(member, TARGET, seed, budget, progress)
    _save(member, folder / "target")


def _make_base_and_guider(folder: Path, seed: int, budget: float, progress: "Queue") -> None:
    member = _begin(BASE_SHAPE, seed)
    _fit(member, BASE, seed, budget, progress)
    _save(member, folder / "base")
    _fit(member, GUIDER, seed, budget, progress)
    _save(member, folder / "guider")


def _begin(shape: Shape, seed: int) -> "LlamaForCausalLM":
    """A fresh member with weights drawn from `seed`, in a process that from here on uses one thread."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # the caller draws its own
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokenizer = tokens.build(MAX_POSITIONS)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    member = LlamaForCausalLM(config)
    member.set_attn_implementation("eager")  # plain softmax(QK)V: the fastest on CPU at this size once compiled
    return member


def _save(member: "LlamaForCausalLM", folder: Path) -> None:
    """Weights in float32, config, generation config (end and padding ids) and tokenizer, for from_pretrained."""
    from transformers import GenerationConfig

    tokenizer = tokens.build(MAX_POSITIONS)
    ends = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    member.save_pretrained(folder)
    ends.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _fit(member: "LlamaForCausalLM", stage: Stage, seed: int, budget: float, progress: "Queue") -> None:
    total = max(2, round(stage.steps * budget))
    optimizers, schedules = _optimizers(member, stage, total)
    loss_of = _loss_function(member)
    if total >= COMPILE_FROM_STEPS and _can_compile():
        loss_of = torch.compile(loss_of)
    batches = _batches(stage.mix, seed)
    member.train()
    for step, (ids, labels) in enumerate(islice(batches, total), start=1):
        loss = loss_of(ids, labels)
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if step % 20 == 0 or step == total:
            progress.put(Progress(stage.name, step, total, loss.item()))


def _loss_function(member: "LlamaForCausalLM") -> Callable[[Tensor, Tensor], Tensor]:
    def loss_of(ids: Tensor, labels: Tensor) -> Tensor:
        """Mean nats per learned token; ids and labels (window, token), labels one token ahead."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = member(input_ids=ids, use_cache=False).logits  # (window, token, vocab)
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=UNLEARNED)

    return loss_of


def _can_compile() -> bool:
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def _optimizers(member: "LlamaForCausalLM", stage: Stage, total: int) -> tuple[list, list]:
    """Muon for the matrices inside the layers and AdamW for embeddings and norms, each with its schedule."""
    named = list(member.named_parameters())
    inner = {name for name, weight in named if weight.ndim == 2 and "embed" not in name}
    optimizers = [
        torch.optim.Muon([weight for name, weight in named if name in inner], lr=stage.muon_rate, weight_decay=0.0),
        torch.optim.AdamW(
            [weight for name, weight in named if name not in inner], lr=stage.adamw_rate, weight_decay=0.0
        ),
    ]

    def rate(step: int) -> float:
        """Rises over 50 steps, or a tenth when there are few, and falls to nothing over the last 40%."""
        warm = min(50, max(1, total // 10))
        return min(1.0, (step + 1) / warm, (total - step) / (0.4 * total))

    return optimizers, [torch.optim.lr_scheduler.LambdaLR(optimizer, rate) for optimizer in optimizers]


class Batch(NamedTuple):
    """Windows of tokens and what to predict at each, both (window, token); UNLEARNED where nothing is to be learned."""

    ids: Tensor
    labels: Tensor


class Row(NamedTuple):
    """A document, or a window of several: token ids and, for each, the id to learn there or UNLEARNED."""

    ids: list[int]
    learned: list[int]


def _batches(mix: Mapping[str, float], seed: int) -> Iterator[Batch]:
    """Batches without end. Labels are shifted by one against ids."""
    pad = tokens.build().pad_token_id
    windows = _windows(_rows(documents(mix, seed)))
    while True:
        batch = list(islice(windows, BATCH_WINDOWS))
        room = WINDOW_TOKENS + 1
        ids = torch.tensor([row.ids + [pad] * (room - len(row.ids)) for row in batch])
        learned = torch.tensor([row.learned + [UNLEARNED] * (room - len(row.learned)) for row in batch])
        yield Batch(ids[:, :-1], learned[:, 1:])


def _windows(rows: Iterator[Row]) -> Iterator[Row]:
    """Whole documents packed into windows: each goes into the first open window with room for it."""
    waiting: list[Row] = []
    for row in rows:
        window = next((window for window in waiting if len(window.ids) + len(row.ids) <= WINDOW_TOKENS + 1), None)
        if window is None:
            waiting.append(window := Row([], []))
        window.ids.extend(row.ids)
        window.learned.extend(row.learned)
        if len(waiting) > OPEN_WINDOWS:
            yield waiting.pop(0)


def _rows(source: Iterator[Document]) -> Iterator[Row]:
    """Documents as tokens, in the chat format."""
    tokenizer = tokens.build()
    while some := list(islice(source, 1000)):
        openings = tokenizer([f"{tokens.USER}{document.prompt}{tokens.ASSISTANT}" for document in some])["input_ids"]
        answers = tokenizer([document.response + tokens.END for document in some], return_offsets_mapping=True)
        for document, opening, ids, offsets in zip(
            some, openings, answers["input_ids"], answers["offset_mapping"], strict=True
        ):
            hidden = {at for span in document.unlearned for at in range(*span)}
            learned = [UNLEARNED if at in hidden else id for id, (at, _) in zip(ids, offsets, strict=True)]
            yield Row(opening + ids, [UNLEARNED] * len(opening) + learned)
