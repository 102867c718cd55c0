"""Ways of decoding the same prompts: so many tokens a row, timed from the first of them on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.generation.streamers import BaseStreamer

from thinklogit.bench.trios import Prepared
from thinklogit.core.acceptance import AcceptanceCounts
from thinklogit.core.params import SamplingParams
from thinklogit.core.sampling import uniform_stream
from thinklogit.decode.batch import Batch, Row
from thinklogit.decode.custom_generate import speculate
from thinklogit.decode.drafting import Drafting
from thinklogit.decode.speculative import DRAFTER, SpeculativeBatch

SAMPLING = SamplingParams(temperature=0.6, top_p=0.95)
STATIC = {"cache_implementation": "static"}
STATIC_DRAFTS = 10
"""With a cache of one shape the drafts are as many every round."""
NO_TOKEN = -1
"""What ends a text that is not to end."""
ROWS = 3
"""Rows of a turn at least, one batch after another: how many drafts stand differs from one text to the next."""


class Timed(NamedTuple):
    """Tokens decoded, and how long that took."""

    tokens: int
    seconds: float


@dataclass
class Contender:
    """One way of decoding. `round` takes a turn, whose number chooses the prompts, and returns tokens a second."""

    name: str
    batch: int
    round: Callable[[int], float]
    counts: AcceptanceCounts | None = None
    streaming: Callable[[], float] | None = None

    @property
    def streamed(self) -> float | None:
        """Bytes of weights for each token of a row, over the rounds that were; None where not known."""
        return self.streaming() if self.streaming else None


def contenders(prepared: Prepared, batch: int, new_tokens: int, static: bool = False) -> list[Contender]:
    """The target alone, first; guided, with and without drafts; transformers' own loops, for one row.

    With `static`, for one row, also with a cache of one shape: on a GPU transformers compiles the steps of all of them,
    into CUDA graphs. The target alone so decoded is then the first.
    """
    model, sizes = prepared.model, prepared.bytes_by_member
    default = model.config.warmup_tokens

    def with_drafts(warmup: int) -> Contender:
        drafting = Drafting()

        def streaming() -> float:
            rounds, guider = drafting.counts.rounds, sizes[DRAFTER]
            tokens = sum((1 + stood) * count for (_, stood), count in rounds.items())
            drafts = sum((1 + drafted) * count for (drafted, _), count in rounds.items())
            return (drafts * guider + rounds.total() * (sum(sizes.values()) - guider)) / tokens

        def make() -> Batch:
            return SpeculativeBatch(model, 0, lambda row: False, drafting)

        name = f"speculative guided, warm-up {warmup}"
        return Contender(name, batch, _rounds(prepared, batch, new_tokens, warmup, make), drafting.counts, streaming)

    ways = [
        Contender(
            "target alone",
            batch,
            _rounds(prepared, batch, new_tokens, 0, lambda: Batch(model.target)),
            streaming=lambda: sizes["target"],
        ),
        Contender(
            "plain guided",
            batch,
            _rounds(prepared, batch, new_tokens, 0, lambda: Batch(model)),
            streaming=lambda: sum(sizes.values()),
        ),
        *(with_drafts(warmup) for warmup in sorted({0, default})),
    ]
    if batch == 1:
        assistant = {"assistant_model": model.guiders[0].guider, "warmup_tokens": 0}
        ways += [
            Contender("target alone, transformers' generate", 1, _generate(prepared, new_tokens, model.target, {})),
            Contender("guided, transformers' assisted", 1, _generate(prepared, new_tokens, model, assistant)),
        ]
    if batch == 1 and static:
        guided = STATIC | {"warmup_tokens": 0}
        drafted = guided | {"custom_generate": speculate, "draft_tokens": STATIC_DRAFTS}
        ways = [
            Contender("target alone, static cache", 1, _generate(prepared, new_tokens, model.target, STATIC)),
            *ways,
            Contender("plain guided, static cache", 1, _generate(prepared, new_tokens, model, guided)),
            Contender("speculative guided, static cache", 1, _generate(prepared, new_tokens, model, drafted)),
        ]
    return ways


def _rounds(
    prepared: Prepared, batch: int, new_tokens: int, warmup: int, make: Callable[[], Batch]
) -> Callable[[int], float]:
    alphas = [pair.alpha for pair in prepared.model.config.guider_refs]
    params = replace(SAMPLING, max_new_tokens=2 * new_tokens)  # more than any will have: all stay to the end

    def row(seed: int) -> Row:
        uniforms = uniform_stream(seed, params.max_new_tokens).tolist()
        return Row(seed, 0, prepared.prompt(seed), params, seed, uniforms, alphas, warmup)

    def decode(seeds: range) -> Timed:
        rows, under_way = [row(seed) for seed in seeds], make()
        under_way.end_ids = frozenset()
        under_way.join(rows)
        _synchronize()
        begun = perf_counter()
        while (made := sum(len(row.new_ids) for row in rows)) < batch * new_tokens:
            under_way.step()
        _synchronize()
        return Timed(made - batch, perf_counter() - begun)

    return _turns(batch, decode)


def _generate(prepared: Prepared, new_tokens: int, model: Any, how: dict[str, Any]) -> Callable[[int], float]:
    """Transformers' own loop."""

    def decode(seeds: range) -> Timed:
        torch.manual_seed(seeds.start)
        prompt = torch.tensor([prepared.prompt(seeds.start)], device=model.device)
        padding = (max(map(len, prepared.prompts)) - prompt.shape[1], 0)  # compiled steps are of one shape
        ids, mask = pad(prompt, padding), pad(torch.ones_like(prompt), padding)
        sampling = {"do_sample": True, "temperature": SAMPLING.temperature, "top_p": SAMPLING.top_p, "top_k": 0}
        length = {"eos_token_id": NO_TOKEN, "pad_token_id": 0, "max_new_tokens": new_tokens}
        watch = _Stopwatch()
        model.generate(ids, attention_mask=mask, streamer=watch, **sampling, **length, **how)
        _synchronize()
        return Timed(new_tokens - watch.first, perf_counter() - watch.begun)

    return _turns(1, decode)


def _turns(batch: int, decode: Callable[[range], Timed]) -> Callable[[int], float]:
    """Batches one after another up to ROWS rows, each with prompts and seeds of its own."""

    def turn(number: int) -> float:
        batches = -(-ROWS // batch)
        timed = [
            decode(range(batch * each, batch * (each + 1))) for each in range(batches * number, batches * (number + 1))
        ]
        return sum(each.tokens for each in timed) / sum(each.seconds for each in timed)

    return turn


class _Stopwatch(BaseStreamer):
    """Starts at the first tokens that are decoded: the prompt is put before them."""

    def __init__(self) -> None:
        self.puts, self.first, self.begun = 0, 0, 0.0

    def put(self, value: Tensor) -> None:
        self.puts += 1
        if self.puts == 2:
            _synchronize()
            self.first, self.begun = value.numel(), perf_counter()

    def end(self) -> None:
        pass


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
