"""What an examination finds: one line a person reads, with the numbers behind it for a program."""

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["ok", "note", "warning", "error"]
"""ok: as it should be. note: good to know. warning: works, perhaps not as meant. error: cannot work."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Args:
        level: how much it matters.
        subject: what it is about, such as "tokenizers"; findings of one subject stand together.
        message: one line, in role words.
        data: the same as plain JSON values.
    """

    level: Level
    subject: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


def size(count_bytes: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count_bytes) < 1024 or unit == "GiB":
            return f"{count_bytes:,.0f} {unit}" if unit == "bytes" else f"{count_bytes:,.1f} {unit}"
        count_bytes /= 1024
    raise AssertionError("the loop returns at its last unit")


def count(number: float) -> str:
    """A number of parameters as a person reads it."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.0f}"


def listed(words: list[str]) -> str:
    """Words joined as in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
