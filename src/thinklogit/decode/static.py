"""Speculative decoding whose every step has the shape of the one before: it can be compiled, on a GPU into CUDA graphs.

What differs: as many drafts every round, a cache that has its columns from the start, rows that stay until all are
done. Launching the layers of a small guider one by one takes a GPU longer than reading its weights; replaying a graph
of them does not.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import StaticCache
from transformers.cache_utils import Cache
from transformers.generation import CompileConfig
from transformers.modeling_outputs import CausalLMOutputWithPast

from thinklogit.decode.batch import Row
from thinklogit.decode.drafting import Drafting
from thinklogit.decode.speculative import MOST_HOLES, SpeculativeBatch

LENGTH = 6
"""Drafts a round where no number is given: another number would be compiled anew."""
WIDTH = 64
"""Columns are a multiple of it, so that texts of about one length are decoded by the same compiled steps."""


class StaticBatch(SpeculativeBatch):
    """Rows that are decoded from the first to the last together, in steps of one shape.

    Args:
        model: the trio.
        pad_id: what prompts are padded with.
        stopped: whether a row has ended, asked after every token.
        drafting: how many to draft, and the counts; LENGTH where it would adapt.
        columns: what the cache is to hold at least.
        compile_config: how to compile what a round runs; None runs it as it is.
    """

    def __init__(
        self,
        model: Any,
        pad_id: int,
        stopped: Callable[[Row], bool],
        drafting: Drafting,
        columns: int,
        compile_config: CompileConfig | None,
    ) -> None:
        super().__init__(model, pad_id, stopped, drafting)
        self.columns = columns
        if compile_config is not None:
            settings = compile_config.to_dict()
            self.run = _apart(torch.compile(model.__call__, **settings))
            self.run_member = _apart(torch.compile(model.run_member, **settings))

    def let_go(self) -> None:
        """Drop the rows once all of them are done."""
        if all(row.done for row in self.rows):
            self.rows = []

    def _new_cache(self, rows: list[Row]) -> Cache:
        longest = max(len(row.prompt_ids) + row.params.max_new_tokens for row in rows)
        holes = 0 if len(rows) == 1 else math.ceil(longest * MOST_HOLES)
        needed = math.ceil((longest + holes + 1 + self._length()) / WIDTH) * WIDTH
        self.columns = max(self.columns, needed)
        return StaticCache(config=self.model.config, max_cache_len=self.columns)

    def _length(self) -> int:
        return self.drafting.fixed or LENGTH

    def _mask(self, seen: Int[Tensor, "batch total"], length: int) -> Int[Tensor, "batch columns"]:
        """Of all columns there are: a causal mask hides what stands beyond a token."""
        return pad(seen, (0, self.columns - seen.shape[1]))


def _apart(compiled: Callable[..., CausalLMOutputWithPast]) -> Callable[..., CausalLMOutputWithPast]:
    """The same, its logits not overwritten by what runs next: a CUDA graph writes to one place every time."""

    def run(*args: Any, **kwargs: Any) -> CausalLMOutputWithPast:
        output = compiled(*args, **kwargs)
        return CausalLMOutputWithPast(logits=cast(Any, output.logits).clone())

    return run
