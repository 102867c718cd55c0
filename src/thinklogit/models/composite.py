"""The trio as one transformers model.

`forward` runs the members on the same ids and fuses their logits; everything that `generate` does (sampling, beams,
assisted decoding, static caches, compilation) stands on that. While every row's alpha is 0 the guiders and bases do not
run; when guidance begins, one catch-up prefill of what they missed brings them level.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.masking_utils import create_masks_for_generate
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import can_return_tuple

from thinklogit.core.errors import ContextError, OptionError
from thinklogit.core.fusion import MemberLogits, fuse, uncap
from thinklogit.models import loading
from thinklogit.models.caches import (
    fill_in_layers,
    member_length,
    member_view,
    new_cache,
    remember_ids,
    seen_ids,
)
from thinklogit.models.config import GuiderRef, MemberRef, Ranges, ThinkLogitConfig
from thinklogit.models.guidance import Guidance, Strengths, position_ids_of

GUIDANCE_ARGUMENTS = ("alpha", "warmup_tokens", "prompt_length")


class GuiderPair(nn.Module):
    """A small reasoner and the model it was before its reasoning training."""

    def __init__(self, guider: PreTrainedModel, base: PreTrainedModel) -> None:
        super().__init__()
        self.guider = guider
        self.base = base


class Guider(NamedTuple):
    """A guider with its base and strength, for `from_members`."""

    guider: PreTrainedModel
    base: PreTrainedModel
    alpha: float = 1.0


class ThinkLogitForCausalLM(PreTrainedModel, GenerationMixin):
    """A target steered by one or more small reasoners: fused = target + sum of alpha * (guider - base).

    Source: arXiv 2507.12759, section 2. Members are `model.target`, `model.guiders[i].guider` and `model.guiders[i].base`.
    Load one with `from_pretrained(trio folder)`, or compose models at hand with `from_members`.
    """

    config_class = ThinkLogitConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _can_compile_fullgraph = True

    def __init__(self, config: ThinkLogitConfig, members: dict[str, PreTrainedModel] | None = None) -> None:
        """Take the members given, by module name, or build them with random weights from their configs."""
        super().__init__(config)
        if members is None:
            members = {name: AutoModelForCausalLM.from_config(each) for name, each in config.member_configs.items()}
        self.target = members["target"]
        self.guiders = nn.ModuleList(
            GuiderPair(members[f"guiders.{i}.guider"], members[f"guiders.{i}.base"]) for i in range(len(config.guiders))
        )
        # Not modules of ours: only to tell at saving which members still are what the config refers to.
        self._referred = {name: member for name, member in members.items() if config.member_refs[name].model}
        width = config.vocab_size
        self.register_buffer("backed", row_mask(config.backed_ranges, width), persistent=False)
        for index, pair in enumerate(config.guider_refs):
            self.register_buffer(f"shared_{index}", row_mask(pair.shared_ranges, width), persistent=False)
        self.post_init()

    def init_weights(self) -> None:
        """Nothing to do: members come with their weights, and transformers would draw new ones."""

    @classmethod
    def from_members(
        cls,
        target: PreTrainedModel,
        guiders: Sequence[Guider | tuple[PreTrainedModel, PreTrainedModel, float]],
        *,
        schedule: str = "warmup",
        warmup_tokens: int = 100,
        backed_ranges: Ranges | None = None,
    ) -> "ThinkLogitForCausalLM":
        """Compose models already in memory; nothing is copied."""
        pairs = [Guider(*pair) for pair in guiders]
        config = ThinkLogitConfig(
            target=loading.reference_to(target).settings(),
            guiders=[
                GuiderRef(loading.reference_to(p.guider), loading.reference_to(p.base), p.alpha).settings() for p in pairs
            ],
            schedule=schedule,
            warmup_tokens=warmup_tokens,
            backed_ranges=backed_ranges,
        )
        members = {"target": target}
        for index, pair in enumerate(pairs):
            members |= {f"guiders.{index}.guider": pair.guider, f"guiders.{index}.base": pair.base}
        model = cls(config, members)
        if target.generation_config is not None:
            model.generation_config = GenerationConfig.from_dict(target.generation_config.to_dict())
        return model

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, config: ThinkLogitConfig | None = None, **kwargs: Any
    ) -> "ThinkLogitForCausalLM":
        """Load every member that a trio folder, or hub repository, refers to.

        Args:
            pretrained_model_name_or_path: the trio.
            *args: none are taken; transformers' own loaders pass them on.
            config: in place of the trio's own.
            **kwargs: what members are loaded with. `dtype`, `device_map`, `quantization_config` and `attn_implementation`
                hold for all members, or for each by name in a dictionary: "target", "guider", "base", or
                "guiders.0.guider" for one of several.

        Raises:
            TrioError: a folder that is no trio, or a member that cannot be loaded.
        """
        return loading.load_trio(cls, pretrained_model_name_or_path, config, kwargs)

    def save_pretrained(self, save_directory: str | Path, *, copy_members: bool = False, **kwargs: Any) -> None:
        """Write a trio folder that refers to the members.

        A member that came from nowhere, or was put in place of the one the config refers to, is written to a folder of
        its own inside; with `copy_members`, all are.
        """
        loading.save_trio(self, Path(save_directory), copy_members, kwargs)

    def get_input_embeddings(self) -> nn.Module:
        """The target's."""
        return self.target.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The target's."""
        return self.target.get_output_embeddings()

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
            raise OptionError("a trio needs token ids: its members embed them each in their own way; got inputs_embeds")
        input_ids = inputs if inputs is not None else kwargs.get("input_ids")
        if input_ids is not None:
            mask = kwargs.get("attention_mask")
            prompt_length = (mask if mask is not None else input_ids).shape[1]
            self._check_context(prompt_length, mask)
            guidance = Guidance.of(self.config, alpha, warmup_tokens, input_ids.shape[0], prompt_length)
            kwargs |= guidance._asdict()
        return super().generate(inputs, *args, **kwargs)

    def _check_context(self, prompt_length: int, mask: Tensor | None) -> None:
        longest = prompt_length if mask is None else int(mask.sum(-1).max())
        if longest > self.config.max_position_embeddings:
            name, config = min(self.config.member_configs.items(), key=lambda item: item[1].max_position_embeddings)
            raise ContextError(
                f"the prompt has {longest} tokens; the context of {name} holds {config.max_position_embeddings}: shorten it"
            )

    def prepare_inputs_for_generation(
        self,
        input_ids: Int[Tensor, "batch seen"],
        next_sequence_length: int | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        alpha: Tensor | None = None,
        warmup_tokens: Tensor | None = None,
        prompt_length: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What one `forward` of `generate` needs. Decides here, outside any compiled region, whether guiders run."""
        prepared = super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            **kwargs,
        )
        batch, new = prepared["input_ids"].shape
        past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        if alpha is None or warmup_tokens is None:  # generate without ids, from the start token alone
            guidance = Guidance.of(self.config, alpha, warmup_tokens, batch, prompt_length)
        else:
            guidance = Guidance(alpha.cpu(), warmup_tokens.cpu(), prompt_length)
        strengths = guidance.strengths(self.config.schedule, past, new)
        guided = bool((strengths != 0).any())
        if guided and past_key_values is not None:
            self._catch_up(past_key_values, past, attention_mask)
        prepared["strengths"], prepared["guided"] = strengths.to(self.device), guided
        return prepared

    def create_masks_for_generate(self, **kwargs: Any) -> Tensor | None:
        """The one 4D mask that every member can use with a static cache; the 2D one where members differ in attention."""
        attention = {self.get_submodule(name).config._attn_implementation for name in self.config.member_refs}
        if len(attention) > 1 or set(self.config.layer_types) != {"full_attention"}:
            return kwargs["attention_mask"]
        of_target = {
            "config": self.target.config,
            "past_key_values": member_view(kwargs["past_key_values"], self.config.layer_spans["target"]),
        }
        masks = create_masks_for_generate(**{**kwargs, **of_target})
        return masks["full_attention"] if isinstance(masks, dict) else masks

    def _get_candidate_generator(self, *args: Any, model_kwargs: dict[str, Any], **kwargs: Any) -> Any:
        # transformers hands the model's arguments on to the assistant, which knows nothing of guidance.
        known = {name: value for name, value in model_kwargs.items() if name not in GUIDANCE_ARGUMENTS}
        return super()._get_candidate_generator(*args, model_kwargs=known, **kwargs)

    def _get_static_cache_init_shape(self) -> None:
        """Members differ in heads and width, so static layers take their shape from the first keys they see."""

    def _catch_up(self, cache: Cache, past: int, attention_mask: Tensor | None) -> None:
        """Let guiders and bases take in what the target has and they have not."""
        fill_in_layers(cache, self.config)
        mask = attention_mask[:, :past] if attention_mask is not None and attention_mask.ndim == 2 else None
        for name, span in self.config.layer_spans.items():
            have = member_length(cache, span)
            if have < past:
                ids = seen_ids(cache, have, past)
                self._run(name, ids, mask, position_ids_of(mask, ids, have), cache, logits_to_keep=1)

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "batch new"],
        attention_mask: Tensor | None = None,
        position_ids: Int[Tensor, "#batch new"] | None = None,
        past_key_values: Cache | None = None,
        labels: Int[Tensor, "batch new"] | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        alpha: float | Sequence[float] | Tensor | None = None,
        warmup_tokens: int | Sequence[int] | Tensor | None = None,
        prompt_length: int | None = None,
        strengths: Strengths | None = None,
        guided: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Fused logits (batch, kept, vocab), float32, with the shared cache.

        Args:
            input_ids: ids that the cache does not hold yet.
            attention_mask: (batch, past + new), 0 at left padding.
            position_ids: of `input_ids`; counted from the mask by default.
            past_key_values: a cache of transformers; one of its own is made when `use_cache` is on.
            labels: as in transformers, for a loss of the fused logits.
            use_cache: on by default.
            logits_to_keep: how many last positions to compute logits for; 0 for all.
            alpha: as in `generate`.
            warmup_tokens: as in `generate`; counts only with `prompt_length`.
            prompt_length: tokens that stand before the first generated one, padding included. Without it no warm-up
                can be counted, and alpha holds at every position.
            strengths: alpha already worked out for every position; `generate` passes it.
            guided: whether any of them differs from 0; `generate` passes it.
            **kwargs: passed on to every member.
        """
        cache = self._cache_for(past_key_values, use_cache)
        if strengths is None or guided is None:
            past = 0 if cache is None else int(cache.get_seq_length())
            batch, new = input_ids.shape
            guidance = Guidance.of(self.config, alpha, warmup_tokens, batch, prompt_length)
            strengths = guidance.strengths(self.config.schedule, past, new).to(self.device)
            guided = bool((strengths != 0).any())
            if position_ids is None:
                position_ids = position_ids_of(attention_mask, input_ids, past)
            if guided and cache is not None:
                self._catch_up(cache, past, attention_mask)
        if cache is not None:
            remember_ids(cache, input_ids)
        running = self.config.layer_spans if guided else ("target",)
        # All members are launched before any is read, so that members on different devices run side by side.
        outputs = {
            name: self._run(name, input_ids, attention_mask, position_ids, cache, logits_to_keep, **kwargs)
            for name in running
        }
        logits = self._fused({name: output.logits for name, output in outputs.items()}, strengths)
        target = outputs["target"]
        return CausalLMOutputWithPast(
            loss=None if labels is None else self.loss_function(logits, labels, vocab_size=logits.shape[-1]),
            logits=logits,
            past_key_values=cache,
            hidden_states=target.hidden_states,
            attentions=target.attentions,
        )

    def _cache_for(self, cache: Cache | None, use_cache: bool | None) -> Cache | None:
        if cache is None and use_cache is not False:
            cache = new_cache(self.config)
        if cache is not None:
            fill_in_layers(cache, self.config)
        return cache

    def _run(
        self,
        name: str,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        cache: Cache | None,
        logits_to_keep: int | Tensor,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        member = self.get_submodule(name)
        device = member.device
        return member(
            input_ids=input_ids.to(device, non_blocking=True),
            attention_mask=None if attention_mask is None else attention_mask.to(device, non_blocking=True),
            position_ids=None if position_ids is None else position_ids.to(device, non_blocking=True),
            past_key_values=member_view(cache, self.config.layer_spans[name]),
            use_cache=cache is not None,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )

    def _fused(self, logits: dict[str, Tensor], strengths: Strengths) -> Float[Tensor, "batch kept vocab"]:
        target = logits.pop("target")
        apart = {name: self._uncapped(name, each).to(target.device, non_blocking=True) for name, each in logits.items()}
        pairs = [
            MemberLogits(apart[f"guiders.{i}.guider"], apart[f"guiders.{i}.base"], self.get_buffer(f"shared_{i}"))
            for i in range(len(apart) // 2)
        ]
        kept = strengths[:, -target.shape[1] :].to(target.device)
        return fuse(target, pairs, kept, self.backed, self._cap("target"))

    def _cap(self, name: str) -> float | None:
        return getattr(self.config.member_configs[name], "final_logit_softcapping", None)

    def _uncapped(self, name: str, logits: Tensor) -> Tensor:
        cap = self._cap(name)
        return logits if cap is None else uncap(logits, cap)


def row_mask(ranges: Ranges | None, width: int) -> Bool[Tensor, " vocab"] | None:
    """True in the ranges; None where they cover every row."""
    if ranges is None or ranges == [[0, width]]:
        return None
    mask = torch.zeros(width, dtype=torch.bool)
    for start, stop in ranges:
        mask[start:stop] = True
    return mask


AutoConfig.register("thinklogit", ThinkLogitConfig, exist_ok=True)
AutoModelForCausalLM.register(ThinkLogitConfig, ThinkLogitForCausalLM, exist_ok=True)
