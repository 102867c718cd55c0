"""What one guided decoding step costs beside a step of the target alone, in one run on this machine.

Random weights of real shapes: a target shaped like Qwen2.5-0.5B and two members of a twentieth of its parameters, in
bfloat16. The bound is the ratio of parameters, for a step at small batch streams every weight once. Contenders take
turns step by step, so that both see the same machine; the ratio is of medians, its interval a bootstrap over rounds.
Both ways of stepping are measured for both contenders: eager, and compiled with a static cache, the target's best here.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM, StaticCache
from transformers.cache_utils import DynamicLayer, StaticLayer

from thinklogit.models.composite import Guider, ThinkLogitForCausalLM

ALLOWED = 1.15
CONTEXT_TOKENS = 128
UNCOUNTED_ROUNDS = 5
RESULTS = Path(__file__).parent / "results"


def member(hidden: int, layers: int, heads: int, mlp: int, seed: int) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        dtype=torch.bfloat16,
    )
    return Qwen2ForCausalLM(config).to(torch.bfloat16).eval()


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


class Contender:
    """A model with a filled cache, stepped one token at a time: eager, or compiled with a static cache."""

    def __init__(self, model: PreTrainedModel, batch: int, device: str, compiled: bool) -> None:
        room = CONTEXT_TOKENS + 8
        self.model: Any = model
        self.device = device
        self.cache = StaticCache(model.config, room) if compiled else DynamicCache(config=model.config)
        self.compiled: Callable[..., Any] | None = None
        self.step(torch.randint(0, 1000, (batch, CONTEXT_TOKENS), device=device))
        if compiled:
            self.compiled = torch.compile(model.forward, fullgraph=True)
        self.ids = torch.randint(0, 1000, (batch, 1), device=device)

    def step(self, ids: torch.Tensor) -> None:
        past = int(self.cache.get_seq_length())
        positions = torch.arange(past, past + ids.shape[1], device=self.device)[None]
        inputs = self.model.prepare_inputs_for_generation(ids, past_key_values=self.cache, position_ids=positions)
        forward = self.compiled or self.model
        forward(**inputs, logits_to_keep=1).logits.argmax(-1)

    def timed_step(self) -> float:
        synchronize(self.device)
        begun = time.perf_counter()
        self.step(self.ids)
        synchronize(self.device)
        elapsed = time.perf_counter() - begun
        for layer in self.cache.layers:  # the next step is the same one again
            if isinstance(layer, StaticLayer):
                layer.cumulative_length.sub_(1)
            elif isinstance(layer, DynamicLayer):
                layer.crop(-1)
        return elapsed


def ratio_with_interval(guided: list[float], target: list[float], random: Random) -> tuple[float, float, float]:
    """Ratio of medians, and its 95% bootstrap interval over rounds."""
    rounds = list(zip(guided, target, strict=True))
    ratios = []
    for _ in range(1000):
        again = random.choices(rounds, k=len(rounds))
        ratios.append(statistics.median(g for g, _ in again) / statistics.median(t for _, t in again))
    ratios.sort()
    return statistics.median(guided) / statistics.median(target), ratios[24], ratios[974]


@torch.no_grad()
def measure(rounds: int, device: str) -> list[dict]:
    target = member(896, 24, 14, 4864, 0).to(device)
    small = [member(128, 10, 4, 640, seed).to(device) for seed in (1, 2)]
    trio = ThinkLogitForCausalLM.from_members(target, [Guider(*small, 1.0)], warmup_tokens=0)
    sizes = {"target": parameters(target), "guider": parameters(small[0]), "base": parameters(small[1])}
    bound = sum(sizes.values()) / sizes["target"]
    cells = []
    for compiled in (False, True):
        for batch in (1, 8):
            torch.compiler.reset()
            contenders = {
                "target": Contender(target, batch, device, compiled),
                "guided": Contender(trio, batch, device, compiled),
            }
            times = take_turns(contenders, rounds)
            ratio, low, high = ratio_with_interval(times["guided"], times["target"], Random(0))
            cells.append(
                {
                    "how": "compiled" if compiled else "eager",
                    "batch": batch,
                    "target_step_s": statistics.median(times["target"]),
                    "guided_step_s": statistics.median(times["guided"]),
                    "ratio": ratio,
                    "interval": [low, high],
                    "bound": bound,
                    "allowed": ALLOWED * bound,
                    "rounds": rounds,
                    "parameters": sizes,
                }
            )
    return cells


def take_turns(contenders: dict[str, Contender], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + UNCOUNTED_ROUNDS):
        for name, contender in contenders.items():
            elapsed = contender.timed_step()
            if number >= UNCOUNTED_ROUNDS:
                times[name].append(elapsed)
    return times


def hardware(device: str) -> dict:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "threads": torch.get_num_threads(), "cores": os.cpu_count(), "torch": torch.__version__}


def show(cells: list[dict], where: dict) -> None:
    shapes = " + ".join(f"{n / 1e6:.0f}M" for n in cells[0]["parameters"].values())
    print(f"one decoding step of {shapes} parameters, bfloat16, after {CONTEXT_TOKENS} tokens")
    print(f"on {where['device']}, {where['threads']} threads; {cells[0]['rounds']} rounds, medians")
    print("          batch     target     guided   ratio     95% interval  by parameters  allowed")
    for cell in cells:
        low, high = cell["interval"]
        target_ms, guided_ms = 1e3 * cell["target_step_s"], 1e3 * cell["guided_step_s"]
        print(
            f"{cell['how']:<9} {cell['batch']:>5} {target_ms:>7.1f} ms {guided_ms:>7.1f} ms"
            f" {cell['ratio']:>7.3f} {f'[{low:.3f}, {high:.3f}]':>16} {cell['bound']:>14.3f} {cell['allowed']:>8.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="timed steps of each contender")
    parser.add_argument("--record", action="store_true", help=f"write the figures to {RESULTS.name}/")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    load = os.getloadavg()[0]
    cells, where = measure(options.rounds, device), hardware(device) | {"load_before": load}
    show(cells, where)
    if load > 0.5:
        print(f"the machine was not idle (load {load:.1f} before): quote no figure of this run")
    if options.record:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"step_cost-{device}-{date.today()}.json"
        path.write_text(json.dumps({"hardware": where, "cells": cells}, indent=2) + "\n")
        print(f"recorded in {path}")


if __name__ == "__main__":
    main()
