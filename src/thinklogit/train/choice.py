"""Which answers make pairs: whose right ones over whose wrong ones, how many, and what is left out.

    target_over_guider    the target's right answer over the guider's wrong one: where to leave the target alone
    guider_over_target    the guider's right answer over the target's wrong one: where to correct it
    guider_over_guider    an ablation of the paper; and any other two of target, guider, guided, such as
    target_over_guided    what guidance itself spoilt, on policy

Source: ThinkLogit-DPO, arXiv 2507.12759, section 2.2, whose training set mixes the first two kinds.
"""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from thinklogit.core.errors import OptionError, unknown_name

SOURCES = ("target", "guider", "guided")
"""Who can have answered."""
PUBLISHED = ("target_over_guider", "guider_over_target")


class Kind(NamedTuple):
    """Whose right answers over whose wrong ones."""

    chosen: str
    rejected: str

    @classmethod
    def parse(cls, name: str) -> "Kind":
        """Read "guider_over_target". Raises OptionError."""
        chosen, over, rejected = name.strip().partition("_over_")
        if not over:
            raise unknown_name("kind of pair", name, (*PUBLISHED, "guider_over_guider", "target_over_guided"))
        for source in (chosen, rejected):
            if source not in SOURCES:
                raise unknown_name(f"source in {name!r}:", source, SOURCES)
        return cls(chosen, rejected)

    @property
    def name(self) -> str:
        """As it is written."""
        return f"{self.chosen}_over_{self.rejected}"


@dataclass(frozen=True)
class Choice:
    """Which answers make pairs.

    Args:
        kinds: kinds of pair, in the order they are counted.
        pairs: how many at most, of all kinds together; None for all there are.
        mix: the share of each kind, in proportion; None leaves them as they come.
        oversample: repeat pairs of a kind that has too few for its share, instead of leaving others out.
        per_problem: pairs of one kind from one problem at most.
        min_gap: take a problem only where the chosen's source is right that much more often than the rejected's: 0.5
            leaves out those that it was lucky at.
        min_tokens: answers shorter than this are left out.
        max_tokens: answers longer than this are left out; 0 for no limit.
        cut_tokens: keep so many tokens of each answer beyond those that both begin with, for all kinds or for each; 0
            keeps all. An answer that is cut does not end there.
        seed: of the order in which answers are paired, and of what is left out.
    """

    kinds: tuple[str, ...] = PUBLISHED
    pairs: int | None = None
    mix: tuple[float, ...] | None = None
    oversample: bool = False
    per_problem: int = 4
    min_gap: float = -1.0
    min_tokens: int = 1
    max_tokens: int = 0
    cut_tokens: tuple[int, ...] = (0,)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be. Raises OptionError."""
        if not self.kinds or len({Kind.parse(kind) for kind in self.kinds}) < len(self.kinds):
            raise OptionError(f"expected kinds of pair, each once; got {', '.join(self.kinds) or 'none'}")
        if self.mix is not None and (len(self.mix) != len(self.kinds) or not all(0 < part < inf for part in self.mix)):
            raise OptionError(f"mix takes a finite number above 0 for each of {', '.join(self.kinds)}; got {self.mix}")
        for name, least in (("per_problem", 1), ("min_tokens", 0), ("max_tokens", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} must be a whole number, {least} or more; got {getattr(self, name)}")
        if len(self.cut_tokens) not in (1, len(self.kinds)) or min(self.cut_tokens) < 0:
            raise OptionError(
                f"cut_tokens takes numbers of tokens, 0 for all: one, or one for each of {', '.join(self.kinds)}; "
                f"got {', '.join(map(str, self.cut_tokens)) or 'none'}"
            )
        if not -1 <= self.min_gap <= 1:
            raise OptionError(f"min_gap must be a number from -1 to 1; got {self.min_gap}")
        if self.pairs is not None and self.pairs < 1:
            raise OptionError(f"pairs must be a whole number, 1 or more; got {self.pairs}")

    def cut_of(self, kind: str) -> int:
        """How many tokens are kept of a kind's answers; 0 for all."""
        return dict(zip(self.kinds, self.cut_tokens * len(self.kinds), strict=False))[kind]

    @property
    def sources(self) -> tuple[str, ...]:
        """Who has to have answered."""
        needed = {source for kind in map(Kind.parse, self.kinds) for source in kind}
        return tuple(source for source in SOURCES if source in needed)
