"""`generate` for a trio: how strongly to guide, and whether guiders run at a step.

transformers' own loops (greedy, sampling, beams, assisted, static and compiled) do the decoding; this only tells them
what differs for three members. Does not know how members are run or fused.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jaxtyping import Int
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin
from transformers.cache_utils import Cache
from transformers.masking_utils import create_masks_for_generate

from thinklogit.core.errors import ContextError, OptionError
from thinklogit.models.caches import member_view
from thinklogit.models.config import ThinkLogitConfig
from thinklogit.models.guidance import Guidance

GUIDANCE_ARGUMENTS = ("alpha", "warmup_tokens", "prompt_length")


class GuidedGenerationMixin(GenerationMixin):
    """`GenerationMixin` with `alpha` and `warmup_tokens`, for all rows or each."""

    config: ThinkLogitConfig

    def generate(
        self,
        inputs: Int[Tensor, "batch prompt"] | None = None,
        *args: Any,
        alpha: float | Sequence[float] | Tensor | None = None,
        warmup_tokens: int | Sequence[int] | Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """`GenerationMixin.generate`, with the strength of guidance.

        Args:
            inputs: the prompt's ids, left-padded in a batch; also accepted as `input_ids`.
            *args: as in transformers.
            alpha: for all rows, for each row, or (rows, guiders); defaults to the config's.
            warmup_tokens: for all rows or for each; defaults to the config's.
            **kwargs: as in transformers.

        Raises:
            OptionError: an alpha that is not finite, or the wrong number of either.
            ContextError: a prompt longer than a member's context.
        """
        if kwargs.get("inputs_embeds") is not None:
            raise OptionError("a trio needs token ids: each member embeds them in its own way; got inputs_embeds")
        input_ids = inputs if inputs is not None else kwargs.get("input_ids")
        if input_ids is not None:
            mask = kwargs.get("attention_mask")
            prompt_length = (input_ids if mask is None else mask).shape[1]
            self._check_context(prompt_length if mask is None else int(mask.sum(-1).max()))
            guidance = Guidance.of(self.config, alpha, warmup_tokens, input_ids.shape[0], prompt_length)
            kwargs |= guidance._asdict()
        if callable(kwargs.get("custom_generate")) and kwargs.get("streamer") is not None:
            # transformers gives a streamer the prompt, but does not hand it on to a decoding method of the caller's.
            kwargs["custom_generate"] = partial(kwargs["custom_generate"], streamer=kwargs["streamer"])
        return super().generate(inputs, *args, **kwargs)

    def _check_context(self, longest: int) -> None:
        contexts = {name: config.max_position_embeddings for name, config in self.config.member_configs.items()}
        name = min(contexts, key=contexts.__getitem__)
        if longest > contexts[name]:
            raise ContextError(
                f"the prompt has {longest} tokens; the context of {name} holds {contexts[name]}: shorten the prompt"
            )

    def prepare_inputs_for_generation(
        self,
        input_ids: Int[Tensor, "batch seen"],
        next_sequence_length: int | Int[Tensor, ""] | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        alpha: Tensor | None = None,
        warmup_tokens: Tensor | None = None,
        prompt_length: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What one `forward` needs. Decides here, outside any compiled region, whether guiders run in it."""
        prepared = super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            **kwargs,
        )
        batch, new = prepared["input_ids"].shape
        past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        if alpha is None or warmup_tokens is None:  # generation without ids, from the start token alone
            guidance = Guidance.of(self.config, alpha, warmup_tokens, batch, prompt_length)
        else:
            guidance = Guidance(alpha.cpu(), warmup_tokens.cpu(), prompt_length)
        strengths = guidance.strengths(self.config.schedule, past, new)
        guided = bool((strengths != 0).any())
        if guided and past_key_values is not None:
            self.catch_up(past_key_values, past, attention_mask)
        return prepared | {"strengths": strengths.to(self.device), "guided": guided}

    def create_masks_for_generate(self, **kwargs: Any) -> Tensor | None:
        """The 4D mask that all members can use with a static cache; the 2D one where they differ in attention."""
        attention = {self.member(name).config._attn_implementation for name in self.config.member_refs}
        if len(attention) > 1 or set(self.config.layer_types) != {"full_attention"}:
            return kwargs["attention_mask"]
        of_target = {
            "config": self.target.config,
            "past_key_values": member_view(kwargs["past_key_values"], self.config.layer_spans["target"]),
        }
        masks = create_masks_for_generate(**(kwargs | of_target))
        return masks["full_attention"] if isinstance(masks, dict) else masks

    def _valid_auto_compile_criteria(self, model_kwargs: dict[str, Any], generation_config: GenerationConfig) -> bool:
        quantizers = [getattr(self.member(name), "hf_quantizer", None) for name in self.config.member_refs]
        compile_too = all(each is None or each.is_compileable for each in quantizers)
        return compile_too and super()._valid_auto_compile_criteria(model_kwargs, generation_config)

    def _get_candidate_generator(self, *args: Any, model_kwargs: dict[str, Any], **kwargs: Any) -> Any:
        # transformers hands the model's arguments on to the assistant, which knows nothing of guidance.
        known = {name: value for name, value in model_kwargs.items() if name not in GUIDANCE_ARGUMENTS}
        return super()._get_candidate_generator(*args, model_kwargs=known, **kwargs)

    def _get_static_cache_init_shape(self) -> None:
        """Members differ in heads and width, so static layers take their shape from the first keys they see."""
