"""One cache for all members: whose layers are whose, and which token ids have been seen.

transformers' own caches hold the layers of every member in order, made from ThinkLogitConfig. Each member gets a view
that shares its layer objects. One more layer, the last, holds the token ids seen so far where others hold keys: so
whatever crops, reorders or selects rows of the cache keeps the ids in step, and a member left behind while alpha is 0
can be brought level from the cache alone.
"""

from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer, StaticLayer

from thinklogit.models.config import ThinkLogitConfig


def new_cache(config: ThinkLogitConfig) -> DynamicCache:
    """An empty growing cache for all members."""
    return DynamicCache(config=config)


def fill_in_layers(cache: Cache, config: ThinkLogitConfig) -> None:
    """Give a cache made without a config, such as `DynamicCache()`, the layers it lacks."""
    if not cache.layers:
        cache.layers.extend(new_cache(config).layers)
        cache.layer_class_to_replicate = None


def member_view(cache: Cache | None, span: slice) -> Cache | None:
    """The part of the cache that belongs to one member; it shares the layers, so nothing is copied."""
    if cache is None:
        return None
    if cache.offloading:
        return Cache(layers=cache.layers[span], offloading=True, offload_only_non_sliding=cache.only_non_sliding)
    return Cache(layers=cache.layers[span])


def member_length(cache: Cache, span: slice) -> int:
    """Tokens that one member has taken in."""
    return int(Cache(layers=cache.layers[span]).get_seq_length())


def remember_ids(cache: Cache, input_ids: Int[Tensor, "batch new"]) -> None:
    """Store the ids that the target is about to take in."""
    ids = input_ids[:, None, :, None]  # (batch, heads=1, new, head_dim=1): a layer's own shape
    _ids_layer(cache).update(ids, ids)


def seen_ids(cache: Cache, start: int, stop: int) -> Int[Tensor, "batch some"]:
    """The ids at positions start to stop."""
    keys = cast(Tensor, _ids_layer(cache).keys)
    return keys[:, 0, start:stop, 0].to(torch.long)


def can_join(cache: Cache) -> bool:
    """Whether rows can be added to the cache: only where every layer keeps all it has seen."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def column_bytes(cache: Cache) -> int:
    """What one position of one row takes in all layers."""
    tensors = [tensor for layer in _plain_layers(cache) for tensor in (layer.keys, layer.values) if tensor is not None]
    return sum(tensor.shape[1] * tensor.shape[3] * tensor.element_size() for tensor in tensors)


def join_rows(
    cache: Cache, mask: Int[Tensor, "rows past"], joining: Cache, joining_mask: Int[Tensor, "joining prompt"]
) -> Int[Tensor, "all length"]:
    """Add the rows of `joining` to `cache`, and return the mask of all: the shorter ones are padded on the left.

    Columns that are padding for every row of `cache` go. On both sides members must be level, or not have begun.
    """
    spare = int(mask.any(dim=0).long().argmax())
    length = max(mask.shape[1] - spare, joining_mask.shape[1])
    for layer, other in zip(_plain_layers(cache), _plain_layers(joining), strict=True):
        if layer.is_initialized:
            layer.keys = _joined(cast(Tensor, layer.keys)[:, :, spare:], cast(Tensor, other.keys), length)
            layer.values = _joined(cast(Tensor, layer.values)[:, :, spare:], cast(Tensor, other.values), length)
    return _joined(mask[:, None, spare:, None], joining_mask[:, None, :, None], length)[:, 0, :, 0]


def crop(cache: Cache, length: int) -> None:
    """Forget all columns from `length` on, in every layer that has got so far."""
    for layer in _plain_layers(cache):
        if isinstance(layer, StaticLayer):
            layer.cumulative_length.clamp_(max=length)
        elif (beyond := int(layer.get_seq_length()) - length) > 0:
            layer.crop(-beyond)


def compact(cache: Cache, mask: Int[Tensor, "rows past"]) -> Int[Tensor, "rows length"]:
    """Move what each row has seen to the right, over the holes in its mask, and return the mask of what is left.

    Members must be level, or not have begun.
    """
    length = int(mask.sum(1).max())
    kept = mask.argsort(dim=1, stable=True)[:, -length:]  # holes first, all else in its order
    keep_columns(cache, kept)
    return mask.gather(1, kept)


def keep_columns(cache: Cache, kept: Int[Tensor, "rows length"]) -> None:
    """Keep these columns of each row, in this order, in every layer that has begun."""
    for layer in _plain_layers(cache):
        if not (layer.is_initialized and layer.get_seq_length()):
            continue
        states = cast(Tensor, layer.keys), cast(Tensor, layer.values)
        moved = [_columns(each, kept) for each in states]
        if isinstance(layer, StaticLayer):  # in place: what is compiled knows where it lies
            for each, columns in zip(states, moved, strict=True):
                each[:, :, : kept.shape[1]] = columns
            layer.cumulative_length.fill_(kept.shape[1])
        else:
            layer.keys, layer.values = moved


def _columns(states: Tensor, places: Int[Tensor, "rows length"]) -> Tensor:
    """The given columns of (rows, heads, past, width), each row its own."""
    rows, heads, _, width = states.shape
    return states.gather(2, places.to(states.device)[:, None, :, None].expand(rows, heads, -1, width))


def _joined(first: Tensor, second: Tensor, length: int) -> Tensor:
    """(rows, heads, some, width) twice into (all rows, heads, length, width)."""
    return torch.cat([pad(each, (0, 0, length - each.shape[2], 0)) for each in (first, second)])


def _plain_layers(cache: Cache) -> list[DynamicLayer | StaticLayer]:
    return cast(list[DynamicLayer | StaticLayer], cache.layers)


def _ids_layer(cache: Cache) -> CacheLayerMixin:
    return cast(CacheLayerMixin, cache.layers[-1])
