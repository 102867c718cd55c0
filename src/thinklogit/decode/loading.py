"""A trio as an engine of this machine: in this process with transformers, or inside vLLM."""

import json
from typing import Any

from thinklogit.core.errors import OptionError, unknown_name
from thinklogit.decode.engine import LocalEngine

ENGINES = ("hf", "vllm")
MOST_WEIGHTS_FOR_ONE_THREAD = 10**7
"""Members this small gain nothing from more threads, and beside another process lose much."""


def load_engine(
    trio: str,
    batch_size: int = 32,
    allow_past_context: bool = False,
    engine: str = "hf",
    engine_args: str | None = None,
    speculate: str | None = None,
    own_process: bool = False,
    **how: Any,
) -> LocalEngine:
    """Load a trio. Raises TrioError and OptionError.

    Args:
        trio: a folder, a hub id, or "mini".
        batch_size: completions decoded side by side.
        allow_past_context: decode past the context of the members instead of refusing.
        engine: one of ENGINES.
        engine_args: vLLM's engine arguments, as a JSON object.
        speculate: as of the requests to come; vLLM wants to know before it loads.
        own_process: whether this process does nothing else; small members then decode on one thread.
        **how: dtype, device_map.
    """
    if engine == "vllm":
        return _vllm(trio, batch_size, allow_past_context, engine_args, speculate, how)
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if engine_args:
        raise OptionError("--engine-args are vLLM's; add --engine vllm, or leave them out")
    return _huggingface(trio, batch_size, allow_past_context, own_process, how)


def _huggingface(trio: str, batch_size: int, allow_past_context: bool, own_process: bool, how: Any) -> LocalEngine:
    import torch
    from transformers.utils import logging

    from thinklogit.decode.huggingface import HuggingFaceEngine
    from thinklogit.models.packing import pack
    from thinklogit.models.trios import load

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    threads = torch.get_num_threads()
    if own_process:
        torch.set_num_threads(1)  # before anything is computed: later, what has begun with more stays slower
    model, tokenizer = load(trio, **how)
    if own_process and sum(weight.numel() for weight in model.parameters()) > MOST_WEIGHTS_FOR_ONE_THREAD:
        torch.set_num_threads(threads)
    pack(model)
    return HuggingFaceEngine(model, tokenizer, batch_size, allow_past_context)


def _vllm(
    trio: str, batch_size: int, allow_past_context: bool, engine_args: str | None, speculate: str | None, how: Any
) -> LocalEngine:
    from thinklogit.decode.vllm.engine import VllmEngine

    if allow_past_context or "device_map" in how:
        given = "--allow-past-context" if allow_past_context else "--device-map"
        raise OptionError(f"{given} is of --engine hf; inside vLLM use --engine-args, such as max_model_len")
    drafts = int(speculate) if speculate and speculate.isdecimal() else 0
    return VllmEngine(trio, batch_size, drafts, **how | _read(engine_args))


def _read(engine_args: str | None) -> dict[str, Any]:
    try:
        read = json.loads(engine_args or "{}")
    except json.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        raise OptionError(
            f"--engine-args must be a JSON object such as '{{\"tensor_parallel_size\": 2}}'; got {engine_args}"
        )
    return read
