"""Row strengths from the V2 runner: a model state that keeps every request's guidance by its slot. Knows no maths."""

from typing import Any

import torch
from torch import Tensor
from vllm.v1.core.sched.output import NewRequestData
from vllm.v1.worker.gpu.input_batch import InputBatch
from vllm.v1.worker.gpu.model_states.default import DefaultModelState
from vllm.v1.worker.gpu.states import RequestState

from thinklogit.decode.vllm.requests import Guidance, GuidanceOfSlots, guidance_of


class TrioState(DefaultModelState):
    """vLLM's own state of a model, and how its requests are guided."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guidance = GuidanceOfSlots(self.max_num_reqs, self.model.own, self.device)
        self.arrived: dict[int, Guidance] = {}

    def add_request(self, req_index: int, new_req_data: NewRequestData) -> None:
        """Remember a request until this step's requests are all there."""
        super().add_request(req_index, new_req_data)
        self.arrived[req_index] = guidance_of(new_req_data.sampling_params, self.model.own)

    def apply_staged_writes(self) -> None:
        """Bring what arrived onto the device, all at once."""
        super().apply_staged_writes()
        if self.arrived:
            self.guidance.put(list(self.arrived), list(self.arrived.values()))
            self.arrived.clear()

    def prepare_inputs(self, input_batch: InputBatch, req_states: RequestState) -> dict[str, Tensor | None]:
        """Called before every step: tell the model whose rows it is to fuse after it."""
        slots = input_batch.expanded_idx_mapping
        before = input_batch.positions[input_batch.logits_indices] + 1 - req_states.prompt_len.gpu[slots]
        strengths = self.guidance.strengths(slots.long(), before.to(torch.long))
        self.model.row_strengths = lambda: strengths
        return super().prepare_inputs(input_batch, req_states)
