"""Speculation in compiled steps, in a process of its own: dynamo cannot trace pytest's shape checks."""

import subprocess
import sys
from pathlib import Path

import pytest

COMPILED = """
import torch
from test_speculative import near_trio
from transformers.generation import CompileConfig
import thinklogit

def overwriting(graph, _):
    places = {}
    def run(*given):
        made = list(graph(*given))
        for number, each in enumerate(made):
            if not any(each is other for other in given):
                made[number] = places.setdefault(number, torch.empty_like(each)).copy_(each)
        return tuple(made)
    return run

config = CompileConfig(fullgraph=True, backend=overwriting, mode=None)
config._compile_all_devices = True
prompts = torch.tensor([[0, 0, 8, 5, 12], [1, 12, 15, 14, 7], [0, 0, 0, 0, 24]])
ways = {"attention_mask": (prompts != 0).long(), "max_new_tokens": 24, "return_dict_in_generate": True}
drafted = {"custom_generate": thinklogit.speculate, "draft_tokens": 6}
compiled = drafted | {"cache_implementation": "static", "compile_config": config}
trio = near_trio()
for guidance in ({"warmup_tokens": 12}, {"alpha": [0.0, 1.0, 1.5], "warmup_tokens": [0, 7, 2]}):
    greedy = ways | guidance | {"do_sample": False, "output_logits": True}
    plain, fast = (trio.generate(prompts, **greedy, **how) for how in ({}, compiled))
    assert torch.equal(plain.sequences, fast.sequences)
    ended = (plain.sequences[:, 5:] == 0).T  # what is padded there is another token's row in each
    for of_plain, of_fast, done in zip(plain.logits, fast.logits, ended, strict=True):
        torch.testing.assert_close(of_fast[~done], of_plain[~done], atol=1e-4, rtol=1e-4)
    drawn = []
    for how in (drafted, compiled):
        torch.manual_seed(3)
        drawn.append(trio.generate(prompts, **ways, **guidance, **how, do_sample=True, temperature=0.9).sequences)
    assert torch.equal(*drawn)
print(torch._dynamo.utils.counters["stats"]["unique_graphs"])
"""


@pytest.mark.slow
def test_three_graphs_do_every_round():
    """The guider's step, and the others' with guiders and without; each writes to one place, as a CUDA graph does."""
    here = Path(__file__).parent
    code = "import sys; sys.path[:0] = ['..', '.']" + COMPILED
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True)
    assert done.stdout.strip() == "3", done.stderr[-2000:]
