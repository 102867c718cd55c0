"""PEFT adapters: put on a member, taken off again. Knows nothing of trios."""

import copy
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from thinklogit.core.errors import TrioError

LEAVES_WEIGHTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Of LoRA's ways to begin, those that keep the model as it was; PiSSA and its like take from it what they give LoRA."""


def wears_adapter(model: Any) -> bool:
    """Whether it is one of PEFT's models, around a model of transformers."""
    return hasattr(model, "get_base_model")


def put_on(member: PreTrainedModel, place: str, where: dict[str, Any], name: str) -> Any:
    """The member with an adapter around it. Raises TrioError, naming its role."""
    peft = peft_for(name)
    try:
        return peft.PeftModel.from_pretrained(member, place, **where)
    except (OSError, ValueError, RuntimeError) as error:  # the last for weights of another size
        reason = " ".join(str(error).split()).rstrip(".")
        raise TrioError(f"the adapter of the {name} at {place!r} could not be loaded: {reason}") from None


def peft_for(name: str) -> Any:
    """The package peft. Raises TrioError where it is not installed."""
    try:
        import peft
    except ImportError:
        raise TrioError(f"the {name} has an adapter, which needs peft: pip install 'thinklogit[peft]'") from None
    return peft


def bare(model: Any) -> Any:
    """A second body around the weights of a model, without the adapter that it wears.

    What holds layers is copied, layers are the very same modules in both, and an adapter is put into one body only. So
    nothing is switched at any step: peft's disable_adapter takes twice the time of a forward pass of one token.
    """
    inner = model.get_base_model() if wears_adapter(model) else model
    known: dict[int, Any] = {}  # what deepcopy takes for copied already
    for module in inner.modules():
        layer = _under_adapter(module)
        if layer is not None or not list(module.children()):
            known[id(module)] = module if layer is None else layer
        known |= {id(tensor): tensor for tensor in module.parameters(recurse=False)}
        known |= {id(tensor): tensor for tensor in module.buffers(recurse=False)}
    body = copy.deepcopy(inner, known)
    vars(body).pop("peft_config", None)  # peft leaves it on the model inside
    return body


def _under_adapter(module: nn.Module) -> nn.Module | None:
    """What stood in the place of a module of peft's."""
    if not type(module).__module__.startswith("peft."):
        return None
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    if isinstance(module, BaseTunerLayer):
        return module.get_base_layer()
    return module.original_module if isinstance(module, AuxiliaryTrainingWrapper) else None


def changes_weights(config: Any) -> bool:
    """Whether an adapter of this PeftConfig writes into the model's own weights."""
    begins = getattr(config, "init_lora_weights", None)
    return getattr(config, "bias", "none") not in ("none", None) or begins not in LEAVES_WEIGHTS


def is_merged(model: Any) -> bool:
    """Whether the adapter it wears has been added into the model's own weights."""
    return any(getattr(module, "merged", False) is True for module in model.modules())
