"""Whether two members mean the same by the same token id, and which rows of the target's logits count."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from thinklogit.models.config import Ranges
from thinklogit.models.members import Member

SAMPLES = (
    "The answer is 42.",
    "17 * 204 = 3468; 3,468.00 is 3.468e3, on 2024-03-01",
    "Wait, let me check that again... I'll verify: x² + y² ≤ 10⁻³",
    "Solve \\(\\frac{a}{b}\\) and put it in \\boxed{\\sqrt{2}}.",
    "def f(x):\n    if x  >  1:\n\t\treturn  x\n\n\n    # done   \n",
    "naïve café, Straße, Привет, 你好。 こんにちは مرحبا",
    "cafe\u0301 and 👩‍👩‍👧 🙂\u00a0end",
)
"""Texts on which tokenizers of one name have been seen to differ: numbers, spaces, code, unicode composed and not."""

OVERLAPPING_SHARE = 0.9
"""Members of one family share above 99% of their ids; of two families, seldom a tenth."""


class Meaning(NamedTuple):
    """An id that stands for two tokens."""

    id: int
    target: str
    other: str


@dataclass(frozen=True)
class Comparison:
    """The target's tokenizer beside another member's.

    Args:
        total: ids of the target that a row of its logits and an entry of its tokenizer back.
        same: how many of them mean the same to the other.
        differing: those that mean something else to the other.
        lacking: those the other's tokenizer does not have.
        ends: ids that differ in name only: both end a text with them.
        cut_otherwise: sample texts that the other cuts into other ids.
    """

    total: int
    same: int
    differing: list[Meaning]
    lacking: list[int]
    ends: list[Meaning]
    cut_otherwise: list[str]

    @property
    def share(self) -> float:
        """The share of the target's ids that mean the same to the other."""
        return self.same / self.total

    @property
    def foreign(self) -> bool:
        """Whether the two are different tokenizers, rather than one with a few other entries."""
        return self.share < OVERLAPPING_SHARE


def compare(target: Member, other: Member) -> Comparison:
    """Compare the other's tokenizer with the target's, entry by entry and on text."""
    ids = backed_ids(target)
    ends = set(target.end_ids) & set(other.end_ids)
    apart = [
        Meaning(id, target.tokens[id], other.tokens[id])
        for id in ids
        if id in other.tokens and other.tokens[id] != target.tokens[id]
    ]
    differing = [meaning for meaning in apart if meaning.id not in ends]
    lacking = [id for id in ids if id not in other.tokens and id not in ends]
    return Comparison(
        total=len(ids),
        same=len(ids) - len(differing) - len(lacking),
        differing=differing,
        lacking=lacking,
        ends=[meaning for meaning in apart if meaning.id in ends],
        cut_otherwise=[text for text in SAMPLES if _cut(target, text) != _cut(other, text)],
    )


def crosses(target: Member, guider: Member) -> bool:
    """Whether a guider has another tokenizer, so that it reads the target's text in tokens of its own."""
    return guider.tokenizer is not None and compare(target, guider).foreign


def _cut(member: Member, text: str) -> list[int]:
    assert member.tokenizer is not None
    return list(member.tokenizer(text, add_special_tokens=False)["input_ids"])


def backed_ids(target: Member) -> list[int]:
    """Ids that have both an entry in the target's tokenizer and a row in its logits."""
    return sorted(id for id in target.tokens if id < target.rows)


def backed_ranges(target: Member) -> Ranges | None:
    """The rows of the target's logits that its tokenizer backs; None when it backs all."""
    ids = backed_ids(target)
    return None if len(ids) == target.rows else ranges_of(ids)


def shared_ranges(target: Member, guider: Member, base: Member) -> Ranges | None:
    """The backed rows that mean the same to guider and base, and that both have; None when all do.

    An id that ends a text for both is the same whatever its token is called: 151643 is "<|endoftext|>" to Qwen2.5 and
    an "end of sentence" to R1-Distill-Qwen. A member without a tokenizer of its own is taken to use the target's.
    """
    ids = backed_ids(target)
    shared = [id for id in ids if _means_the_same(id, target, guider) and _means_the_same(id, target, base)]
    return None if shared == ids else ranges_of(shared)


def _means_the_same(id: int, target: Member, other: Member) -> bool:
    if id >= other.rows:
        return False
    if other.tokenizer is None or other.tokens.get(id) == target.tokens[id]:
        return True
    return id in target.end_ids and id in other.end_ids


def ranges_of(ids: Iterable[int]) -> Ranges:
    """Sorted ids as half-open intervals."""
    ranges: Ranges = []
    for id in ids:
        if ranges and ranges[-1][1] == id:
            ranges[-1][1] = id + 1
        else:
            ranges.append([id, id + 1])
    return ranges
