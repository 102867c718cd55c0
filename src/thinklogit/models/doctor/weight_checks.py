"""Checks of what members are: sizes, whether a base is its guider's ancestor, what memory and time the trio takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from thinklogit.core.errors import TrioError
from thinklogit.models.config import ThinkLogitConfig
from thinklogit.models.doctor.checkpoints import StoredTensor, distance, stored_tensors
from thinklogit.models.doctor.findings import Finding, count, listed, size
from thinklogit.models.doctor.memory import (
    Parameters,
    cache_bytes,
    devices,
    parameters,
    tensor_parallel_sizes,
    weight_bytes,
)
from thinklogit.models.loading import config_values
from thinklogit.models.members import Member, Pair, pairs_of

LIGHT_CHANGE = 0.5
"""Reasoning training moves weights by a few hundredths (RL) to a few tenths (SFT) of their length."""
UNRELATED = 1.0
"""Two independent random checkpoints of one scale lie sqrt(2) apart."""
COMPARED_ENOUGH = 0.5
CACHE_TOKENS = 1000
SHAPE = (
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
)


@dataclass(frozen=True)
class Sizes:
    """What one member takes; None where nothing tells."""

    stored: dict[str, StoredTensor] | None
    parameters: Parameters | None
    weight_bytes: int | None
    layers: int


def sizes_of(member: Member) -> Sizes:
    """Sizes from the checkpoint's headers and the config. Raises TrioError for a broken checkpoint."""
    stored = stored_tensors(member)
    counted = parameters(member, stored)
    return Sizes(stored, counted, weight_bytes(member, counted, stored), member.text_config.num_hidden_layers)


def check_members(config: ThinkLogitConfig, members: dict[str, Member], sizes: dict[str, Sizes]) -> Iterator[Finding]:
    """Who takes part."""
    for name, member in members.items():
        its = sizes[name]
        total = its.parameters.total if its.parameters else None
        data = {
            "member": name,
            "role": member.role,
            "model": member.ref.model,
            "place": member.place,
            "revision": member.ref.revision,
            "adapter": member.ref.adapter,
            "model_type": member.config.model_type,
            "dtype": str(member.dtype).removeprefix("torch."),
            "parameters": total,
            "layers": its.layers,
            "rows": member.rows,
            "context_tokens": member.context_tokens,
            "weight_bytes": its.weight_bytes,
            "weights_here": its.stored is not None,
        }
        adapter = f" with adapter {member.ref.adapter}" if member.ref.adapter else ""
        what = f"{member.config.model_type}, {count(total) if total else 'unknown'} parameters, {its.layers} layers"
        yield Finding("ok", "members", f"{member.role}: {what}, {data['dtype']}, at {member.place}{adapter}", data)
        yield from _weights_present(member, its)
        yield from _config_up_to_date(member)


def _weights_present(member: Member, its: Sizes) -> Iterator[Finding]:
    from pathlib import Path

    if its.stored is not None:
        return
    if Path(member.place).is_dir():
        message = (
            f"{member.role}: no safetensors weights at {member.place}; it can be loaded only if other weights are there"
        )
        yield Finding("warning", "members", message)
    else:
        message = f"{member.role}: its weights are not in the Hub's cache yet; they are fetched when the trio is loaded"
        yield Finding("note", "members", message)


def _config_up_to_date(member: Member) -> Iterator[Finding]:
    stated, now = member.ref.config or {}, config_values(member.config)
    changed = sorted(name for name in stated if name in now and _plain(stated[name]) != _plain(now[name]))
    if changed:
        message = (
            f"{member.role}: its config changed since the trio was composed ({', '.join(changed)}); compose it again"
        )
        yield Finding("warning", "members", message, {"member": member.name, "changed": changed})


def _plain(value: object) -> object:
    """As JSON would have it: keys are strings there, tuples lists, dtypes names."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value).removeprefix("torch.")


def check_ancestry(
    config: ThinkLogitConfig, members: dict[str, Member], sizes: dict[str, Sizes], compare_weights: bool
) -> Iterator[Finding]:
    """Does each base look like the model its guider was before its reasoning training?"""
    for pair in pairs_of(config, members):
        shapes = {
            name: (getattr(pair.guider.text_config, name, None), getattr(pair.base.text_config, name, None))
            for name in SHAPE
        }
        apart = {name: values for name, values in shapes.items() if values[0] != values[1]}
        if apart:
            told = ", ".join(f"{name} {mine} against {theirs}" for name, (mine, theirs) in apart.items())
            message = (
                f"the {pair.base.role} has another shape than the {pair.guider.role} ({told}): it is not its ancestor"
            )
            yield Finding("warning", "ancestry", message, {"guider": pair.guider.name, "differ": list(apart)})
        elif compare_weights:
            yield _weight_distance(pair, sizes[pair.guider.name], sizes[pair.base.name])
        yield from _loaded_alike(pair)


def _weight_distance(pair: Pair, guider: Sizes, base: Sizes) -> Finding:
    roles = f"{pair.guider.role} and {pair.base.role}"
    if guider.stored is None or base.stored is None:
        return Finding("note", "ancestry", f"{roles} have one shape; their weights are not both here to be compared")
    try:
        found = distance(guider.stored, base.stored)
    except TrioError as error:
        return Finding("error", "ancestry", str(error))
    data = {"guider": pair.guider.name, "relative_distance": found.relative, "compared_share": found.compared_share}
    if found.relative is None or found.compared_share < COMPARED_ENOUGH:
        message = (
            f"only {found.compared_share:.0%} of the {pair.base.role}'s weights have a like in the {pair.guider.role}"
        )
        return Finding("warning", "ancestry", f"{message}: whether it is the ancestor cannot be told", data)
    if found.relative == 0:
        if pair.guider.ref.adapter != pair.base.ref.adapter:
            return Finding("ok", "ancestry", f"{roles} are one model; guidance is what the adapter changes", data)
        return Finding("warning", "ancestry", f"{roles} have identical weights: guidance would change nothing", data)
    norms = f"||{pair.guider.role} - {pair.base.role}|| / ||{pair.base.role}||"
    moved = f"weights differ by {found.relative:.1%} ({norms})"
    if found.relative < LIGHT_CHANGE:
        return Finding("ok", "ancestry", f"{moved}: a light change, as reasoning training makes", data)
    if found.relative < UNRELATED:
        message = f"{moved}: much for reasoning training, which stays below {LIGHT_CHANGE:.0%}; is it the right base?"
        return Finding("warning", "ancestry", message, data)
    message = f"{moved}, as of unrelated models (independent random weights: 141%): the delta would be noise"
    return Finding("warning", "ancestry", message, data)


def _loaded_alike(pair: Pair) -> Iterator[Finding]:
    guider, base = pair.guider, pair.base
    if guider.dtype != base.dtype or bool(guider.quantization) != bool(base.quantization):
        kinds = [
            f"{member.role} {str(member.dtype).removeprefix('torch.')}{' quantized' if member.quantization else ''}"
            for member in (guider, base)
        ]
        message = f"loaded unlike ({', '.join(kinds)}): rounding errors, alike in both, would cancel in guider - base"
        yield Finding("warning", "ancestry", message)


def check_memory(members: dict[str, Member], known: dict[str, int], batch: int) -> Iterator[Finding]:
    """What the trio takes, and whether this machine has it; `known` are the bytes of weights, where they are known."""
    per_1000 = {name: _cache(member, CACHE_TOKENS, batch) for name, member in members.items()}
    contexts = [member.context_tokens for member in members.values() if member.context_tokens is not None]
    full = min(contexts) if contexts else CACHE_TOKENS
    whole_cache = sum(_cache(member, full, batch) for member in members.values())
    weights = sum(known.values())
    parts = ", ".join(f"{members[name].role} {size(each)}" for name, each in known.items())
    rows = "1 row" if batch == 1 else f"{batch:,} rows"
    data = {"weight_bytes": known, "cache_bytes_per_1000_tokens": per_1000, "batch": batch}
    yield Finding("ok", "memory", f"weights take {size(weights)}: {parts}", data)
    yield Finding(
        "ok",
        "memory",
        f"keys and values take {size(sum(per_1000.values()))} per {CACHE_TOKENS:,} tokens in {rows}, "
        f"{size(whole_cache)} at {full:,} tokens",
    )
    yield _split(members)
    yield _fit(weights, whole_cache, f"{full:,} tokens in {rows}")


def _split(members: dict[str, Member]) -> Finding:
    sizes = tensor_parallel_sizes(member.text_config for member in members.values())
    data = {"tensor_parallel_sizes": sizes}
    heads = {member.role: getattr(member.text_config, "num_attention_heads", "none") for member in members.values()}
    why = f"attention heads: {', '.join(f'{role} {number}' for role, number in heads.items())}"
    if sizes == [1]:
        message = f"cannot be split over GPUs by tensor parallelism, which must divide every member's {why}"
        return Finding("note", "memory", message, data)
    numbers = listed([str(each) for each in sizes[1:]])
    return Finding("ok", "memory", f"can be split over {numbers} GPUs by tensor parallelism ({why})", data)


def _cache(member: Member, tokens: int, batch: int) -> int:
    return cache_bytes(member.text_config, tokens, batch, member.dtype.itemsize)


def _fit(weights: int, cache: int, what: str) -> Finding:
    found = devices()
    total = sum(device.total_bytes for device in found)
    where = (
        f"{size(total)} of {found[0].name}" if len(found) == 1 else f"{size(total)} of {len(found)} x {found[0].name}"
    )
    data = {"needed_bytes": weights + cache, "devices": [device._asdict() for device in found]}
    if weights > total:
        message = f"the weights alone do not fit into {where}: load members quantized, or use a larger machine"
        return Finding("warning", "memory", message, data)
    if weights + cache > total:
        message = f"weights and {what} do not fit into {where}: use fewer rows, or shorter texts"
        return Finding("warning", "memory", message, data)
    if len(found) > 1 and weights + cache > max(device.total_bytes for device in found):
        message = f"fits into {where}, but on no single one: load it with a device_map"
        return Finding("note", "memory", message, data)
    return Finding("ok", "memory", f"fits into {where}", data)


def check_cost(config: ThinkLogitConfig, members: dict[str, Member], sizes: dict[str, Sizes]) -> Iterator[Finding]:
    """What guidance adds to a token's cost, from counts: the true figure depends on what bounds the decoding."""
    counts = {name: its.parameters.total for name, its in sizes.items() if its.parameters is not None}
    if len(counts) < len(members):
        return
    weights = sum(counts.values()) / counts["target"]
    caches = {name: _cache(member, CACHE_TOKENS, 1) for name, member in members.items()}
    cache = sum(caches.values()) / caches["target"] if caches["target"] else 1.0
    layers = sum(its.layers for its in sizes.values()) / sizes["target"].layers
    warmup = f"; the first {config.warmup_tokens} new tokens run the target alone" if config.warmup_tokens else ""
    message = (
        f"a guided token reads {weights:.2f}x the weights and {cache:.2f}x the keys and values of the target alone, "
        f"and runs {layers:.2f}x the layers{warmup}"
    )
    data = {"weights_ratio": weights, "cache_ratio": cache, "layers_ratio": layers}
    yield Finding("note" if weights < 2 else "warning", "cost", message, data)
