"""`thinklogit serve`: a trio behind an OpenAI-compatible endpoint, inside vLLM."""

from typing import Annotated

from cyclopts import Parameter

from thinklogit.core.errors import OptionError, ThinkLogitError


def serve(
    *vllm: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    trio: Annotated[str, Parameter(show_default=True)] = "mini",
    alpha: float | None = None,
    warmup_tokens: int | None = None,
    schedule: str | None = None,
    speculate: Annotated[str, Parameter(show_default=True)] = "off",
) -> None:
    """Serve a trio with vLLM's own server: continuous batching, paged caches, tensor parallel, streaming.

    All other flags are vLLM's, as of vllm serve: --port, --max-model-len, --tensor-parallel-size, --quantization, ...
    A request may say how strongly it is guided, in vllm_xargs: alpha, warmup_tokens, schedule, guided.

    Args:
        vllm: Flags of vLLM's.
        trio: A trio folder, a hub id, or "mini", the small trio that comes with thinklogit.
        alpha: Guidance strength of requests that give none [default: the trio's].
        warmup_tokens: New tokens that the target decodes alone, for requests that do not say [default: the trio's].
        schedule: How alpha depends on the number of new tokens, for requests that do not say [default: the trio's].
        speculate: Let the guider draft so many tokens at a time as vLLM's draft model, or off.
    """
    if speculate != "off" and not (speculate.isdecimal() and int(speculate)):
        raise OptionError(f"--speculate must be off or a number of tokens to draft, 1 or more; got {speculate}")
    from thinklogit.core.schedules import check_guidance
    from thinklogit.decode.vllm import untested

    given = {"alpha": alpha, "warmup_tokens": warmup_tokens, "schedule": schedule}
    guidance = {name: value for name, value in given.items() if value is not None}
    check_guidance(schedule or "warmup", 1.0 if alpha is None else alpha, warmup_tokens or 0)
    if refusal := untested():
        raise ThinkLogitError(refusal)
    from thinklogit.decode.vllm.launch import launch

    launch(trio, guidance, 0 if speculate == "off" else int(speculate), vllm)
