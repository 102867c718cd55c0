"""What every engine does: prompts in, completions out.

Engines differ in where and how fast they decode, never in what a prompt or a completion is. A prompt is a text, taken
as it stands, or a list of chat messages, rendered with the target's chat template: all members see the same text.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from thinklogit.core.errors import ContextError
from thinklogit.core.params import SamplingParams
from thinklogit.core.records import Completion

Prompt = str | list[dict[str, str]]
OnFinish = Callable[[int, Completion], None]


@runtime_checkable
class Engine(Protocol):
    """Decodes. Completions depend on prompt, params and seed, never on what else is decoded beside them."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams],
        on_finish: OnFinish | None = None,
    ) -> list[Completion]:
        """Decode `params.n` completions of every prompt, prompts in order, each prompt's completions together.

        Args:
            prompts: texts or chat messages.
            params: for all prompts, or one for each.
            on_finish: called with (index of the prompt, completion) as each ends, in whatever order they end: what it
                has been given need not be decoded again after a kill.

        Raises:
            ContextError: a prompt, with the tokens asked for, longer than the context of a member that runs.
        """
        ...

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]:
        """The text of one completion, in pieces as they are decoded."""
        ...


def params_for_each(
    prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams]
) -> Sequence[SamplingParams]:
    """One SamplingParams a prompt."""
    if isinstance(params, SamplingParams):
        return [params] * len(prompts)
    if len(params) != len(prompts):
        raise ValueError(f"expected one SamplingParams or one for each of {len(prompts)} prompts; got {len(params)}")
    return params


class LocalEngine(Engine, Protocol):
    """An engine of this machine, as those see it that add requests while others are under way.

    A row is one completion under way: it knows `prompt_index`, `number`, `prompt_ids` and whether it is `done`.
    """

    tokenizer: Any

    @property
    def config(self) -> Any:
        """The trio's."""
        ...

    @property
    def generation_config(self) -> Any:
        """The trio's."""
        ...

    def rows(self, prompt: Prompt, params: SamplingParams, index: int = 0) -> Iterator[Any]:
        """The completions that are asked for, none begun. Raises ContextError and OptionError."""
        ...

    def decode(self, waiting: deque[Any]) -> Iterator[Any]:
        """Decode rows, yielding each whenever it has grown; others may add to `waiting` meanwhile."""
        ...

    def completion(self, row: Any, prompt: Prompt) -> Completion:
        """The record of a row that is done."""
        ...

    def close(self) -> None:
        """End what it has started: processes of its own would outlive this one."""
        ...


def completions(
    engine: LocalEngine,
    prompts: Sequence[Prompt],
    params: SamplingParams | Sequence[SamplingParams],
    on_finish: OnFinish | None,
    order: Callable[[Any], Any] = lambda row: 0,
) -> list[Completion]:
    """`Engine.generate` of a local engine; rows begin in that order."""
    rows = [
        row
        for index, (prompt, each) in enumerate(zip(prompts, params_for_each(prompts, params), strict=True))
        for row in engine.rows(prompt, each, index)
    ]
    finished: dict[tuple[int, int], Completion] = {}
    waiting = deque(sorted(rows, key=order))
    while waiting:
        for row in engine.decode(waiting):
            if row.done:
                completion = engine.completion(row, prompts[row.prompt_index])
                finished[row.prompt_index, row.number] = completion
                if on_finish:
                    on_finish(row.prompt_index, completion)
    return [finished[row.prompt_index, row.number] for row in rows]


def prompt_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """What the members read. Where the last message is the assistant's own, it is the opening of the answer."""
    if isinstance(prompt, str):
        return tokenizer(prompt)["input_ids"]
    opened = prompt[-1]["role"] == "assistant"
    rendered = tokenizer.apply_chat_template(
        prompt, add_generation_prompt=not opened, continue_final_message=opened, tokenize=False
    )
    return tokenizer(rendered, add_special_tokens=False)["input_ids"]


def check_context(prompt_length: int, params: SamplingParams, index: int, name: str, context: int, past: bool) -> None:
    """Refuse what does not fit into the context of who is named, unless it may go `past` it. Raises ContextError."""
    asked = prompt_length + params.max_new_tokens
    if prompt_length >= context or (asked > context and not past):
        raise ContextError(
            f"the prompt has {prompt_length} tokens and {params.max_new_tokens} new ones are asked for; "
            f"the context of the {name} holds {context}: "
            f"shorten the prompt, or ask for at most {max(0, context - prompt_length)}",
            index,
        )
