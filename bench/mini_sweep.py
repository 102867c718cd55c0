"""The mini trio's figures: members alone, guided over alpha and over warm-up, greedy and sampled, with intervals.

Choose settings on the dev split. The report split is touched once, for the table in the card:
    python bench/mini_sweep.py --split report --record
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

import thinklogit
from thinklogit import HuggingFaceEngine, SamplingParams
from thinklogit.core.intervals import Difference, paired_difference, wilson
from thinklogit.core.records import Completion, Problem
from thinklogit.mini import backtracks, checks, grade, problems

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WARMUPS = (4, 8, 16, 32)
DECODING = {"greedy": SamplingParams(), "T=0.6": SamplingParams(temperature=0.6, top_p=0.95)}
MEMBERS = ("target", "guider", "base")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Cell:
    """One way of answering, measured over all problems."""

    decoding: str
    name: str
    correct: list[bool]
    tokens: float
    checks: float
    backtracks: float
    unfinished: int

    @property
    def accuracy(self) -> float:
        return 100 * sum(self.correct) / len(self.correct)

    def summary(self) -> dict:
        low, high = wilson(sum(self.correct), len(self.correct))
        return {
            "decoding": self.decoding,
            "name": self.name,
            "n": len(self.correct),
            "correct": sum(self.correct),
            "accuracy": round(self.accuracy, 2),
            "interval": [round(100 * low, 2), round(100 * high, 2)],
            "tokens": round(self.tokens, 1),
            "checks": round(self.checks, 2),
            "backtracks": round(self.backtracks, 2),
            "unfinished": self.unfinished,
        }

    def row(self) -> str:
        s = self.summary()
        low, high = s["interval"]
        return (
            f"| {s['name']} | {s['correct']}/{s['n']} | {s['accuracy']:.1f} [{low:.1f}, {high:.1f}] "
            f"| {s['tokens']} | {s['checks']} | {s['backtracks']} | {s['unfinished']} |"
        )


def runs() -> list[tuple[str, str, SamplingParams]]:
    listed = []
    for decoding, settings in DECODING.items():
        listed += [(decoding, f"{m} alone", replace(settings, mode=m)) for m in MEMBERS]
        listed += [(decoding, f"guided, alpha {a:g}", replace(settings, alpha=a)) for a in ALPHAS]
        listed += [(decoding, f"guided, alpha 1, warm-up {w}", replace(settings, warmup_tokens=w)) for w in WARMUPS]
    return listed


def measure(engine: HuggingFaceEngine, decoding: str, name: str, params: SamplingParams, asked: list[Problem]) -> Cell:
    prompts = [[{"role": "user", "content": problem.question}] for problem in asked]
    completions = engine.generate(prompts, params)
    return cell_of(decoding, name, asked, completions)


def cell_of(decoding: str, name: str, asked: list[Problem], completions: list[Completion]) -> Cell:
    texts = [completion.text for completion in completions]
    return Cell(
        decoding=decoding,
        name=name,
        correct=[grade(problem, text).correct for problem, text in zip(asked, texts, strict=True)],
        tokens=statistics.fmean(completion.new_tokens for completion in completions),
        checks=statistics.fmean(map(checks, texts)),
        backtracks=statistics.fmean(map(backtracks, texts)),
        unfinished=sum(completion.finish_reason == "length" for completion in completions),
    )


def differences(cells: list[Cell]) -> dict[str, Difference]:
    """Guided at alpha 1 against target and guider alone, over the same problems."""
    by_name = {(cell.decoding, cell.name): cell for cell in cells}
    return {
        f"{decoding}: guided, alpha 1, minus {member} alone": paired_difference(
            by_name[decoding, "guided, alpha 1"].correct, by_name[decoding, f"{member} alone"].correct
        )
        for decoding in DECODING
        for member in ("target", "guider")
    }


def table(cells: list[Cell]) -> str:
    lines = []
    for decoding in DECODING:
        lines += [
            f"\n{decoding}:\n",
            "| who answers | correct | accuracy, % [95%] | tokens | checks | backtracks | unfinished |",
            "|---|---|---|---|---|---|---|",
            *(cell.row() for cell in cells if cell.decoding == decoding),
        ]
    lines.append("\nPaired differences, points [95%]:\n")
    for name, (mean, (low, high)) in differences(cells).items():
        lines.append(f"- {name}: {100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trio", default="mini", help="mini, or the folder of another trained by `thinklogit mini train`"
    )
    parser.add_argument("--split", default="dev", choices=("dev", "report"))
    parser.add_argument("--n", type=int, default=None, help="problems; all of the split by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help=f"write the figures to {RESULTS.name}/")
    options = parser.parse_args()
    begun = time.perf_counter()
    engine = HuggingFaceEngine(*thinklogit.load(options.trio), batch_size=256)
    asked = problems(options.split, options.n, options.seed)
    cells = [
        measure(engine, *run, asked)
        for run in track(runs(), description=f"{len(asked)} problems", console=Console(stderr=True))
    ]
    print(table(cells))
    print(f"\n{options.split} split, {len(asked)} problems, seed {options.seed}, {time.perf_counter() - begun:.0f} s")
    if options.record:
        found = {name: {"mean": mean, "interval": interval} for name, (mean, interval) in differences(cells).items()}
        where = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
        path = RESULTS / f"mini_sweep-{options.split}-{date.today()}.json"
        RESULTS.mkdir(exist_ok=True)
        values = {"hardware": where, "split": options.split, "seed": options.seed}
        values |= {"cells": [cell.summary() for cell in cells], "differences": found}
        path.write_text(json.dumps(values, indent=2) + "\n")
        print(f"recorded in {path}")


if __name__ == "__main__":
    main()
