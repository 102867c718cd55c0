"""The fused next-token logits: target + sum over guiders of alpha * (guider - base).

Source: ThinkLogit, arXiv 2507.12759, section 2; the form is that of proxy-tuning, arXiv 2401.08565, equation 2.
Equal, after normalising, to p_target * product over guiders of (p_guider / p_base) ** alpha.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class MemberLogits(NamedTuple):
    """Raw next-token logits of one guider and its base.

    The two may be wider or narrower than the target's: rows beyond the target's width are dropped, and target rows
    that either lacks get delta 0. `shared` marks the target's rows whose token means the same to guider and base; None
    says that all do.
    """

    guider: Float[Tensor, "*batch guider_vocab"]
    base: Float[Tensor, "*batch base_vocab"]
    shared: Bool[Tensor, " vocab"] | None = None


def fuse(
    target: Float[Tensor, "*batch vocab"],
    pairs: Sequence[MemberLogits],
    alphas: Float[Tensor, "*batch guiders"],
    backed: Bool[Tensor, " vocab"] | None = None,
    cap: float | None = None,
) -> Float[Tensor, "*batch vocab"]:
    """Fuse in float32, whatever the dtype of the members: in bfloat16 the identities hold to about 0.016 only.

    Args:
        target: the target's raw logits.
        pairs: for each guider, its logits and its base's.
        alphas: the strength of each guider, per row; 0 leaves a row the target's alone.
        backed: the rows that a tokenizer entry backs. The others become -inf: left in, they would have no delta, and
            the result would depend on a constant added to a member's logits.
        cap: the target's soft cap, if it has one: taken off before deltas are added, put on after. The pairs' logits
            come without theirs (`uncap`).
    """
    fused = target.to(torch.float32, copy=True) if cap is None else uncap(target, cap)
    for index, pair in enumerate(pairs):
        difference = delta(pair)
        width = min(fused.shape[-1], difference.shape[-1])
        fused[..., :width].addcmul_(alphas[..., index, None], difference[..., :width])
    if cap is not None:
        alone = (alphas == 0).all(-1, keepdim=True)
        fused = torch.where(alone, target.float(), torch.tanh(fused / cap) * cap)
    return fused if backed is None else fused.masked_fill_(~backed, -torch.inf)


def delta(pair: MemberLogits) -> Float[Tensor, "*batch common_vocab"]:
    """Guider - base in float32, over the rows that both have.

    Where some rows are not shared with the target, those get 0 and the rest is the difference of log-probabilities over
    the shared rows, so that "no opinion" does not depend on a constant in either member's logits.
    """
    width = min(pair.guider.shape[-1], pair.base.shape[-1])
    if pair.shared is not None:
        width = min(width, pair.shared.shape[-1])
    guider, base = pair.guider[..., :width], pair.base[..., :width]
    if pair.shared is None:
        return guider.to(torch.float32, copy=True).sub_(base)
    foreign = ~pair.shared[:width]
    guider = guider.float().masked_fill(foreign, -torch.inf).log_softmax(-1)
    base = base.float().masked_fill(foreign, -torch.inf).log_softmax(-1)
    return (guider - base).masked_fill(foreign, 0.0)


def uncap(logits: Float[Tensor, "*batch vocab"], cap: float) -> Float[Tensor, "*batch vocab"]:
    """Invert the soft cap `cap * tanh(x / cap)` of some Gemma generations, in float32.

    Logits rounded onto the cap itself are taken as just below it, where the inverse is finite.
    """
    return torch.atanh((logits.float() / cap).clamp(-1 + 1e-6, 1 - 1e-6)) * cap
