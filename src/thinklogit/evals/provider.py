"""The model provider `thinklogit/<trio>` of inspect-ai: a trio on this machine, with real batches.

    inspect eval thinklogit/aime24 --model thinklogit/mini -M mode=target
    inspect eval thinklogit/aime24 --model thinklogit/path/to/trio -M alpha=0.5 --extra-body '{"warmup_tokens": 0}'

Model arguments hold for all requests, `extra_body` for each; `--max-connections` is the size of the batch. What a trio
cannot do is refused, never dropped.
"""

from asyncio import wrap_future
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from thinklogit.core.errors import OptionError, unknown_name
from thinklogit.decode.background import BackgroundEngine
from thinklogit.decode.engine import Prompt

REQUEST_OPTIONS = ("alpha", "warmup_tokens", "mode", "max_repeats", "speculate")
HONOURED = {
    "max_tokens": "max_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop_seqs": "stop",
}
OF_THE_HARNESS = (
    "extra_body",
    "system_message",
    "max_retries",
    "timeout",
    "attempt_timeout",
    "stream_idle_timeout",
    "max_connections",
    "adaptive_connections",
    "cache",
    "cache_prompt",
    "fail_on_refusal",
)
"""What inspect itself sees to, or what is read apart; it reaches a provider all the same."""


@modelapi(name="thinklogit")
class ThinkLogitAPI(ModelAPI):
    """A trio as inspect sees it.

    Args:
        model_name: a trio folder, a hub id, or "mini".
        base_url: none is taken; use inspect's openai-api provider for a server.
        api_key: none is needed.
        config: inspect's.
        chat: put prompts into the chat template, or take their text as it stands [default: where there is one].
        dtype: as in `thinklogit.load`.
        device_map: as in `thinklogit.load`.
        allow_past_context: decode past the context of the members instead of refusing.
        engine: hf, or vllm.
        engine_args: vLLM's own, as a JSON object.
        **request_options: alpha, warmup_tokens, mode (guided, target, guider, base), max_repeats and speculate
                for all requests.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        chat: bool | None = None,
        dtype: str | None = None,
        device_map: str | None = None,
        allow_past_context: bool = False,
        engine: str | None = None,
        engine_args: str | None = None,
        **request_options: Any,
    ) -> None:
        config = config or GenerateConfig()
        super().__init__(model_name, base_url, api_key, [], config)
        if base_url:
            raise OptionError(f"thinklogit/{model_name} decodes on this machine and takes no base URL; got {base_url}")
        self.batch_size = config.max_connections or 32
        self.chat = chat
        self.request_options = _checked(request_options)
        how = {"dtype": dtype, "device_map": device_map, "engine": engine, "engine_args": engine_args}
        if engine == "vllm":  # which wants to know before it loads
            how["speculate"] = request_options.get("speculate")
        given = {name: str(value) for name, value in how.items() if value}
        self.background = background_engine(model_name, self.batch_size, allow_past_context, **given)

    def max_connections(self) -> int:
        """Requests in flight, and completions decoded side by side, where `--max-connections` is not given."""
        return self.batch_size

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Decode one completion beside all others in flight."""
        if tools:
            raise OptionError("a trio calls no tools; use a task without them")
        completion, prompt_tokens = await wrap_future(
            self.background.submit(self._prompt(input), self.request_options | request_of(config))
        )
        return ModelOutput(
            model=self.model_name,
            choices=[
                ChatCompletionChoice(
                    message=ChatMessageAssistant(content=completion.text, model=self.model_name, source="generate"),
                    stop_reason="stop" if completion.finish_reason == "stop" else "max_tokens",
                )
            ],
            usage=ModelUsage(
                input_tokens=prompt_tokens,
                output_tokens=completion.new_tokens,
                total_tokens=prompt_tokens + completion.new_tokens,
            ),
        )

    def _prompt(self, messages: list[ChatMessage]) -> Prompt:
        template = self.background.has_chat_template
        if self.chat and not template:
            raise OptionError("chat=true, but the target's tokenizer has no chat template; leave it out")
        if template if self.chat is None else self.chat:
            return [{"role": message.role, "content": message.text} for message in messages]
        roles = [message.role for message in messages]
        if roles not in (["user"], ["user", "assistant"]):
            raise OptionError(f"without a chat template a prompt is one text; got messages of {', '.join(roles)}")
        return "".join(message.text for message in messages)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in REQUEST_OPTIONS:
            raise unknown_name("option of a trio", name, REQUEST_OPTIONS)
    return dict(options)


def request_of(config: GenerateConfig) -> dict[str, Any]:
    """What inspect asks of a model, in our names. Raises OptionError for what a trio does not take."""
    given = config.model_dump(exclude_none=True)
    refused = [name for name in given if name not in HONOURED and name not in OF_THE_HARNESS]
    if refused:
        raise OptionError(f"a trio on this machine does not take {', '.join(refused)}; leave out")
    asked = {ours: given[theirs] for theirs, ours in HONOURED.items() if theirs in given}
    if "stop" in asked:
        asked["stop"] = tuple(asked["stop"])
    return asked | _checked(config.extra_body or {})


background_engine = lru_cache(BackgroundEngine)
"""One engine for all models of a process that name the same trio, loaded once."""
