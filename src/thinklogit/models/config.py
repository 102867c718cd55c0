"""The config of a trio: which members, how strongly each guider guides, which rows of the vocabulary count.

A trio folder holds this as config.json, with generation_config.json and the tokenizer. Members are referred to, not
copied: by hub id, by path, or by a "./folder" inside the trio folder (or hub repository) itself.
"""

from dataclasses import asdict, dataclass
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.cache_utils import get_layer_types_and_kwargs

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.core.schedules import check_guidance

Ranges = list[list[int]]
"""Half-open intervals [start, stop) of row numbers."""


@dataclass(frozen=True)
class MemberRef:
    """Where a member's weights are and how to load them.

    Args:
        model: hub id, path, or "./folder" inside the trio; "" for a member that lives in memory only.
        revision: branch, tag or commit of a hub id.
        dtype: "bfloat16", "float32", ...; None takes what `from_pretrained` is given, else the checkpoint's own.
        quantization_config: as transformers writes it into a config.json.
        adapter: hub id or path of a PEFT adapter to load onto the member.
        config: the member's own config.json, so that the trio can be reasoned about before a weight is loaded.
    """

    model: str = ""
    revision: str | None = None
    dtype: str | None = None
    quantization_config: dict[str, Any] | None = None
    adapter: str | None = None
    config: dict[str, Any] | None = None

    def pretrained_config(self) -> PreTrainedConfig:
        """The member's own config, for its text decoder."""
        values = dict(self.config or {})
        if "model_type" not in values:
            raise TrioError(f"the trio's config.json lacks the config of member {self.model!r}; compose the trio again")
        return AutoConfig.for_model(values.pop("model_type"), **values)

    def settings(self) -> dict[str, Any]:
        """The fields that are set, as they go into config.json."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


@dataclass(frozen=True)
class GuiderRef:
    """One guider with its base.

    `alpha` is the strength that generation uses unless told otherwise. `shared_ranges` are the target's rows whose
    token guider and base have too, with the same meaning; None says all. `alignment` is "bytes" where guider and base
    have another tokenizer, and read the target's text in tokens of their own; `roles` then says what the guider has
    in place of special tokens of the target's that stand for no text, such as {"[/THINK]": "</think>"}.
    """

    guider: MemberRef
    base: MemberRef
    alpha: float = 1.0
    shared_ranges: Ranges | None = None
    alignment: str | None = None
    roles: dict[str, str] | None = None

    @property
    def crosses(self) -> bool:
        """Whether guider and base have another tokenizer than the target."""
        return self.alignment is not None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "GuiderRef":
        """Read what `settings` wrote."""
        values = dict(values)
        return cls(guider=MemberRef(**values.pop("guider")), base=MemberRef(**values.pop("base")), **values)

    def settings(self) -> dict[str, Any]:
        """The fields that are set, as they go into config.json."""
        named = {"shared_ranges": self.shared_ranges, "alignment": self.alignment, "roles": self.roles}
        given = {name: value for name, value in named.items() if value is not None}
        return {"guider": self.guider.settings(), "base": self.base.settings(), "alpha": self.alpha, **given}


class ThinkLogitConfig(PreTrainedConfig):
    """Config of a target with one or more (guider, base, alpha) pairs.

    Args:
        target: a MemberRef's fields.
        guiders: a GuiderRef's fields, one for each guider.
        schedule: a name in `thinklogit.core.schedules.SCHEDULES`.
        warmup_tokens: generated tokens decoded with alpha 0 before guidance begins; 100 in the paper.
        backed_ranges: rows of the target's vocabulary that its tokenizer backs; None says all.

    Raises:
        OptionError: a strength, warm-up or schedule that cannot be.
    """

    model_type = "thinklogit"

    target: dict | None = None
    guiders: list | None = None
    schedule: str = "warmup"
    warmup_tokens: int = 100
    backed_ranges: list | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Check what was given. transformers makes one config without arguments; that one stays empty."""
        self.guiders = self.guiders or []
        for pair in self.guiders:
            check_guidance(self.schedule, pair.get("alpha", 1.0), self.warmup_tokens)
        if self.target is not None and not self.guiders:
            raise OptionError("a trio needs at least one guider with its base; got a target alone")
        self._asked_attention = kwargs.get("attn_implementation")  # the auto class hands it here and nowhere else
        super().__post_init__(**kwargs)

    @property
    def target_ref(self) -> MemberRef:
        """Where the target is."""
        return MemberRef(**(self.target or {}))

    @property
    def guider_refs(self) -> list[GuiderRef]:
        """Where each guider and its base are."""
        return [GuiderRef.from_dict(pair) for pair in self.guiders or []]

    @property
    def member_refs(self) -> dict[str, MemberRef]:
        """Every member by the name of its module, target first: the order their layers have in a cache."""
        refs = {"target": self.target_ref}
        for index, pair in enumerate(self.guider_refs):
            refs[f"guiders.{index}.guider"] = pair.guider
            refs[f"guiders.{index}.base"] = pair.base
        return refs

    @property
    def member_configs(self) -> dict[str, PreTrainedConfig]:
        """Every member's decoder config by the name of its module."""
        if "_member_configs" not in self.__dict__:
            refs = self.member_refs.items() if self.target else ()
            self._member_configs = {name: ref.pretrained_config().get_text_config(decoder=True) for name, ref in refs}
        return self._member_configs

    @property
    def crossing(self) -> list[int]:
        """Places of the guiders that have another tokenizer than the target."""
        return [index for index, pair in enumerate(self.guider_refs) if pair.crosses]

    @property
    def cached_configs(self) -> dict[str, PreTrainedConfig]:
        """Of the members that take in the target's tokens, and so have their layers in one cache."""
        crossing = {f"guiders.{index}" for index in self.crossing}
        return {name: each for name, each in self.member_configs.items() if name.rsplit(".", 1)[0] not in crossing}

    @property
    def layer_spans(self) -> dict[str, slice]:
        """Which layers of one cache belong to each member in it; one more, last, holds the token ids seen."""
        spans, start = {}, 0
        for name, config in self.cached_configs.items():
            spans[name] = slice(start, start + config.num_hidden_layers)
            start += config.num_hidden_layers
        return spans

    @property
    def cannot_draft(self) -> str | None:
        """Why the guider cannot draft for the trio; None where it can."""
        if self.crossing:
            return "a guider has another tokenizer than the target, and drafts in tokens that the target does not have"
        return None

    # What transformers' caches ask a config for. With these, its own dynamic and static caches hold every member.
    @property
    def num_hidden_layers(self) -> int:
        """Layers of all members, and one for the token ids."""
        return sum(config.num_hidden_layers for config in self.cached_configs.values()) + 1

    @property
    def layer_types(self) -> list[str]:
        """The kind of attention of every layer, members in order."""
        kinds = [kind for config in self.cached_configs.values() for kind in get_layer_types_and_kwargs(config)[0]]
        return [*kinds, "full_attention"]

    @property
    def per_layer_config(self) -> list[PreTrainedConfig]:
        """The config that each layer was made from, for its sliding window or chunk size."""
        own = [layer for config in self.cached_configs.values() for layer in config.per_layer_config]
        return [*own, self]

    @per_layer_config.setter
    def per_layer_config(self, value: Any) -> None:
        """Assigned by transformers when reading a config; a trio's comes from its members."""

    @property
    def vocab_size(self) -> int:
        """Rows of the target's logits, which are the fused model's."""
        return self.member_configs["target"].vocab_size

    @property
    def hidden_size(self) -> int:
        """The target's width."""
        return self.member_configs["target"].hidden_size

    @property
    def max_position_embeddings(self) -> int:
        """The shortest context of any member, in tokens."""
        return min(config.max_position_embeddings for config in self.member_configs.values())

    def to_dict(self) -> dict[str, Any]:
        """As transformers has it, without the configs built from it."""
        return _without_derived(super().to_dict())

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes into config.json."""
        return _without_derived(super().to_diff_dict())


def _without_derived(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in ("_member_configs", "_asked_attention")}
