"""ThinkLogit: a small reasoner steers a large model into long chain-of-thought, with no training of the large one.

    model, tokenizer = thinklogit.load("mini")           # or a trio folder, or a hub id
    model.generate(**tokenizer(...), alpha=1.0, warmup_tokens=100)

Importing this is cheap: names below load what they need when first used. It also teaches transformers the model type,
so that `AutoModelForCausalLM.from_pretrained(trio folder)` works once both are imported, in either order; and lm-eval
the model `thinklogit`.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from thinklogit import mini
    from thinklogit.core.errors import (
        ContextError,
        EvaluationError,
        OptionError,
        OutputError,
        RecordError,
        RunChangedError,
        SandboxError,
        ServerError,
        ThinkLogitError,
        TrioError,
    )
    from thinklogit.core.fusion import fuse
    from thinklogit.core.params import SamplingParams
    from thinklogit.core.records import Completion, Grade, Problem
    from thinklogit.decode.custom_generate import speculate
    from thinklogit.decode.engine import Engine
    from thinklogit.decode.huggingface import HuggingFaceEngine
    from thinklogit.decode.mock import MockEngine
    from thinklogit.decode.server import ServerEngine
    from thinklogit.decode.vllm.engine import VllmEngine
    from thinklogit.models.composite import Guider, ThinkLogitForCausalLM
    from thinklogit.models.config import ThinkLogitConfig
    from thinklogit.models.trios import compose, load

__version__ = "0.1.0"

_HOME = {
    "mini": "thinklogit",
    "Completion": "thinklogit.core.records",
    "ContextError": "thinklogit.core.errors",
    "Engine": "thinklogit.decode.engine",
    "EvaluationError": "thinklogit.core.errors",
    "Grade": "thinklogit.core.records",
    "Guider": "thinklogit.models.composite",
    "HuggingFaceEngine": "thinklogit.decode.huggingface",
    "MockEngine": "thinklogit.decode.mock",
    "OptionError": "thinklogit.core.errors",
    "OutputError": "thinklogit.core.errors",
    "Problem": "thinklogit.core.records",
    "RecordError": "thinklogit.core.errors",
    "RunChangedError": "thinklogit.core.errors",
    "SandboxError": "thinklogit.core.errors",
    "SamplingParams": "thinklogit.core.params",
    "ServerEngine": "thinklogit.decode.server",
    "ServerError": "thinklogit.core.errors",
    "ThinkLogitConfig": "thinklogit.models.config",
    "ThinkLogitError": "thinklogit.core.errors",
    "ThinkLogitForCausalLM": "thinklogit.models.composite",
    "TrioError": "thinklogit.core.errors",
    "VllmEngine": "thinklogit.decode.vllm.engine",
    "compose": "thinklogit.models.trios",
    "fuse": "thinklogit.core.fusion",
    "load": "thinklogit.models.trios",
    "speculate": "thinklogit.decode.custom_generate",
}

__all__ = [
    "Completion",
    "ContextError",
    "Engine",
    "EvaluationError",
    "Grade",
    "Guider",
    "HuggingFaceEngine",
    "MockEngine",
    "OptionError",
    "OutputError",
    "Problem",
    "RecordError",
    "RunChangedError",
    "SamplingParams",
    "SandboxError",
    "ServerEngine",
    "ServerError",
    "ThinkLogitConfig",
    "ThinkLogitError",
    "ThinkLogitForCausalLM",
    "TrioError",
    "VllmEngine",
    "__version__",
    "compose",
    "fuse",
    "load",
    "mini",
    "speculate",
]


def __getattr__(name: str) -> Any:
    if name == "mini":
        return import_module("thinklogit.mini")
    if name not in _HOME:
        raise AttributeError(f"module 'thinklogit' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]


_TAUGHT = {
    "transformers.models.auto.configuration_auto": "AutoConfig",
    "transformers.models.auto.modeling_auto": "AutoModelForCausalLM",
    "transformers.modeling_utils": "PreTrainedModel",
}


def _teach_transformers(_module: Any) -> None:
    # One that is half loaded lacks the name still, and calls here itself once it is whole.
    if all(hasattr(sys.modules[name], wanted) for name, wanted in _TAUGHT.items() if name in sys.modules):
        import_module("thinklogit.models.composite")


def _teach_lm_eval(_module: Any) -> None:
    registry = import_module("lm_eval.api.registry").model_registry
    if "thinklogit" not in registry:
        registry.register("thinklogit", target="thinklogit.evals.lm_eval_model:ThinkLogitLM")


for _name in _TAUGHT:
    wrapt.register_post_import_hook(_teach_transformers, _name)
wrapt.register_post_import_hook(_teach_lm_eval, "lm_eval.models")
