"""From a trio folder to members in memory, and back.

A folder holds config.json, generation_config.json and the tokenizer; members are loaded from wherever it refers to.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from thinklogit.core.errors import TrioError
from thinklogit.models.adapters import bare, changes_weights, put_on, wears_adapter
from thinklogit.models.config import MemberRef, ThinkLogitConfig
from thinklogit.models.cross.speakers import languages_of
from thinklogit.models.sharing import can_share, other_of, share_weights, sharing, stand

PER_MEMBER = ("dtype", "torch_dtype", "device_map", "quantization_config", "attn_implementation")
HUB = ("token", "cache_dir", "local_files_only", "force_download", "trust_remote_code")


def load_trio(cls: type, root: str | Path, config: ThinkLogitConfig | None, kwargs: dict[str, Any]) -> Any:
    """Load every member the trio at `root` refers to, and compose them; see `ThinkLogitForCausalLM.from_pretrained`."""
    hub = {name: kwargs[name] for name in HUB if kwargs.get(name) is not None}
    revision = kwargs.get("revision")
    if config is None:
        config = read_config(root, revision=revision, **hub)
    if config._asked_attention is not None:
        kwargs = {"attn_implementation": config._asked_attention, **kwargs}
    shares = {name: per_member(name, kwargs[name], config) for name in PER_MEMBER if kwargs.get(name) is not None}
    options = {
        name: hub | {option: values[name] for option, values in shares.items() if values[name] is not None}
        for name in config.member_refs
    }
    members = load_members(config, root, revision, options)
    model = cls(config, members)
    model.languages = languages_of(config, root, {**hub, "revision": revision})
    model.eval()
    placed = {name: getattr(member, "hf_device_map", None) for name, member in members.items()}
    if any(placed.values()):  # transformers and its pipelines look here for what they may move or compile
        model.hf_device_map = {
            f"{name}.{part}": at for name, each in placed.items() for part, at in (each or {}).items()
        }
    try:
        model.generation_config = GenerationConfig.from_pretrained(
            root, revision=revision or "main", **_without_code(hub)
        )
    except OSError:
        model.generation_config = members["target"].generation_config
    return model


def read_config(root: str | Path, **hub: Any) -> ThinkLogitConfig:
    """The config of the trio at `root`. Raises TrioError when there is none."""
    try:
        config = AutoConfig.from_pretrained(root, **hub)
    except (OSError, ValueError) as error:
        raise TrioError(
            f"{root}: no trio could be read there ({_first_line(error)}); write one with `thinklogit compose`"
        ) from None
    if not isinstance(config, ThinkLogitConfig):
        raise TrioError(
            f"{root}: expected a trio folder, found a {config.model_type!r} model; "
            "`thinklogit compose` makes a trio of three models"
        )
    return config


def per_member(option: str, value: Any, config: ThinkLogitConfig) -> dict[str, Any]:
    """Spread an option over the members: one value for all, or a dictionary by name or by role."""
    names = list(config.member_refs)
    if not isinstance(value, Mapping) or not _keyed_by_member(value, names):
        return dict.fromkeys(names, value)
    roles = {name: name.rsplit(".", 1)[-1] for name in names}
    return {name: value.get(name, value.get(roles[name])) for name in names}


def _keyed_by_member(value: Mapping[str, Any], names: list[str]) -> bool:
    """A quantization config is a dictionary too, but not one whose keys are members."""
    return bool(value) and set(value) <= {*names, "target", "guider", "base"}


def load_members(
    config: ThinkLogitConfig, root: str | Path, revision: str | None, options: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Load all members, each checkpoint of a pair that shares it once. `options` are for each by name."""
    refs = config.member_refs
    pairs = sharing(config, {name: locate(ref, root, revision) for name, ref in refs.items()})
    pairs = {wearer: plain for wearer, plain in pairs.items() if options[wearer] == options[plain]}
    members = {
        name: load_member(name, ref, root, revision, options[name]) for name, ref in refs.items() if name not in pairs
    }
    for wearer, plain in pairs.items():
        if not can_share(members[plain]):
            members[wearer] = load_member(wearer, refs[wearer], root, revision, options[wearer])
            continue
        before = stand(members[plain])
        members[wearer] = _with_adapter(bare(members[plain]), refs[wearer], root, wearer)
        if stand(members[plain]) != before:  # the adapter wrote into the weights that the two share
            members[plain] = load_member(plain, refs[plain], root, revision, options[plain])
    return members


def load_member(
    name: str, ref: MemberRef, root: str | Path, revision: str | None, kwargs: dict[str, Any]
) -> PreTrainedModel:
    """Load one member. Raises TrioError, naming its role, when it cannot be."""
    if not ref.model:
        raise TrioError(f"{root}: its {name} was never saved; save the trio again with save_pretrained")
    place, where = locate(ref, root, revision)
    if ref.dtype is not None:
        kwargs = {"dtype": ref.dtype, **kwargs}
    if ref.quantization_config is not None:
        kwargs = {"quantization_config": quantization_config_of(ref.quantization_config), **kwargs}
    try:
        member = AutoModelForCausalLM.from_pretrained(place, **where, **kwargs)
    except (OSError, ValueError) as error:
        raise TrioError(f"the {name} at {place!r} could not be loaded: {_first_line(error)}") from None
    return member if ref.adapter is None else _with_adapter(member, ref, root, name)


def locate(ref: MemberRef, root: str | Path, revision: str | None = None) -> tuple[str, dict[str, Any]]:
    """Where to load from: a "./folder" lies inside the trio, folder or hub repository; all else stands for itself.

    A "../folder" lies beside the trio's folder.
    """
    if not ref.model.startswith(("./", "../")):
        return ref.model, {} if ref.revision is None else {"revision": ref.revision}
    inside = ref.model.removeprefix("./")
    if Path(root).is_dir():
        return os.path.normpath(Path(root) / inside), {}
    return str(root), {"subfolder": inside, "revision": revision}


def quantization_config_of(values: dict[str, Any]) -> Any:
    """A config dictionary as the object that transformers' loaders take."""
    from transformers.quantizers.auto import AutoQuantizationConfig

    return AutoQuantizationConfig.from_dict(values)


def _with_adapter(member: PreTrainedModel, ref: MemberRef, root: str | Path, name: str) -> Any:
    place, where = locate(MemberRef(model=ref.adapter or ""), root)
    return put_on(member, place, where, name)


def reference_to(member: PreTrainedModel) -> MemberRef:
    """How a trio's config refers to a model in memory: by where it came from, if from anywhere."""
    came_from = "" if wears_adapter(member) else lasting_path(member.config.name_or_path)
    return MemberRef(model=came_from, config=config_values(member.config))


def lasting_path(name_or_path: str | None) -> str:
    """A hub id as it is; a local folder by its absolute path, which holds wherever the trio is read from."""
    if name_or_path and Path(name_or_path).is_dir():
        return str(Path(name_or_path).resolve())
    return name_or_path or ""


def config_values(config: Any) -> dict[str, Any]:
    """A member's config as it goes into the trio's: without what only says where it lay."""
    values = config.to_dict()
    for name in ("_name_or_path", "transformers_version", "quantization_config"):
        values.pop(name, None)
    return values


def save_trio(model: Any, folder: Path, copy_members: bool, kwargs: dict[str, Any]) -> None:
    """Write the trio; see `ThinkLogitForCausalLM.save_pretrained`."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = model.config.member_refs
    members = {name: model.member(name) for name in refs}
    for name in sorted(refs, key=lambda name: wears_adapter(members[name])):  # first what an adapter may refer to
        if not copy_members and model._referred.get(name) is members[name]:
            refs[name] = still_there(name, refs[name], model.config.name_or_path)
        elif wears_adapter(members[name]):
            refs[name] = _save_wearer(name, members, refs, folder, copy_members, kwargs)
        else:
            refs[name] = _save_member(name, members[name], folder, copy_members, kwargs)
    config = ThinkLogitConfig(**with_refs(model.config, refs))
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)


def with_refs(config: ThinkLogitConfig, refs: dict[str, MemberRef]) -> dict[str, Any]:
    """The config's values with other references in place of its own."""
    guiders = [
        replace(pair, guider=refs[f"guiders.{i}.guider"], base=refs[f"guiders.{i}.base"]).settings()
        for i, pair in enumerate(config.guider_refs)
    ]
    kept = {name: getattr(config, name) for name in ("schedule", "warmup_tokens", "backed_ranges")}
    return {"target": refs["target"].settings(), "guiders": guiders, **kept}


def still_there(name: str, ref: MemberRef, root: str) -> MemberRef:
    """The reference as it holds from another folder: what lies inside this trio, by its full path."""
    for what, place in (("model", ref.model), ("adapter", ref.adapter)):
        if place and place.startswith("./"):
            inside = Path(root) / place
            if not inside.is_dir():
                raise TrioError(f"the {name} lies inside {root!r}, no folder here; pass copy_members=True to save it")
            ref = replace(ref, **{what: str(inside.resolve())})
    return ref


def _save_member(name: str, member: Any, folder: Path, copy: bool, kwargs: dict[str, Any]) -> MemberRef:
    if not copy and member.config.name_or_path:
        return reference_to(member)
    member.save_pretrained(folder / folder_of(name), **kwargs)
    return MemberRef(model=f"./{folder_of(name)}", config=config_values(member.config))


def _save_wearer(
    name: str, members: dict[str, Any], refs: dict[str, MemberRef], folder: Path, copy: bool, kwargs: dict[str, Any]
) -> MemberRef:
    """Write an adapter; the model under it is referred to, as its base where the two share their weights."""
    member, inside = members[name], folder_of(name)
    below = member.get_base_model()
    other = other_of(name)
    if other and not wears_adapter(members[other]) and share_weights(member, members[other]):
        ref = refs[other]
    elif below.config.name_or_path and not copy:
        ref = MemberRef(model=lasting_path(below.config.name_or_path), config=config_values(below.config))
    elif any(changes_weights(config) for config in member.peft_config.values()):
        raise TrioError(f"the {name} wears an adapter that changed the weights of its model: save that model first")
    else:
        ref = _save_member(name, bare(member), folder, True, kwargs)
    member.save_pretrained(folder / f"{inside}-adapter", **kwargs)
    return replace(ref, adapter=f"./{inside}-adapter")


def folder_of(name: str) -> str:
    """The folder of a member inside the trio's: guider, base; guider_1_base of a second pair."""
    return name.replace("guiders.0.", "").replace("guiders.", "guider_").replace(".", "_")


def _without_code(hub: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hub.items() if name != "trust_remote_code"}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
