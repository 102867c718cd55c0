"""The adapter that is trained: LoRA on a guider, and how large it is, counted without its weights."""

from typing import Any

from thinklogit.core.errors import OptionError
from thinklogit.train.settings import TrainSettings


def lora_config(settings: TrainSettings) -> Any:
    """PEFT's config. Source: arXiv 2106.09685; which layers, rank and scale are not published for ThinkLogit-DPO."""
    from peft import LoraConfig

    named = settings.target_modules
    return LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.scale,
        lora_dropout=settings.lora_dropout,
        target_modules=named if named == "all-linear" else [each.strip() for each in named.split(",")],
        task_type="CAUSAL_LM",
    )


def count_parameters(config: Any, settings: TrainSettings) -> int:
    """How many parameters LoRA trains on a model of this config; no weight is made. Raises OptionError."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        try:
            adapted = get_peft_model(model, lora_config(settings), low_cpu_mem_usage=True)
        except ValueError as error:
            raise OptionError(f"target_modules={settings.target_modules}: {str(error).splitlines()[0]}") from None
    return sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
