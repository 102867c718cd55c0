"""How one tokenizer cuts a growing text, without cutting all of it again at each step.

A text that was read before is read again from a place near its change, where a line or a word begins. The two cuts
are joined where they agree on a boundary and on the tokens after it; where they never do, the whole text is cut.

Why that is exact: pieces of text that a tokenizer cuts apart do not know of each other, and a sequence of byte-pair
tokens is the one that the merges give if each token and its neighbour are (rust-gems, crate bpe). The old cut vouches
for the pair at the joint, the new one for what follows.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from thinklogit.models.cross.token_bytes import backend_of, token_bytes

AGREEING = 4
"""Tokens on which two cuts agree after the boundary where they are joined."""
UNSETTLED_BYTES = 16
"""At least so many before a change may be cut otherwise because of it; an added token that it completes, too."""
WINDOWS_BYTES = (48, 256, 2048)
"""How far before the settled part a window begins: the first that finds a joint counts."""
INCOMPLETE = "unexpected end of data"
"""The reason of Python's decoder for a character that may yet be completed."""


class Reading(NamedTuple):
    """How one tokenizer cuts a text.

    `ends[i]` says how many bytes of the text `ids[: i + 1]` cover: inside a character too, where tokens split one. Of
    a character that the tokenizer normalises before it splits it, the last of its tokens covers all. Spaces that the
    tokenizer drops count to the token after them; those at the end, and a character not yet complete, to none.
    """

    text: bytes
    ids: list[int]
    ends: list[int]


class Characters(NamedTuple):
    """The complete characters of some bytes, and where each starts; last, where they end."""

    text: str
    starts: list[int]


class Reader:
    """Reads text, given as bytes, in the tokens of one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Of a fast tokenizer, which is copied. Raises TrioError where its tokens cannot be read as bytes."""
        self._bytes = token_bytes(tokenizer)
        self._tokenizer = Tokenizer.from_str(backend_of(tokenizer).to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = tokenizer.split_special_tokens
        # Post-processors add special tokens, which are not asked for, and may trim spaces from offsets.
        self._tokenizer.post_processor = None
        # Others than byte pairs are chosen by the whole word, which may end far away.
        self._joins_in_words = isinstance(self._tokenizer.model, BPE)
        added = (each.content for each in self._tokenizer.get_added_tokens_decoder().values())
        self._unsettled_bytes = max([UNSETTLED_BYTES, *(2 * len(content.encode()) for content in added)])

    def read(self, text: bytes, before: Reading | None = None) -> Reading:
        """Cut a text as the tokenizer does, without special tokens of its own; literal ones in it are parsed.

        Args:
            text: UTF-8. A character that is incomplete at the end waits; bytes that can be of none are read as U+FFFD.
            before: a reading, by this reader, of a text that begins alike: only what differs is cut again.
        """
        if before is not None and before.text == text:
            return before
        continued = None if before is None else self._continued(text, before)
        return self._cut(text, 0) if continued is None else continued

    def _continued(self, text: bytes, before: Reading) -> Reading | None:
        """The old cut up to a joint, and a new one from there; None where there is none."""
        changed = min(_alike(text, before.text), before.ends[-1] if before.ends else 0)
        places = _places(before, changed - self._unsettled_bytes)
        settled = next(places, 0)
        for window in WINDOWS_BYTES:
            start = next((place for place in places if place <= settled - window), 0)
            if start == 0:
                return None
            new = self._cut(text, start)
            joint = _joint(before, new, start, settled, self._joins_in_words)
            if joint is not None:
                kept, dropped = joint
                return Reading(text, before.ids[:kept] + new.ids[dropped:], before.ends[:kept] + new.ends[dropped:])
        return None

    def _cut(self, text: bytes, start: int) -> Reading:
        """Cut what follows a place, as though the text began there."""
        characters = _characters(text[start:] if start else text)
        encoded = self._tokenizer.encode(characters.text, add_special_tokens=False)
        spoken = [self._bytes[id] for id in encoded.ids]
        ends = _ends(text[start:] if start else text, characters, spoken, encoded.offsets)
        return Reading(text, encoded.ids, [start + end for end in ends] if start else ends)


def _alike(text: bytes, other: bytes) -> int:
    """How many bytes two texts begin with alike."""
    low, high = 0, min(len(text), len(other))
    if text[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _places(reading: Reading, before: int) -> Iterator[int]:
    """Where letters, digits, spaces or signs end and others begin, between two tokens; the last ones first.

    From the last boundary that is not after `before`. Inside a character both sides are broken, hence of one kind.
    """
    for index in range(bisect_right(reading.ends, before) - 1, -1, -1):
        place = reading.ends[index]
        left = reading.text[max(0, place - 4) : place].decode(errors="replace")[-1:]
        right = reading.text[place : place + 4].decode(errors="replace")[:1]
        if left and right and _kind(left) != _kind(right):
            yield place


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    return {"L": "letter", "M": "letter", "N": "digit"}.get(unicodedata.category(character)[0], "sign")


class Joint(NamedTuple):
    """How many tokens of the old cut stay, and how many of the new one's go."""

    kept: int
    dropped: int


def _joint(old: Reading, new: Reading, start: int, settled: int, in_words: bool) -> Joint | None:
    """The first boundary, within the settled part, after which both cuts have the same tokens for a while."""
    boundaries = [start, *new.ends]
    for dropped in range(bisect_right(boundaries, settled)):
        kept = bisect_right(old.ends, boundaries[dropped])
        if kept == 0 or old.ends[kept - 1] != boundaries[dropped]:
            continue
        if not in_words and not new.text.startswith(b" ", boundaries[dropped]):
            continue
        ours, theirs = slice(kept, kept + AGREEING), slice(dropped, dropped + AGREEING)
        alike = old.ids[ours] == new.ids[theirs] and old.ends[ours] == new.ends[theirs]
        if alike and len(old.ids[ours]) == AGREEING:
            return Joint(kept, dropped)
    return None


def _characters(text: bytes) -> Characters:
    """Decode, with U+FFFD for what is no UTF-8; a character that is incomplete at the end is left out."""
    decoded, starts, at = [], [], 0
    while at < len(text):
        try:
            good, broken = text[at:].decode(), len(text)
            after = broken
        except UnicodeDecodeError as error:
            broken, after = at + error.start, at + error.end
            good = text[at:broken].decode()
            if error.reason == INCOMPLETE and after == len(text):
                text, after = text[:broken], broken
        decoded.append(good)
        starts += [index for index in range(at, broken) if text[index] & 0xC0 != 0x80]
        if after > broken:
            decoded.append("\ufffd")
            starts.append(broken)
        at = after
    return Characters("".join(decoded), [*starts, len(text)])


def _ends(
    text: bytes, characters: Characters, spoken: Sequence[bytes | None], offsets: Sequence[tuple[int, int]]
) -> list[int]:
    """Where each token ends: after its bytes where the text has them, else where the tokenizer's offsets say."""
    ends, end = [], 0
    for index, (said, (_, stop)) in enumerate(zip(spoken, offsets, strict=True)):
        follows = offsets[index + 1][0] if index + 1 < len(offsets) else len(characters.text)
        split = follows < stop  # the next token has a part of the same character
        after = end + len(said or b"")
        if said and text.startswith(said, end) and _within(characters.starts, after, stop, split):
            end = after
        elif not split:
            end = max(end, characters.starts[stop])
        end = _over_dropped(characters, end, follows)
        ends.append(end)
    return ends


def _within(starts: list[int], end: int, stop: int, split: bool) -> bool:
    """Whether a token that matches the text ends in its last character. A space put before the text may match, too."""
    return starts[max(0, stop - 1)] < end < starts[stop] + (not split)


def _over_dropped(characters: Characters, end: int, follows: int) -> int:
    """Past what a normaliser took into the token or left out: all up to the next token but spaces."""
    if characters.starts[follows] <= end:
        return end
    at = bisect_left(characters.starts, end)
    if characters.starts[at] != end:
        return end
    while at < follows and not characters.text[at].isspace():
        at += 1
    return characters.starts[at]
