"""The engine on a running OpenAI-compatible server: ours is vLLM with a trio in it.

    check_servable      what can no server be asked?
    served              which model, and how long is its context?
    ServerEngine        one request a completion, with the seed that any engine gives it

Knows no members, no tokens and no chat template: those are the server's. Guidance goes along as `vllm_xargs`, and what
of it is not given is the server's own. Needs the package openai.
"""

import asyncio
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from thinklogit.core.errors import OptionError, ServerError, unknown_name
from thinklogit.core.params import SamplingParams, most_new_tokens
from thinklogit.core.records import Completion
from thinklogit.core.seeds import derive_seed
from thinklogit.decode.engine import OnFinish, Prompt, params_for_each

NEUTRAL = {"repetition_penalty": 1.0, "min_p": 0.0}
"""What vLLM would take from the model's generation_config.json, and no request of ours asks for."""
MAX_RETRIES = 3
ANSWER_S, CONNECT_S = 3600, 10
"""A long answer of a full server arrives late, and at once."""
NOT_THERE = "no server answers; start it, or give another --base-url"
GONE = "the server answers no more; start it again"
BROKEN_OFF = "the answer broke off before its end; ask again"


class Served(NamedTuple):
    """A model that a server serves; `context` in tokens where the server tells it, as vLLM does."""

    name: str
    context: int | None


class Asked(NamedTuple):
    """One completion that is asked for: the prompt's `number`-th."""

    prompt_index: int
    number: int
    prompt: Prompt
    params: SamplingParams

    @property
    def seed(self) -> int:
        """Less than 2**63, as vLLM takes them."""
        return derive_seed(self.params.seed, self.prompt, self.number)


class ServerEngine:
    """Decodes on a running OpenAI-compatible server.

    Args:
        base_url: such as http://localhost:8000/v1.
        model: the server's name for the model; None for the only one it serves.
        batch_size: requests under way at once, at most.
        key: the API key, for a server that wants one.

    Raises:
        ServerError: there is no such server.
        OptionError: it does not serve that model, or several and none is named.
    """

    def __init__(self, base_url: str, model: str | None = None, batch_size: int = 32, key: str = "none") -> None:
        self.base_url, self.key, self.batch_size = base_url, key, batch_size
        self.model, self.context = served(base_url, model, key)

    def params(self, given: Mapping[str, Any]) -> SamplingParams:
        """All settings of a request: those given that are not None, else greedy and half the context at most."""
        check_servable(given)
        settings: dict[str, Any] = {"max_new_tokens": most_new_tokens(self.context)} if self.context else {}
        return SamplingParams(**settings | {name: value for name, value in given.items() if value is not None})

    def settings(self, params: SamplingParams) -> dict[str, Any]:
        """What a completion is labelled with: where it was asked for and how; not what the server adds of its own."""
        asked = replace(params, speculate="off").settings()
        return {"server": self.base_url, "model": self.model} | {
            name: value for name, value in asked.items() if value is not None
        }

    def generate(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams],
        on_finish: OnFinish | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`. `on_finish` is called in another thread, never twice at once.

        Raises:
            ServerError: a request was refused or the server is gone; requests under way are given up.
        """
        import openai  # noqa: F401  before anyio, which comes with it: the error names the one that is asked for
        from anyio.from_thread import start_blocking_portal

        asked = [
            Asked(index, number, prompt, each)
            for index, (prompt, each) in enumerate(zip(prompts, params_for_each(prompts, params), strict=True))
            for number in range(each.n)
        ]
        for each in asked:
            check_servable(_servable(each.params))
        # A loop in a thread of its own: a notebook has one already, and Ctrl-C cancels what is under way.
        with start_blocking_portal() as portal:
            return portal.call(self._answered, asked, on_finish)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]:
        """See `Engine.stream`. Raises ServerError, also where an answer breaks off."""
        import openai

        check_servable(_servable(params))
        asked, ended = Asked(0, 0, prompt, params), None
        with openai.OpenAI(**self._client()) as client, _told(self.base_url, GONE):
            pieces = _endpoint(client, prompt).create(stream=True, **self._body(asked))
            with pieces, _told(self.base_url, BROKEN_OFF):
                for choice in (choice for piece in pieces for choice in piece.choices):
                    yield self._text(choice)
                    ended = choice.finish_reason or ended
        self._check_ended(ended)

    async def _answered(self, asked: Sequence[Asked], on_finish: OnFinish | None) -> list[Completion]:
        import openai

        answers: dict[int, Completion] = {}
        waiting = iter(enumerate(asked))

        async def answer_in_turn() -> None:
            for place, each in waiting:
                answers[place] = await self._completion(client, each)
                if on_finish:
                    on_finish(each.prompt_index, answers[place])

        async with openai.AsyncOpenAI(**self._client()) as client:
            tasks = [asyncio.create_task(answer_in_turn()) for _ in range(min(self.batch_size, len(asked)))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
        return [answers[place] for place in range(len(asked))]

    async def _completion(self, client: Any, asked: Asked) -> Completion:
        with _told(self.base_url, GONE, asked.prompt_index):
            answer = await _endpoint(client, asked.prompt).create(**self._body(asked))
        choice, params = answer.choices[0], asked.params
        text, logprobs = self._text(choice), _logprobs(choice) if params.logprobs else None
        self._check_ended(choice.finish_reason)
        if params.logprobs and logprobs is None:
            raise ServerError(f"{self.base_url} gives no log-probabilities; leave out --logprobs")
        count, reason = answer.usage.completion_tokens, choice.finish_reason
        settings = self.settings(params)
        return Completion("", asked.number, asked.prompt, text, count, reason, asked.seed, settings, logprobs)

    def _client(self) -> dict[str, Any]:
        import openai

        timeout = openai.Timeout(ANSWER_S, connect=CONNECT_S)
        return {"base_url": self.base_url, "api_key": self.key, "max_retries": MAX_RETRIES, "timeout": timeout}

    def _body(self, asked: Asked) -> dict[str, Any]:
        params = asked.params
        extra: dict[str, Any] = NEUTRAL | {"top_k": params.top_k}
        if guidance := guidance_of(params.mode, params.alpha, params.warmup_tokens):
            extra["vllm_xargs"] = guidance
        body = {
            "model": self.model,
            "max_tokens": params.max_new_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": asked.seed,
            "extra_body": extra,
        }
        if params.stop:
            body["stop"] = list(params.stop)
        if isinstance(asked.prompt, str):
            return body | {"prompt": asked.prompt} | ({"logprobs": 0} if params.logprobs else {})
        if asked.prompt[-1]["role"] == "assistant":  # the opening of the answer
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
        return body | {"messages": asked.prompt} | ({"logprobs": True} if params.logprobs else {})

    def _text(self, choice: Any) -> str:
        """What is said in an answer, or in a piece of one."""
        said = getattr(choice, "message", None) or getattr(choice, "delta", None)
        if said is None:
            return choice.text
        if getattr(said, "reasoning", None) or getattr(said, "reasoning_content", None):
            reason = "takes the reasoning out of its answers"
            raise ServerError(f"{self.base_url} {reason}; start it without --reasoning-parser, or use --raw")
        return said.content or ""

    def _check_ended(self, reason: str | None) -> None:
        if reason not in ("stop", "length"):
            raise ServerError(f"{self.base_url}: {BROKEN_OFF}" + (f" ({reason})" if reason else ""))


def check_servable(asked: Mapping[str, Any]) -> None:
    """Refuse what no server can be asked for. Raises OptionError.

    Args:
        asked: fields of SamplingParams; what is missing or None is left to the server.
    """
    mode = asked.get("mode", "guided")
    if mode not in ("guided", "target"):
        raise OptionError(f"a server answers as guided or target; got mode {mode}: serve that member, and ask it")
    if asked.get("speculate") not in (None, "auto"):
        raise OptionError("a server speculates as it was started to; leave out --speculate")
    if asked.get("max_repeats"):
        raise OptionError("a server does not end texts at repeated tokens; add --max-repeats 0")


def guidance_of(mode: str, alpha: float | None, warmup_tokens: int | None) -> dict[str, Any]:
    """The `vllm_xargs` of a request; what is None is the server's own."""
    if mode == "target":
        return {"alpha": 0.0}
    given = {"alpha": alpha, "warmup_tokens": warmup_tokens}
    return {name: value for name, value in given.items() if value is not None}


def served(base_url: str, name: str | None, key: str) -> Served:
    """The model of that name, or the only one there is.

    Raises:
        ServerError: no server is there, or none that speaks as OpenAI's.
        OptionError: it does not serve that model, or several and none is named.
    """
    import openai

    with (
        _told(base_url, NOT_THERE),
        openai.OpenAI(base_url=base_url, api_key=key, timeout=CONNECT_S, max_retries=0) as client,
    ):
        try:
            models = {model.id: getattr(model, "max_model_len", None) for model in client.models.list()}
        except (openai.APIStatusError, AttributeError) as error:
            got = f"status {error.status_code}" if isinstance(error, openai.APIStatusError) else "no list"  # a web page
            raise ServerError(f"{base_url}: expected an OpenAI-compatible server; GET models gave {got}") from None
    if name is None and len(models) != 1:
        raise OptionError(f"{base_url} serves {', '.join(models) or 'no model'}; name one with --model")
    found = next(iter(models)) if name is None else name
    if found not in models:
        raise unknown_name("model", found, models)
    return Served(found, models[found])


def _servable(params: SamplingParams) -> dict[str, Any]:
    """As `check_servable` wants them: "off" is what SamplingParams says of speculation where nothing was asked."""
    speculate = None if params.speculate == "off" else params.speculate
    return {"mode": params.mode, "speculate": speculate, "max_repeats": params.max_repeats}


def _endpoint(client: Any, prompt: Prompt) -> Any:
    return client.completions if isinstance(prompt, str) else client.chat.completions


def _logprobs(choice: Any) -> list[float] | None:
    kept = choice.logprobs
    if kept is None or hasattr(kept, "token_logprobs"):
        return kept and kept.token_logprobs
    return [token.logprob for token in kept.content or ()]


@contextmanager
def _told(base_url: str, lost: str, prompt_index: int | None = None) -> Generator[None]:
    """What openai raises, in one line: a lost connection, a refusal with the server's own words."""
    import openai

    try:
        yield
    except openai.APIConnectionError:
        raise ServerError(f"{base_url}: {lost}") from None
    except openai.APIStatusError as error:
        said = error.body.get("message") if isinstance(error.body, Mapping) else None
        of_prompt = prompt_index if error.status_code == 400 else None
        raise ServerError(f"{base_url}: status {error.status_code}: {said or error.message}", of_prompt) from None
    except openai.APIError as error:
        raise ServerError(f"{base_url}: {error.message}") from None
