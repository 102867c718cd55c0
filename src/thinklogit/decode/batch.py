"""Rows decoded side by side by one model: they leave between steps, and join where that gains.

Each row draws from its own stream, so its text does not depend on who is beside it. Knows no prompts and no texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from thinklogit.core.params import SamplingParams
from thinklogit.core.sampling import draw, probabilities
from thinklogit.core.schedules import strengths
from thinklogit.models.caches import can_join, column_bytes, join_rows, member_length
from thinklogit.models.composite import ThinkLogitForCausalLM


@dataclass
class Row:
    """One completion under way: what it was asked, and the ids it has so far."""

    prompt_index: int
    number: int
    prompt_ids: list[int]
    params: SamplingParams
    seed: int
    uniforms: list[float]
    new_ids: list[int] = field(default_factory=list)
    ended: bool = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to decode."""
        return self.ended or len(self.new_ids) == self.params.max_new_tokens


class Batch:
    """The rows under way in one model, a trio or a member alone, with their cache."""

    def __init__(self, model: Any, pad_id: int = 0) -> None:
        self.model = model
        self.pad_id = pad_id
        self.end_ids = end_ids_of(model)
        self.weight_bytes = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        self.rows: list[Row] = []
        self.cache = DynamicCache(config=model.config)
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
        cache = DynamicCache(config=self.model.config)
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
        device = self.model.device
        ids = torch.tensor([[row.new_ids[-1]] for row in self.rows], device=device)
        positions = torch.tensor([[len(row.prompt_ids) + len(row.new_ids) - 1] for row in self.rows], device=device)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self._advance(self.rows, ids, positions, self.mask, self.cache)
        return self.rows

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
        cache: DynamicCache,
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
        tokens = next_tokens(output.logits[:, -1], rows)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            row.new_ids.append(token)
            row.ended = token in self.end_ids or _repeats(row)

    def _guidance(
        self, rows: list[Row], cache: DynamicCache, mask: Int[Tensor, "batch total"], past: int
    ) -> dict[str, Any]:
        """How strongly each row is guided at its next token; a member alone knows no guidance."""
        if not isinstance(self.model, ThinkLogitForCausalLM):
            return {}
        config = self.model.config
        own = [pair.alpha for pair in config.guider_refs]
        alpha = [own if row.params.alpha is None else [row.params.alpha] * len(own) for row in rows]
        own_warmup = config.warmup_tokens
        warmup = [own_warmup if row.params.warmup_tokens is None else row.params.warmup_tokens for row in rows]
        generated = torch.tensor([[len(row.new_ids)] for row in rows])
        strength = strengths(config.schedule, torch.tensor(alpha), torch.tensor(warmup), generated)
        guided = bool((strength != 0).any())
        if guided:
            self.model.catch_up(cache, past, mask)
        return {"strengths": strength.to(self.model.device), "guided": guided}

    def _bring_level(self, cache: DynamicCache, mask: Int[Tensor, "batch total"]) -> None:
        """Members that warm-up has left behind take in what they lack, unless they have begun on neither side."""
        if not isinstance(self.model, ThinkLogitForCausalLM):
            return
        apart = [span for name, span in self.model.config.layer_spans.items() if name != "target"]
        if any(member_length(each, span) for each in (self.cache, cache) for span in apart):
            self.model.catch_up(self.cache, self.mask.shape[1], self.mask)
            self.model.catch_up(cache, mask.shape[1], mask)

    def _left_padded(self, rows: list[Row]) -> tuple[Int[Tensor, "batch prompt"], Int[Tensor, "batch prompt"]]:
        length = max(len(row.prompt_ids) for row in rows)
        ids = [[self.pad_id] * (length - len(row.prompt_ids)) + row.prompt_ids for row in rows]
        mask = [[0] * (length - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in rows]
        return torch.tensor(ids, device=self.model.device), torch.tensor(mask, device=self.model.device)


def end_ids_of(model: Any) -> frozenset[int]:
    """The ids that end a text of this model's, from its own generation config: a guider alone may have others."""
    ends = model.generation_config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or [])


def next_tokens(logits: Float[Tensor, "batch vocab"], rows: Sequence[Row]) -> Int[Tensor, " batch"]:
    """One token a row, each with its own settings and from its own stream."""
    tokens = torch.empty(len(rows), dtype=torch.long, device=logits.device)
    kinds: dict[tuple[float, int, float], list[int]] = {}
    for place, row in enumerate(rows):
        kinds.setdefault((row.params.temperature, row.params.top_k, row.params.top_p), []).append(place)
    for (temperature, top_k, top_p), places in kinds.items():
        chosen = torch.tensor(places, device=logits.device) if len(kinds) > 1 else slice(None)
        if temperature == 0:
            tokens[chosen] = logits[chosen].argmax(-1)
            continue
        drawn = [rows[place].uniforms[len(rows[place].new_ids)] for place in places]
        uniforms = torch.tensor(drawn, dtype=torch.float64, device=logits.device)
        tokens[chosen] = draw(probabilities(logits[chosen], temperature, top_k, top_p), uniforms)
    return tokens


def _repeats(row: Row) -> bool:
    most = row.params.max_repeats
    return most > 0 and row.new_ids[-most:] == row.new_ids[-1:] * most
