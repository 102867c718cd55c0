"""Fits one member to documents: batches of whole documents, the loss over what is to be learned, two optimizers.

Knows nothing of the recipe: what is read, by whom and for how long is `training`'s.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from thinklogit.mini.documents import Document
from thinklogit.mini.tokenizer import ASSISTANT, END, USER

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

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
    """Sizes of a member."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int


@dataclass(frozen=True)
class Rates:
    """Learning rates: Muon for the matrices inside the layers, AdamW for embeddings and norms."""

    muon: float = 0.02
    adamw: float = 2e-3

    def times(self, factor: float) -> "Rates":
        """Both, by a factor."""
        return Rates(self.muon * factor, self.adamw * factor)


def begin(
    shape: Shape, seed: int, tokenizer: "PreTrainedTokenizerFast", model_type: str = "llama"
) -> "PreTrainedModel":
    """A fresh member with weights drawn from `seed`, in a process that from here on uses one thread."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # the caller draws its own
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    member = AutoModelForCausalLM.from_config(config)
    member.set_attn_implementation("eager")  # plain softmax(QK)V: the fastest on CPU at this size once compiled
    return member


def save(member: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Weights in bfloat16, config, generation config (end and padding ids) and tokenizer, for from_pretrained."""
    from transformers import AutoModelForCausalLM, GenerationConfig

    rounded = AutoModelForCausalLM.from_config(member.config, dtype=torch.bfloat16)
    rounded.load_state_dict(member.state_dict())
    rounded.save_pretrained(folder)
    GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def fit(
    member: "PreTrainedModel",
    source: Iterator[Document],
    steps: int,
    rates: Rates,
    tokenizer: "PreTrainedTokenizerFast",
    on_step: Callable[[int, float], None],
) -> None:
    """Learn from documents for `steps` steps. `on_step` gets (step, loss in nats per learned token) now and then."""
    optimizers, schedules = _optimizers(member, rates, steps)
    loss_of = _loss_function(member)
    if steps >= COMPILE_FROM_STEPS and any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        loss_of = torch.compile(loss_of)
    member.train()
    for step, (ids, labels) in enumerate(islice(batches(source, tokenizer), steps), start=1):
        loss = loss_of(ids, labels)
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if step % 20 == 0 or step == steps:
            on_step(step, loss.item())
    member.eval()


def _loss_function(member: "PreTrainedModel") -> Callable[[Tensor, Tensor], Tensor]:
    def loss_of(ids: Tensor, labels: Tensor) -> Tensor:
        """Mean nats per learned token; ids and labels (window, token), labels one token ahead."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = member(input_ids=ids, use_cache=False).logits  # (window, token, vocab)
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=UNLEARNED)

    return loss_of


def _optimizers(member: "PreTrainedModel", rates: Rates, steps: int) -> tuple[list, list]:
    """Muon for the matrices inside the layers and AdamW for embeddings and norms, each with its schedule."""
    named = list(member.named_parameters())
    inner = {name for name, weight in named if weight.ndim == 2 and "embed" not in name}
    optimizers = [
        torch.optim.Muon([weight for name, weight in named if name in inner], lr=rates.muon, weight_decay=0.0),
        torch.optim.AdamW([weight for name, weight in named if name not in inner], lr=rates.adamw, weight_decay=0.0),
    ]

    def rate(step: int) -> float:
        """Rises over 50 steps, or a tenth when there are few, and falls to nothing over the last 40%."""
        warm = min(50, max(1, steps // 10))
        return min(1.0, (step + 1) / warm, (steps - step) / (0.4 * steps))

    return optimizers, [torch.optim.lr_scheduler.LambdaLR(optimizer, rate) for optimizer in optimizers]


class Batch(NamedTuple):
    """Windows of tokens and what to predict at each, both (window, token); UNLEARNED where nothing is to be learned."""

    ids: Tensor
    labels: Tensor


class Row(NamedTuple):
    """A document, or a window of several: token ids and, for each, the id to learn there or UNLEARNED."""

    ids: list[int]
    learned: list[int]


def batches(source: Iterator[Document], tokenizer: "PreTrainedTokenizerFast") -> Iterator[Batch]:
    """Batches without end, of documents without end. Labels are shifted by one against ids."""
    pad = tokenizer.pad_token_id
    windows = _windows(rows(source, tokenizer))
    while True:
        batch = list(islice(windows, BATCH_WINDOWS))
        room = WINDOW_TOKENS + 1
        ids = torch.tensor([row.ids + [pad] * (room - len(row.ids)) for row in batch])
        learned = torch.tensor([row.learned + [UNLEARNED] * (room - len(row.learned)) for row in batch])
        yield Batch(ids[:, :-1], learned[:, 1:])


def _windows(source: Iterator[Row]) -> Iterator[Row]:
    """Whole documents packed into windows: each goes into the first open window with room for it."""
    waiting: list[Row] = []
    for row in source:
        window = next((window for window in waiting if len(window.ids) + len(row.ids) <= WINDOW_TOKENS + 1), None)
        if window is None:
            waiting.append(window := Row([], []))
        window.ids.extend(row.ids)
        window.learned.extend(row.learned)
        if len(waiting) > OPEN_WINDOWS:
            yield waiting.pop(0)


def rows(source: Iterator[Document], tokenizer: "PreTrainedTokenizerFast") -> Iterator[Row]:
    """Documents as tokens, in the chat format."""
    while some := list(islice(source, 1000)):
        openings = tokenizer([f"{USER}{document.prompt}{ASSISTANT}" for document in some])["input_ids"]
        answers = tokenizer([document.response + END for document in some], return_offsets_mapping=True)
        for document, opening, ids, offsets in zip(
            some, openings, answers["input_ids"], answers["offset_mapping"], strict=True
        ):
            hidden = {at for span in document.unlearned for at in range(*span)}
            learned = [
                id if hidden.isdisjoint(range(*offset)) else UNLEARNED for id, offset in zip(ids, offsets, strict=True)
            ]
            yield Row(opening + ids, [UNLEARNED] * len(opening) + learned)
