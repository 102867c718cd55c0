"""The trio as one vLLM model: members run side by side on the same tokens, their logits fused before anything is drawn.

vLLM sees one model with the layers of all members: one scheduler, one set of pages, one row of logits a token. Logit
biases, grammars, log-probabilities and the test of drafts all come after the fusion.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from vllm.compilation.backends import set_model_tag
from vllm.config import VllmConfig
from vllm.model_executor.model_loader.utils import initialize_model

from thinklogit.decode.vllm.config import member_config, served_guidance, served_width
from thinklogit.decode.vllm.crossing import CrossingPairs, Rows
from thinklogit.decode.vllm.loader import Checkpoint
from thinklogit.decode.vllm.requests import GuidanceOfSlots
from thinklogit.models.fusing import Fusion

RowStrengths = Callable[[], Float[Tensor, "rows guiders"]]


class ThinkLogitForCausalLM(nn.Module):
    """Target, guiders and bases, each an ordinary model of vLLM's. Source: arXiv 2507.12759, section 2."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        trio = vllm_config.model_config.hf_config
        self.own = served_guidance(vllm_config).guidance
        self.width = served_width(trio)
        self.members = nn.ModuleDict()
        self.checkpoints: dict[nn.Module, Checkpoint] = {}
        self.hidden_sizes, self.dtype = [], vllm_config.model_config.dtype
        for name in trio.cached_configs:
            config = member_config(vllm_config, name)
            called = module_name(name)
            with set_model_tag(called):
                member = initialize_model(vllm_config=config, prefix=f"{prefix}{called}")
            self.members[called] = member
            self.checkpoints[member] = Checkpoint(name, config.model_config)
            self.hidden_sizes.append(config.model_config.get_hidden_size())
        self.names = {module_name(name): name for name in trio.cached_configs}
        self.fusion = Fusion(trio, torch.get_default_device())
        self.crossing = CrossingPairs(trio, torch.get_default_device()) if trio.crossing else None
        self.row_strengths: RowStrengths | None = None
        self.row_ids: Callable[[], Rows] | None = None

    def embed_input_ids(self, input_ids: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens hidden"]:
        """The target's."""
        return cast(Any, self.members["target"]).embed_input_ids(input_ids)

    def forward(
        self,
        input_ids: Int[Tensor, " tokens"] | None,
        positions: Int[Tensor, " tokens"],
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
    ) -> Float[Tensor, "tokens hidden_of_all"]:
        """The members' last hidden states beside each other: vLLM then picks the rows to be drawn from."""
        return torch.cat([member(input_ids, positions) for member in self.members.values()], dim=-1)

    def compute_logits(self, hidden_states: Float[Tensor, "rows hidden_of_all"]) -> Float[Tensor, "rows vocab"] | None:
        """Fused logits in float32, with the strengths of these rows where the runner has told them, else the server's.

        Told once: prompt log-probabilities and trial runs come without, as a prompt's positions do elsewhere.
        """
        told, self.row_strengths = self.row_strengths, None
        ids, self.row_ids = self.row_ids, None
        parts = hidden_states.split(self.hidden_sizes, dim=-1)
        members: Any = self.members.items()
        logits = {
            self.names[called]: member.compute_logits(part)
            for (called, member), part in zip(members, parts, strict=True)
        }
        if logits["target"] is None:  # gathered on another rank
            return None
        rows, device = len(hidden_states), hidden_states.device
        if told is None:
            alone = GuidanceOfSlots(1, self.own, device)
            alone.put([0], [self.own])
            nothing = torch.zeros(rows, dtype=torch.long, device=device)
            found = alone.strengths(nothing, nothing)
        else:
            found = told()
        if self.crossing is not None:
            target = logits["target"]
            logits |= self.crossing.silent(target) if ids is None else self.crossing.logits(ids(), target, found)
        fused = self.fusion({name: each[:, None] for name, each in logits.items()}, found[:, None])
        return fused[:, 0, : self.width]

    @staticmethod
    def get_model_state_cls() -> type:
        """Asked by the V2 runner."""
        from thinklogit.decode.vllm.v2 import TrioState

        return TrioState


def module_name(name: str) -> str:
    """A member's name in vLLM, which takes any number between dots for a layer's: guiders.0.guider is guider_0."""
    parts = name.split(".")
    return name if len(parts) == 1 else f"{parts[2]}_{parts[1]}"
