"""A guider and base that are one checkpoint, one of them with an adapter: two bodies around one copy of the weights."""

from pathlib import Path
from typing import Any

from torch import nn

from thinklogit.core.errors import TrioError
from thinklogit.models.adapters import bare, changes_weights, is_merged, wears_adapter
from thinklogit.models.config import MemberRef, ThinkLogitConfig

Place = tuple[str, dict[str, Any]]


def sharing(config: ThinkLogitConfig, places: dict[str, Place]) -> dict[str, str]:
    """Which member that wears an adapter is otherwise the other of its pair, by the names of their modules."""
    found = {}
    for index, pair in enumerate(config.guider_refs):
        guider, base = f"guiders.{index}.guider", f"guiders.{index}.base"
        if pair.guider.model and _alike(pair.guider, places[guider]) == _alike(pair.base, places[base]):
            if pair.guider.adapter and not pair.base.adapter:
                found[guider] = base
            elif pair.base.adapter and not pair.guider.adapter:
                found[base] = guider
    return found


def _alike(ref: MemberRef, place: Place) -> tuple[Any, ...]:
    folder, where = place
    folder = str(Path(folder).resolve()) if Path(folder).is_dir() else folder
    return folder, where, ref.dtype, ref.quantization_config


def other_of(name: str) -> str | None:
    """The base of a guider and the guider of a base, by the names of their modules."""
    pair, _, role = name.rpartition(".")
    return f"{pair}.{'base' if role == 'guider' else 'guider'}" if pair else None


def can_share(model: nn.Module) -> bool:
    """Whether the weights lie in memory, not where accelerate would fetch them from at every step."""
    return not any(weight.is_meta for weight in model.parameters())


def stand(model: nn.Module) -> list[tuple[int, int]]:
    """Where the weights lie and how often they were written to: what tells that an adapter wrote into them."""
    return [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in model.parameters()]


def share_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two members stand on the same tensors."""
    held = {id(weight) for weight in one.parameters()}
    return any(id(weight) in held for weight in other.parameters())


def apart(guider: Any, base: Any) -> tuple[Any, Any]:
    """A guider and base in memory; where one is the model inside the other's adapter, that one without the adapter.

    PEFT puts an adapter into the model it is given, so that model alone is no longer what it was.

    Raises:
        TrioError: an adapter that changed the model's own weights, which can then not be told from them.
    """
    if wears_adapter(guider) and guider.get_base_model() is base:
        return guider, _taken_off(guider, "guider", "base")
    if wears_adapter(base) and base.get_base_model() is guider:
        return _taken_off(base, "base", "guider"), base
    return guider, base


def _taken_off(model: Any, wearer: str, other: str) -> Any:
    if is_merged(model) or any(changes_weights(config) for config in model.peft_config.values()):
        raise TrioError(
            f"the {other} is the model inside the {wearer}'s adapter, which changed its weights; "
            f"load the {other} again, as a model of its own"
        )
    return bare(model).eval()
