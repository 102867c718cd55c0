"""An engine without a model, for trying out what is built on engines: a report, a grader, a command."""

from collections.abc import Callable, Iterator, Sequence

from thinklogit.core.params import SamplingParams
from thinklogit.core.records import Completion
from thinklogit.core.seeds import derive_seed
from thinklogit.decode.engine import OnFinish, Prompt, params_for_each


class MockEngine:
    """Answers with `reply(prompt, seed)`; by default an echo of the prompt's last line. A token is a word."""

    def __init__(self, reply: Callable[[Prompt, int], str] | None = None) -> None:
        self.reply = reply or _echo

    def generate(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams],
        on_finish: OnFinish | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`."""
        completions = []
        for index, (prompt, each) in enumerate(zip(prompts, params_for_each(prompts, params), strict=True)):
            for number in range(each.n):
                completion = self._complete(prompt, each, number)
                completions.append(completion)
                if on_finish:
                    on_finish(index, completion)
        return completions

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]:
        """See `Engine.stream`."""
        for position, word in enumerate(self._complete(prompt, params, 0).text.split(" ")):
            yield word if position == 0 else f" {word}"

    def _complete(self, prompt: Prompt, params: SamplingParams, number: int) -> Completion:
        seed = derive_seed(params.seed, prompt, number)
        words = self.reply(prompt, seed).split(" ")
        kept = words[: params.max_new_tokens]
        reason = "stop" if len(kept) == len(words) else "length"
        return Completion("", number, prompt, " ".join(kept), len(kept), reason, seed, params.settings())


def _echo(prompt: Prompt, seed: int) -> str:
    text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return text.splitlines()[-1] if text else ""
