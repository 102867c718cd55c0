"""How much memory a member takes: its weights, and the keys and values of every token. Worked out, not measured."""

import math
import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.cache_utils import get_layer_types_and_kwargs

from thinklogit.models.doctor.checkpoints import StoredTensor
from thinklogit.models.members import Member

WINDOWED = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
KEEPS_NO_TOKENS = ("linear_attention", "mamba", "conv")
"""Layers whose state does not grow with the text."""


class Parameters(NamedTuple):
    """How many parameters a member has, and how many of them are embeddings, which quantization leaves alone."""

    total: int
    embeddings: int


class Device(NamedTuple):
    """Where a trio could run."""

    name: str
    total_bytes: int


def parameters(member: Member, stored: dict[str, StoredTensor] | None) -> Parameters | None:
    """Count from the config by building the model without memory; from the checkpoint where the code is not ours."""
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(member.config)
    except (ValueError, ImportError, OSError):
        return None if stored is None else Parameters(sum(math.prod(tensor.shape) for tensor in stored.values()), 0)
    ends = {
        id(layer.weight): layer.weight
        for layer in (model.get_input_embeddings(), model.get_output_embeddings())
        if layer
    }
    return Parameters(
        sum(weight.numel() for weight in model.parameters()), sum(weight.numel() for weight in ends.values())
    )


def weight_bytes(member: Member, counted: Parameters | None, stored: dict[str, StoredTensor] | None) -> int | None:
    """Memory of a member's weights as it will be loaded; None where neither checkpoint nor config tells."""
    bits = quantized_bits(member.ref.quantization_config)
    as_stored = bits is None and member.ref.dtype in (None, "auto")
    if stored is not None and as_stored:
        return sum(tensor.size_bytes for tensor in stored.values())
    if counted is None:
        return None
    bits = bits or quantized_bits(member.quantization) or 8 * member.dtype.itemsize
    return counted.embeddings * member.dtype.itemsize + (counted.total - counted.embeddings) * bits // 8


def quantized_bits(quantization: dict | None) -> int | None:
    """Bits a weight, from a quantization config; None where it does not tell."""
    values = quantization or {}
    if not isinstance(values, dict):
        values = values.to_dict()
    if values.get("load_in_4bit"):
        return 4
    if values.get("load_in_8bit") or values.get("quant_method") in ("fp8", "fbgemm_fp8"):
        return 8
    return values.get("bits") or values.get("w_bit")


def cache_bytes(config: PreTrainedConfig, tokens: int, batch: int, itemsize: int, tensor_parallel: int = 1) -> int:
    """Memory of the keys and values of `tokens` tokens in each of `batch` rows; a window keeps no more than itself.

    With `tensor_parallel` GPUs, on each of them: no fewer than one head, so few heads are held more than once.
    """
    kept = 0
    for kind, layer in zip(get_layer_types_and_kwargs(config)[0], config.per_layer_config, strict=True):
        if kind in KEEPS_NO_TOKENS:
            continue
        window = getattr(layer, WINDOWED.get(kind, ""), None)
        heads = getattr(layer, "num_key_value_heads", None) or layer.num_attention_heads
        head_dim = getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads
        kept += 2 * max(1, heads // tensor_parallel) * head_dim * (min(tokens, window) if window else tokens)
    return kept * batch * itemsize


def tensor_parallel_sizes(configs: Iterable[PreTrainedConfig]) -> list[int]:
    """Numbers of GPUs over which every member can be split: heads divided, key-value heads divided or copied."""
    heads, key_value_heads = [], []
    for config in configs:
        own = getattr(config, "num_attention_heads", None)
        if not isinstance(own, int):  # no attention, or a number for each layer
            return [1]
        heads.append(own)
        key_value_heads.append(getattr(config, "num_key_value_heads", None) or own)
    most = math.gcd(*heads)
    divisors = [size for size in range(1, most + 1) if most % size == 0]
    return [size for size in divisors if all(size % each == 0 or each % size == 0 for each in key_value_heads)]


def devices() -> list[Device]:
    """This machine's CUDA devices, else its main memory."""
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    if found:
        return [Device(each.name, each.total_memory) for each in found]
    return [Device("main memory", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
