"""Guided decoding in which the guider drafts: several tokens a step, from the same distribution as one at a time.

A round: the guider drafts k tokens and looks at the place after them; target and base take all of them in at once; what
the drafts were is tested against the fused distribution (core/acceptance.py); up to the first that falls they stand.
The guider's logits are kept for the fusion, so it runs no second time. While alpha is 0 the target verifies alone, and
several guiders draft through the first.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinklogit.core.acceptance import Settled, settle, settle_greedily, standing
from thinklogit.core.sampling import probabilities
from thinklogit.decode.batch import Batch, Row, by_filters, next_tokens
from thinklogit.decode.drafting import Drafting
from thinklogit.models.caches import can_join, compact, crop, new_cache
from thinklogit.models.config import ThinkLogitConfig

DRAFTER = "guiders.0.guider"
MOST_HOLES = 0.25
"""Columns that no row needs, as a share of those that one does, before the cache is compacted."""


class Drafts(NamedTuple):
    """What the guider drafted: tokens, the logits each was drawn from over the target's rows, and as they came."""

    tokens: Int[Tensor, "batch drafted"]
    logits: Float[Tensor, "batch drafted vocab"]
    raw: Float[Tensor, "batch drafted own_vocab"]


class SpeculativeBatch(Batch):
    """A batch of one trio whose rows take as many tokens a step as their drafts stand."""

    def __init__(self, model: Any, pad_id: int, stopped: Callable[[Row], bool], drafting: Drafting) -> None:
        super().__init__(model, pad_id, stopped)
        self.drafting = drafting
        self.run: Callable[..., Any] = model
        self.run_member: Callable[..., Any] = model.run_member

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """A round: one token or more for every row."""
        begun = perf_counter()
        length = self._length()
        past = self.mask.shape[1]
        seen = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1 + length)], dim=1)
        ids, positions = self._last()
        positions = torch.minimum(positions + torch.arange(1 + length, device=ids.device), self._ends())
        drafts = self._draft(ids, positions, seen, past)
        fused = self._verify(torch.cat([ids, drafts.tokens[:, :-1]], dim=1), positions, seen, past, drafts.raw)
        settled = settled_rows(drafts, fused, self.rows)
        stood = standing(settled).tolist()
        tested = [count for row, count in zip(self.rows, stood, strict=True) if not row.done]
        for row, tokens, count, logits in zip(self.rows, settled.tokens.tolist(), stood, fused, strict=True):
            for token, each in zip(tokens[: 1 + count], logits, strict=False):
                if not row.done:
                    self._take(row, token, each)
        kept = [0 if row.done else 1 + count for row, count in zip(self.rows, stood, strict=True)]
        self._forget_fallen(seen, past, kept)
        self.drafting.learn(len(self.rows), length, tested, perf_counter() - begun)
        return self.rows

    def _length(self) -> int:
        """How many tokens to draft: no more than any row could use."""
        room = max(row.params.max_new_tokens - len(row.new_ids) for row in self.rows) - 1
        return min(self.drafting.length(len(self.rows)), room)

    def _mask(self, seen: Int[Tensor, "batch total"], length: int) -> Int[Tensor, "batch columns"]:
        """The mask of what the cache will hold after a forward that makes it so long."""
        return seen[:, :length]

    def _ends(self) -> Int[Tensor, "batch 1"]:
        """The last position of each row: drafts beyond are for others, and must not leave the members' context."""
        ends = [[len(row.prompt_ids) + row.params.max_new_tokens - 1] for row in self.rows]
        return torch.tensor(ends, device=self.model.device)

    def _draft(
        self,
        ids: Int[Tensor, "batch 1"],
        positions: Int[Tensor, "batch drafted"],
        seen: Int[Tensor, "batch total"],
        past: int,
    ) -> Drafts:
        """The guider's tokens, one more than are to be taken in."""
        self.model.catch_up(self.cache, past, self.mask, [DRAFTER])
        tokens, logits, raw = [ids], [], []
        for ahead, position in enumerate(positions.split(1, dim=1)):
            mask = self._mask(seen, past + 1 + ahead)
            output = self.run_member(DRAFTER, tokens[-1], mask, position, self.cache, logits_to_keep=1)
            raw.append(output.logits)
            logits.append(self.model.draft_logits(DRAFTER, output.logits))
            tokens.append(next_tokens(logits[-1][:, 0], self.rows, ahead)[:, None])
        return Drafts(*(torch.cat(each, dim=1) for each in (tokens[1:], logits, raw)))

    def _verify(
        self,
        ids: Int[Tensor, "batch drafted"],
        positions: Int[Tensor, "batch drafted"],
        seen: Int[Tensor, "batch total"],
        past: int,
        raw: Float[Tensor, "batch drafted own_vocab"],
    ) -> Float[Tensor, "batch drafted vocab"]:
        """The fused logits at every place that was drafted: target and base run once, over all of them."""
        new = ids.shape[1]
        strengths = self._strengths(self.rows, new)
        guided = bool((strengths != 0).any())
        if guided:
            self.model.catch_up(self.cache, past, self.mask)
        output = self.run(
            input_ids=ids,
            attention_mask=self._mask(seen, past + new),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            strengths=strengths.to(self.model.device),
            guided=guided,
            known={DRAFTER: raw},
        )
        return output.logits

    def _forget_fallen(self, seen: Int[Tensor, "batch total"], past: int, kept: list[int]) -> None:
        """Take the drafts that fell out of the cache: the columns that no row keeps, and holes where one does."""
        length = past + max(kept)
        crop(self.cache, length)
        new = torch.arange(max(kept), device=seen.device)
        own = new < torch.tensor(kept, device=seen.device)[:, None]
        self.mask = torch.cat([seen[:, :past], own.to(seen.dtype)], dim=1)
        longest = int(self.mask.sum(1).max())
        if length - longest > MOST_HOLES * longest:
            self.model.catch_up(self.cache, length, self.mask, self._begun(self.cache))
            self.mask = compact(self.cache, self.mask)


def cannot_speculate(config: ThinkLogitConfig) -> str | None:
    """Why the guider cannot draft, or drafts that fall not be taken out of the caches."""
    if config.cannot_draft is None and not can_join(new_cache(config)):
        return "a member keeps only a window of what it has seen, and no draft can be taken out of it"
    return config.cannot_draft


def settled_rows(drafts: Drafts, fused: Float[Tensor, "batch drafted vocab"], rows: list[Row]) -> Settled:
    """What becomes of each row's drafts, through its own settings and from its own stream."""
    drafted = drafts.tokens
    tokens, kept = torch.empty_like(drafted), torch.empty_like(drafted, dtype=torch.bool)
    for filters, places, chosen in by_filters(rows):
        if filters.temperature == 0:
            settled = settle_greedily(drafted[chosen], fused[chosen])
        else:
            q, p = (probabilities(logits[chosen], *filters) for logits in (drafts.logits, fused))
            uniforms = torch.stack([_tests(rows[place], drafted.shape[1]) for place in places])
            settled = settle(drafted[chosen], q, p, uniforms.to(fused.device))
        tokens[chosen], kept[chosen] = settled
    return Settled(tokens, kept)


def _tests(row: Row, count: int) -> Float[Tensor, "count 2"]:
    """The next numbers of a row's stream; zeros beyond its end, where nothing is taken any more."""
    begun = len(row.new_ids)
    tests = row.test_uniforms[begun : begun + count]
    return torch.nn.functional.pad(tests, (0, 0, 0, count - len(tests)))
