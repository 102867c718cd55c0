"""`thinklogit demo`: one problem answered by target, guider and guided target, then all three over many problems."""

import json as json_format
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter
from rich.console import Console

from thinklogit.cli.options import ReadyTrio, TrioOptions
from thinklogit.cli.progress import completions_bar
from thinklogit.core.errors import OptionError

if TYPE_CHECKING:
    from thinklogit.core.intervals import Interval
    from thinklogit.core.params import SamplingParams
    from thinklogit.core.records import Completion, Grade, Problem
    from thinklogit.decode.runs import Request

MODES = ("target", "guider", "guided")
TOP_P = 0.95
MAX_NEW_TOKENS = 240
"""The longest answers that the guider learnt from have some 190 tokens."""


class Attempt(NamedTuple):
    """One mode's answer to the problem that is shown, and its verdict."""

    mode: str
    text: str
    grade: "Grade"


class Tally(NamedTuple):
    """One mode over many problems; lengths and counts are means for each completion."""

    mode: str
    correct: int
    n: int
    accuracy: float
    interval: "Interval"
    new_tokens: float
    checks: float
    backtracks: float


def demo(
    *,
    problem: str | None = None,
    n: Annotated[int, Parameter(show_default=True)] = 100,
    temperature: Annotated[float, Parameter(show_default=True)] = 0.6,
    alpha: float | None = None,
    seed: Annotated[int, Parameter(show_default=True)] = 0,
    trio: str = "mini",
    json: bool = False,
) -> None:
    """Watch a small reasoner guide a larger model through problems that neither has seen.

    Args:
        problem: Your own, such as "a pen costs 8, a cup 13, Ann paid 55", to be shown first; otherwise a held-out one.
        n: Held-out problems to count over.
        temperature: 0 is greedy.
        alpha: Guidance strength [default: the trio's].
        seed: Chooses the problems and the draws.
        trio: A trio trained in this world [default: mini].
        json: Print one JSON object, without the show.
    """
    from thinklogit.core.params import SamplingParams
    from thinklogit.core.schedules import check_guidance
    from thinklogit.mini import world

    if n < 1:
        raise OptionError(f"n must be a whole number of problems, 1 or more; got {n}")
    held_out = world.problems("dev", n, seed, "search")
    shown = world.parse(problem) if problem else held_out[0]
    check_guidance("warmup", 1.0 if alpha is None else alpha, 0)
    params = SamplingParams(
        MAX_NEW_TOKENS, temperature, TOP_P if temperature else 1.0, seed=seed, alpha=alpha, speculate="auto"
    )
    _use_one_thread()
    ready = TrioOptions(trio).load(batch_size=n)
    strength = ready.config.guider_refs[0].alpha if alpha is None else alpha
    if not json:
        _say(f"[bold]{shown.question}[/]  ({_origin(shown)})")
    attempts = [attempt(ready, shown, params, mode, None if json else strength) for mode in MODES]
    with completions_bar(0, len(MODES) * n, not json) as advance:
        tallies = [tally(ready, held_out, params, mode, lambda done: advance(done.new_tokens)) for mode in MODES]
    if json:
        settings = {"trio": ready.name, **params.settings(), "alpha": strength}
        print(json_format.dumps(_as_json(shown, attempts, tallies, settings)))
    else:
        _print_table(tallies, n, temperature)
        print(_closing(tallies, strength, seed))


def _use_one_thread() -> None:
    """Members this small gain nothing from a second thread, and with another process beside them lose: 13 s or 48."""
    import torch

    torch.set_num_threads(1)


def attempt(
    trio: ReadyTrio, problem: "Problem", params: "SamplingParams", mode: str, strength: float | None
) -> Attempt:
    """Answer one problem and grade the answer; shown while it is decoded where a `strength` is given to name."""
    from thinklogit.decode.runs import params_of
    from thinklogit.mini.world import grade

    (request,) = _requests(trio, [problem], params.seed)
    if strength is not None:
        _say(f"\n[bold]{_heading(mode, strength)}[/]")
    text = ""
    for piece in trio.engine.stream(request.line.prompt, params_of(request, replace(params, mode=mode))):
        text += piece
        if strength is not None:
            print(piece, end="", flush=True)
    verdict = grade(problem, text)
    if strength is not None:
        _say(f"\n[green]right[/]: {verdict.reason}" if verdict.correct else f"\n[red]wrong[/]: {verdict.reason}")
    return Attempt(mode, text, verdict)


def tally(
    trio: ReadyTrio,
    problems: Sequence["Problem"],
    params: "SamplingParams",
    mode: str,
    on_record: Callable[["Completion"], None],
) -> Tally:
    """Answer and grade all problems in one batch."""
    from thinklogit.core.intervals import wilson
    from thinklogit.decode.runs import decode
    from thinklogit.mini import world

    done: list[Completion] = []

    def record(completion: "Completion") -> None:
        done.append(completion)
        on_record(completion)

    decode(trio.engine, _requests(trio, problems, params.seed), replace(params, mode=mode), {}, record)
    by_id = {problem.id: problem for problem in problems}
    correct = sum(world.grade(by_id[completion.problem_id], completion.text).correct for completion in done)
    return Tally(
        mode,
        correct,
        len(done),
        correct / len(done),
        wilson(correct, len(done)),
        fmean(completion.new_tokens for completion in done),
        fmean(world.checks(completion.text) for completion in done),
        fmean(world.backtracks(completion.text) for completion in done),
    )


def _requests(trio: ReadyTrio, problems: Sequence["Problem"], seed: int) -> list["Request"]:
    """The same problem has the same seed whether it is shown or counted, and in every mode."""
    from thinklogit.decode.prompts import PromptLine, as_chat
    from thinklogit.decode.runs import requests_for

    lines = [PromptLine(problem.id, problem.question, problem.id) for problem in problems]
    return requests_for([as_chat(line) for line in lines] if trio.has_chat_template else lines, 1, seed)


def _say(*what: Any) -> None:
    """Print with colours where there are any; rich's own are left out."""
    Console(highlight=False, soft_wrap=True).print(*what)


def _origin(problem: "Problem") -> str:
    return "the members were trained on it" if problem.split == "train" else "held out: no member was trained on it"


def _heading(mode: str, strength: float) -> str:
    return {
        "target": "Target alone",
        "guider": "Guider alone, the small reasoner",
        "guided": f"Guided: target + {strength:g} * (guider - base)",
    }[mode]


def _print_table(tallies: Sequence[Tally], n: int, temperature: float) -> None:
    from rich.table import Table

    title = f"{n} held-out problem{'' if n == 1 else 's'}, temperature {temperature:g}"
    table = Table(
        "", "right", "accuracy [95% interval]", "tokens", "checks", "backtracks", title=title, title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for row in tallies:
        low, high = row.interval
        table.add_row(
            row.mode,
            f"{row.correct}/{row.n}",
            f"{row.accuracy:.0%} \\[{low:.0%}, {high:.0%}]",
            *(f"{mean:.1f}" for mean in (row.new_tokens, row.checks, row.backtracks)),
        )
    _say()
    _say(table)


def _closing(tallies: Sequence[Tally], strength: float, seed: int) -> str:
    target, guider, guided = (row.correct for row in tallies)
    return (
        f"Out of {tallies[0].n}, the target alone solves {target}, the guider {guider}, the guided target {guided}.\n"
        f"Its weights are untouched: guidance adds {strength:g} * (guider - base) to its logits, token by token.\n"
        f"Other problems: --seed {seed + 1}, or your own: --problem 'a pen costs 8, a cup 13, Ann paid 55'"
    )


def _as_json(
    problem: "Problem", attempts: Sequence[Attempt], tallies: Sequence[Tally], settings: dict[str, Any]
) -> dict[str, Any]:
    return {
        "problem": asdict(problem),
        "settings": settings,
        "attempts": [{"mode": each.mode, "text": each.text, **_verdict(each.grade)} for each in attempts],
        "table": [{**row._asdict(), "interval": row.interval._asdict()} for row in tallies],
    }


def _verdict(grade: "Grade") -> dict[str, Any]:
    return {"correct": grade.correct, "extracted": grade.extracted, "reason": grade.reason}
