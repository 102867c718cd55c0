"""How many tokens to draft at a time: a fixed number, or what is measured to be fastest while decoding."""

from dataclasses import dataclass, field

from thinklogit.core.acceptance import AcceptanceCounts
from thinklogit.core.errors import OptionError

LONGEST = 20
"""What "auto" drafts at most."""
FIRST = 4
"""The first length that "auto" tries."""
LOOK_AROUND = 32
"""Rounds after which "auto" once drafts half as many, or two where it drafts none, to see again what drafting does."""
MEMORY = 0.97
"""What a measurement still weighs a round later: the last thirty count most."""


@dataclass
class Pace:
    """What a round costs by the number of tokens drafted: a line through decaying measurements, in seconds."""

    weight: float = 0.0
    length: float = 0.0
    seconds: float = 0.0
    length_squared: float = 0.0
    length_seconds: float = 0.0
    rounds: int = 0

    def add(self, length: int, seconds: float) -> None:
        """One more round. What took far longer than foreseen was somebody else's doing, and counts for less."""
        if self.rounds > 2:
            seconds = min(seconds, 2 * self.of(length))
        self.weight = MEMORY * self.weight + 1
        self.length = MEMORY * self.length + length
        self.seconds = MEMORY * self.seconds + seconds
        self.length_squared = MEMORY * self.length_squared + length * length
        self.length_seconds = MEMORY * self.length_seconds + length * seconds
        self.rounds += 1

    def of(self, length: int) -> float:
        """The seconds that a round of so many drafts takes."""
        mean, seconds = self.length / self.weight, self.seconds / self.weight
        spread = self.length_squared / self.weight - mean * mean
        slope = (self.length_seconds / self.weight - mean * seconds) / spread if spread > 1e-9 else 0.0
        return max(seconds + max(slope, 0.0) * (length - mean), 1e-9)


@dataclass
class Drafting:
    """The policy of one engine, and its counts; `fixed` is None where it adapts.

    The fastest length has the most tokens a second: with an acceptance rate b, (1 - b^(k+1)) / (1 - b) tokens in a
    round of k drafts (arXiv 2211.17192, equation 1), over the seconds that such a round takes with so many rows.
    """

    fixed: int | None = None
    counts: AcceptanceCounts = field(default_factory=AcceptanceCounts)
    _paces: dict[int, Pace] = field(default_factory=dict)
    _stood: float = 4.0
    _tested: float = 5.0

    @classmethod
    def parse(cls, text: str | int) -> "Drafting":
        """Read "auto" or a number of tokens. Raises OptionError."""
        if text != "auto" and not (str(text).isdecimal() and int(text) > 0):
            raise OptionError(f"expected auto or a number of tokens to draft, 1 or more; got {text}")
        return cls(fixed=None if text == "auto" else int(text))

    def length(self, rows: int) -> int:
        """How many tokens to draft for so many rows."""
        if self.fixed is not None:
            return self.fixed
        pace = self._pace(rows)
        if pace.rounds < 2:
            return FIRST if pace.rounds == 0 else 0
        rate = self._stood / self._tested
        best = max(range(LONGEST + 1), key=lambda length: expected_tokens(rate, length) / pace.of(length))
        if pace.rounds % LOOK_AROUND == 0:
            return best // 2 if best else 2
        return best

    def learn(self, rows: int, length: int, stood: list[int], seconds: float) -> None:
        """Take in what a round showed."""
        self.counts.add(length, stood)
        self._pace(rows).add(length, seconds)
        fallen = sum(count < length for count in stood)
        self._stood = MEMORY * self._stood + sum(stood) / len(stood)
        self._tested = MEMORY * self._tested + (sum(stood) + fallen) / len(stood)

    def _pace(self, rows: int) -> Pace:
        """Rows by powers of two: what is alike in cost is measured together."""
        return self._paces.setdefault(rows.bit_length(), Pace())


def expected_tokens(rate: float, length: int) -> float:
    """What a round of `length` drafts yields, where each stands with the chance `rate`."""
    rate = min(rate, 0.999)
    return (1 - rate ** (length + 1)) / (1 - rate)
