"""How the guidance strength depends on the number of tokens generated so far.

A schedule is looked up by name in `SCHEDULES`; each entry names the text that evaluated it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinklogit.core.errors import OptionError, unknown_name

Strengths = Float[Tensor, "batch positions guiders"]
ScheduleFunction = Callable[
    [Float[Tensor, "batch guiders"], Int[Tensor, " batch"], Int[Tensor, "#batch positions"]],
    Strengths,
]


def constant(
    alpha: Float[Tensor, "batch guiders"],
    warmup_tokens: Int[Tensor, " batch"],
    generated: Int[Tensor, "#batch positions"],
) -> Strengths:
    """The same alpha at every token; `warmup_tokens` must be 0, which `check_guidance` sees to."""
    return alpha[:, None, :].expand(-1, generated.shape[-1], -1)


def warmup(
    alpha: Float[Tensor, "batch guiders"],
    warmup_tokens: Int[Tensor, " batch"],
    generated: Int[Tensor, "#batch positions"],
) -> Strengths:
    """A hard switch: 0 for the first `warmup_tokens` generated tokens of a row, then alpha."""
    begun = generated >= warmup_tokens[:, None]  # (batch, positions)
    return alpha[:, None, :] * begun[:, :, None]


MOST_ALPHA = 100
"""More is a slip: the paper tries up to 1.5, arXiv 2507.12759."""


class Schedule(NamedTuple):
    """A schedule's function and where it was evaluated."""

    function: ScheduleFunction
    reference: str


SCHEDULES = {
    "constant": Schedule(
        constant, "proxy-tuning, arXiv 2401.08565, equation 2; alpha as in arXiv 2507.12759, section 2"
    ),
    "warmup": Schedule(warmup, "ThinkLogit, arXiv 2510.09354: 100 tokens of the target alone; ablation 0 to 1000"),
}


def schedule_named(name: str) -> Schedule:
    """Look a schedule up. Raises OptionError, naming the nearest, when there is none of that name."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    return SCHEDULES[name]


def check_guidance(schedule: str, alpha: Any, warmup_tokens: Any) -> None:
    """Refuse a strength that is no number or a slip, a negative warm-up, and one that the schedule would ignore."""
    schedule_named(schedule)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) <= MOST_ALPHA:
        raise OptionError(f"alpha must be a number from -{MOST_ALPHA} to {MOST_ALPHA}, such as 1.0; got {alpha!r}")
    if isinstance(warmup_tokens, bool) or not isinstance(warmup_tokens, int) or warmup_tokens < 0:
        raise OptionError(f"warmup_tokens must be a whole number of tokens, 0 or more; got {warmup_tokens!r}")
    if schedule == "constant" and warmup_tokens:
        raise OptionError(
            f"schedule 'constant' has no warm-up, got warmup_tokens={warmup_tokens}; use schedule 'warmup'"
        )


def strengths(
    schedule: str,
    alpha: Float[Tensor, "batch guiders"],
    warmup_tokens: Int[Tensor, " batch"],
    generated: Int[Tensor, "#batch positions"],
) -> Strengths:
    """Strength of each guider for each row, where `generated` tokens stand before the one to be predicted.

    `generated` holds a row of counts for all rows, or one for each.
    """
    return schedule_named(schedule).function(alpha.to(torch.float32), warmup_tokens, generated)
