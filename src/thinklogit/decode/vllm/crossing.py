"""Guiders of another tokenizer inside vLLM: beside its engine, run by transformers, as vLLM runs one text a request.

vLLM's own attention goes over the target's tokens in the target's pages; such a guider and its base read the same text
in tokens of their own, as a tree. So they have caches of their own, outside of vLLM's, and every rank runs them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from vllm.config import ModelConfig
from vllm.utils.torch_utils import set_default_torch_dtype

from thinklogit.core.errors import OptionError
from thinklogit.models.config import ThinkLogitConfig
from thinklogit.models.cross.follower import Follower
from thinklogit.models.cross.lattice import Reach
from thinklogit.models.cross.speakers import languages_of
from thinklogit.models.loading import load_member

Rows = Sequence[list[int] | None]
"""The ids before each row of logits; None where nothing is drawn from it."""


class CrossingPairs(nn.Module):
    """All guiders of a trio that have another tokenizer than the target, and their bases."""

    def __init__(self, trio: ThinkLogitConfig, device: torch.device) -> None:
        super().__init__()
        self.trio, self.device = trio, device
        self.followers: dict[int, Follower] = {}

    def load(self, model_config: ModelConfig) -> None:
        """Load the members from their own checkpoints."""
        root, revision, refs = model_config.model, model_config.revision, self.trio.member_refs

        def member(name: str) -> Any:
            with torch.device("cpu"), set_default_torch_dtype(torch.float32):
                loaded = load_member(
                    name, refs[name], root, revision, {"dtype": refs[name].dtype or model_config.dtype}
                )
            return loaded.eval().to(self.device)

        with torch.device("cpu"):
            languages = languages_of(self.trio, root, {"revision": revision})
        for index, each in languages.items():
            pair = member(f"guiders.{index}.guider"), member(f"guiders.{index}.base")
            self.followers[index] = Follower(*pair, each, Reach())

    def logits(
        self, rows: Rows, target: Float[Tensor, "rows vocab"], strengths: Float[Tensor, "rows guiders"]
    ) -> dict[str, Tensor]:
        """What these members say about the target's tokens, as if it were their logits, by name."""
        ids = [[each or []] for each in rows]
        drawn = torch.tensor([each is not None for each in rows])
        found: dict[str, Tensor] = {}
        with torch.device("cpu"):
            for index, follower in self.followers.items():
                asked = drawn & (strengths[:, index].cpu() != 0)
                said = follower.logits(ids, target[:, None], asked[:, None])[:, :, 0]
                found |= {f"guiders.{index}.guider": said[0], f"guiders.{index}.base": said[1]}
        return found

    def silent(self, target: Float[Tensor, "rows vocab"]) -> dict[str, Tensor]:
        """Nothing said: for trial runs, whose rows belong to no text."""
        nothing = torch.zeros_like(target)
        return {f"guiders.{index}.{role}": nothing for index in self.followers for role in ("guider", "base")}


def check_crossing(vllm_config: Any, trio: ThinkLogitConfig) -> None:
    """Settle what such a trio takes. Raises OptionError for what it cannot be served with."""
    if not trio.crossing:
        return
    if vllm_config.speculative_config is not None:
        raise OptionError("a guider of this trio has another tokenizer than the target; serve it without speculation")
    if vllm_config.use_v2_model_runner:
        raise OptionError(
            "a guider of this trio has another tokenizer than the target, and vLLM's V2 runner keeps the ids of a text "
            "on the GPU; start with VLLM_USE_V2_MODEL_RUNNER=0"
        )
    vllm_config.scheduler_config.async_scheduling = False  # ahead of the ids that it draws
