"""What a guider of another tokenizer costs a step beyond its own forward pass, in vocabularies of real size.

    python bench/alignment_cost.py              made-up vocabularies of 151,643 and 128,000 tokens
    python bench/alignment_cost.py FOLDER       real ones, in both directions; see real_vocabularies.py for the folder

preparation: from two lists of tokens to their alignment. step: from what guider and base say about their next token to
a delta for every token of the target, one row of a batch. finite: whether each of these deltas is.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from real_families import FAMILIES
from rich.console import Console
from rich.table import Table

from thinklogit.core.alignment import Alignment
from thinklogit.models.cross.languages import Languages, Speaker
from thinklogit.models.cross.lattice import Masses
from thinklogit.models.cross.token_bytes import token_bytes

Tokens = list[bytes | None]
ROUNDS = 50
CENTRE = "Qwen2.5"
"""Guides, and is guided by, each other family."""
RESULT = Path(__file__).parent / "results" / "alignment_cost.json"


def made_up(size: int, seed: int) -> Tokens:
    """Bytes, and joins of two earlier tokens, the earliest most often: as byte-pair merges leave them."""
    draws = random.Random(seed)
    found = [bytes([each]) for each in range(256)]
    known = set(found)
    while len(found) < size:
        each = b"".join(found[int(len(found) * draws.random() ** 3)] for _ in range(2))
        if len(each) <= 16 and each not in known:
            known.add(each)
            found.append(each)
    return list(found)


def vocabularies(folder: Path | None) -> Iterator[tuple[str, Tokens, str, Tokens]]:
    """Target and guider, with their names."""
    if folder is None:
        large, small = made_up(151_643, 0), made_up(128_000, 1)
        yield "128,000", small, "151,643", large
        yield "151,643", large, "128,000", small
        return
    built = {family: build(folder) for family, build in FAMILIES.items()}
    tokens = {family: token_bytes(each) for family, each in built.items() if each is not None}
    for family, each in tokens.items():
        if family != CENTRE and CENTRE in tokens:
            yield family, each, CENTRE, tokens[CENTRE]
            yield CENTRE, tokens[CENTRE], family, each


def measure(target: str, target_tokens: Tokens, guider: str, guider_tokens: Tokens) -> dict[str, Any]:
    prepared, alignment = timed(lambda: Alignment(target_tokens, guider_tokens))
    languages: Languages = Languages.__new__(Languages)  # without a tokenizer, which takes no part in this
    languages.alignment = alignment
    languages.target = Speaker(target_tokens, {}, [], [], len(target_tokens), None)
    generator = torch.Generator().manual_seed(0)
    logprobs = torch.randn(2, len(alignment.guider.ids), generator=generator).mul(4).log_softmax(-1)
    end = torch.zeros(2, dtype=torch.float64)

    def step() -> torch.Tensor:
        _, found = alignment.agreement(logprobs.exp())
        logs = languages.logarithms(Masses(found.settled.add_(found.open), found.open, end, 0.0))
        return logs[0] - logs[1]

    took = [timed(step)[0] for _ in range(ROUNDS)]
    delta = step()
    return {
        "target": target,
        "guider": guider,
        "target_tokens": len(target_tokens),
        "guider_tokens": len(guider_tokens),
        "preparation_s": prepared,
        "step_ms": 1000 * median(took),
        "step_ms_90": 1000 * sorted(took)[int(0.9 * ROUNDS)],
        "finite": bool(torch.isfinite(delta).all()),
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="real vocabularies")
    parser.add_argument("--json", type=Path, default=RESULT, help="a file to write the figures to")
    options = parser.parse_args()
    table = Table("target", "guider", "preparation", "step, median", "90%", "finite")
    found = []
    for each in vocabularies(options.folder):
        row = measure(*each)
        found.append(row)
        names = (f"{row[role]} ({row[f'{role}_tokens']:,})" for role in ("target", "guider"))
        step = (f"{row[name]:.2f} ms" for name in ("step_ms", "step_ms_90"))
        table.add_row(*names, f"{row['preparation_s']:.1f} s", *step, "yes" if row["finite"] else "NO")
    Console().print(table)
    options.json.write_text(json.dumps({"threads": torch.get_num_threads(), "cells": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
