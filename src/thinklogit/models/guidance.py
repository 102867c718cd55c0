"""How strongly each row is guided at each position: what a caller gave, checked and spread over rows and guiders."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinklogit.core.errors import OptionError
from thinklogit.core.schedules import Strengths, check_guidance, strengths
from thinklogit.models.config import ThinkLogitConfig


class Guidance(NamedTuple):
    """The strength of every row, on the CPU: whether guiders run is decided there, without waiting for a device.

    `prompt_length` counts the tokens before the first generated one, padding included; None where it is not known, and
    then there is no warm-up.
    """

    alpha: Float[Tensor, "batch guiders"]
    warmup_tokens: Int[Tensor, " batch"]
    prompt_length: int | None

    @classmethod
    def of(
        cls,
        config: ThinkLogitConfig,
        alpha: float | Sequence[float] | Tensor | None,
        warmup_tokens: int | Sequence[int] | Tensor | None,
        batch: int,
        prompt_length: int | None,
    ) -> "Guidance":
        """Fill in the config's values, check what was given, and spread it over the rows."""
        if warmup_tokens is None:
            warmup_tokens = config.warmup_tokens
        if alpha is None:
            alpha = torch.tensor([pair.alpha for pair in config.guider_refs]).expand(batch, -1)
        rows_alpha = _spread(alpha, "alpha", torch.float32, batch)
        rows_warmup = _spread(warmup_tokens, "warmup_tokens", torch.long, batch)
        for strength in rows_alpha.flatten().unique().tolist():
            for tokens in rows_warmup.unique().tolist():
                check_guidance(config.schedule, strength, tokens)
        guiders = len(config.guider_refs)
        if rows_alpha.ndim == 1:
            rows_alpha = rows_alpha[:, None].expand(-1, guiders)
        if rows_alpha.shape != (batch, guiders):
            raise OptionError(
                f"alpha must be one number, one a row ({batch}), or rows by guiders {(batch, guiders)}; "
                f"got shape {tuple(rows_alpha.shape)}"
            )
        return cls(rows_alpha, rows_warmup, prompt_length)

    def strengths(self, schedule: str, past: int, new: int) -> Strengths:
        """The strengths of `new` positions after `past`; a prompt's positions count as before the first token."""
        if self.prompt_length is None:
            return self.alpha[:, None, :].expand(-1, new, -1)
        generated = (torch.arange(new) + past + 1 - self.prompt_length).clamp(min=0)
        return strengths(schedule, self.alpha, self.warmup_tokens, generated[None])


def _spread(values: float | Sequence[float] | Tensor, name: str, dtype: torch.dtype, batch: int) -> Tensor:
    tensor = torch.as_tensor(values).cpu()
    if dtype == torch.long and tensor.is_floating_point():
        raise OptionError(f"{name} must be whole numbers of tokens; got {values}")
    tensor = tensor.to(dtype)
    if tensor.ndim == 0:
        return tensor.expand(batch)
    if tensor.shape[0] != batch:
        raise OptionError(f"{name} must be one number or one for each of the {batch} rows; got {tensor.shape[0]}")
    return tensor


def position_ids_of(
    mask: Int[Tensor, "batch total"] | None, input_ids: Int[Tensor, "batch new"], past: int
) -> Int[Tensor, "#batch new"]:
    """Positions of the ids that follow `past` tokens, not counting left padding."""
    new = input_ids.shape[1]
    if mask is None or mask.ndim != 2:
        return torch.arange(past, past + new, device=input_ids.device)[None]
    counted = (mask.long().cumsum(-1) - 1).clamp(min=0)
    return counted[:, past : past + new]
