"""Compilation, in a process of its own: dynamo cannot trace the shape checks that pytest wraps around functions."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
COMPILED = """
import torch
from conftest import pico, pico_trio
from oracle import greedy
from transformers.generation import CompileConfig
from peft import LoraConfig, get_peft_model
from thinklogit.models.composite import ThinkLogitForCausalLM

def shared():
    base = pico("llama", 3)
    guider = get_peft_model(base, LoraConfig(target_modules="all-linear", init_lora_weights=False))
    return ThinkLogitForCausalLM.from_members(pico("qwen2", 1), [(guider, base, 1.0)], warmup_tokens=0).eval()

trio, prompt = {trio}, torch.tensor([[3, 14, 15, 9, 26, 5]])
config = CompileConfig(fullgraph=True, backend="eager", mode=None)
config._compile_all_devices = True
out = trio.generate(
    prompt, max_new_tokens=12, do_sample=False, cache_implementation="static", compile_config=config,
    warmup_tokens={warmup_tokens},
)
pairs = [(trio.guiders[0].guider, trio.guiders[0].base, 1.0)]
assert out[0, 6:].tolist() == greedy(trio.target, pairs, prompt[0].tolist(), 12, {warmup_tokens})
print(torch._dynamo.utils.counters["stats"]["unique_graphs"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("trio", ["pico_trio()", "shared()"])
@pytest.mark.parametrize(("warmup_tokens", "graphs"), [(0, 1), (5, 2)])
def test_generate_compiles_its_steps_without_a_graph_break(trio, warmup_tokens, graphs):
    """As `generate` does by itself on a GPU with a static cache: one graph with guiders, one without."""
    code = COMPILED.format(trio=trio, warmup_tokens=warmup_tokens)
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS, capture_output=True, text=True)
    assert done.stdout.strip() == str(graphs), done.stderr[-2000:]
