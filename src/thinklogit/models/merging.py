"""Adapters merged into plain checkpoints: what is written can be served, quantized and drafted with anywhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from transformers import GenerationConfig

from thinklogit.core.errors import TrioError
from thinklogit.models.adapters import misfit, read_adapter
from thinklogit.models.config import MemberRef, ThinkLogitConfig
from thinklogit.models.doctor.adapter_checks import adapter_place
from thinklogit.models.loading import config_values, folder_of, load_member, read_config, still_there, with_refs
from thinklogit.models.members import Member, hub_options, read_members
from thinklogit.models.places import find_trio, write_folder
from thinklogit.models.trios import load_tokenizer


class Merged(NamedTuple):
    """A trio folder without adapters, and the folders in it of the members that wore one, by role."""

    folder: Path
    checkpoints: dict[str, Path]


def merge(trio: str | Path, out: str | Path) -> Merged:
    """Write a trio whose members wear no adapter: each that wore one as a plain checkpoint, others referred to.

    A merged member is saved in the dtype it is loaded in: bfloat16 rounds what the adapter adds. One that is to be
    quantized at loading is merged before that, and still is to be quantized.

    Args:
        trio: a trio folder, or hub id.
        out: the folder to write, new or empty; merged members go into "guider", "base", ... inside.

    Raises:
        TrioError: no adapter there, one that does not fit, a quantized member, or a folder that is not empty.
    """
    root, out = find_trio(trio), Path(out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrioError(f"{out}: is there already; name a new or empty folder to write the merged trio to")
    config = read_config(root, **hub_options([root]))
    if not any(ref.adapter for ref in config.member_refs.values()):
        raise TrioError(f"{trio}: none of its members wears an adapter, so there is nothing to merge")
    members = {name: each for name, each in read_members(config.member_refs, root).items() if each.ref.adapter}
    for member in members.values():
        _check(member)
    write_folder(out, lambda folder: _write(config, root, members, folder))
    return Merged(out, {member.role: out / folder_of(name) for name, member in members.items()})


def _check(member: Member) -> None:
    """Before any weight is read."""
    if getattr(member.config, "quantization_config", None):
        raise TrioError(
            f"the {member.role}'s checkpoint is quantized, and merging would round its adapter away; "
            "compose with the checkpoint that it was made of, merge, and quantize that"
        )
    adapter = read_adapter(*adapter_place(member), member.role)
    if reason := misfit(adapter, member.config):
        raise TrioError(f"the adapter at {adapter.place} does not fit the {member.role}: {reason}")


def _write(config: ThinkLogitConfig, root: str, members: dict[str, Member], folder: Path) -> None:
    refs = {name: still_there(name, ref, root) for name, ref in config.member_refs.items() if name not in members}
    refs |= {name: _write_merged(member, folder) for name, member in members.items()}
    written = ThinkLogitConfig(**with_refs(config, {name: refs[name] for name in config.member_refs}))
    written.architectures = config.architectures
    GenerationConfig.from_pretrained(root).to_json_file(folder / "generation_config.json")
    load_tokenizer(root).save_pretrained(folder)
    written.save_pretrained(folder)


def _write_merged(member: Member, folder: Path) -> MemberRef:
    inside = folder_of(member.name)
    model = merged(member.role, replace(member.ref, quantization_config=None), member.root)
    model.save_pretrained(folder / inside)  # with its generation config
    if member.tokenizer is not None:
        member.tokenizer.save_pretrained(folder / inside)
    kept = replace(member.ref, revision=None, adapter=None)
    return replace(kept, model=f"./{inside}", config=config_values(model.config))


def merged(role: str, ref: MemberRef, root: str | Path, revision: str | None = None, **how: Any) -> Any:
    """A member in memory with its adapter merged into its weights: an ordinary model. Raises TrioError."""
    worn: Any = load_member(role, ref, root, revision, how)
    try:
        return worn.merge_and_unload(safe_merge=True)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise TrioError(f"the adapter of the {role} cannot be merged: {reason}") from None
