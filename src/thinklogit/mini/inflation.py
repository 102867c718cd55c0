"""Copies of a mini member that say the same at the cost of a large model: for measuring speed with real acceptance.

Widths are padded with zeros and layers added whose output is zero, so that what is added is streamed and multiplied but
changes nothing. RMSNorm divides by the mean over the width: its weight and epsilon make up for the zeros there. Heads
stay as they are: a mini member's cache is to an inflated one's weights as a 32B model's is to its own, about 5 MB a row
and thousand tokens to 750 MB.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Size:
    """What a member is inflated to."""

    hidden: int
    layers: int
    feed_forward: int


def inflated(member: "PreTrainedModel", size: Size, dtype: torch.dtype = torch.float32) -> "PreTrainedModel":
    """A larger Llama with the same next-token logits, up to the rounding of `dtype`.

    Raises ValueError for a size smaller than the member's own.
    """
    from copy import deepcopy

    from transformers import AutoModelForCausalLM

    own = member.config
    if (
        size.hidden < own.hidden_size
        or size.layers < own.num_hidden_layers
        or size.feed_forward < own.intermediate_size
    ):
        raise ValueError(f"expected a size of at least the member's own; got {size}")
    config = deepcopy(own)
    narrowing = own.hidden_size / size.hidden
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = size.hidden, size.feed_forward, size.layers
    config.rms_norm_eps = own.rms_norm_eps * narrowing
    large = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    small = member.state_dict()
    with torch.no_grad():
        for name, weight in large.state_dict().items():
            _fill(weight, name)
            if name in small:
                _put(weight, small[name].float())
    for module in large.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.weight.data *= math.sqrt(narrowing)
    large.tie_weights()
    large.generation_config = deepcopy(member.generation_config)
    return large.to(dtype).eval()


def _fill(weight: Tensor, name: str) -> None:
    """What changes nothing: zeros where a layer adds to the stream, and where the stream begins."""
    if name.endswith(("o_proj.weight", "down_proj.weight", "embed_tokens.weight", "lm_head.weight")):
        weight.zero_()
    elif weight.ndim == 1:
        weight.fill_(1.0)
    else:
        weight.normal_(0, 0.02)  # not zeros: a processor may pass over those faster


def _put(weight: Tensor, own: Tensor) -> None:
    """The member's own weight in the corner of the larger one."""
    weight[tuple(slice(length) for length in own.shape)] = own
