"""The options that several verbs share: which trio, and how to sample from it. Loads nothing until asked."""

import os
import sys
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cyclopts import Parameter

from thinklogit.core.errors import OptionError, TrioError

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from thinklogit.core.params import SamplingParams
    from thinklogit.decode.engine import Engine
    from thinklogit.decode.server import ServerEngine
    from thinklogit.models.config import ThinkLogitConfig


class ReadyTrio(NamedTuple):
    """A trio ready to decode, how it was loaded, and by which engine."""

    engine: "Engine"
    name: str
    config: "ThinkLogitConfig"
    generation_config: "GenerationConfig"
    has_chat_template: bool
    dtype: str | None = None
    engine_name: str = "hf"

    def params(self, given: Mapping[str, Any]) -> "SamplingParams":
        """All settings of a request, with the trio's own where none were given. Raises OptionError."""
        from thinklogit.decode.defaults import filled_in

        return filled_in(self.config, self.generation_config, given)

    def settings(self, params: "SamplingParams") -> dict[str, Any]:
        """All that a completion depends on besides its prompt, as records are labelled."""
        settings = {"trio": self.name, "dtype": self.dtype, **params.settings()}
        if self.engine_name != "hf":
            settings["engine"] = self.engine_name
        if params.mode == "guided":
            settings["schedule"] = self.config.schedule
            alphas = [pair.alpha for pair in self.config.guider_refs]
            settings["alpha"] = alphas if params.alpha is None else params.alpha
        return settings


class ReadyServer(NamedTuple):
    """A running server that is there. Whether its model has a chat template it does not tell: it is asked for chat."""

    engine: "ServerEngine"
    has_chat_template: bool = True

    def params(self, given: Mapping[str, Any]) -> "SamplingParams":
        """As of a trio; nothing is known of the server's own. Raises OptionError."""
        return self.engine.params(given)

    def settings(self, params: "SamplingParams") -> dict[str, Any]:
        """As of a trio; what the server adds of its own is not told."""
        return self.engine.settings(params)


Ready = ReadyTrio | ReadyServer


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

    def load(self, batch_size: int = 32, allow_past_context: bool = False, engine: str = "hf", **how: Any) -> ReadyTrio:
        """Load the members; see `load_engine`. Raises TrioError when they are missing or do not go together."""
        self._check()
        how |= {name: value for name in ("dtype", "device_map") if (value := getattr(self, name))}
        with quiet(f"loading {self.name}"), self._folder() as trio:
            import torch

            from thinklogit.decode.loading import load_engine

            try:
                loaded = load_engine(trio, batch_size, allow_past_context, engine, **how)
            except torch.OutOfMemoryError:
                remedy = "use --dtype bfloat16, or --device-map auto to spread them over devices"
                raise TrioError(f"{self.name}: the device has too little memory for the members; {remedy}") from None
        templated = bool(loaded.tokenizer.chat_template)
        return ReadyTrio(loaded, self.name, loaded.config, loaded.generation_config, templated, self.dtype, engine)

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

    @contextmanager
    def _folder(self) -> Generator[str]:
        """The trio; made of three models where those are named."""
        from tempfile import TemporaryDirectory

        from thinklogit.models.trios import compose

        if not self.target:
            yield self.trio or "mini"
            return
        with TemporaryDirectory() as folder:
            composed = compose(str(self.target), str(self.guider), str(self.base), folder)
            for finding in composed.findings:
                if finding.level == "warning":
                    print(f"thinklogit: warning: {finding.message}", file=sys.stderr)
            yield folder


@Parameter(name="*", group="Engine")
@dataclass(frozen=True)
class EngineOptions:
    """What decodes on this machine.

    Args:
        engine: hf, transformers in this process, or vllm, for many prompts and several GPUs [default: hf].
        engine_args: Engine arguments of vLLM's as a JSON object, such as '{"tensor_parallel_size": 2}'.
    """

    engine: Literal["hf", "vllm"] = "hf"
    engine_args: str | None = None


@Parameter(name="*", group="Server")
@dataclass(frozen=True)
class ServerOptions:
    """A running server, instead of a trio on this machine.

    Args:
        base_url: Ask a running OpenAI-compatible server instead of a trio on this machine, such as
            http://localhost:8000/v1; greedily unless --temperature is given.
        model: The server's name for the model [default: the only one it serves].
    """

    base_url: str | None = None
    model: str | None = None

    def connect(self, batch_size: int) -> ReadyServer:
        """Ask the server what it serves. Raises ServerError and OptionError."""
        from thinklogit.decode.server import ServerEngine

        return ReadyServer(ServerEngine(str(self.base_url), self.model, batch_size, api_key()))


def ready(
    trio: TrioOptions,
    server: ServerOptions,
    engine: EngineOptions,
    batch_size: int,
    allow_past_context: bool,
    speculate: str | None,
) -> Ready:
    """Who answers, and by which engine. Raises OptionError, TrioError and ServerError."""
    if server.base_url is None:
        if server.model:
            raise OptionError("--model is a server's name for a model; add --base-url, or name a --trio")
        return trio.load(batch_size, allow_past_context, **asdict(engine), speculate=speculate)
    here = asdict(trio) | {"engine_args": engine.engine_args, "allow_past_context": allow_past_context}
    given = [f"--{name.replace('_', '-')}" for name, value in here.items() if value]
    if given:
        raise OptionError(f"--base-url asks a running server; got {' and '.join(given)} too; leave one out")
    return server.connect(batch_size)


def api_key() -> str:
    """For servers that want one; others take any."""
    return os.environ.get("OPENAI_API_KEY") or "none"


def place_of(member: str | None) -> str:
    """A folder by its full path, so that a run can be continued from anywhere; anything else as it is."""
    from pathlib import Path

    return str(Path(member or "").resolve()) if member and Path(member).is_dir() else str(member)


@contextmanager
def quiet(doing: str) -> Generator[None]:
    """Tell a person what takes so long, in place of transformers' bars and notices."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"{doing} ...") if console.is_terminal else _silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what PEFT asks of transformers is not the user's to mend
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

    A server does not tell its own: there alpha and warm-up are left to it, and the rest is what follows "else".

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

    def params(self, ready: Ready) -> "SamplingParams":
        """All settings, with those of who answers where none were given. Raises OptionError."""
        given = asdict(self) | {"mode": self.only or "guided"}
        del given["only"]
        params = ready.params(given)
        useless = [f"--{name.replace('_', '-')}" for name in ("top_p", "top_k") if given[name] is not None]
        if useless and params.temperature == 0:
            raise OptionError(f"{' and '.join(useless)} would change nothing in greedy decoding; add --temperature 0.6")
        return params
