"""Weights on disk: their sizes from safetensors headers, and how far two checkpoints lie apart, tensor by tensor.

Never holds more than two slices of a tensor, and never fetches anything: a hub id counts as far as it is in the cache.
"""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from thinklogit.core.errors import TrioError
from thinklogit.models.members import Member

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SLICE_ELEMENTS = 1 << 24
"""64 MiB in float32."""
FLOATING = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


class StoredTensor(NamedTuple):
    """A tensor in a safetensors file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


class Distance(NamedTuple):
    """How far a guider lies from its base.

    `relative` is ||guider - base|| / ||base|| over the tensors compared, which hold `compared_share` of the base's
    weights; None where nothing could be compared.
    """

    relative: float | None
    compared_share: float


def stored_tensors(member: Member) -> dict[str, StoredTensor] | None:
    """The tensors of a member's checkpoint by name; None when it is not on this machine as safetensors.

    Raises:
        TrioError: a file that the checkpoint's index names is missing, or a file cannot be read.
    """
    index, weights = _file(member, INDEX), _file(member, WEIGHTS)
    if index is None:
        return None if weights is None else _headers(member, weights)
    names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    files = {name: _file(member, name) for name in names}
    missing = [name for name, file in files.items() if file is None]
    if len(missing) == len(names) and not Path(member.place).is_dir():
        return None
    if missing:
        raise TrioError(
            f"the {member.role} at {member.place} lacks {missing[0]}, which its index names; fetch it again"
        )
    return {name: tensor for file in files.values() if file for name, tensor in _headers(member, file).items()}


def _file(member: Member, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    inside = f"{member.where['subfolder']}/{name}" if "subfolder" in member.where else name
    folder = Path(member.place)
    if folder.is_dir():
        return folder / inside if (folder / inside).is_file() else None
    cached = try_to_load_from_cache(member.place, inside, revision=member.where.get("revision"))
    return Path(cached) if isinstance(cached, str) else None


def _headers(member: Member, file: Path) -> dict[str, StoredTensor]:
    """Read by hand: safe_open does not tell sizes in bytes."""
    try:
        with file.open("rb") as stream:
            header: dict[str, Any] = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
            begin = stream.tell()
        header.pop("__metadata__", None)
        end = begin + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, MemoryError, OverflowError):
        raise TrioError(f"the {member.role}'s {file} is no safetensors file; fetch it again") from None
    if file.stat().st_size < end:
        raise TrioError(f"the {member.role}'s {file} ends too early: a copy was cut short; fetch it again")
    return {
        name: StoredTensor(
            file, entry["dtype"], tuple(entry["shape"]), entry["data_offsets"][1] - entry["data_offsets"][0]
        )
        for name, entry in header.items()
    }


def distance(guider: dict[str, StoredTensor], base: dict[str, StoredTensor]) -> Distance:
    """Compare the floating tensors of one name and shape; of rows, as many as both have: a vocabulary may have grown.

    Raises:
        TrioError: a file that cannot be read.
    """
    changed = length = 0.0
    compared = 0
    with ExitStack() as files:
        handles = {
            file: _opened(files, file)
            for file in {tensor.file for tensors in (guider, base) for tensor in tensors.values()}
        }
        for name in sorted(set(guider) & set(base)):
            ours, theirs = guider[name], base[name]
            if ours.dtype not in FLOATING or theirs.dtype not in FLOATING or ours.shape[1:] != theirs.shape[1:]:
                continue
            for left, right in _slices(handles[ours.file], handles[theirs.file], name, ours.shape, theirs.shape):
                changed += float((left - right).square().sum(dtype=torch.float64))
                length += float(right.square().sum(dtype=torch.float64))
                compared += right.numel()
    total = sum(math.prod(tensor.shape) for tensor in base.values())
    relative = None if not compared else math.sqrt(changed / length) if length else math.sqrt(changed)
    return Distance(relative, compared / total if total else 0.0)


def _opened(files: ExitStack, file: Path) -> Any:
    try:
        return files.enter_context(safe_open(file, framework="pt"))
    except SafetensorError as error:
        raise TrioError(f"{file} cannot be read as safetensors ({error}); fetch it again") from None


def _slices(
    guider: Any, base: Any, name: str, guider_shape: tuple[int, ...], base_shape: tuple[int, ...]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of both tensors, few at a time, in float32."""
    if not base_shape or not guider_shape:
        if base_shape == guider_shape:
            yield guider.get_tensor(name).float(), base.get_tensor(name).float()
        return
    rows = min(guider_shape[0], base_shape[0])
    step = max(1, SLICE_ELEMENTS // max(1, math.prod(base_shape[1:])))
    ours, theirs = guider.get_slice(name), base.get_slice(name)
    for start in range(0, rows, step):
        stop = min(rows, start + step)
        yield ours[start:stop].float(), theirs[start:stop].float()
