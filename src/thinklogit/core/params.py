"""What a request asks of an engine. Knows no tensor, so that a harness or a command need not load torch to ask."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from thinklogit.core.errors import OptionError

MODES = ("guided", "target", "guider", "base")
MOST_NEW_TOKENS = 8192
"""As the paper decodes, arXiv 2507.12759, section 3."""


@dataclass(frozen=True)
class SamplingParams:
    """What one request asks of an engine; the names are those of vLLM and transformers.

    `alpha` and `warmup_tokens` default to the trio's own. `mode` chooses who answers: the guided target, or one member
    alone as a baseline. `top_k` 0 keeps all tokens; `temperature` 0 is greedy. A completion ends before any of the
    `stop` strings, and after the same token `max_repeats` times in a row, if that is not 0. `speculate` lets the guider
    draft: "auto", "off", or how many tokens at a time. `logprobs` keeps the log-probability of each new token in
    the distribution decoded from, fused where guided, before temperature, top-k and top-p.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    n: int = 1
    seed: int = 0
    alpha: float | None = None
    warmup_tokens: int | None = None
    mode: str = "guided"
    stop: tuple[str, ...] = ()
    max_repeats: int = 0
    speculate: str | int = "off"
    logprobs: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled from. Raises OptionError."""
        _require(self.max_new_tokens >= 1, "max_new_tokens", "a whole number, 1 or more", self.max_new_tokens)
        finite = math.isfinite(self.temperature) and self.temperature >= 0
        _require(finite, "temperature", "a finite number, 0 (greedy) or more", self.temperature)
        _require(0 < self.top_p <= 1, "top_p", "a number above 0 and at most 1", self.top_p)
        _require(self.top_k >= 0, "top_k", "a whole number, 0 (all tokens) or more", self.top_k)
        _require(self.n >= 1, "n", "a whole number of completions, 1 or more", self.n)
        _require(self.mode in MODES, "mode", f"one of {', '.join(MODES)}", self.mode)
        _require(all(self.stop), "stop", "texts that are not empty", list(self.stop))
        _require(
            self.max_repeats >= 0, "max_repeats", "a whole number of tokens, 0 (no limit) or more", self.max_repeats
        )
        _require(
            self.speculate in ("auto", "off") or (str(self.speculate).isdecimal() and int(self.speculate) > 0),
            "speculate",
            "auto, off or a number of drafted tokens, 1 or more",
            self.speculate,
        )

    @property
    def drafted(self) -> bool:
        """Whether the guider drafts."""
        return self.mode == "guided" and self.speculate != "off"

    def settings(self) -> dict[str, Any]:
        """What a completion made with these is labelled with.

        Not n, which it does not depend on, nor what was not asked for. Speculation draws other tokens of the same
        distribution, the same for every draft length; greedily it changes nothing.
        """
        settings = asdict(self) | {"stop": list(self.stop), "speculate": self.drafted and self.temperature > 0}
        unset = [name for name in ("stop", "max_repeats", "speculate", "logprobs") if not settings[name]]
        return {name: value for name, value in settings.items() if name not in ("n", *unset)}


def most_new_tokens(context: int) -> int:
    """How long a completion may become where a request does not say."""
    return min(MOST_NEW_TOKENS, context // 2)


def _require(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise OptionError(f"{name} must be {expected}; got {got}")
