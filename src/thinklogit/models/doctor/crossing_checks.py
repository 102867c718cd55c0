"""Checks of a guider with another tokenizer than the target's: can it read the target's text, how do the two differ?"""

from collections.abc import Iterator

from thinklogit.core.alignment import ByteOrder
from thinklogit.core.errors import TrioError
from thinklogit.models.cross.speakers import speaker
from thinklogit.models.doctor.findings import Finding, listed
from thinklogit.models.members import Member, Pair
from thinklogit.models.vocabularies import SAMPLES, compare


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
        tokens, own = speaker(target).tokens[: target.rows], speaker(guider).tokens[: guider.rows]
    except TrioError as error:
        yield Finding("error", "tokenizers", str(error))
        return
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
    yield Finding(
        "ok",
        "roles",
        f"a text ends with {listed(ends[target.role])} for the target and with {listed(ends[guider.role])} for the "
        f"{guider.role}: taken for one another",
        ends,
    )


def coverage(tokens: list[bytes | None], order: ByteOrder) -> dict[str, float]:
    """The share of tokens that the guider has too, that one of its begins with, and that it says in several only."""
    counts = {"exactly": 0, "by extension": 0, "by prefix only": 0}
    for each in tokens:
        if each:
            first, last = order.range(each)
            counts["exactly" if each in order.places else "by extension" if first < last else "by prefix only"] += 1
    total = max(1, sum(counts.values()))
    return {name: count / total for name, count in counts.items()}


def _sampled(member: Member) -> list[int]:
    assert member.tokenizer is not None
    return [id for text in SAMPLES for id in member.tokenizer(text, add_special_tokens=False)["input_ids"]]


def _shown(shares: dict[str, float]) -> str:
    return (
        f"{shares['exactly']:.1%} are its own too, {shares['by extension']:.1%} begin one of its own, "
        f"{shares['by prefix only']:.1%} take several of its own"
    )
