"""What a mini study's answers say: tables, claims as paired comparisons, behaviour, the tokens guidance changed."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from thinklogit.evals.outcomes import Measurement

PUBLISHED = "guided, alpha 1, warm-up 12"
"""Alpha 1 as published; the warm-up scaled to this world, chosen on dev."""
BEST = {
    "greedy": ("guided, alpha 0.75, warm-up 12", "no base, alpha 0.75, warm-up 12"),
    "T=0.6": ("guided, alpha 0.75, warm-up 12", "no base, alpha 0.75, warm-up 12"),
}
"""Guided, and without subtracting the base: what solved most search problems of dev, and of these most to recall."""
DESCRIBED = (
    "target",
    "base",
    "guider",
    "rewarded guider",
    "target trained itself",
    "guided, alpha 1, warm-up 0",
    PUBLISHED,
)
RESAMPLES = 3000
RESULTS = Path(__file__).parent / "results"
KINDS = ("search", "recall")
Logs = Mapping[str, Path]
"""The folder of a cell's logs, by the cell's name."""


class Answered(NamedTuple):
    """One logged answer."""

    problem_id: str
    question: str
    answer: str
    correct: bool
    new_tokens: int


def samples(logs: Path) -> Iterator[Answered]:
    """Every answer in a folder of logs; an opening that was given is not part of it."""
    from inspect_ai.model import ModelOutput

    from thinklogit.evals.logs import current, read_log

    for log in current(logs):
        for sample in read_log(Path(log.location), header_only=False).samples or []:
            output: ModelOutput = sample.output
            score = next(iter((sample.scores or {}).values()))
            question = sample.input if isinstance(sample.input, str) else sample.input[0].text
            used = output.usage.output_tokens if output.usage else 0
            yield Answered(str(sample.id), question, output.completion, score.value == "C", used)


def report(folders: Mapping[str, Logs], split: str, members: Path, record: bool) -> None:
    """Print everything by decoding; with `record`, keep the figures as JSON."""
    kept: dict[str, Any] = {"split": split, "members": members.name, "date": str(date.today())}
    for decoding, logs in folders.items():
        print(f"## {decoding}\n")
        measured = {name: by_kind(name, folder) for name, folder in logs.items()}
        kept[decoding] = {
            "figures": tables(measured),
            "best": best(measured),
            "compared": comparisons(measured, BEST[decoding]),
            "levels": levels({name: logs[name] for name in ("target", "guider", PUBLISHED)}),
            "behaviour": behaviour({name: logs[name] for name in DESCRIBED}, members / "target"),
        }
    if record:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"mini_study-{split}-{members.name}.json"
        file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(f"kept in {file}")


def by_kind(name: str, folder: Path) -> dict[str, Measurement]:
    """The problems to search and those to recall, as two tasks."""
    from thinklogit.evals.logs import read_measurements

    (measurement,) = read_measurements([folder])
    parts = {kind: [each for each in measurement.outcomes if kind_of(each.problem_id) == kind] for kind in KINDS}
    return {
        kind: replace(measurement, task=kind, system=name, outcomes=tuple(part)) for kind, part in parts.items() if part
    }


def kind_of(problem_id: str) -> str:
    """Whether it is to be searched or recalled."""
    return "recall" if problem_id.startswith("item ") else "search"


def tables(measured: Mapping[str, Mapping[str, Measurement]]) -> list[dict[str, Any]]:
    """Print a row a cell, and return the shares and lengths in it."""
    from thinklogit.report.table import Figure, figures, tabulate

    table = tabulate([each for kinds in measured.values() for each in kinds.values()], published=False)
    found = [figure for figure in figures(table) if figure.task in KINDS and figure.metric in ("avg@1", "new_tokens")]

    def text(figure: Figure) -> str:
        return f"{figure.value:.1f}" + (f" [{figure.low:.1f}, {figure.high:.1f}]" if figure.unit == "percent" else "")

    by_name = {(each.system, each.task, each.metric): text(each) for each in found}
    columns = [("search", "avg@1"), ("search", "new_tokens"), ("recall", "avg@1")]
    _print_rows(
        ["percent right", "search", "tokens", "recall"],
        [[name, *(by_name.get((name, *column), "-") for column in columns)] for name in measured],
    )
    wanted = ("system", "task", "metric", "value", "low", "high", "problems")
    return [{name: getattr(figure, name) for name in wanted} for figure in found]


def best(measured: Mapping[str, Mapping[str, Measurement]]) -> dict[str, str]:
    """What solved most search problems, and of these most to recall, guided and without the base."""

    def solved(name: str) -> list[int]:
        return [sum(outcome.correct for outcome in each.outcomes) for each in measured[name].values()]

    found = {}
    for family in ("guided, alpha", "no base, alpha"):
        found[family] = max((name for name in measured if name.startswith(family)), key=solved)
        print(f"best: {found[family]}")
    return found


def comparisons(measured: Mapping[str, Mapping[str, Measurement]], chosen: tuple[str, str]) -> list[dict[str, Any]]:
    """What is claimed, paired, problem by problem: the published setting against every other, and the base's worth."""
    from thinklogit.report.comparison import compare
    from thinklogit.report.sentences import p_text, points

    others = [(PUBLISHED, name) for name in measured if name != PUBLISHED]
    found = []
    print("\nMinus, problems gained and lost:\n")
    for ours, theirs in [chosen, *others]:
        for kind in measured[ours]:
            told = compare(measured[ours][kind], measured[theirs][kind], resamples=RESAMPLES)
            effect = told.accuracy
            gained, lost = len(told.gained), len(told.lost)
            print(f"- {kind}: {ours} - {theirs}: {points(effect)}, {p_text(effect.p)}, +{gained} -{lost}")
            found.append(
                {
                    "kind": kind,
                    "ours": ours,
                    "theirs": theirs,
                    "points": 100 * effect.difference,
                    "interval": [100 * bound for bound in effect.interval],
                    "p": effect.p,
                    "gained": gained,
                    "lost": lost,
                    "problems": effect.problems,
                }
            )
    print()
    return found


def levels(logs: Logs) -> dict[str, dict[str, float]]:
    """Percent right of the search problems by level, the number of tries that a search takes."""
    from thinklogit.mini.world import parse

    shares: dict[str, dict[str, float]] = {}
    for name, folder in logs.items():
        right: dict[int, list[bool]] = {}
        for each in samples(folder):
            if kind_of(each.problem_id) == "search":
                right.setdefault(parse(each.problem_id).metadata["level"], []).append(each.correct)
        shares[name] = {str(level): 100 * fmean(right[level]) for level in sorted(right)}
    _print_numbers("percent right by level", shares)
    return shares


def behaviour(logs: Logs, target: Path) -> dict[str, dict[str, float]]:
    """On search problems: tokens, checks and backtracks an answer; how many tokens the target would not have chosen."""
    from thinklogit.mini.world import backtracks, checks

    changed_by = _changed_tokens(target)
    rows = {}
    for name, folder in logs.items():
        answers = [each for each in samples(folder) if kind_of(each.problem_id) == "search"]
        rows[name] = {
            "tokens": fmean(each.new_tokens for each in answers),
            "checks": fmean(checks(each.answer) for each in answers),
            "backtracks": fmean(backtracks(each.answer) for each in answers),
            "% not the target's choice": 100 * changed_by(answers),
        }
    _print_numbers("behaviour on search problems", rows)
    return rows


def _changed_tokens(target: Path) -> Callable[[Sequence[Answered]], float]:
    """A function that gives the share of answers' tokens that are not the target's own likeliest where they stand."""
    import torch
    from transformers import AutoModelForCausalLM

    from thinklogit.mini.tokenizer import ASSISTANT, USER, build

    tokenizer = build()
    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()

    @torch.inference_mode()
    def share(answers: Sequence[Answered]) -> float:
        changed, total = 0, 0
        for begun in range(0, len(answers), 128):
            batch = answers[begun : begun + 128]
            prompts = [f"{USER}{each.question}{ASSISTANT}" for each in batch]
            before = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
            texts = [prompt + each.answer for prompt, each in zip(prompts, batch, strict=True)]
            read = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
            choices = model(**read).logits[:, :-1].argmax(-1)
            places = torch.arange(1, read["input_ids"].shape[1])
            answer = read["attention_mask"][:, 1:].bool() & (places >= torch.tensor(before)[:, None])
            changed += int((answer & (choices != read["input_ids"][:, 1:])).sum())
            total += int(answer.sum())
        return changed / total

    return share


def _print_numbers(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    _print_rows(
        [title, *columns], [[name, *(f"{row[column]:.1f}" for column in columns)] for name, row in rows.items()]
    )


def _print_rows(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in (heading, ["---"] * len(heading), *rows):
        print(f"| {' | '.join(row)} |")
    print()
