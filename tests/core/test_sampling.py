import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from thinklogit.core.errors import OptionError
from thinklogit.core.params import SamplingParams
from thinklogit.core.sampling import draw, probabilities, uniform_stream
from thinklogit.core.seeds import derive_seed


@given(
    seed=st.integers(0, 2**31),
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, 30),
    top_p=st.floats(0.05, 1),
)
@settings(max_examples=80, deadline=None)
def test_is_what_transformers_samples_from(seed, temperature, top_k, top_p):
    torch.manual_seed(seed)
    logits = torch.randn(3, 20) * 3
    scores = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    torch.testing.assert_close(probabilities(logits, temperature, top_k, top_p), scores.softmax(-1), atol=1e-5, rtol=0)


def test_temperature_zero_is_greedy():
    assert probabilities(torch.tensor([1.0, 5.0, 5.0]), 0.0).tolist() == [0, 1, 0]


def test_draw_inverts_the_cumulative_distribution():
    probs = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0]).expand(4, -1)
    assert draw(probs, torch.tensor([0.0, 0.2499, 0.25, 0.9999999])).tolist() == [1, 1, 3, 3]


def test_draw_gives_rare_tokens_their_share_of_a_wide_vocabulary():
    """Near 1 a float32 running sum moves in steps of 6e-8: of sixty tokens of 1e-9 one is drawn, the rest never."""
    probs = torch.full((100_001,), 1e-9)
    probs[0] = 1 - 1e-4
    uniforms = torch.linspace(1 - 1e-6, 1 - 1e-9, 200, dtype=torch.float64)
    assert len(draw(probs.expand(200, -1), uniforms).unique()) > 190


def test_draw_never_takes_a_token_of_probability_zero():
    torch.manual_seed(0)
    probs = torch.randn(152_064).softmax(-1)
    probs[-100:] = 0
    assert draw(probs, torch.tensor(1 - 2**-53, dtype=torch.float64)) < 152_064 - 100


def test_draw_follows_the_distribution():
    probs = torch.tensor([0.1, 0.2, 0.7])
    drawn = draw(probs.expand(20_000, -1), uniform_stream(3, 20_000))
    torch.testing.assert_close(torch.bincount(drawn) / 20_000, probs, atol=0.012, rtol=0)


def test_seeds_are_the_same_everywhere_and_differ_by_what_they_name():
    assert derive_seed(0, "problem", 1) == 5156580328771877187
    assert len({derive_seed(run, problem, n) for run in range(3) for problem in "abc" for n in range(4)}) == 36


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1.0}, "temperature must be a finite number, 0 .greedy. or more; got -1.0"),
        ({"temperature": float("nan")}, "temperature must be a finite number"),
        ({"top_p": 0.0}, "top_p must be a number above 0 and at most 1; got 0.0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number, 1 or more; got 0"),
        ({"n": 0}, "n must be"),
        ({"top_k": -1}, "top_k must be"),
        ({"mode": "student"}, "mode must be one of guided, target, guider, base; got student"),
    ],
)
def test_what_cannot_be_sampled_from_is_refused(wrong, message):
    with pytest.raises(OptionError, match=message):
        SamplingParams(**wrong)


def nucleus_by_sorting(probs, top_p):
    """The definition, written out: the most probable first, of equals the lower id, until their mass reaches top_p."""
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0.0)
    kept = torch.zeros_like(probs).scatter_(-1, order, ordered)
    return kept / kept.sum(-1, keepdim=True)


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 4.0, 12.0])
@pytest.mark.parametrize("top_p", [0.3, 0.95, 0.999999])
def test_the_nucleus_is_that_of_a_full_sort_with_ties_and_without(spread, top_p):
    logits = torch.randn(8, 300, generator=torch.Generator().manual_seed(0)) * spread
    logits = torch.cat([logits, logits.round()])  # rounded, many are equal
    probs = logits.softmax(-1)
    assert torch.equal(probabilities(logits, 1.0, 0, top_p), nucleus_by_sorting(probs, top_p))
