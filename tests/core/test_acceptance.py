import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thinklogit.core.acceptance import AcceptanceCounts, Settled, settle, settle_greedily, standing

FINE = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
"""Uniform numbers, evenly: a law counted over them is exact to one part in four thousand."""


def law_of_replacements(token, q, p):
    """What comes of one drafted token: the chance that it stands, and the law of what takes its place."""
    count = len(FINE)
    wide = [each.expand(count, 1, -1) for each in (q, p)]
    drafted = torch.full((count, 1), token)
    tests = torch.stack([FINE, torch.zeros(count, dtype=torch.float64)], dim=-1)[:, None]
    stands = settle(drafted, *wide, tests).kept.double().mean()
    tests = torch.stack([torch.ones(count, dtype=torch.float64), FINE], dim=-1)[:, None]  # 1: it never stands
    replaced = settle(drafted, *wide, tests).tokens[:, 0]
    return stands, torch.bincount(replaced, minlength=len(p)) / count


@given(seed=st.integers(0, 2**31), sharpness=st.floats(0.1, 8), shut=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_law_is_the_one_asked_for_by_enumeration(seed, sharpness, shut):
    """Over five tokens, some of them shut to the one and some to the other distribution."""
    torch.manual_seed(seed)
    q, p = torch.randn(2, 5).mul(sharpness)
    q[torch.randperm(5)[:shut]] = p[torch.randperm(5)[:shut]] = -torch.inf
    q, p = q.softmax(-1), p.softmax(-1)
    law = torch.zeros(5, dtype=torch.float64)
    for token in range(5):
        stands, replacement = law_of_replacements(token, q, p)
        law[token] += q[token] * stands
        law += q[token] * (1 - stands) * replacement
    torch.testing.assert_close(law, p.double(), atol=2e-3, rtol=0)


def test_as_many_stand_as_can():
    torch.manual_seed(0)
    q, p = torch.randn(2, 5).softmax(-1)
    stands = sum(q[token] * law_of_replacements(token, q, p)[0] for token in range(5))
    assert float(stands) == pytest.approx(float(torch.minimum(p, q).sum()), abs=1e-3)


def test_equal_distributions_replace_nothing():
    torch.manual_seed(0)
    p = torch.randn(40, 3, 7).softmax(-1)
    drafted = torch.randint(0, 7, (40, 3))
    tests = torch.rand(40, 3, 2, dtype=torch.float64)
    assert torch.equal(settle(drafted, p, p, tests).tokens, drafted)


def test_what_has_no_mass_never_comes():
    torch.manual_seed(0)
    p, q = torch.randn(2, 500, 2, 6).softmax(-1)
    p[..., 3] = 0
    p /= p.sum(-1, keepdim=True)
    drafted = torch.randint(0, 6, (500, 2))
    assert 3 not in settle(drafted, q, p, torch.rand(500, 2, 2, dtype=torch.float64)).tokens


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_greedy_is_the_limit_of_sampling(seed):
    torch.manual_seed(seed)
    logits, draft_logits = torch.randn(2, 4, 3, 6)
    drafted = draft_logits.argmax(-1)
    one_hot = [torch.nn.functional.one_hot(each.argmax(-1), 6).float() for each in (draft_logits, logits)]
    sampled = settle(drafted, *one_hot, torch.rand(4, 3, 2, dtype=torch.float64))
    greedy = settle_greedily(drafted, logits)
    assert torch.equal(greedy.tokens, sampled.tokens)
    assert torch.equal(greedy.kept, sampled.kept)
    assert torch.equal(greedy.tokens, logits.argmax(-1))


@pytest.mark.parametrize("kept", list(product([True, False], repeat=4)))
def test_drafts_stand_up_to_the_first_that_falls(kept):
    """The last place was not drafted on: what is there comes in any case."""
    settled = Settled(torch.zeros(1, 4, dtype=torch.long), torch.tensor([kept]))
    expected = next((place for place, stood in enumerate(kept[:3]) if not stood), 3)
    assert standing(settled).tolist() == [expected]


def test_counts_tell_lengths_and_rate():
    counts = AcceptanceCounts()
    assert math.isnan(counts.mean_accepted_length)
    assert math.isnan(counts.rate)
    counts.add(3, [3, 1, 0])
    counts.add(2, [2])
    assert counts.histogram == {0: 1, 1: 1, 2: 1, 3: 1}
    assert counts.mean_accepted_length == (4 + 2 + 1 + 3) / 4
    assert counts.rate == 6 / 8
