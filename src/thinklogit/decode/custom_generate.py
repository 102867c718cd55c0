"""Speculative guided decoding as a decoding method of transformers: `model.generate(..., custom_generate=speculate)`.

For whoever calls `generate` and needs no engine: one batch, from ids to ids.
"""

from itertools import zip_longest
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    StaticCache,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation import CompileConfig, EosTokenCriteria, MaxLengthCriteria
from transformers.generation.utils import GenerateDecoderOnlyOutput
from transformers.utils.generic import is_flash_attention_requested

from thinklogit.core.errors import OptionError
from thinklogit.core.params import SamplingParams
from thinklogit.core.sampling import uniform_stream
from thinklogit.decode.batch import Row, end_ids_of
from thinklogit.decode.drafting import Drafting
from thinklogit.decode.speculative import SpeculativeBatch, cannot_speculate
from thinklogit.decode.static import StaticBatch
from thinklogit.models.composite import ThinkLogitForCausalLM
from thinklogit.models.guidance import Guidance

DRAWN_BY_US = (TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)
COUNTED_BY_US = (EosTokenCriteria, MaxLengthCriteria)


def speculate(
    model: ThinkLogitForCausalLM,
    input_ids: Int[Tensor, "batch prompt"],
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    draft_tokens: str | int = "auto",
    streamer: Any = None,
    synced_gpus: bool = False,
    **model_kwargs: Any,
) -> Int[Tensor, "batch length"] | GenerateDecoderOnlyOutput:
    """A `custom_generate` of transformers in which the guider drafts and target and base verify.

        model.generate(**prompt, custom_generate=thinklogit.speculate, draft_tokens=6, max_new_tokens=200)

    Greedy gives what plain `generate` does; sampling has the same distribution, drawn from torch's seed. With
    `cache_implementation="static"` every step has the same shape, and is compiled where `generate` would: on a GPU into
    CUDA graphs.

    Args:
        model: the trio.
        input_ids: left-padded prompts.
        logits_processor: what transformers prepared; temperature, top-k and top-p are taken, others refused.
        stopping_criteria: asked after every token.
        generation_config: as in transformers, `output_logits` too; beams and `output_scores` are refused.
        draft_tokens: how many to draft at a time, or "auto": what is fastest here, with a static cache 6.
        streamer: of one prompt; gets the tokens in bursts.
        synced_gpus: refused.
        **model_kwargs: attention_mask, alpha, warmup_tokens, as `generate` prepared them.

    Raises:
        OptionError: what speculation does not do, by name.
    """
    if reason := cannot_speculate(model.config):
        raise OptionError(f"speculate is not possible: {reason}; decode without custom_generate")
    _refuse_what_is_not_done(model, logits_processor, generation_config, model_kwargs, synced_gpus)
    rows = _rows(model, input_ids, generation_config, model_kwargs)
    own_criteria = [each for each in stopping_criteria if not isinstance(each, COUNTED_BY_US)]

    def stopped(row: Row) -> bool:
        ids = torch.tensor([row.prompt_ids + row.new_ids], device=input_ids.device)
        return any(bool(each(ids, None).all()) for each in own_criteria)

    pad_id = _first_id(generation_config.pad_token_id) or 0
    drafting, cache = Drafting.parse(draft_tokens), model_kwargs.get("past_key_values")
    if isinstance(cache, StaticCache):
        how = _compile_config(model, generation_config, model_kwargs)
        batch = StaticBatch(model, pad_id, stopped, drafting, cache.layers[-1].get_max_length(), how)
    else:
        batch = SpeculativeBatch(model, pad_id, stopped, drafting)
    batch.end_ids = end_ids_of(generation_config)
    batch.keep = lambda logits, token: logits
    sent = 0
    told = batch.join(rows)
    while True:
        if streamer is not None:
            streamer.put(torch.tensor(told[0].new_ids[sent:]))
            sent = len(told[0].new_ids)
        batch.let_go()
        if not batch.rows:
            break
        told = batch.step()
    if streamer is not None:
        streamer.end()
    sequences = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row.new_ids, device=input_ids.device) for row in rows], batch_first=True, padding_value=pad_id
    )
    sequences = torch.cat([input_ids, sequences], dim=1)
    if not generation_config.return_dict_in_generate:
        return sequences
    logits = _logits(rows) if rows[0].params.logprobs else None
    return GenerateDecoderOnlyOutput(sequences=cast(Any, sequences), logits=cast(Any, logits))


def _refuse_what_is_not_done(
    model: ThinkLogitForCausalLM,
    processors: LogitsProcessorList,
    config: GenerationConfig,
    model_kwargs: dict[str, Any],
    synced_gpus: bool,
) -> None:
    refused = [type(each).__name__ for each in processors if not isinstance(each, DRAWN_BY_US)]
    settings = ("output_scores", "output_attentions", "output_hidden_states", "prefill_chunk_size")
    refused += [name for name in settings if getattr(config, name, False)]
    refused += ["num_beams"] if (config.num_beams or 1) > 1 else []
    refused += ["synced_gpus"] if synced_gpus else []
    cache = model_kwargs.get("past_key_values")
    refused += ["use_cache=False"] if cache is None else []
    refused += ["past_key_values"] if getattr(cache, "_is_user_defined", False) else []
    known = cache is None or (type(cache) in (DynamicCache, StaticCache) and not cache.offloading)
    refused += [] if known else [f"cache_implementation={config.cache_implementation}"]
    if type(cache) is StaticCache and is_flash_attention_requested(model.config):
        refused += ["flash attention with a static cache"]
    if refused:
        raise OptionError(f"speculate does not do {', '.join(refused)}; leave out, or decode without custom_generate")


def _compile_config(
    model: ThinkLogitForCausalLM, config: GenerationConfig, model_kwargs: dict[str, Any]
) -> CompileConfig | None:
    """How to compile, where transformers' own loops would."""
    compiles = cast(Any, model)._valid_auto_compile_criteria(model_kwargs, config)
    return (config.compile_config or cast(Any, model)._default_compile_config()) if compiles else None


def _rows(
    model: ThinkLogitForCausalLM, input_ids: Tensor, config: GenerationConfig, model_kwargs: dict[str, Any]
) -> list[Row]:
    mask = model_kwargs.get("attention_mask")
    seen = torch.ones_like(input_ids) if mask is None else mask
    new = config.max_length - input_ids.shape[1]
    sampling = {"temperature": config.temperature, "top_k": config.top_k, "top_p": config.top_p}
    params = SamplingParams(
        new,
        **({name: each for name, each in sampling.items() if each is not None} if config.do_sample else {}),
        logprobs=bool(config.output_logits and config.return_dict_in_generate),
    )
    guidance = Guidance.of(
        model.config, model_kwargs.get("alpha"), model_kwargs.get("warmup_tokens"), len(input_ids), input_ids.shape[1]
    )
    rows = []
    for place, (ids, kept) in enumerate(zip(input_ids, seen.bool(), strict=True)):
        seed = int(torch.randint(2**62, ()))
        uniforms = uniform_stream(seed, new).tolist()
        alphas, warmup = guidance.alpha[place].tolist(), int(guidance.warmup_tokens[place])
        rows.append(Row(place, 0, ids[kept].tolist(), params, seed, uniforms, alphas, warmup))
    return rows


def _logits(rows: list[Row]) -> tuple[Float[Tensor, "batch vocab"], ...]:
    """What each token was drawn from, step by step; zeros where a row has ended."""
    nothing = torch.zeros_like(rows[0].kept[0])
    return tuple(torch.stack(step) for step in zip_longest(*(row.kept for row in rows), fillvalue=nothing))


def _first_id(ids: int | list[int] | None) -> int | None:
    return ids[0] if isinstance(ids, list) else ids
