"""Speculation with the mini trio: the law of what it says, and what a long text takes."""

import random

import pytest
import torch

from thinklogit.core.acceptance import Settled
from thinklogit.core.params import SamplingParams
from thinklogit.core.sampling import uniform_stream
from thinklogit.decode.batch import Batch, Row
from thinklogit.decode.drafting import Drafting
from thinklogit.decode.speculative import SpeculativeBatch
from thinklogit.mini.world import problems
from thinklogit.models.trios import load

SEQUENCES, LENGTH = 320, 40


@pytest.fixture(scope="module")
def mini():
    return load("mini")


def prompt_ids(tokenizer, place=0):
    chat = [{"role": "user", "content": problems("dev", kind="search")[place].question}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]


def begun(mini, drafting, seeds, new, temperature):
    """So many completions of one prompt, none ended early."""
    model, tokenizer = mini
    params = SamplingParams(new, temperature, 0.95)
    prompt, alphas = prompt_ids(tokenizer), [model.config.guider_refs[0].alpha]
    rows = [Row(seed, 0, prompt, params, seed, uniform_stream(seed, new).tolist(), alphas, 4) for seed in seeds]
    batch = Batch(model) if drafting is None else SpeculativeBatch(model, 0, lambda row: False, drafting)
    batch.end_ids = frozenset()
    batch.join(rows)
    return batch, rows


def sequences(mini, drafting, seeds):
    batch, rows = begun(mini, drafting, seeds, LENGTH, temperature=1.2)
    while batch.rows:
        batch.step()
        batch.let_go()
    return [row.new_ids for row in rows]


@pytest.fixture(scope="module")
def plain(mini):
    return sequences(mini, None, range(SEQUENCES))


def chi_square(ours, theirs):
    """Of two tables, tokens by place: those of many sequences each."""
    total = 0.0
    for place in range(LENGTH):
        counts = {}
        for side, drawn in enumerate((ours, theirs)):
            for sequence in drawn:
                counts.setdefault(sequence[place], [0, 0])[side] += 1
        total += sum((a - b) ** 2 / (a + b) for a, b in counts.values())
    return total


def p_value(ours, theirs, permutations=300):
    """Exact whatever the tokens of one sequence have to do with each other: sequences are what is exchanged."""
    generator, everything, observed = random.Random(0), ours + theirs, chi_square(ours, theirs)
    larger = 0
    for _ in range(permutations):
        generator.shuffle(everything)
        larger += chi_square(everything[: len(ours)], everything[len(ours) :]) >= observed
    return (1 + larger) / (1 + permutations)


@pytest.mark.parametrize("length", [pytest.param(3, marks=pytest.mark.slow), 8])
def test_sampled_tokens_have_the_law_of_plain_sampling(mini, plain, length):
    """25,600 tokens, at a temperature at which a good many drafts fall."""
    drafting = Drafting(fixed=length)
    drafted = sequences(mini, drafting, range(SEQUENCES, 2 * SEQUENCES))
    assert drafting.counts.rate < 0.97
    assert p_value(drafted, plain) > 0.01


def test_another_law_would_be_seen(mini, plain, monkeypatch):
    monkeypatch.setattr("thinklogit.decode.speculative.settled_rows", everything_stands)
    assert p_value(sequences(mini, Drafting(fixed=3), range(SEQUENCES, 2 * SEQUENCES)), plain) < 0.01


def everything_stands(drafts, fused, rows):
    return Settled(drafts.tokens, torch.ones_like(drafts.tokens, dtype=torch.bool))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_8192_tokens_take_no_memory_but_their_cache(mini):
    """Far beyond the mini trio's context: what it says there is nothing, what it takes is what counts."""
    import psutil

    process, model = psutil.Process(), mini[0]
    cached = sum(
        2 * config.num_key_value_heads * config.head_dim * 4 * config.num_hidden_layers
        for config in model.config.member_configs.values()
    )
    taken = {}
    batch, (row,) = begun(mini, Drafting(fixed=6), [1], 8192, temperature=0.6)
    while not row.done:
        batch.step()
        taken.setdefault(batch.mask.shape[1] // 1024, process.memory_info().rss)
        assert batch.mask.shape[1] <= len(row.prompt_ids) + len(row.new_ids)
    grown = (taken[8] - taken[2]) / 6 / 1024
    print(f"{grown:.0f} bytes a token, of which {cached} are cache")
    # A cache that grows by copies holds two copies of one layer for a moment, and freed blocks are kept.
    assert grown < 2 * cached + 2048
