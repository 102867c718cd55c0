"""A target of another tokenizer, guided by the mini trio's pair: what our alignment is worth beside a one-to-one map.

    python bench/cross_study.py --split dev              to choose alpha and warm-up
    python bench/cross_study.py --split report --record  once a release: the figures of the docs

Beside them the target alone, the guider alone, and the trio of one tokenizer. The one-to-one map is what public code
does: a token that both have, byte for byte, takes the other's difference, all others take none; one that the guider
lacks is read by it as an end of text. It may read the prompt in its own tokens, and has its best alpha of dev, too.
Can be killed at any moment and started again.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from mini_study import DECODING, MAX_NEW_TOKENS, Cell
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from thinklogit.core.intervals import wilson
from thinklogit.core.params import SamplingParams
from thinklogit.decode.huggingface import HuggingFaceEngine
from thinklogit.mini.world import grade, problems
from thinklogit.models.cross import follower
from thinklogit.models.trios import load

ALPHAS = (1.0, 1.5, 2.0, 2.5, 3.0)
WARMUPS = (0, 4, 6, 8)
BATCH = 128
FOLLOWER = follower.Follower
RESULT = Path(__file__).parent / "results" / "cross_study.json"


class Mapped:
    """Stands in for a Follower: guider and base read a token's partner, and say something of partners only."""

    def __init__(self, guider: Any, base: Any, languages: Any, reach: Any) -> None:
        self.members, self.languages = (guider, base), languages
        order = {each: id for id, each in enumerate(languages.guider.tokens) if each}
        self.partners = {id: order[each] for id, each in enumerate(languages.target.tokens) if each in order}
        self.partners |= dict.fromkeys(languages.target.ends, languages.guider.ends[0])
        self.prompts: dict[tuple[int, ...], list[int]] = {}
        self.known: list[tuple[list[int], list[int]]] = []

    @torch.no_grad()
    def logits(self, ids: Sequence[Sequence[list[int]]], target: Tensor, asked: Tensor) -> Tensor:
        """As Follower.logits, for the last position; reads every text anew."""
        rows = [self._read(row[-1]) for row in ids]
        longest = max(map(len, rows))
        tokens = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        found = torch.zeros(2, *target.shape)
        targets, partners = map(list, zip(*self.partners.items(), strict=True))
        for which, member in enumerate(self.members):
            said = member(input_ids=tokens, attention_mask=mask, position_ids=positions, logits_to_keep=1).logits[:, -1]
            found[which, :, -1, targets] = said.float()[:, partners]
        return found * asked[None, :, :, None]

    def _read(self, ids: list[int]) -> list[int]:
        """The prompt in the guider's own tokens, then partners; which prompt is the longest known one."""
        for place, (before, read) in enumerate(self.known):
            if ids[: len(before)] == before:
                read = read + [self.partners.get(id, self.languages.guider.ends[0]) for id in ids[len(before) :]]
                self.known[place] = (ids, read)
                return read
        self.known.append((ids, self.languages.say(ids).ids))
        return self.known[-1][1]


def cells() -> list[Cell]:
    """Everything that is measured."""
    found = [Cell("other target", "cross", "target"), Cell("guider", "mini", "guider")]
    found.append(Cell("one tokenizer, alpha 1, warm-up 12", "mini", sampling={"alpha": 1.0, "warmup_tokens": 12}))
    for kind in ("cross", "mapped"):
        for alpha in ALPHAS:
            for warmup in WARMUPS:
                sampling = {"alpha": alpha, "warmup_tokens": warmup}
                found.append(Cell(f"{kind}, alpha {alpha:g}, warm-up {warmup}", kind, sampling=sampling))
    return found


def measured(cell: Cell, decoding: str, split: str, n: int | None, runs: Path) -> Path:
    """One cell, in a process of its own; the file of its answers."""
    file = runs / decoding / f"{cell.name}.jsonl"
    if file.is_file():
        return file
    torch.set_num_threads(1)
    vars(follower)["Follower"] = Mapped if cell.trio == "mapped" else FOLLOWER
    asked = problems(split, n)
    settings: dict[str, Any] = {**DECODING[decoding], **cell.sampling}
    params = SamplingParams(MAX_NEW_TOKENS, mode=cell.mode, **settings)
    engine = HuggingFaceEngine(*load("mini" if cell.trio == "mini" else "mini-cross"), batch_size=BATCH)
    answers = engine.generate([[{"role": "user", "content": each.question}] for each in asked], params)
    partial = file.with_suffix(".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w") as lines:
        for problem, answer in zip(asked, answers, strict=True):
            right = grade(problem, answer.text).correct
            kept = {"id": problem.id, "kind": problem.metadata["kind"], "correct": right}
            lines.write(json.dumps(kept | {"new_tokens": answer.new_tokens, "text": answer.text}) + "\n")
    partial.rename(file)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("dev", "report"), default="dev")
    parser.add_argument("--n", type=int, default=None, help="problems [default: all]")
    parser.add_argument("--only", nargs="*", help="cells whose names begin so")
    parser.add_argument("--decoding", nargs="*", default=list(DECODING), choices=list(DECODING))
    parser.add_argument("--runs", type=Path, default=Path("runs/cross-study"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    chosen = [each for each in cells() if not options.only or each.name.startswith(tuple(options.only))]
    runs = options.runs / options.split
    runs.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        asked = {
            pool.submit(measured, cell, decoding, options.split, options.n, runs): (decoding, cell.name)
            for cell in chosen
            for decoding in options.decoding
        }
        done = track(as_completed(asked), "measuring", len(asked), console=Console(stderr=True))
        folders = {asked[future]: future.result() for future in done}
    found = []
    table = Table("decoding", "system", "search", "recall", "tokens")
    for decoding in options.decoding:
        for cell in chosen:
            answers = [json.loads(line) for line in folders[decoding, cell.name].read_text().splitlines()]
            row: dict[str, Any] = {"decoding": decoding, "name": cell.name}
            for kind in ("search", "recall"):
                of_kind = [each["correct"] for each in answers if each["kind"] == kind]
                row[kind] = {"right": sum(of_kind), "n": len(of_kind)}
            row["tokens"] = sum(each["new_tokens"] for each in answers) / len(answers)
            found.append(row)
            table.add_row(
                decoding, cell.name, *(_shown(row[kind]) for kind in ("search", "recall")), f"{row['tokens']:.0f}"
            )
    Console(width=140).print(table)
    if options.record:
        RESULT.write_text(json.dumps({"split": options.split, "cells": found}, indent=2) + "\n")


def _shown(count: dict[str, int]) -> str:
    if not count["n"]:
        return "-"
    low, high = wilson(count["right"], count["n"])
    return f"{100 * count['right'] / count['n']:.1f} [{100 * low:.1f}, {100 * high:.1f}] of {count['n']}"


if __name__ == "__main__":
    main()
