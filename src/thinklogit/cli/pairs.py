"""`thinklogit pairs`: answers of target and guider, graded, become preference pairs for ThinkLogit-DPO."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from thinklogit.cli.config_file import merged
from thinklogit.cli.options import quiet
from thinklogit.core.errors import OptionError, OutputError

if TYPE_CHECKING:
    from thinklogit.evals.sources import Asked, Sources
    from thinklogit.train.choice import Choice
    from thinklogit.train.pairs import Built

SECTION = "pairs"
"""Of a config file."""


@Parameter(name="*", group="Problems")
@dataclass(frozen=True)
class ProblemOptions:
    """What is asked.

    Args:
        problems: A file of problems, hf://..., or mini, the shop's train split; may be given several times.
        data_fields: Which of its fields hold what, such as question=problem,answer=solution.
        levels: Keep these levels of MATH, such as 4,5.
        grader: math, letter or mini [default: math; mini for mini].
        held_out: Refuse near copies of these: a benchmark such as aime24, or a file; may be given several times.
        limit: The first so many problems.
        shard: The i-th of N parts of the problems, such as 2/8: answers only; without it, all parts become pairs.
    """

    problems: tuple[str, ...] | None = None
    data_fields: str | None = None
    levels: str | None = None
    grader: str | None = None
    held_out: tuple[str, ...] | None = None
    limit: int | None = None
    shard: str | None = None


@Parameter(name="*", group="Answers")
@dataclass(frozen=True)
class AnswerOptions:
    """Who answers, and how.

    Args:
        trio: A trio folder, a hub id, or "mini" [default: mini].
        n: Answers of each to each problem [default: 4].
        temperature: Of all answers [default: 0.6].
        target_temperature: Of the target's: hotter, where it is too seldom wrong [default: --temperature].
        guider_temperature: Of the guider's [default: --temperature].
        top_p: Keep the most probable tokens up to this mass [default: 0.95].
        max_new_tokens: Tokens to decode at most [default: the trio's, else half its context, at most 8192].
        alpha: Guidance strength, of the kinds of pair with guided answers [default: the trio's].
        warmup_tokens: New tokens decoded without guidance there [default: the trio's].
        chat: Put prompts into the chat template, or take them as they stand [default: --chat if there is one].
        batch_size: Answers decoded, or asked of a server, side by side [default: 32].
        engine: hf, transformers, or vllm, for several GPUs [default: hf].
        engine_args: Engine arguments of vLLM's as a JSON object.
        dtype: What to load weights as [default: as each member was saved].
        device_map: Where to put the members: cpu, cuda, auto [default: cpu].
        base_url: Ask a running server for the target's and the guided answers.
        guider_url: Ask a running server of the guider alone for its answers.
        seed: Mixed with each problem's id and the answer's index [default: 0].
    """

    trio: str | None = None
    n: int | None = None
    temperature: float | None = None
    target_temperature: float | None = None
    guider_temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None
    alpha: float | None = None
    warmup_tokens: int | None = None
    chat: Annotated[bool | None, Parameter(negative="--raw")] = None
    batch_size: int | None = None
    engine: Literal["hf", "vllm"] | None = None
    engine_args: str | None = None
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    device_map: str | None = None
    base_url: str | None = None
    guider_url: str | None = None
    seed: int | None = None


@Parameter(name="*", group="Pairs")
@dataclass(frozen=True)
class ChoiceOptions:
    """Which answers make pairs; they can be chosen anew without asking again.

    Args:
        kinds: Whose right answers over whose wrong ones, with commas between: target_over_guider, guider_over_target,
            guider_over_guider, target_over_guided, ... [default: the first two].
        pairs: How many at most [default: all].
        mix: The share of each kind, such as 1,1 [default: as they come].
        oversample: Repeat pairs of a kind that has too few for its share.
        per_problem: Pairs of one kind from one problem at most [default: 4].
        min_gap: Take a problem only where the chosen's source is right that much more often than the rejected's: 0.5
            leaves out luck [default: all].
        min_tokens: Leave out answers shorter than this.
        max_tokens: Leave out answers longer than this [default: no limit].
        cut_tokens: Keep so many tokens of each answer beyond those that both begin with, for all kinds or for each with
            commas between, 0 for all: 2 keeps little more than the choice of how to answer [default: 0].
    """

    kinds: str | None = None
    pairs: int | None = None
    mix: str | None = None
    oversample: bool | None = None
    per_problem: int | None = None
    min_gap: float | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    cut_tokens: str | None = None


NO_PROBLEMS, NO_ANSWERS, NO_CHOICE = ProblemOptions(), AnswerOptions(), ChoiceOptions()


def pairs(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    config: Path | None = None,
    dry_run: bool = False,
    json: bool = False,
    workers: Annotated[int, Parameter(show_default=True)] = 2,
    problems: ProblemOptions = NO_PROBLEMS,
    answers: AnswerOptions = NO_ANSWERS,
    choice: ChoiceOptions = NO_CHOICE,
) -> None:
    """Make preference pairs for ThinkLogit-DPO: answers of target and guider, graded, right over wrong.

    The folder is a data set for `datasets` and TRL, with a card; samples/ in it holds every answer and grade. The same
    command continues what was cut short, and makes other pairs of the same answers when only options of pairs change.

    Args:
        output: The folder to write.
        config: YAML with these options by name under pairs; options given win.
        dry_run: Say what would be asked, and ask nothing.
        json: Print the counts as one JSON object.
        workers: Answers graded at a time.
        problems: What is asked.
        answers: Who answers.
        choice: Which answers make pairs.
    """
    if workers < 1:
        raise OptionError(f"workers must be a whole number, 1 or more; got {workers}")
    given = merged(config, SECTION, problems, answers, choice)
    wanted = _choice(given)
    sources = _sources(given)
    asked, refused = _asked(sources, given)
    from thinklogit.cli.pair_sampling import Sampling
    from thinklogit.train import dataset

    if not dataset.is_writable(output):
        raise OutputError(f"{output}: not a folder that you can write to; use another -o")
    sampling = Sampling.of(
        given, output, wanted, [each for each in asked if each.id not in set(refused)], sources.graded_by
    )
    if refused:
        print(f"thinklogit: {len(refused)} problems refused: near copies of --held-out ones", file=sys.stderr)
    if dry_run:
        print(sampling.plan())
        return
    sampling.answer()
    grades = sampling.grade(workers)
    if sampling.shard.of > 1:
        told = f"shard {sampling.shard.number} of {sampling.shard.of} is answered and graded"
        print(f"thinklogit: {told}; when all are, repeat the command without --shard", file=sys.stderr)
        return
    built = sampling.build(grades)
    about = {
        "problems": {name: given[name] for name in asdict(problems) if given[name] is not None},
        "answers": sampling.about(),
        "choice": asdict(wanted),
    }
    dataset.write(built.pairs, dataset.card(built.pairs, built.counts, about, refused), output)
    _tell(built, wanted, output, json)


def _choice(given: Mapping[str, Any]) -> "Choice":
    from thinklogit.train.choice import Choice

    names = ("pairs", "oversample", "per_problem", "min_gap", "min_tokens", "max_tokens", "seed")
    chosen = {name: given[name] for name in names if given.get(name) is not None}
    if given.get("kinds"):
        chosen["kinds"] = tuple(kind.strip() for kind in given["kinds"].split(","))
    for name, number in (("mix", float), ("cut_tokens", int)):
        if given[name] is not None:
            chosen[name] = _numbers(name, given[name], number)
    return Choice(**chosen)


def _numbers(name: str, given: str, number: Callable[[str], Any]) -> tuple[Any, ...]:
    """Of "1,1". Raises OptionError."""
    try:
        return tuple(number(part) for part in given.split(","))
    except ValueError:
        option = f"--{name.replace('_', '-')}"
        raise OptionError(f"{option} takes numbers with commas between, such as 2,1; got {given!r}") from None


def _sources(given: Mapping[str, Any]) -> "Sources":
    from thinklogit.evals.sources import Sources

    return Sources(tuple(given["problems"] or ()), given["grader"], given["data_fields"], given["levels"])


def _asked(sources: "Sources", given: Mapping[str, Any]) -> tuple[list["Asked"], list[str]]:
    """The problems, and the ids of those that are near copies of held-out ones."""
    from thinklogit.evals.sources import questions_of
    from thinklogit.train.held_out import near_copies

    if given["limit"] is not None and given["limit"] < 1:
        raise OptionError(f"limit must be a whole number of problems, 1 or more; got {given['limit']}")
    with quiet("reading problems"):
        asked = sources.read()[: given["limit"]]
        held_out = [question for place in given["held_out"] or () for question in questions_of(place)]
    refused = near_copies({each.id: each.question for each in asked}, held_out)
    return asked, [near.problem_id for near in refused]


def _tell(built: "Built", choice: "Choice", output: Path, json: bool) -> None:
    import json as json_format

    kept = {kind: built.counts.pairs[kind, "kept"] for kind in choice.kinds}
    if json:
        answers = [{"source": s, "what": what, "n": n} for (s, what), n in built.counts.answers.items()]
        print(json_format.dumps({"output": str(output), "pairs": len(built.pairs), "kinds": kept, "answers": answers}))
        return
    print(f"{len(built.pairs)} pairs in {output}: {', '.join(f'{count} {kind}' for kind, count in kept.items())}")
    print(f"every count is in {output / 'README.md'}; now: thinklogit train --pairs {quote(str(output))} -o ADAPTER")
