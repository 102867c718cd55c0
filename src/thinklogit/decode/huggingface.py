"""The Hugging Face engine: length-bucketed batches that shrink as their rows finish.

`transformers.generate` keeps every finished row until the longest ends, and draws all rows from one generator. Here a
row leaves its batch when it ends, and draws from its own stream, so that its text does not depend on its neighbours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedTokenizerBase

from thinklogit.core.errors import ContextError
from thinklogit.core.records import Completion
from thinklogit.core.sampling import SamplingParams, derive_seed, draw, probabilities, uniform_stream
from thinklogit.decode.engine import OnFinish, Prompt, params_for_each
from thinklogit.models.composite import ThinkLogitForCausalLM


@dataclass
class Row:
    """One completion under way."""

    prompt_index: int
    number: int
    prompt: Prompt
    prompt_ids: list[int]
    params: SamplingParams
    seed: int
    uniforms: Float[Tensor, " max_new_tokens"]
    new_ids: list[int] = field(default_factory=list)
    ended: bool = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to decode."""
        return self.ended or len(self.new_ids) == self.params.max_new_tokens


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

    def generate(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams],
        on_finish: OnFinish | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`."""
        rows = [
            row
            for index, (prompt, each) in enumerate(zip(prompts, params_for_each(prompts, params), strict=True))
            for row in self._rows(index, prompt, each)
        ]
        finished: dict[tuple[int, int], Completion] = {}
        for batch in self._batches(rows):
            for row in self._decode(batch):
                if row.done:
                    completion = self._completion(row)
                    finished[row.prompt_index, row.number] = completion
                    if on_finish:
                        on_finish(row.prompt_index, completion)
        return [finished[row.prompt_index, row.number] for row in rows]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]:
        """See `Engine.stream`."""
        shown = ""
        for row in self._decode([next(self._rows(0, prompt, params))]):
            text = self._text(row)
            # A character cut in two decodes to the replacement mark until its last byte is there.
            if row.done or not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(shown) :]
                shown = text

    def _rows(self, index: int, prompt: Prompt, params: SamplingParams) -> Iterator[Row]:
        ids = self._prompt_ids(prompt)
        self._check_context(len(ids), params, index)
        for number in range(params.n):
            seed = derive_seed(params.seed, prompt, number)
            yield Row(index, number, prompt, ids, params, seed, uniform_stream(seed, params.max_new_tokens))

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            return self.tokenizer(prompt)["input_ids"]
        rendered = self.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        return self.tokenizer(rendered, add_special_tokens=False)["input_ids"]

    def _check_context(self, prompt_length: int, params: SamplingParams, index: int) -> None:
        name, context = self._shortest_context(params)
        asked = prompt_length + params.max_new_tokens
        if prompt_length >= context or (asked > context and not self.allow_past_context):
            raise ContextError(
                f"the prompt has {prompt_length} tokens and {params.max_new_tokens} new ones are asked for; "
                f"the context of the {name} holds {context}: "
                f"shorten the prompt, or ask for at most {max(0, context - prompt_length)}",
                index,
            )

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

    def _batches(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Rows for the same model, alike in length, so that little is padded."""
        ordered = sorted(rows, key=lambda row: (row.params.mode, len(row.prompt_ids), row.params.max_new_tokens))
        for _, alike in groupby(ordered, key=lambda row: row.params.mode):
            group = list(alike)
            for start in range(0, len(group), self.batch_size):
                yield group[start : start + self.batch_size]

    @torch.inference_mode()
    def _decode(self, rows: list[Row]) -> Iterator[Row]:
        """Decode a batch, yielding each row at each of its tokens; a row that is done leaves."""
        model = self._model_for(rows[0].params)
        ids, mask = self._left_padded(rows, model.device)
        cache, end_ids = DynamicCache(config=model.config), end_ids_of(model)
        prompt_length = ids.shape[1]
        while rows:
            positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            guidance = self._guidance(rows, prompt_length) if model is self.model else {}
            output = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **guidance,
            )
            tokens = next_tokens(output.logits[:, -1], rows)
            for row, token in zip(rows, tokens.tolist(), strict=True):
                row.ended = token in end_ids
                row.new_ids.append(token)
                yield row
            staying = [place for place, row in enumerate(rows) if not row.done]
            if len(staying) < len(rows):
                rows = [rows[place] for place in staying]
                kept = torch.tensor(staying, dtype=torch.long)  # on the CPU: members may lie on different devices
                tokens, mask = tokens[kept], mask[kept]
                cache.batch_select_indices(kept)
            ids = tokens[:, None]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)

    def _guidance(self, rows: list[Row], prompt_length: int) -> dict[str, Any]:
        own = [pair.alpha for pair in self.model.config.guider_refs]
        alpha = [own if row.params.alpha is None else [row.params.alpha] * len(own) for row in rows]
        default = self.model.config.warmup_tokens
        warmup = [default if row.params.warmup_tokens is None else row.params.warmup_tokens for row in rows]
        return {"alpha": torch.tensor(alpha), "warmup_tokens": torch.tensor(warmup), "prompt_length": prompt_length}

    def _left_padded(self, rows: list[Row], device: torch.device) -> tuple[Int[Tensor, "batch prompt"], Tensor]:
        length = max(len(row.prompt_ids) for row in rows)
        pad = self.tokenizer.pad_token_id or 0
        ids = [[pad] * (length - len(row.prompt_ids)) + row.prompt_ids for row in rows]
        mask = [[0] * (length - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in rows]
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    def _text(self, row: Row) -> str:
        return cast(str, self.tokenizer.decode(row.new_ids, skip_special_tokens=True))

    def _completion(self, row: Row) -> Completion:
        reason = "stop" if row.ended else "length"
        settings = row.params.settings()
        return Completion("", row.number, row.prompt, self._text(row), len(row.new_ids), reason, row.seed, settings)


def end_ids_of(model: Any) -> frozenset[int]:
    """The ids that end a text of this model's, from its own generation config: a guider alone may have others."""
    ends = model.generation_config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or [])


def next_tokens(logits: Float[Tensor, "batch vocab"], rows: Sequence[Row]) -> Int[Tensor, " batch"]:
    """One token a row, each with its own settings and from its own stream."""
    tokens = torch.empty(len(rows), dtype=torch.long, device=logits.device)
    kinds: dict[tuple[float, int, float], list[int]] = {}
    for place, row in enumerate(rows):
        kinds.setdefault((row.params.temperature, row.params.top_k, row.params.top_p), []).append(place)
    for (temperature, top_k, top_p), places in kinds.items():
        chosen = torch.tensor(places, device=logits.device)
        if temperature == 0:
            tokens[chosen] = logits[chosen].argmax(-1)
            continue
        uniforms = torch.stack([rows[place].uniforms[len(rows[place].new_ids)] for place in places])
        tokens[chosen] = draw(probabilities(logits[chosen], temperature, top_k, top_p), uniforms.to(logits.device))
    return tokens
