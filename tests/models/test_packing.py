"""Packed layers multiply as they did before."""

import pytest
import torch
from conftest import pico
from torch import nn

from thinklogit.models import packing
from thinklogit.models.packing import PackedLinear, pack, weight_bytes

has_bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
needs_bfloat16 = pytest.mark.skipif(not has_bfloat16, reason="this processor has no bfloat16 that oneDNN would use")
dtypes = pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)])


@pytest.fixture
def every_layer(monkeypatch):
    """Small layers too."""
    monkeypatch.setattr(packing, "SMALLEST", dict.fromkeys(packing.SMALLEST, 1))


@dtypes
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 512), (2, 9, 512), (40, 512)])
def test_a_packed_layer_gives_the_same_numbers(bias, shape, dtype):
    torch.manual_seed(0)
    linear = nn.Linear(512, 384, bias=bias, dtype=dtype)
    states = torch.randn(shape, dtype=dtype)
    holder = nn.Sequential(linear)
    with torch.inference_mode():
        expected = holder(states)
        assert pack(holder) == 1
        torch.testing.assert_close(holder(states), expected)


def test_who_computes_with_a_packed_weight_finds_its_numbers():
    linear = nn.Linear(512, 384)
    packed = PackedLinear(linear)
    assert (packed.weight.shape, packed.weight.dtype, packed.weight.device.type) == ((384, 512), torch.float32, "cpu")
    states = torch.randn(512, 3)
    torch.testing.assert_close(packed.weight @ states, linear.weight @ states)
    assert torch.equal(packed.weight[:5, 7:], linear.weight[:5, 7:])


@dtypes
def test_a_model_decodes_as_before_and_still_knows_its_weight(every_layer, dtype):
    model = pico("llama", 1, width=64).to(dtype)
    before = weight_bytes(model)
    ids = torch.arange(1, 9)[None]
    kwargs = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 12, "do_sample": False}
    plain = model.generate(ids, **kwargs)
    assert pack(model) == 2 * 7 + 1
    assert pack(model) == 0
    assert weight_bytes(model) == before
    assert model.generate(ids, **kwargs).tolist() == plain.tolist()


def test_a_head_tied_to_the_embedding_stays(every_layer):
    model = pico("llama", 1, width=64)
    model.lm_head.weight = model.model.embed_tokens.weight
    assert pack(model) == 2 * 7
    assert type(model.lm_head) is nn.Linear


def test_small_layers_and_other_dtypes_stay():
    layers = nn.Linear(256, 256), nn.Linear(8, 8, dtype=torch.bfloat16), nn.Linear(512, 512, dtype=torch.float16)
    model = nn.Sequential(*layers)
    assert pack(model) == 0
    assert not any(isinstance(each, PackedLinear) for each in model)


@pytest.mark.skipif(has_bfloat16, reason="this processor has bfloat16")
def test_bfloat16_stays_where_it_would_be_emulated():
    assert pack(nn.Sequential(nn.Linear(512, 512, dtype=torch.bfloat16))) == 0
