"""What target and guider say in different tokens: one text, one vocabulary in the terms of the other."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from thinklogit.core.alignment import Alignment, chosen
from thinklogit.models.cross.lattice import Masses
from thinklogit.models.cross.reading import Reader, Reading
from thinklogit.models.cross.turns import Turns

LEAST = 1e-12
"""The smallest mass that is told from none."""


class Speaker(NamedTuple):
    """What one side's tokenizer and configs say.

    Attributes:
        tokens: the bytes of each id that stands for text, markers of thinking among them; None for others.
        markers: the literal text of each id that stands for none.
        ends: ids that end a text.
        opening: ids that stand before every text that is not a chat.
        rows: of its logits.
        turns: its chat template, if any.
        roles: for literal texts of special tokens, what stands for them in the other language.
    """

    tokens: list[bytes | None]
    markers: dict[int, str]
    ends: list[int]
    opening: list[int]
    rows: int
    turns: Turns | None
    roles: Mapping[str, str] = MappingProxyType({})


class Said(NamedTuple):
    """A target's text as the guider reads it.

    Attributes:
        target_ids: the target's.
        opening: ids of the guider that stand before the text.
        reading: the text, with the guider's own prompt in place of the target's, and how its tokenizer cuts it.
    """

    target_ids: list[int]
    opening: list[int]
    reading: Reading

    @property
    def ids(self) -> list[int]:
        """All that the guider reads."""
        return [*self.opening, *self.reading.ids]

    @property
    def ends(self) -> list[int]:
        """How many bytes of the text each of them reaches; what opens it reaches none."""
        return [0] * len(self.opening) + self.reading.ends


NOTHING = Said([], [], Reading(b"", [], []))


def tokenizer_for(mode: str, target: Any, languages: Mapping[int, "Languages"]) -> Any:
    """The tokenizer of who answers: the target's, but where the first guider or base does, and has another."""
    return languages[0].guider_tokenizer if mode in ("guider", "base") and 0 in languages else target


class Spoken(NamedTuple):
    """Log-probabilities of the next token: of those that stand for bytes, in their order, and of the text's end."""

    logprobs: Float[Tensor, "rows 2 kept places"]
    ends: Float[Tensor, "rows 2 kept"]


class Languages:
    """A target's and a guider's."""

    def __init__(self, target: Speaker, guider: Speaker, guider_tokenizer: Any) -> None:
        self.target = target
        self.guider = guider
        self.alignment = Alignment(target.tokens[: target.rows], guider.tokens[: guider.rows])
        self.guider_tokenizer = guider_tokenizer
        self.reader = Reader(guider_tokenizer)

    def say(self, ids: list[int], before: Said = NOTHING) -> Said:
        """The target's ids as the guider reads them."""
        known = len(before.target_ids)
        if known and ids[:known] == before.target_ids:
            text, opening = before.reading.text + self._bytes(ids[known:]), before.opening
            return Said(ids, opening, self.reader.read(text, before.reading))
        text, opening = self._begun(ids)
        return Said(ids, opening, self.reader.read(text))

    def _begun(self, ids: list[int]) -> tuple[bytes, list[int]]:
        literal = b"".join(
            self.target.markers[id].encode() if id in self.target.markers else self._bytes([id]) for id in ids
        )
        chat = self.target.turns.parse(literal.decode(errors="surrogateescape")) if self.target.turns else None
        if chat is None:
            return self._bytes(ids), self.guider.opening
        prompt = self.guider.turns.render(chat.messages) if self.guider.turns else chat.plain()
        begun = chat.begun
        for marker, text in self.target.roles.items():
            begun = begun.replace(marker, text)
        return (prompt + begun).encode(errors="surrogateescape"), [] if self.guider.turns else self.guider.opening

    def _bytes(self, ids: Sequence[int]) -> bytes:
        tokens = self.target.tokens
        return b"".join(tokens[id] or b"" for id in ids if id < len(tokens))

    def spoken(self, logits: Float[Tensor, "rows 2 kept own_vocab"]) -> Spoken:
        """Normalise over what has a meaning in both languages: bytes, and the end."""
        order = self.alignment.guider.ids.to(logits.device)
        ends = torch.tensor(self.guider.ends, dtype=torch.long, device=logits.device)
        said = chosen(logits, torch.cat([order, ends])).float().log_softmax(-1).cpu()
        return Spoken(said[..., : len(order)], said[..., len(order) :].logsumexp(-1))

    def logarithms(self, masses: Masses) -> Float[Tensor, "2 vocab"]:
        """Log-masses of each id of the target; 0 of what stands for no text, which is neither wanted nor not."""
        logs = masses.total.float().add_(LEAST).log_()
        logs = chosen(torch.nn.functional.pad(logs, (0, 1)), self.alignment.places)
        logs[:, self.target.ends] = (masses.end + LEAST).log().float()[:, None]
        return logs

    def likely(self, logits: Float[Tensor, " vocab"]) -> Callable[[bytes], float]:
        """The target's probability that its next token begins with some bytes and is longer."""
        order = self.alignment.target
        probabilities = logits.float().softmax(-1).cpu()[order.ids]
        below = torch.nn.functional.pad(probabilities.cumsum(-1, dtype=torch.float64), (1, 0))

        def of(start: bytes) -> float:
            first, last = order.beyond(start)
            return float(below[last] - below[first])

        return of
