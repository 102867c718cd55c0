"""What inspect asks of a model, in our names; eval's own tests run the provider for real."""

import pytest
from inspect_ai.model import CachePolicy, GenerateConfig

from thinklogit.core.errors import OptionError
from thinklogit.evals.provider import ThinkLogitAPI, request_of


def test_what_inspect_asks_for_arrives_in_our_names():
    config = GenerateConfig(
        temperature=0.6,
        top_p=0.95,
        top_k=20,
        max_tokens=100,
        seed=7,
        stop_seqs=["Human"],
        extra_body={"alpha": 0.5, "warmup_tokens": 10, "mode": "guided", "max_repeats": 10},
        max_connections=64,
        cache=CachePolicy(expiry=None),
    )
    assert request_of(config) == {
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "max_new_tokens": 100,
        "seed": 7,
        "stop": ("Human",),
        "alpha": 0.5,
        "warmup_tokens": 10,
        "mode": "guided",
        "max_repeats": 10,
    }


def test_what_a_trio_cannot_do_is_refused_by_name():
    with pytest.raises(OptionError, match="does not take frequency_penalty, logprobs; leave out"):
        request_of(GenerateConfig(frequency_penalty=0.5, logprobs=True))
    with pytest.raises(OptionError, match="unknown option of a trio 'alfa'; did you mean 'alpha'"):
        request_of(GenerateConfig(extra_body={"alfa": 1}))
    with pytest.raises(OptionError, match="takes no base URL"):
        ThinkLogitAPI("mini", base_url="http://localhost:1/v1")
