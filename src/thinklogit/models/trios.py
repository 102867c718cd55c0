"""Trios by name: load one, or compose one of three models."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from transformers import AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.core.schedules import check_guidance
from thinklogit.models.composite import ThinkLogitForCausalLM
from thinklogit.models.config import GuiderRef, MemberRef, ThinkLogitConfig
from thinklogit.models.doctor.examine import examine_members
from thinklogit.models.doctor.findings import Finding
from thinklogit.models.loading import HUB, config_values, locate, read_config
from thinklogit.models.members import Member, hub_options, read_member_config, read_members, role_of
from thinklogit.models.places import check_writable, find_trio, reference, write_folder
from thinklogit.models.vocabularies import backed_ranges, crosses, shared_ranges

Model = str | Path | MemberRef
"""A hub id or path, or a MemberRef where revision, dtype, quantization or an adapter are to be said."""


class LoadedTrio(NamedTuple):
    """A trio in memory and the tokenizer it reads and writes with, the target's."""

    model: ThinkLogitForCausalLM
    tokenizer: PreTrainedTokenizerBase


class Draft(NamedTuple):
    """A trio not yet written: its config, and what its members say about themselves."""

    config: ThinkLogitConfig
    members: dict[str, Member]


class Composed(NamedTuple):
    """A trio folder, and what its examination found."""

    folder: Path
    findings: list[Finding]


def load(trio: str | Path, **kwargs: Any) -> LoadedTrio:
    """Load a trio with its tokenizer: `model, tokenizer = thinklogit.load("mini")`.

    Args:
        trio: "mini" for the one in the package, a trio folder, or a hub id.
        **kwargs: as `ThinkLogitForCausalLM.from_pretrained` takes them: dtype, device_map, quantization_config, ...

    Raises:
        TrioError: no trio there, a member that is missing, or a tokenizer that cannot pad.
    """
    root = find_trio(trio)
    hub = {name: kwargs[name] for name in (*HUB, "revision") if kwargs.get(name) is not None}
    config = kwargs.get("config") or read_config(root, **{**hub_options([root]), **hub})
    _check_members_there(config, root, {name: value for name, value in hub.items() if name != "revision"})
    tokenizer = load_tokenizer(root, hub)
    model = ThinkLogitForCausalLM.from_pretrained(root, **kwargs)
    if model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    return LoadedTrio(model, tokenizer)


def _check_members_there(config: ThinkLogitConfig, root: str, hub: dict[str, Any]) -> None:
    """Before the first weight is read: a large target takes minutes."""
    refs = config.member_refs
    hub = {**hub_options(locate(ref, root)[0] for ref in refs.values()), **hub}
    for name, ref in refs.items():
        if ref.model:
            place, where = locate(ref, root)
            where = {key: value for key, value in where.items() if value is not None}
            read_member_config(role_of(name, refs), place, {**where, **hub})


def load_tokenizer(root: str, hub: Mapping[str, Any] = MappingProxyType({})) -> PreTrainedTokenizerBase:
    """The tokenizer of a trio, the target's. Raises TrioError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(root, padding_side="left", **hub)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise TrioError(f"{root}: its tokenizer cannot be read ({reason}); compose the trio again") from None
    if tokenizer is None or len(tokenizer) <= 1:
        raise TrioError(f"{root}: holds no tokenizer; compose the trio again")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise TrioError(
                f"{root}: its tokenizer has neither a padding nor an end token; set tokenizer.pad_token and save it"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def compose(
    target: Model,
    guider: Model | Sequence[Model],
    base: Model | Sequence[Model],
    out: str | Path,
    *,
    alpha: float | Sequence[float] = 1.0,
    warmup_tokens: int = 100,
    schedule: str = "warmup",
) -> Composed:
    """Write a trio folder: config, generation config and the target's tokenizer. Loads and copies no weights.

    Args:
        target: the large model to be guided.
        guider: the small reasoner, or several.
        base: what the guider was before its reasoning training; one for each guider.
        out: the folder to write: new, empty, a trio, or the folder that the members lie in. Members inside it are
            referred to as "./name", so that the whole can be moved.
        alpha: strength of guidance, one for all guiders or one for each.
        warmup_tokens: generated tokens decoded with alpha 0 before guidance begins.
        schedule: a name in `thinklogit.core.schedules.SCHEDULES`.

    Raises:
        OptionError: an alpha, warm-up or schedule that cannot be, or not as many bases as guiders.
        TrioError: members that cannot be read or do not go together, or a folder that is not to be overwritten.
    """
    out = Path(out).expanduser()
    drafted = draft(target, guider, base, out=out, alpha=alpha, warmup_tokens=warmup_tokens, schedule=schedule)
    places = [Path(ref.model) for ref in drafted.config.member_refs.values()]
    beside = all(not place.is_absolute() and (out / place).parent == out for place in places)
    check_writable(out, _is_trio, holds_members=beside)
    findings = examine_members(drafted.config, drafted.members, compare_weights=False)
    errors = [finding.message for finding in findings if finding.level == "error"]
    if errors:
        raise TrioError(f"these do not make a trio: {'; '.join(errors)}")
    write_folder(out, lambda folder: _write(drafted, folder))
    return Composed(out, findings)


def draft(
    target: Model,
    guider: Model | Sequence[Model],
    base: Model | Sequence[Model],
    *,
    out: str | Path = ".",
    alpha: float | Sequence[float] = 1.0,
    warmup_tokens: int = 100,
    schedule: str = "warmup",
) -> Draft:
    """Read the members of a trio and work its config out; see `compose`. Nothing is written."""
    guiders, bases = _several(guider), _several(base)
    if len(guiders) != len(bases):
        raise OptionError(f"each guider needs its base; got {len(guiders)} of guider and {len(bases)} of base")
    alphas = [alpha] * len(guiders) if isinstance(alpha, int | float) else list(alpha)
    if len(alphas) != len(guiders):
        raise OptionError(f"alpha must be one number or one for each of {len(guiders)} guiders; got {len(alphas)}")
    for each in alphas:
        check_guidance(schedule, each, warmup_tokens)
    named = {"target": target}
    for index, (each_guider, each_base) in enumerate(zip(guiders, bases, strict=True)):
        named |= {f"guiders.{index}.guider": each_guider, f"guiders.{index}.base": each_base}
    refs = {name: _referred(model, Path(out), role_of(name, named)) for name, model in named.items()}
    members = read_members(refs, out)
    embedded = {name: replace(ref, config=config_values(members[name].config)) for name, ref in refs.items()}
    config = ThinkLogitConfig(
        target=embedded["target"].settings(),
        guiders=[_pair(index, each, embedded, members).settings() for index, each in enumerate(alphas)],
        schedule=schedule,
        warmup_tokens=warmup_tokens,
        backed_ranges=backed_ranges(members["target"]),
        architectures=[ThinkLogitForCausalLM.__name__],
    )
    return Draft(config, members)


def _pair(index: int, alpha: float, refs: dict[str, MemberRef], members: dict[str, Member]) -> GuiderRef:
    guider, base = f"guiders.{index}.guider", f"guiders.{index}.base"
    if crosses(members["target"], members[guider]):
        return GuiderRef(refs[guider], refs[base], alpha, alignment="bytes")
    shared = shared_ranges(members["target"], members[guider], members[base])
    return GuiderRef(refs[guider], refs[base], alpha, shared)


def _several(models: Model | Sequence[Model]) -> list[Model]:
    return [models] if isinstance(models, str | Path | MemberRef) else list(models)


def _referred(model: Model, out: Path, role: str) -> MemberRef:
    ref = model if isinstance(model, MemberRef) else MemberRef(model=os.fspath(model))
    adapter = None if ref.adapter is None else reference(ref.adapter, out, f"adapter of the {role}")
    return replace(ref, model=reference(ref.model, out, role), adapter=adapter)


def _write(drafted: Draft, folder: Path) -> None:
    target = drafted.members["target"]
    assert target.tokenizer is not None
    generation_config = target.generation_config
    if generation_config.eos_token_id is None:
        generation_config.eos_token_id = target.end_ids or None
    if generation_config.pad_token_id is None:
        generation_config.pad_token_id = target.tokenizer.pad_token_id
    # Not save_pretrained: that refuses what is published, such as a temperature beside greedy decoding.
    generation_config.to_json_file(folder / "generation_config.json")
    target.tokenizer.save_pretrained(folder)
    drafted.config.save_pretrained(folder)


def _is_trio(file: Path) -> bool:
    try:
        return json.loads(file.read_text()).get("model_type") == ThinkLogitConfig.model_type
    except (ValueError, AttributeError):
        return False
