r"""Where the answer stands in a completion: after the thinking, in the last box.

Knows no mathematics and no letters: it says which text to read. Several boxes can be one answer together, as in
"\boxed{1} and \boxed{-2}"; the text between them decides, see `LINK`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

OPENED, CLOSED = "<think>", "</think>"


class Box(NamedTuple):
    r"""What one \boxed{...} holds, and where it stands."""

    content: str
    start: int
    end: int


TOKEN = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*(\{|-?[\d.,]*\d|[a-zA-Z]\b)?|\\[{}]|[{}]")
"""Braces, and boxes with what they take. Without a brace TeX takes one digit; who writes \boxed 42 means 42."""

MARKUP = re.compile(r"\\[()\[\],;:! ]|\\q?quad\b|\\(?:text|textbf|mathrm|mbox)\b|[${}~*]")
"""What stands between boxes without saying anything."""

LINK = re.compile(r"\W{0,10}|(?:\W*\w+){0,3}(?:\W*\b(?:and|or)|[^\w.:]*[,;])\W*(?:\w+(?:\(\w+\))?\s*=\s*)?")
"""What joins two boxes to one answer: nothing much, or up to three words that end in "and", "or" or a comma."""


def after_thinking(completion: str) -> str | None:
    """The text after the last thinking; None where a thinking was opened and never closed."""
    text = completion.rpartition(CLOSED)[2]
    return None if OPENED in text else text


def boxes(text: str) -> list[Box]:
    r"""Every box that is closed and holds something, outermost only, in order; \{ and \} are not braces."""
    found: list[Box] = []
    opened: list[re.Match[str] | None] = []  # at each open brace the box that it is of, if of one
    for token in TOKEN.finditer(text):
        if token[0] == "{" or token[1] == "{":
            opened.append(token if token[1] else None)
        elif token[0] == "}" and opened:
            box = opened.pop()
            if box:
                _add(found, Box(text[box.end() : token.start()].strip(), box.start(), token.end()))
        elif token[1]:
            _add(found, Box(token[1], token.start(), token.end()))
    return found


def _add(found: list[Box], box: Box) -> None:
    while found and found[-1].start > box.start:
        found.pop()
    if box.content:
        found.append(box)


def innermost(box: Box) -> str:
    r"""What the box holds, or the last box inside it: \boxed{x = \boxed{5}} holds 5."""
    inner = boxes(box.content)
    return innermost(inner[-1]) if inner else box.content


def joined_tail(text: str, found: Sequence[Box]) -> list[Box]:
    """The last box and those before it that are one answer with it."""
    tail = list(found[-1:])
    for box in reversed(found[:-1]):
        between = text[box.end : tail[0].start]
        if not is_link(between):
            break
        tail.insert(0, box)
    return tail


def is_link(between: str) -> bool:
    """Whether this text between two boxes makes them one answer."""
    if len(between) > 100 or "\n\n" in between or between.strip() == "=":
        return False
    return LINK.fullmatch(MARKUP.sub(" ", between)) is not None
