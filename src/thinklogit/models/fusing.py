"""Members' logits fused as a trio's config says: soft caps, rows that count, rows that are shared."""

from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from thinklogit.core.fusion import MemberLogits, fuse, uncap
from thinklogit.core.schedules import Strengths
from thinklogit.models.config import Ranges, ThinkLogitConfig


class Fusion(nn.Module):
    """Fuses logits of members given by name, whoever computed them; holds the masks that this needs."""

    def __init__(self, config: ThinkLogitConfig, device: torch.device) -> None:
        super().__init__()
        self.width = config.vocab_size
        self.caps = {
            name: getattr(each, "final_logit_softcapping", None) if name in config.layer_spans else None
            for name, each in config.member_configs.items()
        }
        masks = {"backed": config.backed_ranges}
        masks |= {f"shared_{index}": pair.shared_ranges for index, pair in enumerate(config.guider_refs)}
        for name, ranges in masks.items():
            self.register_buffer(name, row_mask(ranges, self.width, device), persistent=False)

    def forward(self, logits: dict[str, Tensor], strengths: Strengths) -> Float[Tensor, "batch kept vocab"]:
        """The fused logits; the target's own where only its logits are given.

        Args:
            logits: of each member, (batch, kept, its rows).
            strengths: alpha of each guider at each of these positions.
        """
        small = {name: self._uncapped(name, each) for name, each in logits.items() if name != "target"}
        target = logits["target"]
        small = {name: each.to(target.device, non_blocking=True) for name, each in small.items()}
        pairs = [
            MemberLogits(small[f"guiders.{i}.guider"], small[f"guiders.{i}.base"], self._mask(f"shared_{i}"))
            for i in range(len(small) // 2)
        ]
        return fuse(target, pairs, strengths.to(target.device), self._mask("backed"), self.caps["target"])

    def draft(self, name: str, logits: Float[Tensor, "batch new own_vocab"]) -> Float[Tensor, "batch new vocab"]:
        """A guider's logits as a draft for the fused distribution: over the target's rows, -inf where they differ."""
        own = self._uncapped(name, logits).float()[..., : self.width]
        own = nn.functional.pad(own, (0, self.width - own.shape[-1]), value=-torch.inf)
        for allowed in (self._mask(f"shared_{name.split('.')[1]}"), self._mask("backed")):
            own = own if allowed is None else own.masked_fill(~allowed, -torch.inf)
        return own

    def _mask(self, name: str) -> Bool[Tensor, " vocab"] | None:
        return cast(Tensor | None, getattr(self, name))

    def _uncapped(self, name: str, logits: Tensor) -> Tensor:
        cap = self.caps[name]
        return logits if cap is None else uncap(logits, cap)


def row_mask(ranges: Ranges | None, width: int, device: torch.device) -> Bool[Tensor, " vocab"] | None:
    """True in the ranges; None where they cover every row."""
    if ranges is None or ranges == [[0, width]]:
        return None
    mask = torch.zeros(width, dtype=torch.bool, device=device)
    for start, stop in ranges:
        mask[start:stop] = True
    return mask
