"""The trio as one transformers model.

`forward` runs the members on the same ids and fuses their logits; all that `generate` does stands on it. While every
row's alpha is 0 guiders and bases do not run; when guidance begins, one catch-up prefill of what they missed brings
them level.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import can_return_tuple
from transformers.utils.generic import is_flash_attention_requested

from thinklogit.models import loading
from thinklogit.models.caches import (
    fill_in_layers,
    member_length,
    member_view,
    new_cache,
    remember_ids,
    seen_ids,
)
from thinklogit.models.config import GuiderRef, Ranges, ThinkLogitConfig
from thinklogit.models.cross.follower import followers_of, ids_of_rows
from thinklogit.models.cross.languages import Languages
from thinklogit.models.fusing import Fusion
from thinklogit.models.generation import GuidedGenerationMixin
from thinklogit.models.guidance import Guidance, Strengths, position_ids_of
from thinklogit.models.sharing import apart


class GuiderPair(nn.Module):
    """A small reasoner, with or without an adapter, and the model it was before its reasoning training."""

    def __init__(self, guider: nn.Module, base: nn.Module) -> None:
        super().__init__()
        self.guider = guider
        self.base = base


class Guider(NamedTuple):
    """A guider with its base and strength, for `from_members`."""

    guider: PreTrainedModel
    base: PreTrainedModel
    alpha: float = 1.0


class ThinkLogitForCausalLM(GuidedGenerationMixin, PreTrainedModel):
    """A target steered by one or more small reasoners: fused = target + sum of alpha * (guider - base).

    Source: arXiv 2507.12759, section 2. Members are `model.target`, `model.guiders[i].guider` and
    `model.guiders[i].base`. Load one with `from_pretrained(trio folder)`; compose models at hand with `from_members`.
    """

    config: ThinkLogitConfig
    config_class = ThinkLogitConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _can_compile_fullgraph = True

    def __init__(self, config: ThinkLogitConfig, members: dict[str, Any] | None = None) -> None:
        """Take the members given, by module name, or build them with random weights from their configs."""
        super().__init__(config)
        if members is None:
            members = {name: AutoModelForCausalLM.from_config(each) for name, each in config.member_configs.items()}
        self.target = members["target"]
        self.guiders = nn.ModuleList(
            GuiderPair(members[f"guiders.{i}.guider"], members[f"guiders.{i}.base"])
            for i, _ in enumerate(config.guider_refs)
        )
        # Not modules of ours: only to tell at saving which members still are what the config refers to.
        self._referred = {name: member for name, member in members.items() if config.member_refs[name].model}
        self.fusion = Fusion(config, self.target.device)
        attention = [member.config._attn_implementation for member in members.values()]
        # transformers decides by it what masks to make: one member with flash attention is enough.
        flash = [each for each in attention if is_flash_attention_requested(requested_attention_implementation=each)]
        self.config._attn_implementation = (flash or attention)[0]
        self.languages: dict[int, Languages] = {}
        """Of each guider that has another tokenizer, what it and the target mean by their tokens; loading fills it."""
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
        """Compose models already in memory; no weight is copied.

        A guider may be a PEFT model and its base the model that was given to PEFT: they share their weights, and the
        base runs without the adapter. Raises TrioError where the adapter has changed those weights.
        """
        pairs = [Guider(*apart(*pair[:2]), *pair[2:]) for pair in guiders]
        config = ThinkLogitConfig(
            target=loading.reference_to(target).settings(),
            guiders=[
                GuiderRef(loading.reference_to(p.guider), loading.reference_to(p.base), p.alpha).settings()
                for p in pairs
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
        cls,
        pretrained_model_name_or_path: str | Path,
        *args: Any,
        config: ThinkLogitConfig | None = None,
        **kwargs: Any,
    ) -> "ThinkLogitForCausalLM":
        """Load every member that a trio folder, or hub repository, refers to.

        Args:
            pretrained_model_name_or_path: the trio.
            *args: none are taken; transformers' own loaders pass them on.
            config: in place of the trio's own.
            **kwargs: what members are loaded with. `dtype`, `device_map`, `quantization_config` and
                `attn_implementation` hold for all members, or for each by name in a dictionary: "target", "guider",
                "base", or "guiders.0.guider" for one of several.

        Raises:
            TrioError: a folder that is no trio, or a member that cannot be loaded.
        """
        return loading.load_trio(cls, pretrained_model_name_or_path, config, kwargs)

    def save_pretrained(self, save_directory: str | Path, *, copy_members: bool = False, **kwargs: Any) -> None:
        """Write a trio folder that refers to the members.

        A member that came from nowhere, or was put in place of the one the config refers to, is written to a folder of
        its own inside; with `copy_members`, all are. An adapter is written beside, and what two members share once.
        """
        loading.save_trio(self, Path(save_directory), copy_members, kwargs)

    def member(self, name: str) -> Any:
        """A member, or the adapter around one, by its module's name: "target", "guiders.0.guider", ..."""
        return self.get_submodule(name)

    def get_input_embeddings(self) -> nn.Module:
        """The target's."""
        return self.target.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The target's."""
        return self.target.get_output_embeddings()

    def catch_up(
        self, cache: Cache, past: int, attention_mask: Tensor | None, members: Sequence[str] | None = None
    ) -> None:
        """Let guiders and bases, or the members named, take in what the target has and they have not."""
        fill_in_layers(cache, self.config)
        mask = attention_mask[:, :past] if attention_mask is not None and attention_mask.ndim == 2 else None
        for name in members or self.config.layer_spans:
            span = self.config.layer_spans[name]
            have = member_length(cache, span)
            if have < past:
                ids = seen_ids(cache, have, past)
                self.run_member(name, ids, mask, position_ids_of(mask, ids, have), cache, logits_to_keep=1)

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
        known: dict[str, Tensor] | None = None,
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
            known: logits of members that have taken in these ids already, such as a drafting guider's.
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
                self.catch_up(cache, past, attention_mask)
        if cache is not None:
            remember_ids(cache, input_ids)
        known = (known or {}) if guided else {}
        running = [name for name in self.config.layer_spans if name not in known] if guided else ["target"]
        # All members are launched before any is read, so that members on different devices run side by side.
        outputs = {
            name: self.run_member(name, input_ids, attention_mask, position_ids, cache, logits_to_keep, **kwargs)
            for name in running
        }
        of_members = known | {name: output.logits for name, output in outputs.items()}
        target = outputs["target"]
        kept = (
            logits_to_keep if isinstance(logits_to_keep, Tensor) else slice(-cast(Tensor, target.logits).shape[1], None)
        )
        if guided:
            of_members |= self._crossing(cache, input_ids, attention_mask, cast(Tensor, target.logits), strengths, kept)
        logits = self.fusion(of_members, strengths[:, kept])
        return CausalLMOutputWithPast(
            loss=None if labels is None else self.loss_function(logits, labels, vocab_size=logits.shape[-1]),
            logits=logits,
            past_key_values=cache,
            hidden_states=target.hidden_states,
            attentions=target.attentions,
        )

    def _crossing(
        self,
        cache: Cache | None,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        target: Tensor,
        strengths: Tensor,
        kept: Any,
    ) -> dict[str, Tensor]:
        """What members of other tokenizers say about the target's tokens, as if it were their logits."""
        crossing = self.config.crossing
        if not crossing:
            return {}
        followers = followers_of(cache, self.languages, self.guiders, crossing)
        ids = input_ids if cache is None else seen_ids(cache, 0, int(cache.get_seq_length()))
        said = ids_of_rows(ids, attention_mask, input_ids.shape[1], kept)
        found: dict[str, Tensor] = {}
        for index in crossing:
            logits = followers[index].logits(said, target, strengths[:, kept, index].cpu() != 0)
            found |= {f"guiders.{index}.guider": logits[0], f"guiders.{index}.base": logits[1]}
        return found

    def _cache_for(self, cache: Cache | None, use_cache: bool | None) -> Cache | None:
        if cache is None and use_cache is not False:
            cache = new_cache(self.config)
        if cache is not None:
            fill_in_layers(cache, self.config)
        return cache

    def run_member(
        self,
        name: str,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        cache: Cache | None,
        logits_to_keep: int | Tensor,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """One member's own output, for ids whose keys and values go into its part of the cache."""
        member = self.member(name)
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

    def draft_logits(self, name: str, logits: Float[Tensor, "batch new own_vocab"]) -> Float[Tensor, "batch new vocab"]:
        """A guider's logits as a draft for the fused distribution: over the target's rows, -inf where they differ."""
        return self.fusion.draft(name, logits.to(self.device))


AutoConfig.register("thinklogit", ThinkLogitConfig, exist_ok=True)
AutoModelForCausalLM.register(ThinkLogitConfig, ThinkLogitForCausalLM, exist_ok=True)
