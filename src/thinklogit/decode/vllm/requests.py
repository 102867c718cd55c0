"""How strongly one request is guided: read from its extra arguments, checked in the front end, spread over rows.

The front end refuses what cannot be, with status 400: what reaches an engine's process and fails there ends it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import LogitsProcessor as ProcessorOfV1
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as ProcessorOfV2

from thinklogit.core.errors import OptionError, unknown_name
from thinklogit.core.schedules import SCHEDULES, check_guidance, strengths

NAMES = ("alpha", "warmup_tokens", "schedule", "guided")
OTHERS = ("kv_transfer_params", "ec_transfer_params", "kv_cache_report_mode", "session_id")
"""Extra arguments that vLLM itself reads."""


class Guidance(NamedTuple):
    """Strength of each guider, and when it begins."""

    schedule: str
    alphas: tuple[float, ...]
    warmup_tokens: int


@dataclass(frozen=True)
class Defaults:
    """What a server was started with.

    `greedy_only` where drawing is broken: under speculation vLLM 0.32's CPU build divides logits by memory that was
    never written, for its `_expand_kernel_impl` converts temperatures to whole numbers in a copy that it drops.
    `crosses` where a guider has another tokenizer than the target.
    """

    guidance: Guidance
    greedy_only: bool = False
    crosses: bool = False


served: Defaults | None = None
"""Of the trio that this process is the front end of; vLLM hands a validator nothing but the request."""


def read(given: Mapping[str, Any], own: Guidance) -> Guidance:
    """What a request asks for, with the server's own where it says nothing. Raises OptionError naming the field."""
    schedule = given.get("schedule", own.schedule)
    if schedule not in SCHEDULES:
        raise unknown_name("schedule", str(schedule), SCHEDULES)
    alphas = _alphas(given.get("alpha", own.alphas), len(own.alphas))
    warmup = given.get("warmup_tokens", own.warmup_tokens if schedule == own.schedule else 0)
    for alpha in alphas:
        check_guidance(schedule, alpha, warmup)
    if not _flag(given.get("guided", True)):
        if given.keys() & {"alpha", "warmup_tokens", "schedule"}:
            raise OptionError("guided is off, where alpha, warmup_tokens and schedule mean nothing; leave them out")
        return Guidance(schedule, (0.0,) * len(alphas), warmup)
    return Guidance(schedule, alphas, warmup)


def _alphas(alpha: Any, guiders: int) -> tuple[Any, ...]:
    """One strength for all guiders, or one for each."""
    if not isinstance(alpha, list | tuple):
        return (alpha,) * guiders
    if len(alpha) != guiders:
        raise OptionError(f"alpha must be one number or one for each of {guiders} guiders; got {len(alpha)}")
    return tuple(alpha)


def _flag(value: Any) -> bool:
    """JSON's true may arrive as a number or a text: the protocol of vLLM's extra arguments has no truth values."""
    known = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
    text = str(value).lower()
    if text not in known:
        raise OptionError(f"guided must be true or false; got {value}")
    return known[text]


def guidance_of(params: SamplingParams | None, own: Guidance) -> Guidance:
    """What a request that the front end has let through asks for."""
    given = (params.extra_args if params is not None else None) or {}
    return read({name: value for name, value in given.items() if name in NAMES}, own)


class Validator(ProcessorOfV1, ProcessorOfV2):
    """Checks extra arguments of requests; changes no logits.

    To vLLM a logits processor, of either runner's interface, for those are asked before a request is let in.
    """

    def __init__(self, *_: Any) -> None:
        """Keeps nothing."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raises OptionError, a ValueError, which becomes status 400."""
        if served is None:
            return
        given = sampling_params.extra_args or {}
        for name in given:
            if name not in (*NAMES, *OTHERS):
                raise unknown_name("extra argument", name, NAMES)
        if served.greedy_only and sampling_params.temperature > 0:
            told = "under speculation this release of vLLM draws wrongly on a CPU"
            raise OptionError(f"{told}; ask with temperature 0, or start it without speculation")
        if sampling_params.prompt_logprobs is not None and served.crosses:
            raise OptionError("a guider has another tokenizer than the target, and says nothing about prompt_logprobs")
        if sampling_params.prompt_logprobs is not None and any(name in NAMES for name in given):
            told = "prompt_logprobs are of the server's own guidance; ask for them without"
            raise OptionError(f"{told} {', '.join(NAMES)}")
        guidance_of(sampling_params, served.guidance)

    def is_argmax_invariant(self) -> bool:
        """It changes nothing."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """For the V1 runner."""

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """For the V2 runner: no logits are modified."""
        return False

    def apply(self, logits: Tensor, ctx: Any = None) -> Tensor:
        """The logits, as they are."""
        return logits


class GuidanceOfSlots:
    """Guidance of the requests in an engine by the slots they have there, as tensors on its device."""

    def __init__(self, slots: int, own: Guidance, device: torch.device) -> None:
        self.own = own
        self.names = list(SCHEDULES)
        self.alphas = torch.zeros(slots, len(own.alphas), device=device)
        self.warmups = torch.zeros(slots, dtype=torch.long, device=device)
        self.schedules = torch.zeros(slots, dtype=torch.long, device=device)

    def put(self, slots: Sequence[int], guidance: Sequence[Guidance]) -> None:
        """Take in requests; whatever was in their slots is gone."""
        at = torch.tensor(slots, dtype=torch.long)
        for kept, values in (
            (self.alphas, [each.alphas for each in guidance]),
            (self.warmups, [each.warmup_tokens for each in guidance]),
            (self.schedules, [self.names.index(each.schedule) for each in guidance]),
        ):
            kept[at] = torch.tensor(values, dtype=kept.dtype, device=kept.device)

    def strengths(self, slots: Int[Tensor, " rows"], generated: Int[Tensor, " rows"]) -> Float[Tensor, "rows guiders"]:
        """How strongly each row of logits is guided, where so many tokens of its request stand before the next."""
        alphas, warmups, schedules = self.alphas[slots], self.warmups[slots], self.schedules[slots]
        counts = generated.clamp(min=0)[:, None]
        found = torch.zeros_like(alphas)
        for number, name in enumerate(self.names):  # all of them for every row: choosing would wait for the device
            each = strengths(name, alphas, warmups, counts)[:, 0]
            found = torch.where((schedules == number)[:, None], each, found)
        return found
