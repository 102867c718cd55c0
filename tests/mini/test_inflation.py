"""An inflated member says what the member says."""

import pytest
import torch
from conftest import pico

from thinklogit.mini.inflation import Size, inflated
from thinklogit.models.trios import load

LARGER = Size(hidden=256, layers=6, feed_forward=512)


@pytest.fixture(scope="module")
def mini():
    return load("mini")


@pytest.mark.parametrize("name", ["target", "guider", "base"])
def test_the_logits_are_the_members(mini, name):
    model, tokenizer = mini
    member = model.target if name == "target" else getattr(model.guiders[0], name)
    large = inflated(member, LARGER)
    assert large.num_parameters() > 3 * member.num_parameters()
    ids = tokenizer(["A pen costs 8, a cup 13. Ann paid 55.", "So pens at 8, cups"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(large(**ids).logits, member(**ids).logits, atol=2e-4, rtol=1e-4)


def test_in_bfloat16_it_generates_what_the_member_does(mini):
    model, tokenizer = mini
    chat = [{"role": "user", "content": "A pen costs 8, a cup 13. Ann paid 55. How many of each?"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    large = inflated(model.target, LARGER, torch.bfloat16)
    assert large.dtype == torch.bfloat16
    answers = [each.generate(**prompt, max_new_tokens=60, do_sample=False).tolist() for each in (large, model.target)]
    assert answers[0] == answers[1]


def test_grouped_queries_stay_with_their_keys():
    member = pico("llama", 3)
    assert member.config.num_key_value_heads < member.config.num_attention_heads
    large = inflated(member, Size(hidden=128, layers=4, feed_forward=256))
    ids = torch.randint(0, member.config.vocab_size, (2, 9))
    with torch.inference_mode():
        torch.testing.assert_close(large(ids).logits, member(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [Size(64, 6, 512), Size(256, 1, 512), Size(256, 6, 8)])
def test_smaller_than_the_member_is_refused(mini, size):
    with pytest.raises(ValueError, match="at least the member's own"):
        inflated(mini[0].target, size)
