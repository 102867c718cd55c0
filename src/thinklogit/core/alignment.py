"""What one vocabulary's next-token distribution says about the tokens of another, through the bytes both stand for.

Of a distribution over guider tokens, the mass that agrees with a target token's bytes b is

    settled    of guider tokens that begin with b: they say b, whatever comes after
    open       of guider tokens that b begins with, b being longer: they may yet go on to say it

and settled + open bounds the probability that the text goes on with b from above, settled alone from below. What is
open is settled by looking further: at the distribution after such a token, for the bytes of b that are left.

In the order of their bytes the tokens that begin with b are one range, so the settled mass is a difference of two
cumulative sums, and so is the mass of a token's own beginnings. Knows no models and no texts.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

KEPT_TABLES = 4096
"""Tables of parts of the vocabularies that are remembered; those of a text's last words come back all the time."""


class ByteOrder:
    """The tokens of a vocabulary that stand for bytes, in the order of these.

    Args:
        tokens: the bytes of each id, None where an id stands for none.

    Attributes:
        strings: the bytes, sorted; two ids may have the same.
        ids: the id of each.
        ends: for each, where the range of those that begin with it ends.
    """

    def __init__(self, tokens: Sequence[bytes | None]) -> None:
        found = sorted((each, id) for id, each in enumerate(tokens) if each)
        self.strings = [each for each, _ in found]
        self.ids = torch.tensor([id for _, id in found], dtype=torch.long)
        self.places: dict[bytes, int] = {each: place for place, each in enumerate(self.strings)}  # the last of equals
        self.longest = max(map(len, self.strings), default=0)
        self.ends = torch.tensor([self.range(each)[1] for each in self.strings], dtype=torch.long)

    def range(self, start: bytes) -> tuple[int, int]:
        """Where the tokens lie that begin with `start`, itself included."""
        first = bisect_left(self.strings, start)
        after = _successor(start)
        return first, len(self.strings) if after is None else bisect_left(self.strings, after, first)

    def beyond(self, start: bytes) -> tuple[int, int]:
        """Where the tokens lie that begin with `start` and are longer."""
        first, last = self.range(start)
        return self.places.get(start, first - 1) + 1, last

    def longest_start(self, text: bytes, longer_than: int = 0, shorter_than: int | None = None) -> int:
        """The place of the longest token that `text` begins with, within these lengths; -1 where there is none."""
        longest = min(self.longest, len(text) if shorter_than is None else shorter_than - 1)
        for length in range(longest, longer_than, -1):
            place = self.places.get(text[:length])
            if place is not None:
                return place
        return -1


def _successor(start: bytes) -> bytes | None:
    """The smallest bytes above all that begin with `start`; None where there are none."""
    trimmed = start.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


class Table(NamedTuple):
    """For some target tokens, where what agrees with them lies in the guider's order.

    Attributes:
        targets: their places in the target's order, ascending.
        first, last: the range of guider tokens that begin with its bytes.
        begun: how many tokens come before or are the longest one that it goes on from; 0 where there is none.
        ended: how many of these have a range that ends there, too: it does not go on from them.
        floor: begun and ended of the longest token of the pending bytes, whose own beginnings do not count.
    """

    targets: Int[Tensor, " some"]
    first: Int[Tensor, " some"]
    last: Int[Tensor, " some"]
    begun: Int[Tensor, " some"]
    ended: Int[Tensor, " some"]
    floor: tuple[int, int]


class Agreement(NamedTuple):
    """Mass that agrees with each target token of a table, float64."""

    settled: Float[Tensor, "*rows some"]
    open: Float[Tensor, "*rows some"]


class Alignment:
    """A target's vocabulary beside a guider's.

    Args:
        target: the bytes of each of the target's ids; None for those that stand for none, which nothing agrees with.
        guider: the same of the guider's.
    """

    def __init__(self, target: Sequence[bytes | None], guider: Sequence[bytes | None]) -> None:
        self.target = ByteOrder(target)
        self.guider = ByteOrder(guider)
        self.target_size = len(target)
        self.places = torch.full((len(target),), len(self.target.ids))
        """Where each of the target's ids is in its order; beyond the last where it stands for no bytes."""
        self.places[self.target.ids] = torch.arange(len(self.target.ids))
        self.by_end = self.guider.ends.argsort(stable=True)
        places = torch.arange(len(self.by_end))
        ended = torch.searchsorted(self.guider.ends[self.by_end], places, right=True)
        self.counts = [*torch.stack([places + 1, ended], dim=1).tolist(), [0, 0]]  # the last of place -1
        self.table = lru_cache(KEPT_TABLES)(self._table)
        self.whole = self._table(b"", b"")
        self.same = self.target.strings == self.guider.strings
        """Whether both have the same tokens, in whatever order of ids."""
        self.place_of = {id: place for place, id in enumerate(self.guider.ids.tolist())}
        """Where each of the guider's ids is in its order."""

    def _table(self, pending: bytes, ahead: bytes) -> Table:
        """Of the target tokens that begin with `ahead` and go on, seen from a guider that has `pending` left to say.

        A guider that stands before the end of the text has its last bytes pending: its next token begins with them. One
        that stands beyond, at the end of a token tried, is ahead by its bytes.
        """
        places = range(*self.target.beyond(ahead)) if not pending else sorted(set(self._agreeing(pending)))
        rows = [self._agreed(pending, self.target.strings[place][len(ahead) :]) for place in places]
        columns = torch.tensor(rows, dtype=torch.long).reshape(-1, 4).T.contiguous()
        begun, ended = self.counts[self.guider.longest_start(pending) if pending else -1]
        return Table(torch.tensor(places, dtype=torch.long), *columns, floor=(begun, ended))

    def _agreed(self, pending: bytes, rest: bytes) -> tuple[int, int, int, int]:
        said = pending + rest
        start = self.guider.longest_start(said, longer_than=len(pending), shorter_than=len(said))
        begun, ended = self.counts[start]
        return (*self.guider.range(said), begun, ended)

    def _agreeing(self, pending: bytes) -> Iterator[int]:
        """The places of target tokens that a guider token agrees with, said from where `pending` begins."""
        for said in self.guider.strings[slice(*self.guider.beyond(pending))]:
            rest = said[len(pending) :]
            yield from range(*self.target.range(rest))
            for length in range(1, len(rest)):
                if rest[:length] in self.target.places:
                    yield from range(self.target.range(rest[:length])[0], self.target.places[rest[:length]] + 1)

    def agreement(
        self,
        probabilities: Float[Tensor, "*rows places"],
        pending: bytes = b"",
        ahead: bytes = b"",
        left_out: Sequence[int] = (),
    ) -> tuple[Table, Agreement]:
        """The table of what is pending or ahead, and the mass that agrees with each of its target tokens.

        A token's range holds all that begin with it, so what has begun and not ended at a place is what it begins with:
        open mass, too, is a difference of two cumulative sums.

        Args:
            probabilities: of the guider's tokens, in its order.
            pending: what the guider has left to say before the text ends.
            ahead: or by what it stands beyond the end.
            left_out: places of tokens whose own continuation is looked at: they count as settled, not as open.
        """
        table = self.table(pending, ahead) if pending or ahead else self.whole
        begun, ended = _sums(probabilities), _sums(chosen(probabilities, self.by_end))
        settled = chosen(begun, table.last).sub_(chosen(begun, table.first))
        floor = begun[..., table.floor[0]] - ended[..., table.floor[1]]
        left = chosen(begun, table.begun).sub_(chosen(ended, table.ended))
        if pending:
            left = left.sub_(floor[..., None]).masked_fill_(table.begun == 0, 0.0)
        for place in left_out:
            after = self.target.beyond(ahead + self.guider.strings[place][len(pending) :])
            first, last = torch.searchsorted(table.targets, torch.tensor(after)).tolist()
            left[..., first:last] -= probabilities[..., place, None].double()
        return table, Agreement(settled, left.clamp_(min=0))


def chosen(values: Float[Tensor, "*rows places"], places: Int[Tensor, " some"]) -> Float[Tensor, "*rows some"]:
    """The values at some places: what indexing gives, three times as fast on a CPU."""
    return values.gather(-1, places.expand(*values.shape[:-1], -1))


def _sums(values: Float[Tensor, "*rows places"]) -> Float[Tensor, "*rows places_and_one"]:
    """What stands before each place, and all of it."""
    found = values.new_empty((*values.shape[:-1], values.shape[-1] + 1), dtype=torch.float64)
    found[..., 0] = 0
    torch.cumsum(values, -1, dtype=torch.float64, out=found[..., 1:])
    return found
