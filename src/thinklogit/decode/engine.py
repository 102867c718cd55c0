"""What every engine does: prompts in, completions out.

Engines differ in where and how fast they decode, never in what a prompt or a completion is. A prompt is a text, taken
as it stands, or a list of chat messages, rendered with the target's chat template: all members see the same text.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

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
