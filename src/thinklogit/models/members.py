"""What each member of a trio says about itself: config, tokenizer, generation config. Reads no weights."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import constants
from huggingface_hub.utils import get_session
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from thinklogit.core.errors import TrioError
from thinklogit.models.config import GuiderRef, MemberRef, ThinkLogitConfig
from thinklogit.models.loading import locate

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_TIMEOUT_S = 3.0
ONE_GUIDER = 3
"""Members of a trio with one guider."""


@dataclass(frozen=True)
class Member:
    """One member, without its weights. `name` is that of its module, `role` what a person calls it.

    `root` is the trio whose folders it refers to as "./name".
    """

    name: str
    role: str
    ref: MemberRef
    place: str
    where: dict[str, Any]
    config: PreTrainedConfig
    generation_config: GenerationConfig
    tokenizer: PreTrainedTokenizerBase | None
    root: str | Path = "."

    @cached_property
    def text_config(self) -> PreTrainedConfig:
        """The config of the decoder that yields logits."""
        return self.config.get_text_config(decoder=True)

    @property
    def rows(self) -> int:
        """Rows of logits."""
        return self.text_config.vocab_size

    @property
    def context_tokens(self) -> int | None:
        """Positions it was made for; None where its config sets no limit."""
        return getattr(self.text_config, "max_position_embeddings", None)

    @cached_property
    def tokens(self) -> dict[int, str]:
        """The token of each id, from its own tokenizer."""
        vocabulary = {} if self.tokenizer is None else self.tokenizer.get_vocab()
        return {id: token for token, id in vocabulary.items()}

    @property
    def end_ids(self) -> list[int]:
        """Ids that end a text: from the generation config, else the tokenizer."""
        ends = self.generation_config.eos_token_id
        if ends is None and self.tokenizer is not None:
            ends = self.tokenizer.eos_token_id
        return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)

    @cached_property
    def opening_ids(self) -> list[int]:
        """Ids that its tokenizer puts before every text."""
        if self.tokenizer is None:
            return []
        marked = list(self.tokenizer("a")["input_ids"])
        plain = list(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        starts = [start for start in range(len(marked)) if marked[start : start + len(plain)] == plain]
        return marked[: starts[0]] if starts else []

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in unless loading says otherwise."""
        stated = self.ref.dtype if self.ref.dtype != "auto" else None
        stated = stated or self.config.dtype or self.text_config.dtype or torch.float32
        return getattr(torch, stated) if isinstance(stated, str) else stated

    @property
    def quantization(self) -> dict[str, Any] | None:
        """How its weights are quantized: at loading, or already in its checkpoint."""
        return self.ref.quantization_config or getattr(self.config, "quantization_config", None)

    def shown(self, id: int) -> str:
        """An id with its token."""
        return f"{id} {self.tokens[id]!r}" if id in self.tokens else f"{id} (no token)"


class Pair(NamedTuple):
    """A guider with its base, and what the trio's config says of them."""

    ref: GuiderRef
    guider: Member
    base: Member


def pairs_of(config: ThinkLogitConfig, members: dict[str, Member]) -> list[Pair]:
    """The guiders with their bases, in order."""
    return [
        Pair(ref, members[f"guiders.{index}.guider"], members[f"guiders.{index}.base"])
        for index, ref in enumerate(config.guider_refs)
    ]


def role_of(name: str, names: Collection[str]) -> str:
    """What a person calls a member, of all those named: "guider", or "guider 2" where there are several."""
    if name == "target":
        return name
    _, index, role = name.split(".")
    return role if len(names) == ONE_GUIDER else f"{role} {int(index) + 1}"


def read_members(refs: dict[str, MemberRef], root: str | Path) -> dict[str, Member]:
    """Every member by the name of its module. Raises TrioError, one line for all, when some cannot be read."""
    members, errors = read_readable(refs, root)
    if errors:
        raise TrioError("; ".join(errors.values()))
    return members


def read_readable(refs: dict[str, MemberRef], root: str | Path) -> tuple[dict[str, Member], dict[str, str]]:
    """The members that can be read and, for each of the others, why not; both by the name of the module."""
    hub = hub_options(locate(ref, root)[0] for ref in refs.values())
    members, errors = {}, {}
    for name, ref in refs.items():
        try:
            members[name] = read_member(name, role_of(name, refs), ref, root, hub)
        except TrioError as error:
            errors[name] = str(error)
    return members, errors


def read_member(name: str, role: str, ref: MemberRef, root: str | Path, hub: dict[str, Any]) -> Member:
    """Read what one member says about itself.

    Raises:
        TrioError: no causal language model at its place, an unknown dtype, or a target without a tokenizer.
    """
    if ref.dtype not in (None, "auto") and not isinstance(getattr(torch, ref.dtype, None), torch.dtype):
        raise TrioError(
            f"the {role} should be loaded as {ref.dtype!r}, which torch does not know; try 'bfloat16' or 'auto'"
        )
    place, where = locate(ref, root)
    where = {key: value for key, value in where.items() if value is not None}
    options = {**where, **hub}
    config = read_member_config(role, place, options)
    try:
        generation_config = GenerationConfig.from_pretrained(place, **options)
    except OSError:
        generation_config = GenerationConfig.from_model_config(config)
    tokenizer = _read_tokenizer(place, options)
    if name == "target" and tokenizer is None:
        raise TrioError(f"the target at {place} has no tokenizer that can be read; a trio decodes with the target's")
    return Member(name, role, ref, place, where, config, generation_config, tokenizer, root)


def read_member_config(role: str, place: str, options: dict[str, Any]) -> PreTrainedConfig:
    """The config.json of a single causal language model. Raises TrioError where there is none."""
    folder = Path(place)
    if not folder.is_dir() and not is_hub_id(place):
        raise TrioError(f"the {role} should be a model folder at {place}, where there is none; check the path")
    if folder.is_dir() and not (folder / options.get("subfolder", "") / "config.json").is_file():
        raise TrioError(
            f"the {role} should be a model folder at {place}, but that holds no config.json; check the path"
        )
    try:
        config = AutoConfig.from_pretrained(place, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        if folder.is_dir():
            raise TrioError(f"the {role} at {place} has a config.json that cannot be read: {reason}") from None
        if options.get("local_files_only") or constants.HF_HUB_OFFLINE:
            reason = "which cannot be reached, and it is not in the cache"
        raise TrioError(
            f"the {role} {place!r} is no folder here, nor could it be read from the Hugging Face Hub: {reason}; "
            "check the name and the connection"
        ) from None
    if config.model_type == ThinkLogitConfig.model_type:
        raise TrioError(f"the {role} at {place} is a trio itself; name a single model")
    if type(config) not in AutoModelForCausalLM._model_mapping and "auto_map" not in config.to_dict():
        raise TrioError(f"the {role} at {place} is a {config.model_type!r} model, which is no causal language model")
    return config


def hub_options(places: Iterable[str]) -> dict[str, Any]:
    """How to read from these places: from the cache alone when the Hub cannot be reached; retries take 20 s a file."""
    if constants.HF_HUB_OFFLINE or not any(is_hub_id(place) for place in places):
        return {}
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
    except Exception:  # whatever its transport raises, the Hub cannot be asked
        return {"local_files_only": True}
    return {}


def is_hub_id(place: str) -> bool:
    """Whether a place is a name on the Hub: not a folder here, which goes before, and not a path."""
    return not Path(place).is_dir() and HUB_ID.fullmatch(place) is not None


def _read_tokenizer(place: str, options: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    except (OSError, ValueError, KeyError, ImportError):
        return None
    # For some model types transformers makes up a tokenizer of one entry where a folder holds none.
    return None if tokenizer is None or len(tokenizer) <= 1 else tokenizer
