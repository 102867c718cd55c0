"""From a trio folder to members in memory, and back.

A folder holds config.json, generation_config.json and the tokenizer; members are loaded from wherever it refers to.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from thinklogit.core.errors import TrioError
from thinklogit.models.config import GuiderRef, MemberRef, ThinkLogitConfig

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
    members = {}
    for name, ref in config.member_refs.items():
        own = {option: values[name] for option, values in shares.items() if values[name] is not None}
        members[name] = load_member(name, ref, root, revision, {**hub, **own})
    model = cls(config, members)
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
    """Where to load from: a "./folder" lies inside the trio, folder or hub repository; all else stands for itself."""
    if not ref.model.startswith("./"):
        return ref.model, {} if ref.revision is None else {"revision": ref.revision}
    inside = ref.model.removeprefix("./")
    if Path(root).is_dir():
        return str(Path(root) / inside), {}
    return str(root), {"subfolder": inside, "revision": revision}


def quantization_config_of(values: dict[str, Any]) -> Any:
    """A config dictionary as the object that transformers' loaders take."""
    from transformers.quantizers.auto import AutoQuantizationConfig

    return AutoQuantizationConfig.from_dict(values)


def _with_adapter(member: PreTrainedModel, ref: MemberRef, root: str | Path, name: str) -> Any:
    try:
        from peft import PeftModel
    except ImportError:
        raise TrioError(f"the {name} has an adapter, which needs peft: pip install 'thinklogit[peft]'") from None
    place, where = locate(MemberRef(model=ref.adapter or ""), root)
    try:
        return PeftModel.from_pretrained(member, place, **where)
    except (OSError, ValueError) as error:
        raise TrioError(f"the adapter of the {name} at {place!r} could not be loaded: {_first_line(error)}") from None


def reference_to(member: PreTrainedModel) -> MemberRef:
    """How a trio's config refers to a model in memory: by where it came from, if from anywhere."""
    came_from = "" if hasattr(member, "peft_config") else lasting_path(member.config.name_or_path)
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
    for name in refs:
        member = model.member(name)
        if copy_members or model._referred.get(name) is not member:
            refs[name] = _save_member(name, member, folder, copy_members, kwargs)
        elif refs[name].model.startswith("./"):
            inside = Path(model.config.name_or_path) / refs[name].model
            if not inside.is_dir():
                raise TrioError(
                    f"the {name} lies inside {model.config.name_or_path!r}; pass copy_members=True to save it"
                )
            refs[name] = _replace(refs[name], model=str(inside.resolve()))
    config = ThinkLogitConfig(**with_refs(model.config, refs))
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)


def with_refs(config: ThinkLogitConfig, refs: dict[str, MemberRef]) -> dict[str, Any]:
    """The config's values with other references in place of its own."""
    guiders = [
        GuiderRef(
            guider=refs[f"guiders.{i}.guider"],
            base=refs[f"guiders.{i}.base"],
            alpha=pair.alpha,
            shared_ranges=pair.shared_ranges,
        ).settings()
        for i, pair in enumerate(config.guider_refs)
    ]
    kept = {name: getattr(config, name) for name in ("schedule", "warmup_tokens", "backed_ranges")}
    return {"target": refs["target"].settings(), "guiders": guiders, **kept}


def _save_member(name: str, member: Any, folder: Path, copy: bool, kwargs: dict[str, Any]) -> MemberRef:
    inside = name.replace("guiders.0.", "").replace("guiders.", "guider_").replace(".", "_")
    if hasattr(member, "peft_config"):
        below = member.get_base_model()
        came_from = below.config.name_or_path
        if not came_from:
            raise TrioError(f"the {name} wears an adapter on a model with no path: save that model first, then load it")
        member.save_pretrained(folder / f"{inside}-adapter", **kwargs)
        return MemberRef(
            model=lasting_path(came_from), adapter=f"./{inside}-adapter", config=config_values(below.config)
        )
    if not copy and member.config.name_or_path:
        return reference_to(member)
    member.save_pretrained(folder / inside, **kwargs)
    return MemberRef(model=f"./{inside}", config=config_values(member.config))


def _replace(ref: MemberRef, **changes: Any) -> MemberRef:
    return MemberRef(**{**ref.__dict__, **changes})


def _without_code(hub: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hub.items() if name != "trust_remote_code"}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
