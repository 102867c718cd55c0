"""Row strengths from the V1 runner: a worker that tells the model, step by step, whose rows it is to fuse.

Not a logits processor, vLLM's usual place for such: with speculation on, that runner loads none. Knows no maths.
"""

import copy
from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.platforms import current_platform
from vllm.v1.core.sched.output import SchedulerOutput

from thinklogit.decode.vllm.config import VALIDATOR
from thinklogit.decode.vllm.crossing import Rows
from thinklogit.decode.vllm.requests import GuidanceOfSlots, guidance_of

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as Worker
else:
    from vllm.v1.worker.gpu_worker import Worker


class TrioWorker(Worker):
    """vLLM's worker, whose model knows before each step how its requests are guided."""

    def __init__(self, vllm_config: VllmConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(_without_validator(vllm_config), *args, **kwargs)

    def execute_model(self, scheduler_output: SchedulerOutput) -> Any:
        """One step."""
        model = self.model_runner.get_model()
        model.row_strengths = lambda: row_strengths(self.model_runner, model.own, scheduler_output)
        if model.crossing is not None:
            model.row_ids = lambda: row_ids(self.model_runner, scheduler_output)
        return super().execute_model(scheduler_output)


def _without_validator(vllm_config: VllmConfig) -> VllmConfig:
    """A worker's own copy: its work is done in the front end, and beside speculation the runner refuses to start."""
    changed = copy.copy(vllm_config)
    changed.model_config = copy.copy(vllm_config.model_config)
    kept = [each for each in vllm_config.model_config.logits_processors or () if each != VALIDATOR]
    changed.model_config.logits_processors = kept
    return changed


def row_ids(runner: Any, step: SchedulerOutput) -> Rows:
    """The ids before each row that the runner draws from in this step; None of a prompt that is not all there yet."""
    batch, rows = runner.input_batch, []
    for slot, name in enumerate(batch.req_ids):
        seen = int(batch.num_computed_tokens_cpu[slot]) + step.num_scheduled_tokens[name]
        complete = seen >= runner.requests[name].num_tokens
        rows.append(batch.token_ids_cpu[slot, :seen].tolist() if complete else None)
    return rows


def row_strengths(runner: Any, own: Any, step: SchedulerOutput) -> Any:
    """Of every row that the runner draws from in this step: each request's last token, and its drafts before that."""
    requests = [runner.requests[name] for name in runner.input_batch.req_ids]
    slots = GuidanceOfSlots(len(requests), own, torch.device("cpu"))
    slots.put(range(len(requests)), [guidance_of(request.sampling_params, own) for request in requests])
    rows, generated = [], []
    for slot, request in enumerate(requests):
        drafts = len(step.scheduled_spec_decode_tokens.get(request.req_id, ()))
        computed = int(runner.input_batch.num_computed_tokens_cpu[slot])
        first = computed + step.num_scheduled_tokens[request.req_id] - drafts - request.num_prompt_tokens
        rows += [slot] * (1 + drafts)
        generated += range(first, first + 1 + drafts)
    return slots.strengths(torch.tensor(rows), torch.tensor(generated))
