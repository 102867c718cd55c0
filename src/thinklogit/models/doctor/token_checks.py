"""Checks of what members read and write: tokenizers, rows of logits, ends and beginnings of texts, context."""

from collections.abc import Iterator

from thinklogit.models.config import Ranges, ThinkLogitConfig
from thinklogit.models.doctor import crossing_checks
from thinklogit.models.doctor.findings import Finding, listed
from thinklogit.models.members import Member, Pair, pairs_of
from thinklogit.models.vocabularies import SAMPLES, Comparison, backed_ids, backed_ranges, compare, shared_ranges

LISTED = 5
"""Examples a message gives."""
PAPER_NEW_TOKENS = 8192
"""New tokens a completion has in the paper's protocol, arXiv 2507.12759."""


def check_tokenizers(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    """Do guiders and bases mean the same by an id as the target, and cut texts alike?"""
    target = members["target"]
    for pair in pairs_of(config, members):
        if pair.ref.crosses:
            yield from crossing_checks.check_pair(target, pair)
    for member in members.values():
        if member is target or member.name in crossing_names(config):
            continue
        if member.tokenizer is None:
            yield Finding(
                "warning",
                "tokenizers",
                f"{member.role}: has no tokenizer of its own; taken to use the target's, unchecked",
            )
            continue
        yield from _compared(target, member, compare(target, member))


def same_tokens(config: ThinkLogitConfig, members: dict[str, Member]) -> list[Pair]:
    """The pairs that have the target's tokenizer."""
    return [pair for pair in pairs_of(config, members) if not pair.ref.crosses]


def crossing_names(config: ThinkLogitConfig) -> set[str]:
    """The members that read in tokens of their own."""
    return set(config.member_configs) - set(config.cached_configs)


def _compared(target: Member, member: Member, found: Comparison) -> Iterator[Finding]:
    data = {"member": member.name, "same": found.same, "total": found.total, "share": found.share}
    part = f"{found.same:,} of the target's {found.total:,} ids ({found.share:.2%})"
    if found.foreign:
        yield Finding(
            "error",
            "tokenizers",
            f"{member.role}: another tokenizer: {part} mean the same; the guider has the target's, and the two must "
            "read the same tokens: choose the model that the guider was made from"
            if member.name.endswith(".base")
            else f"{member.role}: another tokenizer: {part} mean the same, but config.json takes it for the target's; "
            "compose the trio again",
            data,
        )
        return
    if found.same == found.total:
        yield Finding("ok", "tokenizers", f"{member.role}: the target's, id for id ({found.total:,} entries)", data)
    else:
        yield _overlapping(member, found, part, data)
    if found.ends:
        names = listed(
            [f"{end.id} is {end.target!r} to the target and {end.other!r} to the {member.role}" for end in found.ends]
        )
        yield Finding(
            "note", "tokenizers", f"{member.role}: ends a text with the target's id under another name: {names}"
        )
    if found.cut_otherwise:
        yield Finding(
            "warning",
            "tokenizers",
            f"{member.role}: cuts {len(found.cut_otherwise)} of {len(SAMPLES)} sample texts into other ids than the "
            f"target, such as {found.cut_otherwise[0]!r}; it will read the target's, unlike those it was trained on",
            {"member": member.name, "texts": found.cut_otherwise},
        )


def _overlapping(member: Member, found: Comparison, part: str, data: dict) -> Finding:
    reasons = []
    if found.differing:
        shown = [f"{each.id} is {each.target!r} there and {each.other!r} here" for each in found.differing[:LISTED]]
        rest = len(found.differing) - len(shown)
        reasons.append("; ".join(shown) + (f"; and {rest:,} more" if rest else ""))
    if found.lacking:
        shown = ", ".join(str(id) for id in found.lacking[:LISTED])
        rest = len(found.lacking) - LISTED
        reasons.append(f"no entry for {shown}" + (f" and {rest:,} more" if rest > 0 else ""))
    apart = {
        "differing": [each._asdict() for each in found.differing[:100]],
        "differing_count": len(found.differing),
        "lacking_count": len(found.lacking),
    }
    message = f"{member.role}: {part} mean the same; the others get no guidance: {'; '.join(reasons)}"
    return Finding("warning", "tokenizers", message, {**data, **apart})


def check_rows(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    """Do rows of logits and tokenizer entries agree, within each member and with the trio's config?"""
    target = members["target"]
    ids = backed_ids(target)
    unbacked = target.rows - len(ids)
    data = {"rows": {member.name: member.rows for member in members.values()}, "entries": len(target.tokens)}
    if unbacked:
        message = f"the target has {target.rows:,} rows for {len(ids):,} tokens; the other {unbacked:,} rows are masked"
        yield Finding("note", "vocabulary", message, data)
    else:
        yield Finding("ok", "vocabulary", f"each of the target's {target.rows:,} rows has a token", data)
    beyond = [id for id in target.tokens if id >= target.rows]
    if beyond:
        yield Finding(
            "warning",
            "vocabulary",
            f"the target's tokenizer has entries without a row ({len(beyond):,}), such as {target.shown(beyond[0])}; "
            "a prompt that holds one cannot be read",
        )
    for member in members.values():
        if ids and member.rows <= ids[-1] and member.name not in crossing_names(config):
            lost = [id for id in ids if id >= member.rows]
            yield Finding(
                "error",
                "vocabulary",
                f"the {member.role} has {member.rows:,} rows and cannot read {len(lost):,} of the target's tokens, "
                f"such as {target.shown(lost[0])}; widen it with resize_token_embeddings({ids[-1] + 1}) and save it",
                {"member": member.name, "first": lost[0], "count": len(lost)},
            )
    yield from _ranges_up_to_date(config, members)


def _ranges_up_to_date(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    target = members["target"]
    worked_out = backed_ranges(target)
    if _rows_in(config.backed_ranges, target.rows) != _rows_in(worked_out, target.rows):
        yield Finding(
            "warning",
            "vocabulary",
            f"config.json takes the rows {_ranges_text(config.backed_ranges)} to have a token, the tokenizer says "
            f"{_ranges_text(worked_out)}; compose the trio again",
            {"stated": config.backed_ranges, "worked_out": worked_out},
        )
    backed = _rows_in(worked_out, target.rows)
    for pair in same_tokens(config, members):
        shared = shared_ranges(target, pair.guider, pair.base)
        if _rows_in(pair.ref.shared_ranges, target.rows) & backed != _rows_in(shared, target.rows) & backed:
            yield Finding(
                "warning",
                "vocabulary",
                f"config.json takes the rows {_ranges_text(pair.ref.shared_ranges)} to mean the same to target, "
                f"{pair.guider.role} and {pair.base.role}, their tokenizers say {_ranges_text(shared)}; "
                "compose the trio again",
                {"stated": pair.ref.shared_ranges, "worked_out": shared},
            )


def _rows_in(ranges: Ranges | None, rows: int) -> set[int]:
    return set(range(rows)) if ranges is None else {row for start, stop in ranges for row in range(start, stop)}


def _ranges_text(ranges: Ranges | None) -> str:
    if ranges is None:
        return "all"
    shown = ", ".join(f"{start} to {stop - 1}" for start, stop in ranges[:LISTED])
    return shown + (f" and {len(ranges) - LISTED} more stretches" if len(ranges) > LISTED else "")


def check_ends(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    """Does a guider end its texts with a token that ends the target's?"""
    target = members["target"]
    data = {
        member.name: [{"id": id, "token": member.tokens.get(id)} for id in member.end_ids]
        for member in members.values()
    }
    if not target.end_ids:
        yield Finding(
            "warning",
            "end of text",
            "the target names no end token in generation config or tokenizer: every text runs to its token limit",
            data,
        )
        return
    ends = listed([target.shown(id) for id in target.end_ids])
    level = "ok"
    for pair in same_tokens(config, members):
        for finding in _guider_ends(target, pair):
            level = "note"
            yield finding
    same = level == "ok" and all(set(member.end_ids) == set(target.end_ids) for member in members.values())
    who = "every member ends" if same else "the target, and so the trio, ends"
    yield Finding("ok" if same else "note", "end of text", f"{who} a text with {ends}", data)


def _guider_ends(target: Member, pair: Pair) -> Iterator[Finding]:
    guider = pair.guider
    lost = [id for id in guider.end_ids if id not in target.end_ids]
    if lost:
        also = " as well" if len(lost) < len(guider.end_ids) else ""
        yield Finding(
            "warning",
            "end of text",
            f"the {guider.role} ends a text with {listed([guider.shown(id) for id in lost])}{also}, which ends none of "
            "the target's: where guidance wants to stop, the text may run on; if the target means the same by it, add "
            "it to eos_token_id in the trio's generation_config.json",
            {"member": guider.name, "lost": lost},
        )
    if not guider.end_ids:
        yield Finding("note", "end of text", f"the {guider.role} names no end token; guidance may not favour stopping")


def check_beginnings(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    """Does any member expect a beginning token that the target's prompts lack, or the other way round?"""
    target = members["target"]
    own = [target.shown(id) for id in target.opening_ids]
    begins = f"begins every text with {listed(own)}" if own else "puts nothing before a text"
    others = [
        member
        for member in members.values()
        if member.tokenizer is not None and member is not target and member.name not in crossing_names(config)
    ]
    apart = [member for member in others if member.opening_ids != target.opening_ids]
    data = {member.name: member.opening_ids for member in [target, *others]}
    for member in apart:
        expected = listed([member.shown(id) for id in member.opening_ids]) if member.opening_ids else "nothing"
        message = f"the {member.role} expects {expected} before a text, the target {begins}"
        yield Finding("warning", "beginning of text", f"{message}: it reads the target's prompt as it is", data)
    if not apart:
        yield Finding("ok", "beginning of text", f"the target {begins}, as the others expect", data)


def check_templates(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    """Are chat prompts rendered as each member knows them?"""
    own = _template(members["target"])
    if own is None:
        message = "the target has no chat template: give prompts as plain text, as the paper does"
        yield Finding("note", "chat template", message)
        return
    apart = [
        member.role
        for member in members.values()
        if member.tokenizer is not None and member.name not in crossing_names(config) and _template(member) != own
    ]
    if apart:
        message = (
            f"{listed(apart)} {'has' if len(apart) == 1 else 'have'} another than the target, whose template all read; "
            "plain-text prompts, as in the paper, avoid the difference"
        )
        yield Finding("note", "chat template", message, {"differ": apart})
    else:
        yield Finding("ok", "chat template", "the same for all members")


def _template(member: Member) -> str | dict | None:
    return None if member.tokenizer is None else member.tokenizer.chat_template


def check_caps(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    """Which members cap their logits?"""
    for member in members.values():
        cap = getattr(member.text_config, "final_logit_softcapping", None)
        if cap is not None:
            after = ", and put on again after" if member.name == "target" else ""
            message = f"the {member.role} caps its logits softly at {cap:g}; the cap is taken off before fusing{after}"
            yield Finding("note", "logits", message, {"member": member.name, "cap": cap})


def check_context(config: ThinkLogitConfig, members: dict[str, Member]) -> Iterator[Finding]:
    """How long can prompt and completion be together before a member leaves the positions it knows?"""
    contexts = {member.name: member.context_tokens for member in members.values()}
    known = {name: tokens for name, tokens in contexts.items() if tokens is not None}
    if not known:
        return
    shortest = min(known.values())
    which = [members[name].role for name, tokens in known.items() if tokens == shortest]
    data = {"context_tokens": contexts, "shortest": shortest}
    if len(set(contexts.values())) == 1:
        yield Finding("ok", "context", f"every member holds {shortest:,} tokens, prompt and completion together", data)
        return
    paper = f" (the paper's completions alone have {PAPER_NEW_TOKENS:,})" if shortest <= PAPER_NEW_TOKENS else ""
    behind = "target" not in which
    others = f"; the target holds {_tokens_text(contexts['target'])}" if behind else ""
    message = (
        f"{listed(which)} {'holds' if len(which) == 1 else 'hold'} {shortest:,} tokens, prompt and completion together"
        f"{paper}{others}; longer requests are refused, unless decoding "
        "past the context is allowed" + (", and there the delta comes from positions never trained" if behind else "")
    )
    yield Finding("warning" if behind else "note", "context", message, data)


def _tokens_text(tokens: int | None) -> str:
    return "any number" if tokens is None else f"{tokens:,}"
