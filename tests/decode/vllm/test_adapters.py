"""A member that wears an adapter: merged while it is loaded, and greedy text is the composite's in float32."""

import json
import shutil

import pytest
from pico_members import save_adapter
from served import counted, engine, greedy, reference
from test_members import GUIDANCE, NEW_TOKENS, PROMPTS, member
from transformers import LlamaConfig, Qwen2Config

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.decode.vllm.launch import drafter, merged_adapters
from thinklogit.models.config import MemberRef
from thinklogit.models.loading import read_config
from thinklogit.models.merging import merge
from thinklogit.models.sharing import share_weights
from thinklogit.models.trios import compose, load


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    member(folder / "target", Qwen2Config, 7, heads=4, key_value_heads=2)
    member(folder / "guider", LlamaConfig, 1, heads=2, key_value_heads=2)
    member(folder / "base", LlamaConfig, 2, heads=2, key_value_heads=2, tie_word_embeddings=True)
    for seed, name in enumerate(("target", "guider", "base")):
        save_adapter(folder / f"{name}-adapter", folder / name, seed=seed, r=2)
    return folder


def composed(members, out, guider="base", adapters=("guider",)):
    """A trio of target, the guider named and base; those of the roles given wear the adapters of their models."""
    models = {"target": "target", "guider": guider, "base": "base"}
    refs = [
        MemberRef(str(members / model), adapter=str(members / f"{model}-adapter") if role in adapters else None)
        for role, model in models.items()
    ]
    return compose(*refs, out, warmup_tokens=0).folder


@pytest.fixture(scope="module")
def trio(members, tmp_path_factory):
    return composed(members, tmp_path_factory.mktemp("trio"))


def assert_equal(folder, model=None, counter=None, **how):
    model = model or load(folder).model
    expected = reference(model, PROMPTS, GUIDANCE, NEW_TOKENS)
    with engine(folder, **how) as llm:
        assert greedy(llm, PROMPTS, GUIDANCE, NEW_TOKENS) == expected
        assert counter is None or counted(llm, counter) > 0


def test_a_guider_that_is_its_base_with_an_adapter(trio):
    model, _ = load(trio)
    assert share_weights(model.guiders[0].guider, model.guiders[0].base)
    unguided, guided = ([{"alpha": alpha, "warmup_tokens": 0}] for alpha in (0.0, 1.5))
    assert reference(model, PROMPTS, unguided, NEW_TOKENS) != reference(model, PROMPTS, guided, NEW_TOKENS)
    assert_equal(trio, model)


def test_adapters_on_target_and_guider_of_its_own_checkpoint(members, tmp_path):
    assert_equal(composed(members, tmp_path / "trio", "guider", ("target", "guider")))


def test_tensor_parallel(trio, monkeypatch):
    """In processes of their own, each of which merges for itself."""
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    assert_equal(trio, tensor_parallel_size=2)


def test_the_merged_guider_drafts(trio, tmp_path):
    with pytest.raises(OptionError, match=r"the guider wears an adapter, .* `thinklogit merge --trio TRIO -o DIR`"):
        drafter(read_config(trio), str(trio), 3)
    made = merge(trio, tmp_path / "merged").folder
    drafting = drafter(read_config(made), str(made), 3)
    assert drafting["model"] == str(made / "guider")
    assert_equal(made, load(trio).model, "spec_decode_num_accepted_tokens", speculative_config=drafting)


def test_it_is_said_aloud(trio, members, tmp_path):
    told = "merged while it is loaded: inside vLLM no member shares the weights of another"
    assert merged_adapters(read_config(trio)) == f"the adapter of the guider is {told}"
    assert merged_adapters(read_config(composed(members, tmp_path / "plain", "guider", ()))) is None


def changed(trio, out, **guider):
    """The trio with other settings of its guider, unchecked."""
    folder = shutil.copytree(trio, out)
    values = json.loads((folder / "config.json").read_text())
    values["guiders"][0]["guider"] |= guider
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def refused(message, folder):
    with pytest.raises((TrioError, ValueError), match=message), engine(folder):
        pass


def test_what_cannot_be_merged_is_refused_before_anything_is_loaded(trio, members, tmp_path):
    quantized = changed(trio, tmp_path / "quantized", quantization_config={"quant_method": "fp8"})
    refused("the guider is quantized, and inside vLLM no adapter is merged into it; `thinklogit merge`", quantized)
    another = changed(trio, tmp_path / "another", adapter=str(members / "target-adapter"))
    refused("the adapter at .*target-adapter does not fit the guider: its ", another)
    refused(
        "the adapter of the guider at .*nowhere' could not be read", changed(trio, tmp_path / "n", adapter="./nowhere")
    )
