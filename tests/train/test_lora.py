"""How large an adapter is, counted without a weight."""

import pytest
from transformers import LlamaConfig, Qwen2Config

from thinklogit.core.errors import OptionError
from thinklogit.train.lora import count_parameters, lora_config
from thinklogit.train.settings import TrainSettings


def test_rank_64_on_the_shape_of_a_1_5b_qwen2_is_73_9_million():
    """arXiv 2507.12759 publishes 78M and neither rank nor layers: this is the nearest sane default."""
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
    )
    assert count_parameters(config, TrainSettings()) == 73_859_072


def test_only_the_layers_named_are_counted():
    config = LlamaConfig(
        vocab_size=61, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    settings = TrainSettings(lora_r=4, target_modules="q_proj, v_proj")
    assert count_parameters(config, settings) == 2 * 2 * 4 * (16 + 16)


def test_layers_that_are_not_there_are_told():
    config = LlamaConfig(
        vocab_size=61, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    with pytest.raises(OptionError, match="target_modules=wrong_proj: Target modules"):
        count_parameters(config, TrainSettings(target_modules="wrong_proj"))


def test_the_scale_is_twice_the_rank_unless_given():
    assert lora_config(TrainSettings(lora_r=8)).lora_alpha == 16
    assert lora_config(TrainSettings(lora_r=8, lora_alpha=8)).lora_alpha == 8


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "ppo"}, "method must be dpo or sft; got 'ppo'"),
        ({"beta": 0.0}, "beta must be a finite number above 0; got 0.0"),
        ({"beta": float("nan")}, "beta must be a finite number above 0; got nan"),
        ({"sft_weight": -1.0}, "sft_weight must be a finite number, 0 or more"),
        ({"lora_r": 0}, "lora_r must be a whole number, 1 or more; got 0"),
        ({"max_steps": 0}, "max_steps must be -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, told):
    with pytest.raises(OptionError, match=told):
        TrainSettings(**settings)
