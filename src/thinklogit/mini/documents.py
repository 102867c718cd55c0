"""What members are trained on: a question, the answer to it, and which parts of the answer are not to be learned."""

from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """Characters of a response, from start to before end."""

    start: int
    end: int


@dataclass(frozen=True)
class Document:
    """What a user asks and what a member should answer.

    `unlearned` are parts of the response to read but not to learn: decisions that only the guider is to make, guesses
    that a check puts right, and the random numbers that facts are about, which nothing foretells.
    """

    prompt: str
    response: str
    unlearned: tuple[Span, ...] = ()


class Text:
    """A response being written, with what of it is not to be learned."""

    def __init__(self) -> None:
        self.text = ""
        self.unlearned: list[Span] = []

    def write(self, text: str, learned: bool = True) -> None:
        """Add to the end."""
        if not learned:
            self.unlearned.append(Span(len(self.text), len(self.text) + len(text)))
        self.text += text

    def document(self, prompt: str) -> Document:
        """The finished document."""
        return Document(prompt, self.text.rstrip(), tuple(self.unlearned))
