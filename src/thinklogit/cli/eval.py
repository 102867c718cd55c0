"""`thinklogit eval`: benchmarks answered by a trio in several modes, graded, and counted with intervals."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from thinklogit.cli.progress import completions_bar
from thinklogit.core.errors import OptionError, unknown_name
from thinklogit.core.params import MODES

if TYPE_CHECKING:
    from inspect_ai import Task

    from thinklogit.evals.outcomes import Measurement
    from thinklogit.evals.systems import System

PAPER = {
    "n": 8,
    "temperature": 0.6,
    "top_p": 0.95,
    "max_new_tokens": 8192,
    "warmup_tokens": 100,
    "chat": False,
    "stop": ("Human",),
    "max_repeats": 10,
}
"""arXiv 2507.12759, section 3; the warm-up from arXiv 2510.09354; the last two are in the authors' code only."""


@Parameter(name="*", group="Answering")
@dataclass(frozen=True)
class AnsweringOptions:
    """Who answers.

    Args:
        trio: A trio folder, a hub id, or "mini" [default: mini].
        mode: Who answers, in this order: guided, target, guider, base, with commas between.
        base_url: Ask a running OpenAI-compatible server instead, such as http://localhost:8000/v1.
        model: The server's name for the model [default: the only one it serves].
        batch_size: Completions decoded, or asked of the server, side by side.
        chat: Put prompts into the chat template, or take them as they stand [default: --chat if there is one].
        dtype: What to load weights as [default: as each member was saved].
        device_map: Where to put the members: cpu, cuda, auto [default: cpu].
        allow_past_context: Decode past the context of the members instead of refusing.
        engine: hf, transformers, or vllm, for several GPUs [default: hf].
        engine_args: Engine arguments of vLLM's as a JSON object, such as '{"tensor_parallel_size": 2}'.
    """

    trio: str = "mini"
    mode: str = "guided"
    base_url: str | None = None
    model: str | None = None
    batch_size: Annotated[int, Parameter(show_default=True)] = 32
    chat: Annotated[bool | None, Parameter(negative="--raw")] = None
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    device_map: str | None = None
    allow_past_context: bool = False
    engine: Literal["hf", "vllm"] = "hf"
    engine_args: str | None = None


@Parameter(name="*", group="Sampling")
@dataclass(frozen=True)
class DrawingOptions:
    """How completions are drawn.

    Args:
        preset: "paper": 8 completions, temperature 0.6, top-p 0.95, 8192 tokens, warm-up 100, raw prompts, and the
            authors' ways to end a text: at "Human", at ten equal tokens in a row. Options given win.
        n: Completions of each problem [default: 1].
        alpha: Guidance strength [default: the trio's, mostly 1.0].
        warmup_tokens: New tokens that the target decodes alone before guidance begins [default: the trio's].
        max_new_tokens: Tokens to decode at most [default: the trio's, else half its context, at most 8192].
        temperature: 0 is greedy [default: 0.6].
        top_p: Keep the most probable tokens up to this mass [default: 0.95].
        top_k: Keep this many tokens at most, 0 for all [default: 0].
        speculate: Let the guider draft: auto, off, or how many tokens at a time [default: auto].
        stop: End a completion before this text; may be given several times.
        max_repeats: End a completion at this many equal tokens in a row [default: never].
        seed: Mixed with each problem's id and the completion's index.
    """

    preset: Literal["paper"] | None = None
    n: int | None = None
    alpha: float | None = None
    warmup_tokens: int | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    speculate: str | None = None
    stop: tuple[str, ...] = ()
    max_repeats: int | None = None
    seed: int = 0


@Parameter(name="*", group="Problems")
@dataclass(frozen=True)
class ProblemOptions:
    """Which problems.

    Args:
        data: Problems from this file instead of the hub: .jsonl, .json, .csv or .parquet; for one task.
        data_fields: Which of its fields hold what, such as question=problem,answer=solution.
        task_option: An option of the tasks, such as levels=5 or split=report; may be given several times.
        limit: The first so many problems of each task.
        shard: The i-th of N parts of the problems, such as 2/8, for job arrays; all may share one -o.
    """

    data: str | None = None
    data_fields: str | None = None
    task_option: Annotated[tuple[str, ...], Parameter(name=["--task-option", "-T"])] = ()
    limit: int | None = None
    shard: str = "1/1"


DEFAULT_ANSWERING, DEFAULT_DRAWING, DEFAULT_PROBLEMS = AnsweringOptions(), DrawingOptions(), ProblemOptions()


def evaluate(
    *tasks: Annotated[str, Parameter(help="Benchmarks: aime24, aime25, amc23, math_hard, gpqa_diamond, ...")],
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: bool = False,
    no_grade: bool = False,
    unsafe_local_exec: bool = False,
    answering: AnsweringOptions = DEFAULT_ANSWERING,
    sampling: DrawingOptions = DEFAULT_DRAWING,
    problems: ProblemOptions = DEFAULT_PROBLEMS,
) -> None:
    """Answer benchmarks, grade the answers, and count them with intervals.

    The run's folder holds the logs of inspect-ai: inspect view --log-dir RUN. The same command continues a run that was
    cut short; what was answered is kept, and never asked twice.

    Args:
        tasks: aime24, aime25, amc23, math_hard, gpqa_diamond, livecodebench, mini.
        output: The run's folder [default: runs/ and the tasks' names].
        json: Print the figures as one JSON object.
        no_grade: Answer only; thinklogit grade RUN grades later, on another machine if need be.
        unsafe_local_exec: Run programs without a sandbox. They can do whatever you can.
        answering: Who answers.
        sampling: How completions are drawn.
        problems: Which problems.
    """
    modes = _modes(answering.mode)
    drawing = _drawing(sampling)
    n, chat = drawing.pop("n"), drawing.pop("chat")
    chat = chat if answering.chat is None else answering.chat
    from thinklogit.evals import runs
    from thinklogit.evals.logs import read_measurements

    shard = runs.Shard.parse(problems.shard)
    if "livecodebench" in tasks and not (unsafe_local_exec or no_grade):
        from thinklogit.evals.grading.sandbox import check_available

        check_available()
    prepared = [runs.chosen(task, problems.limit, shard) for task in _tasks(tasks, problems, unsafe_local_exec)]
    run = output or Path("runs") / "+".join(tasks)
    total = len(modes) * n * sum(len(task.dataset) for task in prepared)
    done = sum(runs.graded(shard.folder(run / mode)) for mode in modes)
    with completions_bar(done, total) as advance, _interruption_told(run):
        for mode in modes:
            system = _system(answering, mode, drawing, chat)
            runs.evaluate(prepared, system, run, n=n, shard=shard, on_sample=advance, grade=not no_grade)
    if no_grade:
        print(f"thinklogit: answered; now: thinklogit grade {run}", file=sys.stderr)
        return
    _show(read_measurements([shard.folder(run / mode) for mode in modes]), run, json)


def _modes(given: str) -> list[str]:
    modes = [mode.strip() for mode in given.split(",")]
    for mode in modes:
        if mode not in MODES:
            raise unknown_name("mode", mode, MODES)
    if len(set(modes)) < len(modes):
        raise OptionError(f"--mode names one twice: {given}")
    return modes


def _drawing(sampling: DrawingOptions) -> dict[str, Any]:
    """All settings: those given, else the preset's, else what evaluation takes. Raises OptionError."""
    given = {name: value for name, value in asdict(sampling).items() if value is not None and value != ()}
    preset = PAPER if given.pop("preset", None) else {}
    drawing: dict[str, Any] = {"n": 1, "temperature": 0.6, "top_p": 0.95, "chat": None} | preset | given
    if drawing["n"] < 1:
        raise OptionError(f"--n must be a whole number of completions, 1 or more; got {drawing['n']}")
    if drawing["temperature"] == 0:
        if drawing["n"] > 1:
            raise OptionError(f"--n {drawing['n']} greedy completions are all the same; use --n 1 or a --temperature")
        drawing = {name: value for name, value in drawing.items() if name not in ("top_p", "top_k") or name in given}
    return drawing


def _tasks(names: Sequence[str], problems: ProblemOptions, unsafe_local_exec: bool) -> list["Task"]:
    import yaml

    from thinklogit.evals.registry import TASKS, task_named

    if not names:
        raise OptionError(f"no task given; known: {', '.join(TASKS)}")
    if problems.data and len(names) > 1:
        raise OptionError(f"--data is for one task; got {', '.join(names)}: evaluate them one after the other")
    options: dict[str, Any] = {}
    for given in problems.task_option:
        name, equals, value = given.partition("=")
        if not equals:
            raise OptionError(f"-T takes name=value, such as levels=5; got {given!r}")
        options[name] = yaml.safe_load(value)
    for name in ("data", "data_fields"):
        if (value := getattr(problems, name)) is not None:
            options[name] = value
    unsafe = {"unsafe_local_exec": True} if unsafe_local_exec else {}
    return [task_named(name, options | (unsafe if name == "livecodebench" else {})) for name in names]


def _system(answering: AnsweringOptions, mode: str, drawing: dict[str, Any], chat: bool | None) -> "System":
    from thinklogit.cli.options import api_key, place_of
    from thinklogit.evals.systems import of_server, of_trio

    size = answering.batch_size
    if answering.base_url:
        asked = {"batch_size": size, "chat": chat, "key": api_key()}
        return of_server(answering.base_url, answering.model, mode, drawing, **asked)
    trio = place_of(answering.trio)
    of_engine = ("dtype", "device_map", "allow_past_context", "engine", "engine_args")
    loading = {name: getattr(answering, name) for name in of_engine}
    return of_trio(trio, mode, drawing, batch_size=size, chat=chat, **loading)


def _show(measured: Sequence["Measurement"], run: Path, json: bool) -> None:
    from thinklogit.report.formats import json_text, markdown
    from thinklogit.report.table import tabulate

    table = tabulate(measured)
    print(json_text(table) if json else markdown(table))
    print(f"thinklogit: the logs are in {run}; inspect view --log-dir {run}", file=sys.stderr)


@contextmanager
def _interruption_told(run: Path) -> Generator[None]:
    try:
        yield
    except KeyboardInterrupt:
        told = f"interrupted: what was answered is kept in {run}; repeat the command to continue"
        raise KeyboardInterrupt(told) from None
