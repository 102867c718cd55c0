"""The Hugging Face engine: a batch that rows join as others end.

`transformers.generate` keeps every finished row until the longest ends, and draws all rows from one generator. Here a
row leaves its batch when it ends, another takes its place, and each draws from its own stream.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import Any, cast

from transformers import GenerationConfig, PreTrainedTokenizerBase

from thinklogit.core.errors import OptionError
from thinklogit.core.params import SamplingParams
from thinklogit.core.records import Completion
from thinklogit.core.sampling import uniform_stream
from thinklogit.core.schedules import check_guidance
from thinklogit.core.seeds import derive_seed
from thinklogit.decode.batch import Batch, Row
from thinklogit.decode.drafting import Drafting
from thinklogit.decode.engine import OnFinish, Prompt, check_context, completions, prompt_ids
from thinklogit.decode.speculative import SpeculativeBatch, cannot_speculate
from thinklogit.models.composite import ThinkLogitForCausalLM
from thinklogit.models.config import ThinkLogitConfig
from thinklogit.models.cross.languages import tokenizer_for

Kind = tuple[str, str | int]
"""Who answers, and how that is drafted."""


class HuggingFaceEngine:
    """Decodes with a trio in this process.

    Args:
        model: the trio.
        tokenizer: the target's.
        batch_size: rows decoded together at most.
        allow_past_context: decode on past the shortest context of the members that run, instead of refusing to begin.
    """

    def __init__(
        self,
        model: ThinkLogitForCausalLM,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int = 32,
        allow_past_context: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.allow_past_context = allow_past_context
        self.drafting: dict[str | int, Drafting] = {}

    @property
    def config(self) -> ThinkLogitConfig:
        """The trio's."""
        return self.model.config

    @property
    def generation_config(self) -> GenerationConfig:
        """The trio's."""
        return self.model.generation_config

    def generate(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams],
        on_finish: OnFinish | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`."""

        def alike(row: Row) -> tuple[Any, ...]:
            """Alike in length side by side, so that little is padded."""
            return (*map(str, _kind(row.params)), len(row.prompt_ids), row.params.max_new_tokens)

        return completions(self, prompts, params, on_finish, alike)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]:
        """See `Engine.stream`."""
        shown = ""
        for row in self.decode(deque([next(self.rows(prompt, params))])):
            text = self._text(row)
            if row.done or not _may_change(text, params.stop):
                yield text[len(shown) :]
                shown = text

    def rows(self, prompt: Prompt, params: SamplingParams, index: int = 0) -> Iterator[Row]:
        """The completions that are asked for, none begun. Raises ContextError and OptionError."""
        config = self.model.config
        if params.alpha is not None:
            check_guidance(config.schedule, params.alpha, params.warmup_tokens or 0)
        alphas = [pair.alpha if params.alpha is None else params.alpha for pair in config.guider_refs]
        warmup = config.warmup_tokens if params.warmup_tokens is None else params.warmup_tokens
        ids = prompt_ids(self._tokenizer_for(params), prompt)
        check_context(len(ids), params, index, *self._shortest_context(params), self.allow_past_context)
        for number in range(params.n):
            seed = derive_seed(params.seed, prompt, number)
            uniforms = uniform_stream(seed, params.max_new_tokens).tolist()
            yield Row(index, number, ids, params, seed, uniforms, alphas, warmup)

    def close(self) -> None:
        """Nothing to end."""

    def decode(self, waiting: deque[Row]) -> Iterator[Row]:
        """Decode rows of one kind until none of them is left, yielding each row at each of its tokens.

        Rows are taken from the left of `waiting`, to which others may add meanwhile.
        """
        kind = _kind(waiting[0].params)
        batch = self._batch(waiting[0].params)
        while batch.rows or (waiting and _kind(waiting[0].params) == kind):
            joining = self._joining(batch, waiting, kind)
            yield from batch.join(joining) if joining else batch.step()
            batch.let_go()

    def _batch(self, params: SamplingParams) -> Batch:
        model, pad_id = self._model_for(params), self._tokenizer_for(params).pad_token_id or 0
        if params.drafted and self._can_forget(params):
            drafting = self.drafting.setdefault(params.speculate, Drafting.parse(params.speculate))
            return SpeculativeBatch(model, pad_id, self._stopped, drafting)
        return Batch(model, pad_id, self._stopped)

    def _can_forget(self, params: SamplingParams) -> bool:
        """Whether the guider can draft, and drafts that fall be taken out of the caches: not of a sliding window."""
        reason = cannot_speculate(self.config)
        if reason is None:
            return True
        if params.speculate != "auto":
            raise OptionError(f"speculate={params.speculate}, but {reason}; leave it out")
        return False

    def _joining(self, batch: Batch, waiting: deque[Row], kind: Kind) -> list[Row]:
        """Who joins now. Not each as soon as there is room: a prompt costs as much as a step of all."""
        room = self.batch_size - len(batch.rows)
        if room < max(1, self.batch_size // 8):
            return []
        first = islice(tuple(waiting), room)
        joining = list(takewhile(lambda row: _kind(row.params) == kind, first))
        if not joining or not batch.gains_by(joining):
            return []
        for _ in joining:
            waiting.popleft()
        return joining

    def _shortest_context(self, params: SamplingParams) -> tuple[str, int]:
        running = self._model_for(params)
        contexts = {
            name: config.max_position_embeddings
            for name, config in self.model.config.member_configs.items()
            if running is self.model or running is self.model.member(name)
        }
        name = min(contexts, key=contexts.__getitem__)
        return name, contexts[name]

    def _model_for(self, params: SamplingParams) -> Any:
        """Who answers: a member alone runs alone, at its own cost."""
        if params.mode == "guided":
            return self.model
        return self.model.target if params.mode == "target" else getattr(self.model.guiders[0], params.mode)

    def _tokenizer_for(self, params: SamplingParams) -> PreTrainedTokenizerBase:
        return tokenizer_for(params.mode, self.tokenizer, self.model.languages)

    def _stopped(self, row: Row) -> bool:
        if not row.params.stop:
            return False
        # A token holds a byte or more, but for special ones.
        tail = row.new_ids[-(max(len(stop.encode()) for stop in row.params.stop) + 8) :]
        text = cast(str, self._tokenizer_for(row.params).decode(tail, skip_special_tokens=True))
        return any(stop in text for stop in row.params.stop)

    def _text(self, row: Row) -> str:
        text = cast(str, self._tokenizer_for(row.params).decode(row.new_ids, skip_special_tokens=True))
        return text[: min([text.find(stop) for stop in row.params.stop if stop in text], default=len(text))]

    def completion(self, row: Row, prompt: Prompt) -> Completion:
        """The record of a row that is done."""
        reason = "stop" if row.ended else "length"
        settings, kept = row.params.settings(), row.kept if row.params.logprobs else None
        return Completion("", row.number, prompt, self._text(row), len(row.new_ids), reason, row.seed, settings, kept)


def _kind(params: SamplingParams) -> Kind:
    """What rows must share to be decoded in one batch."""
    return params.mode, params.speculate if params.drafted else "off"


def _may_change(text: str, stops: Sequence[str]) -> bool:
    """Whether the end of the text is not settled: half a character, or the beginning of a stop string."""
    begun = (stop[:length] for stop in stops for length in range(1, len(stop)))
    return text.endswith("\N{REPLACEMENT CHARACTER}") or any(text.endswith(beginning) for beginning in begun)
