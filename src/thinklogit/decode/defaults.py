"""What a request leaves open, from the trio's own files."""

from collections.abc import Mapping
from typing import Any

from transformers import GenerationConfig

from thinklogit.core.errors import OptionError
from thinklogit.core.params import SamplingParams, most_new_tokens
from thinklogit.core.schedules import check_guidance


def filled_in(config: Any, own: GenerationConfig, given: Mapping[str, Any]) -> SamplingParams:
    """All settings of a request: those given that are not None, else the trio's own. Raises OptionError.

    Args:
        config: the trio's ThinkLogitConfig: alpha, warm-up, context.
        own: the trio's generation_config.json: temperature, top_p, top_k, max_new_tokens.
        given: fields of SamplingParams.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    temperature = _first(asked.get("temperature"), (own.temperature or 1.0) if own.do_sample else 0.0)
    filters = {"top_p": _first(own.top_p, 1.0), "top_k": _first(own.top_k, 0)} if temperature else {}
    most = most_new_tokens(config.max_position_embeddings)
    defaults = {"temperature": temperature, "max_new_tokens": _first(own.max_new_tokens, most), **filters}
    if asked.get("mode", "guided") == "guided":
        alphas = [pair.alpha for pair in config.guider_refs]
        defaults |= {
            "alpha": alphas[0] if len(set(alphas)) == 1 else None,
            "warmup_tokens": config.warmup_tokens,
            "speculate": "auto",
        }
    params = SamplingParams(**(defaults | asked))
    if params.mode == "guided":
        check_guidance(config.schedule, _first(params.alpha, 1.0), _first(params.warmup_tokens, 0))
    elif params.alpha is not None or params.warmup_tokens is not None:
        raise OptionError(f"the {params.mode} alone decodes without guidance; leave out alpha and warmup_tokens")
    return params


def _first(*values: Any) -> Any:
    """The first that is given."""
    return next((value for value in values if value is not None), None)
