"""What each member's tokenizer and configs say about its language."""

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

    crossing = [index for index, pair in enumerate(config.guider_refs) if pair.crosses]
    if not crossing:
        return {}
    refs = config.member_refs
    names = ["target", *(f"guiders.{index}.guider" for index in crossing)]
    members = read_members({name: refs[name] for name in names}, root)
    target = speaker(members["target"])
    return {
        index: Languages(
            target, speaker(members[f"guiders.{index}.guider"]), members[f"guiders.{index}.guider"].tokenizer
        )
        for index in crossing
    }


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
