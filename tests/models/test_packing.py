"""Packed layers multiply as they did before."""

import pytest
import torch
from conftest import pico
from torch import nn

from thinklogit.models import packing
from thinklogit.models.packing import PackedLinear, pack, weight_bytes

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor has no bfloat16 that oneDNN would use"
)


@needs_bfloat16
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 256), (2, 9, 256), (40, 256)])
def test_a_packed_layer_gives_the_same_numbers(bias, shape):
    torch.manual_seed(0)
    linear = nn.Linear(256, 384, bias=bias, dtype=torch.bfloat16)
    states = torch.randn(shape, dtype=torch.bfloat16)
    holder = nn.Sequential(linear)
    with torch.inference_mode():
        expected = holder(states)
        assert pack(holder) == 1
        torch.testing.assert_close(holder(states), expected)


@needs_bfloat16
def test_a_model_decodes_as_before_and_still_knows_its_weight(monkeypatch):
    monkeypatch.setattr(packing, "SMALLEST", 1)
    model = pico("llama", 1, width=64).to(torch.bfloat16)
    before = weight_bytes(model)
    ids = torch.arange(1, 9)[None]
    kwargs = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 12, "do_sample": False}
    plain = model.generate(ids, **kwargs)
    assert pack(model) == 2 * 7 + 1
    assert pack(model) == 0
    assert weight_bytes(model) == before
    assert model.generate(ids, **kwargs).tolist() == plain.tolist()


@needs_bfloat16
def test_a_head_tied_to_the_embedding_stays(monkeypatch):
    monkeypatch.setattr(packing, "SMALLEST", 1)
    model = pico("llama", 1, width=64).to(torch.bfloat16)
    model.lm_head.weight = model.model.embed_tokens.weight
    pack(model)
    assert type(model.lm_head) is nn.Linear


def test_float32_and_small_layers_stay():
    model = nn.Sequential(nn.Linear(256, 256), nn.Linear(8, 8, dtype=torch.bfloat16))
    assert pack(model) == 0
    assert not any(isinstance(each, PackedLinear) for each in model)
