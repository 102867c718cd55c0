"""Rows decoded side by side by one model: they leave between steps, and join where that gains.

Each row draws from its own stream, so its text does not depend on who is beside it. Knows no prompts and no texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, GenerationConfig
from transformers.cache_utils import Cache

from thinklogit.core.params import SamplingParams
from thinklogit.core.sampling import draw, probabilities, uniform_stream
from thinklogit.core.schedules import Strengths, strengths
from thinklogit.core.seeds import derive_seed
from thinklogit.models.caches import can_join, column_bytes, join_rows, member_length
from thinklogit.models.composite import ThinkLogitForCausalLM
from thinklogit.models.packing import weight_bytes


@dataclass
class Row:
    """One completion under way: what it was asked, how strongly each guider guides it, and the ids it has so far.

    `kept` holds what its batch keeps of the logits of each, where log-probabilities are asked for.
    """

    prompt_index: int
    number: int
    prompt_ids: list[int]
    params: SamplingParams
    seed: int
    uniforms: list[float]
    alphas: list[float]
    warmup_tokens: int
    new_ids: list[int] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    ended: bool = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to decode."""
        return self.ended or len(self.new_ids) == self.params.max_new_tokens

    @property
    def next_position(self) -> int:
        """Where the last new token stands, padding not counted."""
        return len(self.prompt_ids) + len(self.new_ids) - 1

    @cached_property
    def test_uniforms(self) -> Float[Tensor, "length 2"]:
        """What drafted tokens are tested and replaced with, for each place among the new tokens."""
        length = self.params.max_new_tokens
        return uniform_stream(derive_seed(self.seed, "tests of drafts"), 2 * length).reshape(length, 2)


class Batch:
    """The rows under way in one model, a trio or a member alone, with their cache."""

    def __init__(self, model: Any, pad_id: int = 0, stopped: Callable[[Row], bool] = lambda row: False) -> None:
        self.model = model
        self.pad_id = pad_id
        self.stopped = stopped
        self.end_ids = end_ids_of(model.generation_config)
        self.keep: Callable[[Float[Tensor, " vocab"], int], Any] = logprob
        self.weight_bytes = weight_bytes(model)
        self.rows: list[Row] = []
        self.cache: Cache = DynamicCache(config=model.config)
        self.mask: Int[Tensor, "batch total"] = torch.empty(0, 0, dtype=torch.long)

    def gains_by(self, joining: list[Row]) -> bool:
        """Whether these should join the rows that are under way, rather than wait for the next batch.

        What they save is the weights streamed once more in every step of a batch of their own. What they cost is the
        padding up to the columns of the others, which every step reads, and copies, as a cache grows by a copy. In the
        mini trio, 1.2M parameters, joining at any time made 2,400 tokens/s of 3,400.
        """
        if not self.rows:
            return True
        if not can_join(self.cache):
            return False
        padding = sum(max(0, self.mask.shape[1] - len(row.prompt_ids)) for row in joining)
        return 3 * padding * column_bytes(self.cache) <= self.weight_bytes

    @torch.inference_mode()
    def join(self, rows: list[Row]) -> list[Row]:
        """Take in new rows, whose prompts run together; each gets its first token."""
        ids, mask = self._left_padded(rows)
        cache = self._new_cache(rows)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        self._advance(rows, ids, positions, mask, cache)
        if self.rows:
            self._bring_level(cache, mask)
            mask = join_rows(self.cache, self.mask, cache, mask)
            cache = self.cache
        self.rows, self.cache, self.mask = self.rows + rows, cache, mask
        return rows

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One more token for every row."""
        ids, positions = self._last()
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self._advance(self.rows, ids, positions, self.mask, self.cache)
        return self.rows

    def _new_cache(self, rows: list[Row]) -> Cache:
        """An empty cache for the rows that join."""
        return DynamicCache(config=self.model.config)

    def _last(self) -> tuple[Int[Tensor, "batch 1"], Int[Tensor, "batch 1"]]:
        """The last token of every row, which no member has taken in yet, and its position."""
        ids = torch.tensor([[row.new_ids[-1]] for row in self.rows], device=self.model.device)
        return ids, torch.tensor([[row.next_position] for row in self.rows], device=self.model.device)

    @torch.inference_mode()
    def let_go(self) -> None:
        """Drop the rows that are done."""
        staying = [place for place, row in enumerate(self.rows) if not row.done]
        if len(staying) == len(self.rows):
            return
        self.rows = [self.rows[place] for place in staying]
        if self.rows:
            kept = torch.tensor(staying, dtype=torch.long)  # on the CPU: members may lie on different devices
            self.mask = self.mask[kept]
            self.cache.batch_select_indices(kept)

    def _advance(
        self,
        rows: list[Row],
        ids: Int[Tensor, "batch new"],
        positions: Int[Tensor, "batch new"],
        mask: Int[Tensor, "batch total"],
        cache: Cache,
    ) -> None:
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **self._guidance(rows, cache, mask, mask.shape[1] - ids.shape[1]),
        )
        logits = output.logits[:, -1]
        for row, token, each in zip(rows, next_tokens(logits, rows).tolist(), logits, strict=True):
            self._take(row, token, each)

    def _take(self, row: Row, token: int, logits: Float[Tensor, " vocab"]) -> None:
        row.new_ids.append(token)
        if row.params.logprobs:
            row.kept.append(self.keep(logits, token))
        row.ended = token in self.end_ids or _repeats(row) or self.stopped(row)

    def _guidance(self, rows: list[Row], cache: Cache, mask: Int[Tensor, "batch total"], past: int) -> dict[str, Any]:
        """How strongly each row is guided at its next token; a member alone knows no guidance."""
        if not isinstance(self.model, ThinkLogitForCausalLM):
            return {}
        strength = self._strengths(rows, 1)
        guided = bool((strength != 0).any())
        if guided:
            self.model.catch_up(cache, past, mask)
        return {"strengths": strength.to(self.model.device), "guided": guided}

    def _strengths(self, rows: list[Row], new: int) -> Strengths:
        """How strongly each row is guided at each of its next tokens, on the CPU; not at all once it is done."""
        alphas = torch.tensor([[0.0 if row.done else alpha for alpha in row.alphas] for row in rows])
        warmup = torch.tensor([row.warmup_tokens for row in rows])
        generated = torch.tensor([[len(row.new_ids)] for row in rows]) + torch.arange(new)
        return strengths(self.model.config.schedule, alphas, warmup, generated)

    def _bring_level(self, cache: Cache, mask: Int[Tensor, "batch total"]) -> None:
        """Members that warm-up has left behind take in what they lack, unless they have begun on neither side."""
        if isinstance(self.model, ThinkLogitForCausalLM):
            begun = self._begun(self.cache, cache)
            self.model.catch_up(self.cache, self.mask.shape[1], self.mask, begun)
            self.model.catch_up(cache, mask.shape[1], mask, begun)

    def _begun(self, *caches: Cache) -> list[str]:
        """Members that have taken in anything: in warm-up guiders and bases have not."""
        spans = self.model.config.layer_spans
        return [name for name, span in spans.items() if any(member_length(cache, span) for cache in caches)]

    def _left_padded(self, rows: list[Row]) -> tuple[Int[Tensor, "batch prompt"], Int[Tensor, "batch prompt"]]:
        length = max(len(row.prompt_ids) for row in rows)
        ids = [[self.pad_id] * (length - len(row.prompt_ids)) + row.prompt_ids for row in rows]
        mask = [[0] * (length - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in rows]
        return torch.tensor(ids, device=self.model.device), torch.tensor(mask, device=self.model.device)


def end_ids_of(config: GenerationConfig) -> frozenset[int]:
    """The ids that end a text, from the generation config of who answers: a guider alone may have others."""
    ends = config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or [])


class Filters(NamedTuple):
    """What a distribution is drawn from through; rows of the same are drawn together."""

    temperature: float
    top_k: int
    top_p: float


def by_filters(rows: Sequence[Row]) -> list[tuple[Filters, list[int], Any]]:
    """The places of rows that are drawn alike, as numbers and as an index."""
    kinds: dict[Filters, list[int]] = {}
    for place, row in enumerate(rows):
        kinds.setdefault(Filters(row.params.temperature, row.params.top_k, row.params.top_p), []).append(place)
    return [(kind, places, torch.tensor(places) if len(kinds) > 1 else slice(None)) for kind, places in kinds.items()]


def next_tokens(logits: Float[Tensor, "batch vocab"], rows: Sequence[Row], ahead: int = 0) -> Int[Tensor, " batch"]:
    """One token a row, each with its own settings and from its own stream; `ahead` of them not yet in the row."""
    tokens = torch.empty(len(rows), dtype=torch.long, device=logits.device)
    for filters, places, chosen in by_filters(rows):
        if filters.temperature == 0:
            tokens[chosen] = logits[chosen].argmax(-1)
            continue
        # Drafts may reach beyond the last token that is asked for; what is drawn there is never taken.
        streams = [(rows[place].uniforms, len(rows[place].new_ids) + ahead) for place in places]
        drawn = [stream[next_] if next_ < len(stream) else 0.0 for stream, next_ in streams]
        uniforms = torch.tensor(drawn, dtype=torch.float64, device=logits.device)
        tokens[chosen] = draw(probabilities(logits[chosen], *filters), uniforms)
    return tokens


def logprob(logits: Float[Tensor, " vocab"], token: int) -> float:
    """The log-probability of a token before temperature, top-k and top-p."""
    return float(logits.float().log_softmax(-1)[token])


def _repeats(row: Row) -> bool:
    most = row.params.max_repeats
    return most > 0 and row.new_ids[-most:] == row.new_ids[-1:] * most
