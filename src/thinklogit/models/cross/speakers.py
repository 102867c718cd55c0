"""What each member's tokenizer and configs say about its language."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinklogit.core.errors import TrioError
from thinklogit.models.config import ThinkLogitConfig
from thinklogit.models.cross.languages import Languages, Speaker
from thinklogit.models.cross.token_bytes import special_tokens, token_bytes
from thinklogit.models.cross.turns import Turns


def languages_of(config: ThinkLogitConfig, root: str | Path, hub: dict[str, Any]) -> dict[int, Languages]:
    """Of each guider that has another tokenizer than the target, by its place. Raises TrioError."""
    from thinklogit.models.members import read_members  # which itself needs loading

    if not config.crossing:
        return {}
    refs = config.member_refs
    names = ["target", *(f"guiders.{index}.guider" for index in config.crossing)]
    members = read_members({name: refs[name] for name in names}, root)
    target = speaker(members["target"])
    found = {}
    for index in config.crossing:
        guider = members[f"guiders.{index}.guider"]
        sides = with_roles(target, speaker(guider), config.guider_refs[index].roles or {})
        found[index] = Languages(*sides, guider.tokenizer)
    return found


def with_roles(target: Speaker, guider: Speaker, roles: Mapping[str, str]) -> tuple[Speaker, Speaker]:
    """Let special tokens of the target's be what the guider has in their place. Raises TrioError for unknown ones."""
    ids = {literal: id for id, literal in target.markers.items()}
    spoken, own = list(target.tokens), list(guider.tokens)
    for literal, text in roles.items():
        if literal not in ids:
            raise TrioError(
                f"roles: {literal!r} is no special token of the target's; it has {', '.join(map(repr, sorted(ids)))}"
            )
        if not text:
            raise TrioError(f"roles: {literal!r} is to stand for what the guider has in its place; got an empty text")
        spoken[ids[literal]] = text.encode()
        for id, marker in guider.markers.items():
            if marker == text:
                own[id] = text.encode()
    return target._replace(tokens=spoken, roles=dict(roles)), guider._replace(tokens=own)


def speaker(member: Any) -> Speaker:
    """What one member says in. Raises TrioError where its tokens cannot be turned into bytes, or it ends no text."""
    if member.tokenizer is None:
        raise TrioError(f"the {member.role} at {member.place} has no tokenizer, and needs one of its own to read in")
    if not member.end_ids:
        raise TrioError(
            f"the {member.role} at {member.place} names no end token; set eos_token_id in its generation_config.json"
        )
    tokens = token_bytes(member.tokenizer)
    turns = Turns(member.tokenizer) if member.tokenizer.chat_template else None
    return Speaker(tokens, special_tokens(member.tokenizer), member.end_ids, member.opening_ids, member.rows, turns)
