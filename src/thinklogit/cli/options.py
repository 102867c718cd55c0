"""The options that several verbs share: which trio, and how to sample from it. Loads nothing until asked."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cyclopts import Parameter

from thinklogit.core.errors import OptionError, TrioError

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from thinklogit.core.params import SamplingParams
    from thinklogit.decode.engine import Engine
    from thinklogit.models.config import ThinkLogitConfig


class ReadyTrio(NamedTuple):
    """A trio ready to decode, and what its own files say about decoding."""

    engine: "Engine"
    name: str
    config: "ThinkLogitConfig"
    generation_config: "GenerationConfig"
    has_chat_template: bool


@Parameter(name="*", group="Trio")
@dataclass(frozen=True)
class TrioOptions:
    """Which trio answers.

    Args:
        trio: A trio folder, a hub id, or "mini", the small trio that comes with thinklogit [default: mini].
        target: Instead of --trio: the large model to be guided; needs --guider and --base.
        guider: The small reasoner.
        base: The guider before its reasoning training.
        dtype: What to load weights as [default: as each member was saved].
        device_map: Where to put the members: cpu, cuda, auto [default: cpu].
    """

    trio: str | None = None
    target: str | None = None
    guider: str | None = None
    base: str | None = None
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    device_map: str | None = None

    @property
    def name(self) -> str:
        """What completions say they were made with."""
        if self.target:
            return f"target={place_of(self.target)} guider={place_of(self.guider)} base={place_of(self.base)}"
        return place_of(self.trio or "mini")

    def load(self, batch_size: int = 32, allow_past_context: bool = False) -> ReadyTrio:
        """Load the members. Raises TrioError when they are missing or do not go together."""
        self._check()
        with quiet(f"loading {self.name}"):
            import torch

            from thinklogit.decode.huggingface import HuggingFaceEngine
            from thinklogit.models.packing import pack

            try:
                model, tokenizer = self._model_and_tokenizer()
                pack(model)
            except torch.OutOfMemoryError:
                remedy = "use --dtype bfloat16, or --device-map auto to spread them over devices"
                raise TrioError(f"{self.name}: the device has too little memory for the members; {remedy}") from None
        engine = HuggingFaceEngine(model, tokenizer, batch_size, allow_past_context)
        return ReadyTrio(engine, self.name, model.config, model.generation_config, bool(tokenizer.chat_template))

    def _check(self) -> None:
        missing = [f"--{role}" for role in ("target", "guider", "base") if not getattr(self, role)]
        if 0 < len(missing) < 3:
            raise OptionError(f"--target, --guider and --base go together; {' and '.join(missing)} not given")
        if not missing and self.trio:
            raise OptionError("expected --trio, or --target with --guider and --base; got both")
        if self.device_map and self.device_map.startswith("cuda"):
            import torch

            if not torch.cuda.is_available():
                raise OptionError(
                    f"--device-map {self.device_map}: torch finds no CUDA device here; use cpu, or leave it out"
                )

    def _model_and_tokenizer(self) -> tuple[Any, Any]:
        from tempfile import TemporaryDirectory

        from thinklogit.models.trios import compose, load

        how = {name: value for name in ("dtype", "device_map") if (value := getattr(self, name))}
        if not self.target:
            return load(self.trio or "mini", **how)
        with TemporaryDirectory() as folder:
            composed = compose(str(self.target), str(self.guider), str(self.base), folder)
            for finding in composed.findings:
                if finding.level == "warning":
                    print(f"thinklogit: warning: {finding.message}", file=sys.stderr)
            return load(folder, **how)


def place_of(member: str | None) -> str:
    """A folder by its full path, so that a run can be continued from anywhere; anything else as it is."""
    from pathlib import Path

    return str(Path(member or "").resolve()) if member and Path(member).is_dir() else str(member)


@contextmanager
def quiet(doing: str) -> Generator[None]:
    """Tell a person what takes so long, in place of transformers' bars and notices."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"{doing} ...") if console.is_terminal else _silence():
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        yield


@contextmanager
def _silence() -> Generator[None]:
    yield


@Parameter(name="*", group="Sampling")
@dataclass(frozen=True)
class SamplingOptions:
    """How completions are sampled; what is not given comes from the trio's generation_config.json.

    Args:
        alpha: Guidance strength [default: the trio's, mostly 1.0].
        warmup_tokens: New tokens that the target decodes alone before guidance begins [default: the trio's].
        only: Let one member answer alone, as a baseline.
        max_new_tokens: Tokens to decode at most [default: the trio's, else half its context, at most 8192].
        temperature: 0 is greedy [default: the trio's, else 0].
        top_p: Keep the most probable tokens up to this mass [default: the trio's, else 1].
        top_k: Keep this many tokens at most, 0 for all [default: the trio's, else 0].
        n: Completions of each prompt.
        logprobs: Keep the log-probability of every token in records, before temperature, top-k and top-p.
        speculate: Let the guider draft: auto, off, or how many tokens at a time [default: auto].
        seed: The same seed gives the same completions.
    """

    alpha: float | None = None
    warmup_tokens: int | None = None
    only: Literal["target", "guider", "base"] | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    n: int = 1
    logprobs: bool = False
    speculate: str | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuse what no trio could sample with, before one is loaded. Raises OptionError."""
        from thinklogit.core.params import SamplingParams
        from thinklogit.core.schedules import check_guidance

        check_guidance("warmup", 1.0 if self.alpha is None else self.alpha, self.warmup_tokens or 0)
        given = {
            name: value
            for name in ("max_new_tokens", "temperature", "top_p", "top_k", "speculate")
            if (value := getattr(self, name)) is not None
        }
        SamplingParams(**given, n=self.n, seed=self.seed)
        guidance = [name for name in ("alpha", "warmup_tokens", "speculate") if getattr(self, name) is not None]
        if self.only and guidance:
            option = f"--{guidance[0].replace('_', '-')}"
            raise OptionError(f"--only {self.only} decodes without guidance; got {option} too; drop one")

    def params(self, trio: ReadyTrio) -> "SamplingParams":
        """All settings, with the trio's own where none were given. Raises OptionError."""
        from thinklogit.decode.defaults import filled_in

        given = asdict(self) | {"mode": self.only or "guided"}
        del given["only"]
        params = filled_in(trio.config, trio.generation_config, given)
        useless = [f"--{name.replace('_', '-')}" for name in ("top_p", "top_k") if given[name] is not None]
        if useless and params.temperature == 0:
            raise OptionError(f"{' and '.join(useless)} would change nothing in greedy decoding; add --temperature 0.6")
        return params
