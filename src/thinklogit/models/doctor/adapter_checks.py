"""Checks of adapters: whether they fit the members they are for, and where their weights come to lie."""

from collections.abc import Iterator
from pathlib import Path

from thinklogit.core.errors import TrioError
from thinklogit.models.adapters import Adapter, changes_weights, misfit, read_adapter
from thinklogit.models.config import MemberRef, ThinkLogitConfig
from thinklogit.models.doctor.findings import Finding
from thinklogit.models.doctor.weight_checks import Sizes
from thinklogit.models.loading import locate
from thinklogit.models.members import Member, hub_options
from thinklogit.models.sharing import sharing

Adapters = dict[str, Adapter | TrioError]
"""The adapter of each member that wears one, or why it cannot be read."""


def read_adapters(members: dict[str, Member]) -> Adapters:
    """Read what adapters say of themselves, not their weights."""
    found: Adapters = {}
    for name, member in members.items():
        if member.ref.adapter:
            try:
                found[name] = read_adapter(*adapter_place(member), member.role)
            except TrioError as error:
                found[name] = error
    return found


def adapter_place(member: Member) -> tuple[str, dict]:
    """Where its adapter lies: a folder or hub id, and what else loaders must be told."""
    place, where = locate(MemberRef(model=member.ref.adapter or ""), member.root)
    return place, {key: value for key, value in where.items() if value is not None} | hub_options([place])


def shared_pairs(config: ThinkLogitConfig, members: dict[str, Member], adapters: Adapters) -> dict[str, str]:
    """Members that stand on the weights of the other of their pair, with an adapter that leaves those as they are."""
    pairs = sharing(config, {name: (member.place, member.where) for name, member in members.items()})
    return {
        wearer: plain
        for wearer, plain in pairs.items()
        if isinstance(adapter := adapters[wearer], Adapter) and not changes_weights(adapter.config)
    }


def held_bytes(
    config: ThinkLogitConfig, members: dict[str, Member], sizes: dict[str, Sizes], adapters: Adapters
) -> dict[str, int]:
    """What each member's weights add to memory, where that is known: what two members share counts once."""
    pairs = shared_pairs(config, members, adapters)
    held = {name: its.weight_bytes for name, its in sizes.items() if its.weight_bytes is not None}
    for name, adapter in adapters.items():
        own = adapter.weight_bytes or 0 if isinstance(adapter, Adapter) else 0
        held[name] = own if name in pairs else held.get(name, 0) + own
    return held


def check_adapters(config: ThinkLogitConfig, members: dict[str, Member], adapters: Adapters) -> Iterator[Finding]:
    """Do adapters fit, and how are they loaded?"""
    pairs = shared_pairs(config, members, adapters)
    for name, adapter in adapters.items():
        member = members[name]
        if isinstance(adapter, TrioError):
            yield Finding("error", "adapters", str(adapter), {"member": name})
            continue
        reason = misfit(adapter, member.config)
        if reason is not None:
            message = f"the adapter at {adapter.place} does not fit the {member.role}: {reason}"
            yield Finding("error", "adapters", message, {"member": name})
            continue
        yield from _made_for(member, adapter)
        yield _loaded(member, members[pairs[name]] if name in pairs else None)


def _made_for(member: Member, adapter: Adapter) -> Iterator[Finding]:
    made_for = adapter.config.base_model_name_or_path
    if made_for and _resolved(made_for) not in (_resolved(member.place), _resolved(member.ref.model)):
        gone = Path(made_for).is_absolute() and not Path(made_for).is_dir()
        message = f"the {member.role}'s adapter was made for {made_for}; the {member.role} is {member.place}"
        yield Finding("note" if gone else "warning", "adapters", message, {"member": member.name})


def _resolved(place: str) -> str:
    return str(Path(place).resolve()) if Path(place).is_dir() else place


def _loaded(member: Member, plain: Member | None) -> Finding:
    if plain is None:
        told, inside = "its adapter fits", "the adapter is merged while it is loaded"
    else:
        told = f"shares one copy of weights with the {plain.role} in transformers"
        inside = "the adapter is merged, two copies"
    if member.quantization:
        inside = "no adapter is merged into a quantized member: `thinklogit merge` it before"
    data = {"member": member.name, "shares_with": plain.name if plain else None}
    return Finding("ok", "adapters", f"{member.role}: {told}; inside vLLM {inside}", data)
