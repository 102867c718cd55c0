"""PEFT adapters: what one says of itself, put on a member, taken off again. Knows nothing of trios."""

import copy
import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils.hub import cached_file

from thinklogit.core.errors import TrioError

LEAVES_WEIGHTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Of LoRA's ways to begin, those that keep the model as it was; PiSSA and its like take from it what they give LoRA."""


WEIGHTS = "adapter_model.safetensors"
ITEM_BYTES = 4
"""PEFT holds half-precision adapters in float32."""


@dataclass(frozen=True)
class Adapter:
    """An adapter without its weights: PEFT's config of it, and the shapes of its tensors; None where not told."""

    place: str
    config: Any
    shapes: dict[str, tuple[int, ...]] | None

    @property
    def weight_bytes(self) -> int | None:
        """What its weights take in memory."""
        return None if self.shapes is None else ITEM_BYTES * sum(math.prod(shape) for shape in self.shapes.values())


def read_adapter(place: str, where: dict[str, Any], role: str) -> Adapter:
    """Read what an adapter says of itself. Raises TrioError where there is none, naming the member it is for."""
    peft = peft_for(role)
    try:
        config = peft.PeftConfig.from_pretrained(place, **where)
        file = cached_file(place, WEIGHTS, _raise_exceptions_for_missing_entries=False, **where)
        shapes = None if file is None else _shapes(Path(file))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise TrioError(f"the adapter of the {role} at {place!r} could not be read: {_one_line(error)}") from None
    return Adapter(place, config, shapes)


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def misfit(adapter: Adapter, model_config: PreTrainedConfig) -> str | None:
    """Why an adapter does not fit a model of this config; None where it fits, or nothing tells."""
    peft = peft_for("member")
    config = copy.copy(adapter.config)
    config.base_model_name_or_path = None  # peft would warn that another model is put in its place
    if hasattr(config, "init_lora_weights"):
        config.init_lora_weights = False  # PiSSA and its like would decompose weights that are not there
    try:
        with torch.device("meta"):
            worn = peft.get_peft_model(AutoModelForCausalLM.from_config(model_config), config)
    except ValueError as error:
        return _one_line(error)
    wanted = peft.get_peft_model_state_dict(worn, save_embedding_layers=False)
    if adapter.shapes is None:
        return None
    lacking, strange = wanted.keys() - adapter.shapes, adapter.shapes.keys() - wanted - worn.state_dict().keys()
    if lacking:
        return f"it lacks {len(lacking)} of {len(wanted)} tensors, such as {min(lacking)}"
    if strange:
        return f"the model has no place for {len(strange)} of its {len(adapter.shapes)} tensors, such as {min(strange)}"
    for name, tensor in wanted.items():
        if adapter.shapes[name] != tuple(tensor.shape):
            return f"its {name} is {_by(adapter.shapes[name])}, where the model takes {_by(tensor.shape)}"
    return None


def _by(shape: Any) -> str:
    return " x ".join(map(str, shape))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def wears_adapter(model: Any) -> bool:
    """Whether it is one of PEFT's models, around a model of transformers."""
    return hasattr(model, "get_base_model")


def put_on(member: PreTrainedModel, place: str, where: dict[str, Any], name: str) -> Any:
    """The member with an adapter around it. Raises TrioError, naming its role."""
    peft = peft_for(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of what peft asks transformers, no business of the caller
            return peft.PeftModel.from_pretrained(member, place, **where)
    except (OSError, ValueError, RuntimeError) as error:  # the last for weights of another size
        raise TrioError(f"the adapter of the {name} at {place!r} could not be loaded: {_one_line(error)}") from None


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
