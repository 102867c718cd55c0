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
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin

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


def _ids_layer(cache: Cache) -> CacheLayerMixin:
    return cast(CacheLayerMixin, cache.layers[-1])
