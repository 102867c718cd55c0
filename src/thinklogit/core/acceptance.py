"""Speculative sampling: which drafted tokens stand, and what takes the place of the first that does not.

A drafted token x stands with probability min(1, p(x) / q(x)), where it was drawn from q and is to be drawn from p; else
a token is drawn from the positive part of p - q. Either way its law is p. Source: Leviathan et al., arXiv 2211.17192,
algorithm 1; Chen et al., arXiv 2302.01318.

Here p at a position needs the drafter's logits there, for they are fused into it. So every position has its q, also
the one after the last token that was drafted, where the literature draws a bonus token from p: here one is drawn from q
and put to the same test. What a row says is then the same for every draft length, given its uniform numbers.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from thinklogit.core.sampling import draw


class Settled(NamedTuple):
    """What stands at each position, if all before it do; and where that is what was drafted."""

    tokens: Int[Tensor, "batch positions"]
    kept: Bool[Tensor, "batch positions"]


def settle(
    drafted: Int[Tensor, "batch positions"],
    draft_probs: Float[Tensor, "batch positions vocab"],
    probs: Float[Tensor, "batch positions vocab"],
    uniforms: Float[Tensor, "batch positions 2"],
) -> Settled:
    """Keep each drafted token, or replace it, so that its law is `probs`.

    Args:
        drafted: tokens drawn from `draft_probs`.
        draft_probs: q, what they were drawn from.
        probs: p, what they are to be drawn from; both as `probabilities` makes them.
        uniforms: two numbers in [0, 1) for each: whether it stands, and what is drawn if not. Neither may be the one
            that it was drawn with.
    """
    chosen = drafted[..., None]
    kept = uniforms[..., 0] * draft_probs.gather(-1, chosen)[..., 0] < probs.gather(-1, chosen)[..., 0]
    missing = (probs - draft_probs).clamp(min=0)
    # Where the two are equal nothing is missing, and nothing is replaced: p itself only keeps the draw defined.
    missing = torch.where(missing.sum(-1, keepdim=True) > 0, missing, probs)
    return Settled(torch.where(kept, drafted, draw(missing, uniforms[..., 1])), kept)


def settle_greedily(drafted: Int[Tensor, "batch positions"], logits: Float[Tensor, "batch positions vocab"]) -> Settled:
    """The same at temperature 0, where p and q are each all on one token."""
    tokens = logits.argmax(-1)
    return Settled(tokens, tokens == drafted)


def standing(settled: Settled) -> Int[Tensor, " batch"]:
    """How many drafted tokens stand before the first that does not; the last position was not drafted on."""
    return settled.kept[:, :-1].long().cumprod(-1).sum(-1)


@dataclass
class AcceptanceCounts:
    """How drafting went: for each round of a row, how many tokens were drafted and how many of them stood."""

    rounds: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, drafted: int, accepted: list[int]) -> None:
        """Count a round in which so many were drafted for each row, and these stood."""
        self.rounds.update((drafted, stood) for stood in accepted)

    @property
    def draft_lengths(self) -> dict[int, int]:
        """Rounds by the number of tokens that were drafted."""
        return self._by(0)

    @property
    def histogram(self) -> dict[int, int]:
        """Rounds by the number of drafted tokens that stood."""
        return self._by(1)

    def _by(self, which: int) -> dict[int, int]:
        rounds: Counter[int] = Counter()
        for key, count in self.rounds.items():
            rounds[key[which]] += count
        return dict(sorted(rounds.items()))

    @property
    def mean_accepted_length(self) -> float:
        """Tokens a round yields: those that stood, and the one that each round settles besides. NaN before any."""
        total = self.rounds.total()
        return (
            sum((1 + accepted) * count for (_, accepted), count in self.rounds.items()) / total
            if total
            else float("nan")
        )

    @property
    def rate(self) -> float:
        """The share of tested drafts that stood: tested are those up to the first that did not. NaN before any."""
        stood = sum(accepted * count for (_, accepted), count in self.rounds.items())
        fallen = sum(count for (drafted, accepted), count in self.rounds.items() if accepted < drafted)
        return stood / (stood + fallen) if stood + fallen else float("nan")
