"""What can be measured: a trio on this machine in one of its modes, or whatever a running server serves.

Knows what inspect wants to be told of each; `settings` is what a run refuses to change half way.
"""

from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, cast

from inspect_ai.model import GenerateConfig, Model, get_model

from thinklogit.decode.server import check_servable, guidance_of, served
from thinklogit.evals.provider import HONOURED

RAW = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""A chat template that adds nothing: how a prompt is sent as it stands to a server's chat endpoint."""


@dataclass(frozen=True)
class System:
    """One thing that is measured: its label, a model of inspect, how that is asked, and what may not change."""

    label: str
    model: Model
    config: GenerateConfig
    settings: dict[str, Any]


def of_trio(
    trio: str, mode: str, sampling: Mapping[str, Any], *, batch_size: int, chat: bool | None, **loading: Any
) -> System:
    """A trio on this machine; all modes share one engine. Raises TrioError and OptionError.

    Args:
        trio: a folder, a hub id, or "mini".
        mode: who answers.
        sampling: fields of SamplingParams; what is None is the trio's own.
        batch_size: completions decoded side by side.
        chat: into the chat template or as it stands; None for where there is one.
        **loading: dtype, device_map, allow_past_context, engine, engine_args.
    """
    given = _given(sampling)
    if mode != "guided":
        given = {name: value for name, value in given.items() if name not in ("alpha", "warmup_tokens", "speculate")}
    how = {name: value for name, value in loading.items() if value and value != "hf"}
    if "engine" in how and "speculate" in sampling:
        how["speculate"] = sampling["speculate"]
    config = _config(given, batch_size)
    arguments = how | ({} if chat is None else {"chat": chat}) | {"mode": mode}
    model = _model(f"thinklogit/{trio}", config, **arguments)
    settings = cast(Any, model.api).background.settings(given | {"mode": mode})
    return System(mode, model, config, {"trio": trio, "chat": chat, **how, **settings})


def of_server(
    base_url: str,
    name: str | None,
    mode: str,
    sampling: Mapping[str, Any],
    *,
    batch_size: int,
    chat: bool | None,
    key: str,
) -> System:
    """What an OpenAI-compatible server serves: ours, with guidance, or any other. Raises ServerError, OptionError.

    `alpha` and `warmup_tokens` go with each request as `vllm_xargs`; mode "target" asks for alpha 0.
    """
    given = _given(sampling)
    check_servable(given | {"mode": mode})
    model_name = name or served(base_url, None, key).name
    guidance = guidance_of(mode, given.pop("alpha", None), given.pop("warmup_tokens", None))
    given = {name: value for name, value in given.items() if name not in ("speculate", "max_repeats")}
    config = _config(given, batch_size)
    config.extra_body = ({"vllm_xargs": guidance} if guidance else {}) | (
        {} if chat is not False else {"chat_template": RAW, "add_generation_prompt": False}
    ) or None
    config.max_retries, config.timeout = 3, 600
    model = _model(f"openai-api/thinklogit/{model_name}", config, base_url=base_url, api_key=key)
    settings = {"server": base_url, "model": model_name, "mode": mode, "chat": chat, **given, **guidance}
    return System(mode, model, config, settings)


def _given(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """What is given; stop strings as the list that a log gives back."""
    given = {name: value for name, value in sampling.items() if value is not None and value != ()}
    return given | ({"stop": list(given["stop"])} if "stop" in given else {})


def _model(name: str, config: GenerateConfig, **arguments: Any) -> Model:
    with redirect_stdout(StringIO()):  # inspect prints its version the first time
        return get_model(name, config=config, **arguments)


def _config(given: Mapping[str, Any], batch_size: int) -> GenerateConfig:
    """What inspect has a name for, and the rest as the body's extra."""
    rest = dict(given)
    named = {theirs: rest.pop(ours) for theirs, ours in HONOURED.items() if ours in rest}
    return GenerateConfig(**named, extra_body=rest or None, max_connections=batch_size)
