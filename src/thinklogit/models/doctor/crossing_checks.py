"""Checks of a guider with another tokenizer than the target's: can it read the target's text, how do the two differ?"""

from collections import Counter
from collections.abc import Iterator

from thinklogit.core.alignment import ByteOrder
from thinklogit.core.errors import TrioError
from thinklogit.models.cross.speakers import speaker, with_roles
from thinklogit.models.doctor.findings import Finding, listed
from thinklogit.models.members import Member, Pair
from thinklogit.models.vocabularies import SAMPLES, compare

WAYS = ("exactly", "by extension", "by prefix only")
"""How a target's token is matched: the guider has it, has longer ones that begin with it, or says it in several."""


def check_pair(target: Member, pair: Pair) -> Iterator[Finding]:
    """What there is to say of one guider and its base."""
    guider, base = pair.guider, pair.base
    names = f"{guider.role} and {base.role}"
    if base.tokenizer is not None and compare(guider, base).foreign:
        yield Finding(
            "error",
            "tokenizers",
            f"the {base.role} has another tokenizer than the {guider.role}, and the two must read the same tokens: "
            "choose the model that the guider was made from",
        )
        return
    try:
        sides = with_roles(speaker(target), speaker(guider), pair.ref.roles or {})
    except TrioError as error:
        yield Finding("error", "tokenizers", str(error))
        return
    tokens, own = (side.tokens[: side.rows] for side in sides)
    shares = coverage(tokens, ByteOrder(own))
    on_text = coverage([tokens[id] for id in _sampled(target)], ByteOrder(own))
    words = len(" ".join(SAMPLES).split())
    lengths = {member.role: len(_sampled(member)) / words for member in (target, guider)}
    yield Finding(
        "note",
        "tokenizers",
        f"{names}: another tokenizer than the target's; they read its text in tokens of their own. Of the target's "
        f"{sum(each is not None for each in tokens):,} tokens {_shown(shares)}; of those in sample texts "
        f"{_shown(on_text)}. Tokens a word there: {listed([f'{role} {each:.2f}' for role, each in lengths.items()])}",
        {"vocabulary": shares, "sample_texts": on_text, "tokens_per_word": lengths},
    )
    ends = {member.role: [member.shown(id) for id in member.end_ids] for member in (target, guider)}
    told = (
        f"a text ends with {listed(ends[target.role])} for the target and with {listed(ends[guider.role])} for the "
        f"{guider.role}: taken for one another"
    )
    as_said = [f"{literal} is read as {text}" for literal, text in (pair.ref.roles or {}).items()]
    rest = len(sides[0].markers) - len(sides[0].ends) - len(as_said)
    told += f"; {listed(as_said)}" if as_said else ""
    told += f"; the target's other {rest} special tokens are not guided" if rest > 0 else ""
    yield Finding("ok", "roles", told, {**ends, "roles": pair.ref.roles or {}})


def coverage(tokens: list[bytes | None], order: ByteOrder) -> dict[str, float]:
    """The share of tokens that the guider has too, that one of its begins with, and that it says in several only."""
    counts = Counter(how_matched(each, order) for each in tokens if each)
    total = max(1, sum(counts.values()))
    return {name: counts[name] / total for name in WAYS}


def how_matched(token: bytes, order: ByteOrder) -> str:
    """Which of `WAYS` it is."""
    first, last = order.range(token)
    return WAYS[0] if token in order.places else WAYS[1] if first < last else WAYS[2]


def _sampled(member: Member) -> list[int]:
    assert member.tokenizer is not None
    return [id for text in SAMPLES for id in member.tokenizer(text, add_special_tokens=False)["input_ids"]]


def _shown(shares: dict[str, float]) -> str:
    return (
        f"{shares['exactly']:.1%} are its own too, {shares['by extension']:.1%} begin one of its own, "
        f"{shares['by prefix only']:.1%} take several of its own"
    )
