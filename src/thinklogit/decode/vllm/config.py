"""What vLLM is told of a trio before anything is loaded: its shape, its rules, and the settings of each member."""

import dataclasses
from typing import Any

import torch
from transformers import PreTrainedConfig
from vllm.config import CacheConfig, ModelConfig, VllmConfig
from vllm.model_executor.models.config import VerifyAndUpdateConfig
from vllm.platforms import current_platform
from vllm.transformers_utils.model_arch_config_convertor import ModelArchConfigConvertorBase

from thinklogit.core.errors import OptionError, TrioError, unknown_name
from thinklogit.decode.vllm import LOAD_FORMAT, requests
from thinklogit.decode.vllm.crossing import check_crossing
from thinklogit.decode.vllm.loader import OWN_FORMAT
from thinklogit.models.adapters import misfit, read_adapter
from thinklogit.models.config import MemberRef, ThinkLogitConfig
from thinklogit.models.loading import locate
from thinklogit.models.members import role_of

ADDITIONAL = "thinklogit"
"""Where `--additional-config` has the server's own alpha, warmup_tokens and schedule."""
DRAFTERS = ("draft_model", "ngram", "ngram_gpu")
"""Ways of drafting that know nothing of the model's hidden states, of which a trio has several."""
VALIDATOR = f"{requests.__name__}:Validator"
WORKER = "thinklogit.decode.vllm.v1.TrioWorker"


class TrioArchitecture(ModelArchConfigConvertorBase):
    """The shape of the whole: the target's heads, the layers of all, the rows that can be drafted for."""

    def __init__(
        self, hf_config: ThinkLogitConfig, hf_text_config: PreTrainedConfig, revision: str | None = None
    ) -> None:
        target = hf_config.member_configs["target"]
        dtype = hf_config.target_ref.dtype or target.dtype
        hf_config.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        super().__init__(hf_config, target, revision)
        self.trio = hf_config

    def get_num_hidden_layers(self) -> int:
        """Of all members that vLLM runs."""
        return sum(config.num_hidden_layers for config in self.trio.cached_configs.values())

    def get_vocab_size(self) -> int:
        """See `served_width`."""
        return served_width(self.trio)

    def derive_max_model_len_and_key(self) -> tuple[float, str | None]:
        """The shortest context of any member."""
        return self.trio.max_position_embeddings, "max_position_embeddings of the shortest member"


def served_width(trio: ThinkLogitConfig) -> int:
    """How many rows of the fused logits vLLM sees.

    A draft model must have as many as the model it drafts for, and families pad differently: Qwen2.5 has 151,936 rows
    at 1.5B and 152,064 at 32B. Rows without a token can go; any other stays.
    """
    narrowest = min(config.vocab_size for config in trio.cached_configs.values())
    last = max((stop for _, stop in trio.backed_ranges), default=0) if trio.backed_ranges else trio.vocab_size
    return narrowest if last <= narrowest else trio.vocab_size


class TrioRules(VerifyAndUpdateConfig):
    """What vLLM asks a model about the settings of an engine, in the front end and before a weight is read."""

    @staticmethod
    def verify_and_update_config(vllm_config: VllmConfig) -> None:
        """Fill in what serving a trio takes. Raises OptionError (a ValueError) for what it cannot be served with."""
        trio = vllm_config.model_config.hf_config
        _check_parallel(trio, vllm_config.parallel_config.tensor_parallel_size)
        _check_drafter(vllm_config)
        check_crossing(vllm_config, trio)
        for name in trio.cached_configs:
            _check_member(vllm_config.model_config, name)
        requests.served = served_guidance(vllm_config)
        model_config, load_config = vllm_config.model_config, vllm_config.load_config
        model_config.logits_processors = [*(model_config.logits_processors or ()), VALIDATOR]
        load_config.model_loader_extra_config = {
            **load_config.model_loader_extra_config,
            OWN_FORMAT: load_config.load_format,
        }
        load_config.load_format = LOAD_FORMAT
        if not vllm_config.use_v2_model_runner:
            _take_worker(vllm_config)


def served_guidance(vllm_config: VllmConfig) -> "requests.Defaults":
    """What requests are guided by that say nothing: the trio's own, or what the server was started with."""
    trio = vllm_config.model_config.hf_config
    given = vllm_config.additional_config.get(ADDITIONAL, {})
    for name in given:
        if name not in requests.NAMES:
            raise unknown_name(f"key of {ADDITIONAL} in additional_config", name, requests.NAMES)
    own = requests.Guidance(trio.schedule, tuple(pair.alpha for pair in trio.guider_refs), trio.warmup_tokens)
    greedy_only = vllm_config.speculative_config is not None and current_platform.is_cpu()
    return requests.Defaults(requests.read(given, own), greedy_only, bool(trio.crossing))


def _take_worker(vllm_config: VllmConfig) -> None:
    """Under the V1 runner a trio has a worker of its own."""
    parallel = vllm_config.parallel_config
    if parallel.worker_cls not in ("auto", WORKER):
        raise OptionError(
            f"under vLLM's V1 runner a trio has a worker of its own; got --worker-cls {parallel.worker_cls}"
        )
    parallel.worker_cls = WORKER


def _check_parallel(trio: ThinkLogitConfig, tensor_parallel: int) -> None:
    for name, config in trio.cached_configs.items():
        if config.num_attention_heads % tensor_parallel:
            raise OptionError(
                f"tensor parallel {tensor_parallel} must divide the attention heads of every member; the {name} has "
                f"{config.num_attention_heads}: use another --tensor-parallel-size, or --data-parallel-size"
            )


def _check_member(whole: ModelConfig, name: str) -> None:
    """What vLLM has to say of a member, it says here; and whether an adapter can be merged into it at loading."""
    ref = whole.hf_config.member_refs[name]
    if ref.adapter is None:
        member_model_config(whole, name)
        return
    role = role_of(name, whole.hf_config.member_refs)
    told = f"the {role} is quantized, and inside vLLM no adapter is merged into it; "
    remedy = "`thinklogit merge` it into the checkpoint that is not, and quantize that"
    if ref.quantization_config is not None:
        raise TrioError(told + remedy)
    model = member_model_config(whole, name).hf_config
    if getattr(model, "quantization_config", None):
        raise TrioError(told + remedy)
    place, where = locate(MemberRef(model=ref.adapter), whole.model, whole.revision)
    if reason := misfit(read_adapter(place, where, role), model):
        raise TrioError(f"the adapter at {place} does not fit the {role}: {reason}")


def _check_drafter(vllm_config: VllmConfig) -> None:
    speculation = vllm_config.speculative_config
    if speculation is not None and speculation.method not in DRAFTERS:
        raise OptionError(
            f"a trio is drafted for by {', '.join(DRAFTERS)}; got method {speculation.method!r}: for the guider, use "
            '{"method": "draft_model", "model": GUIDER, "num_speculative_tokens": 5}'
        )


def member_config(vllm_config: VllmConfig, name: str) -> VllmConfig:
    """The engine's settings as one member sees them: its own model, quantization and attention.

    Made from the member's own checkpoint, for vLLM's `with_hf_config` leaves the whole's text config, quantization and
    sliding window in place, and a member built from those computes wrong logits without a word.
    """
    model_config = member_model_config(vllm_config.model_config, name)
    return dataclasses.replace(
        vllm_config,
        model_config=model_config,
        cache_config=_cache_config(vllm_config.cache_config, model_config),
        quant_config=VllmConfig._get_quantization_config(model_config, vllm_config.load_config),
    )


def member_model_config(whole: ModelConfig, name: str) -> ModelConfig:
    """What vLLM makes of a member's own checkpoint. Raises TrioError, and ValueError where vLLM cannot load it."""
    place, revision = member_place(whole.hf_config.member_refs[name], whole.model, whole.revision)
    return ModelConfig(
        model=place,
        revision=revision,
        tokenizer=whole.tokenizer,
        skip_tokenizer_init=True,
        runner="generate",
        dtype=whole.dtype,
        seed=whole.seed,
        max_model_len=whole.max_model_len,
        quantization=whole.quantization,
        quantization_config=whole.quantization_config,
        enforce_eager=whole.enforce_eager,
        trust_remote_code=whole.trust_remote_code,
        model_impl=whole.model_impl,
        hf_token=whole.hf_token,
    )


def _cache_config(cache_config: CacheConfig, model_config: ModelConfig) -> CacheConfig:
    """As vLLM's own arguments do it: the window of a model all of whose layers have one."""
    text = model_config.hf_text_config
    kinds = set(getattr(text, "layer_types", None) or ())
    window = model_config.get_sliding_window() if kinds <= {"sliding_attention"} else None
    return dataclasses.replace(cache_config, sliding_window=window)


def member_place(ref: MemberRef, root: str, revision: str | None) -> tuple[str, str | None]:
    """Folder or hub id of a member's checkpoint, with its revision; what lies inside a hub repository is fetched."""
    if ref.quantization_config is not None:
        remedy = "compose with a checkpoint that is quantized, or use vLLM's --quantization"
        raise TrioError(f"{ref.model!r} is to be quantized by transformers while it is loaded; {remedy}")
    place, where = locate(ref, root, revision)
    subfolder: Any = where.get("subfolder")
    if subfolder is None:
        return place, where.get("revision")
    from huggingface_hub import snapshot_download

    return f"{snapshot_download(place, revision=revision, allow_patterns=[f'{subfolder}/*'])}/{subfolder}", None
