"""Weights of every member, each through the loader that the engine was asked for."""

import dataclasses

from torch import nn
from vllm.config import LoadConfig, ModelConfig
from vllm.model_executor.model_loader import get_model_loader
from vllm.model_executor.model_loader.base_loader import BaseModelLoader

OWN_FORMAT = "thinklogit_load_format"
"""The key under which the format that the engine was asked for travels."""


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
        for each, config in getattr(model, "checkpoints", {model: model_config}).items():
            get_model_loader(self.asked).load_weights(each, config)
