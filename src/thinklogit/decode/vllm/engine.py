"""The engine on vLLM in this process: continuous batching, paged caches, several GPUs. Knows no server."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from transformers import GenerationConfig

from thinklogit.core.errors import OptionError, ThinkLogitError, TrioError
from thinklogit.core.params import SamplingParams
from thinklogit.core.records import Completion
from thinklogit.core.seeds import derive_seed
from thinklogit.decode.engine import OnFinish, Prompt, check_context, completions, prompt_ids
from thinklogit.decode.vllm import untested
from thinklogit.decode.vllm.launch import drafter, own_settings
from thinklogit.models.loading import read_config
from thinklogit.models.places import find_trio
from thinklogit.models.trios import load_tokenizer

QUIET = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_LOGGING_STREAM": "ext://sys.stderr"}
"""Before vLLM is imported: standard output is for completions."""


@dataclass
class VllmRow:
    """One completion under way, and what vLLM last said of it; `streamed` where each piece is wanted."""

    prompt_index: int
    number: int
    prompt_ids: list[int]
    params: SamplingParams
    seed: int
    streamed: bool = False
    output: Any = None

    @property
    def done(self) -> bool:
        """Whether there is nothing left to decode."""
        return self.output is not None and self.output.finished

    @property
    def answer(self) -> Any:
        """The one answer that was asked for."""
        return self.output.outputs[0]


class VllmEngine:
    """Decodes with a trio inside vLLM.

    Args:
        trio: a folder, a hub id, or "mini".
        batch_size: completions decoded side by side at most.
        drafts: tokens that the guider drafts at a time; 0 for no speculation.
        **how: vLLM's own engine arguments: dtype, tensor_parallel_size, max_model_len, quantization, ...

    Raises:
        ThinkLogitError: vLLM is not installed, or of a release that was not tested.
        TrioError: the trio cannot be loaded, or not so.
    """

    def __init__(self, trio: str, batch_size: int = 32, drafts: int = 0, **how: Any) -> None:
        if refusal := untested():
            raise ThinkLogitError(refusal)
        root = find_trio(trio)
        self.config, self.tokenizer = read_config(root), load_tokenizer(root)
        self.generation_config = GenerationConfig.from_pretrained(root)
        settings = own_settings(trio, self.config) | {"max_num_seqs": batch_size, "seed": 0, "use_tqdm_on_load": False}
        if drafts:
            settings["speculative_config"] = drafter(self.config, root, drafts)
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        from vllm import EngineArgs, LLMEngine

        unknown = [name for name in how if name not in EngineArgs.__dataclass_fields__]
        if unknown:
            raise OptionError(f"unknown engine argument {', '.join(unknown)}; vllm serve --help=all lists them")
        try:
            self.engine = LLMEngine.from_engine_args(EngineArgs(model=root, **settings | how))
        except (ValueError, RuntimeError) as error:
            raise TrioError(f"{trio}: vLLM cannot load it: {' '.join(str(error).split())}") from None
        self.context = self.engine.vllm_config.model_config.max_model_len
        self._count = count()

    def generate(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams],
        on_finish: OnFinish | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`."""
        return completions(self, prompts, params, on_finish)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]:
        """See `Engine.stream`."""
        (row,) = self.rows(prompt, params)
        row.streamed, shown = True, 0
        for _ in self.decode(deque([row])):
            yield row.answer.text[shown:]
            shown = len(row.answer.text)

    def rows(self, prompt: Prompt, params: SamplingParams, index: int = 0) -> Iterator[VllmRow]:
        """See `LocalEngine.rows`."""
        if params.mode not in ("guided", "target"):
            raise OptionError(
                f"inside vLLM a trio answers as guided or target; got mode {params.mode}: use --engine hf"
            )
        ids = prompt_ids(self.tokenizer, prompt)
        check_context(len(ids), params, index, "trio inside vLLM", self.context, past=False)
        for number in range(params.n):
            yield VllmRow(index, number, ids, params, derive_seed(params.seed, prompt, number))

    def decode(self, waiting: deque[VllmRow]) -> Iterator[VllmRow]:
        """See `LocalEngine.decode`. Rows not streamed are yielded when they are done."""
        under_way: dict[str, VllmRow] = {}
        try:
            while waiting or under_way:
                while waiting:
                    row, name = waiting.popleft(), str(next(self._count))
                    self._begin(name, row)
                    under_way[name] = row
                for output in self.engine.step():
                    row = under_way[output.request_id]
                    row.output = output
                    yield row
                    if row.done:
                        del under_way[output.request_id]
        finally:
            if under_way:
                self.engine.abort_request(list(under_way))

    def close(self) -> None:
        """End vLLM's processes."""
        self.engine.engine_core.shutdown()

    def _begin(self, name: str, row: VllmRow) -> None:
        try:
            self.engine.add_request(name, {"prompt_token_ids": row.prompt_ids}, sampling(row))
        except ValueError as error:
            raise OptionError(str(error)) from None

    def completion(self, row: VllmRow, prompt: Prompt) -> Completion:
        """See `LocalEngine.completion`."""
        answer = row.answer
        reason = "length" if answer.finish_reason == "length" else "stop"
        kept = None
        if row.params.logprobs:
            kept = [place[token].logprob for token, place in zip(answer.token_ids, answer.logprobs, strict=True)]
        settings = row.params.settings()
        return Completion("", row.number, prompt, answer.text, len(answer.token_ids), reason, row.seed, settings, kept)


def sampling(row: VllmRow) -> Any:
    """What is asked of vLLM."""
    from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind
    from vllm.sampling_params import SamplingParams as Asked

    params, repeats = row.params, row.params.max_repeats
    guidance = {"alpha": params.alpha, "warmup_tokens": params.warmup_tokens}
    given = {name: value for name, value in guidance.items() if value is not None}
    return Asked(
        max_tokens=params.max_new_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        seed=row.seed,
        stop=list(params.stop),
        logprobs=0 if params.logprobs else None,
        repetition_detection=RepetitionDetectionParams(max_pattern_size=1, min_count=repeats) if repeats else None,
        extra_args={"guided": False} if params.mode == "target" else given,
        output_kind=RequestOutputKind.CUMULATIVE if row.streamed else RequestOutputKind.FINAL_ONLY,
    )
