"""Weights of every member, each through the loader that the engine was asked for; adapters are merged on the way."""

import dataclasses
from collections.abc import Generator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion
from vllm.config import LoadConfig, ModelConfig
from vllm.model_executor.model_loader import get_model_loader
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.utils.torch_utils import set_default_torch_dtype

OWN_FORMAT = "thinklogit_load_format"
"""The key under which the format that the engine was asked for travels."""


class Checkpoint(NamedTuple):
    """A member's name in the trio, and what vLLM makes of its checkpoint."""

    name: str
    config: ModelConfig


class TrioLoader(BaseModelLoader):
    """Hands each member to the loader of the format asked for; any other model, such as a draft model, too."""

    def __init__(self, load_config: LoadConfig) -> None:
        super().__init__(load_config)
        extra = dict(load_config.model_loader_extra_config)
        asked = dataclasses.replace(load_config, load_format=extra.pop(OWN_FORMAT, "auto"))
        asked.model_loader_extra_config = extra
        self.asked = asked

    def download_model(self, model_config: ModelConfig) -> None:
        """Nothing by itself: members come from places of their own, fetched as they are loaded."""

    def load_weights(self, model: nn.Module, model_config: ModelConfig) -> None:
        """Load every member from its own checkpoint."""
        checkpoints: Any = getattr(model, "checkpoints", None)
        if checkpoints is None:
            get_model_loader(self.asked).load_weights(model, model_config)
            return
        for each, (name, config) in checkpoints.items():
            adapted = model_config.hf_config.member_refs[name].adapter is not None
            loader = MergedLoader(name, model_config) if adapted else get_model_loader(self.asked)
            loader.load_weights(each, config)
        crossing: Any = getattr(model, "crossing", None)
        if crossing is not None:
            crossing.load(model_config)


class MergedLoader(DefaultModelLoader):
    """vLLM's own loader, given the weights of a member with its adapter merged instead of files.

    vLLM's LoRA is of a whole model and asked for by each request, where a trio's adapter is of one member and always
    there. Every rank merges for itself, in main memory, and takes its part.
    """

    def __init__(self, name: str, trio: ModelConfig) -> None:
        super().__init__(LoadConfig())
        self.name, self.trio = name, trio

    def get_all_weights(self, model_config: ModelConfig, model: nn.Module) -> Generator[tuple[str, Tensor], None, None]:
        """By the names they have in a checkpoint."""
        from thinklogit.models.merging import merged

        ref = self.trio.hf_config.member_refs[self.name]
        # vLLM's own defaults hold here, a GPU and half precision; adapters would be rounded before they are merged.
        with torch.device("cpu"), set_default_torch_dtype(torch.float32):
            member = merged(self.name, ref, self.trio.model, self.trio.revision, dtype=model_config.dtype)
            weights = revert_weight_conversion(member, member.state_dict())
        yield from weights.items()
