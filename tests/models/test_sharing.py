"""A guider that is its base with an adapter: one copy of the weights, and what two models would give."""

import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from pico_members import pico_tokenizer, save_adapter, save_members
from transformers import AutoModelForCausalLM

import thinklogit
from thinklogit.core.errors import TrioError
from thinklogit.core.params import SamplingParams
from thinklogit.decode.huggingface import HuggingFaceEngine
from thinklogit.models import loading, packing, sharing, trios
from thinklogit.models.composite import Guider, ThinkLogitForCausalLM
from thinklogit.models.config import MemberRef
from thinklogit.models.sharing import share_weights

PROMPT = torch.tensor([[3, 14, 15, 9, 26, 5], [2, 7, 1, 8, 2, 8]])
WAYS = {
    "greedy": {"do_sample": False, "alpha": [0.5, 1.5]},
    "after a warm-up": {"do_sample": False, "warmup_tokens": 4},
    "sampling": {"do_sample": True, "temperature": 1.5},
    "beams": {"do_sample": False, "num_beams": 3},
    "without a cache": {"do_sample": False, "use_cache": False},
    "a static cache": {"do_sample": False, "cache_implementation": "static"},
    "speculate": {"do_sample": False, "custom_generate": thinklogit.speculate},
}


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Members that no test changes, with an adapter for the base."""
    folder = save_members(tmp_path_factory.mktemp("members"))
    save_adapter(folder / "adapter", folder / "base")
    return folder


def composed(members, out, guider=None, base=None, warmup_tokens=0):
    guider = guider or MemberRef(str(members / "base"), adapter=str(members / "adapter"))
    return trios.compose(members / "target", guider, base or members / "base", out, warmup_tokens=warmup_tokens).folder


def member_of(members, name):
    return AutoModelForCausalLM.from_pretrained(members / name)


def separate(members, adapter="adapter", below="base"):
    """The same trio of three models, none of which knows another: what sharing must equal."""
    guider = PeftModel.from_pretrained(member_of(members, below), members / adapter)
    trio = ThinkLogitForCausalLM.from_members(
        member_of(members, "target"), [Guider(guider, member_of(members, "base"))], warmup_tokens=0
    )
    assert not share_weights(guider, trio.guiders[0].base)
    return trio.eval()


@pytest.fixture(scope="module")
def shared(members, tmp_path_factory):
    return thinklogit.load(composed(members, tmp_path_factory.mktemp("trio"))).model


@pytest.fixture(scope="module")
def expected(members, shared):
    trio = separate(members)
    trio.fusion = shared.fusion  # rows without a token are masked there
    return trio


def resident_bytes(model):
    """Of its parameters, each storage once."""
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in model.parameters()}
    return sum(storages.values())


def logits(model, **how):
    with torch.no_grad():
        return model(PROMPT, **how).logits[..., :261]


def test_fused_logits_are_those_of_two_models(shared, expected):
    torch.testing.assert_close(logits(shared), logits(expected), atol=1e-5, rtol=1e-5)
    pair = shared.guiders[0]
    assert (logits(pair.guider) - logits(pair.base)).abs().max() > 0.1


def test_the_small_model_is_there_once(shared, expected, members):
    small = sum(each.numel() for each in member_of(members, "base").parameters())
    counts = [sum(each.numel() for each in model.parameters()) for model in (shared, expected)]
    assert counts[0] == counts[1] - small
    assert resident_bytes(shared) == resident_bytes(expected) - 4 * small
    assert shared.state_dict().keys() == expected.state_dict().keys()


@pytest.mark.parametrize("way", WAYS)
def test_generate_gives_what_two_models_give(shared, expected, way):
    found = []
    for model in (shared, expected):
        torch.manual_seed(0)
        found.append(model.generate(PROMPT, max_new_tokens=10, eos_token_id=None, **WAYS[way]).tolist())
    assert found[0] == found[1]


def test_the_guider_assists(shared, expected):
    found = [
        model.generate(PROMPT[:1], max_new_tokens=10, do_sample=False, assistant_model=model.guiders[0].guider)
        for model in (shared, expected)
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("asked", [{"speculate": 3}, {"speculate": "off"}, {"mode": "guider"}, {"mode": "base"}])
def test_the_engine_gives_what_two_models_give(shared, expected, asked):
    """Drafting runs the guider alone, and a member can answer alone: the other's adapter must not show."""
    params = SamplingParams(max_new_tokens=12, temperature=1.0, n=2, seed=1, **asked)
    found = [
        HuggingFaceEngine(model, pico_tokenizer()).generate(["What is 17?", "née"], params)
        for model in (shared, expected)
    ]
    assert found[0] == found[1]


def test_a_forward_that_fails_leaves_no_trace(shared):
    before = [logits(member) for member in (shared.guiders[0].guider, shared.guiders[0].base)]
    layer = shared.guiders[0].guider.get_base_model().model.layers[1]
    hook = layer.register_forward_pre_hook(lambda *_: pytest.fail("on the way"))
    with pytest.raises(pytest.fail.Exception, match="on the way"):
        logits(shared)
    hook.remove()
    after = [logits(member) for member in (shared.guiders[0].guider, shared.guiders[0].base)]
    assert all(torch.equal(*each) for each in zip(before, after, strict=True))


def test_the_base_may_wear_the_adapter(members, tmp_path):
    worn = MemberRef(str(members / "base"), adapter=str(members / "adapter"))
    model, _ = thinklogit.load(composed(members, tmp_path / "trio", members / "base", worn))
    assert share_weights(model.guiders[0].guider, model.guiders[0].base)
    assert isinstance(model.guiders[0].base, PeftModel)


def test_an_adapter_on_another_checkpoint_than_the_base(members, tmp_path):
    """ThinkLogit-DPO: the adapter is trained on the guider, and the base is what the guider came from."""
    own = shutil.copytree(members, tmp_path / "own")
    save_adapter(own / "trained", own / "guider")
    guider = MemberRef(str(own / "guider"), adapter=str(own / "trained"))
    model, _ = thinklogit.load(composed(own, own, guider))
    assert not share_weights(model.guiders[0].guider, model.guiders[0].base)
    assert torch.equal(logits(model), logits(separate(own, "trained", "guider")))


def test_members_loaded_unlike_share_nothing(members, tmp_path):
    model, _ = thinklogit.load(composed(members, tmp_path / "trio"), dtype={"guider": torch.bfloat16})
    guider, base = model.guiders[0].guider, model.guiders[0].base
    assert (guider.dtype, base.dtype) == (torch.bfloat16, torch.float32)
    half = trios.load(tmp_path / "trio", dtype=torch.bfloat16, device_map="cpu").model
    assert share_weights(half.guiders[0].guider, half.guiders[0].base)


@pytest.mark.parametrize("writes", [{"bias": "all"}, {"init_lora_weights": "pissa"}], ids=str)
def test_an_adapter_that_writes_into_the_weights_is_given_its_own(tmp_path, writes):
    """LoRA may train biases, and PiSSA takes from the weights what it gives the adapter: the base must not see it."""
    own = save_members(tmp_path / "own", base={"kind": "qwen2"}, guider={"kind": "qwen2"})
    save_adapter(own / "adapter", own / "base", **writes)
    model, _ = thinklogit.load(composed(own, own))
    assert not share_weights(model.guiders[0].guider, model.guiders[0].base)
    torch.testing.assert_close(logits(model), logits(separate(own)))


def test_offloaded_weights_are_not_shared(members, tmp_path, monkeypatch):
    """accelerate fetches them for the layers it knows, at every step; a second body's it would not know."""
    assert sharing.can_share(member_of(members, "base"))
    assert not sharing.can_share(member_of(members, "base").to("meta"))
    monkeypatch.setattr(loading, "can_share", lambda model: False)
    model, _ = thinklogit.load(composed(members, tmp_path / "trio"))
    assert not share_weights(model.guiders[0].guider, model.guiders[0].base)
    assert torch.equal(logits(model), logits(separate(members)))


def test_a_peft_model_and_the_model_it_was_made_of(members):
    """PEFT puts the adapter into the model it is given: that model, as the base, once ran with the adapter too."""
    base = member_of(members, "base")
    guider = PeftModel.from_pretrained(base, members / "adapter")
    model = ThinkLogitForCausalLM.from_members(member_of(members, "target"), [Guider(guider, base)], warmup_tokens=0)
    assert torch.equal(logits(model), logits(separate(members)))
    assert model.config.guider_refs[0].base.model == str(members / "base")


def test_a_peft_model_whose_model_has_changed_is_refused(members):
    target, base = member_of(members, "target"), member_of(members, "base")
    guider = get_peft_model(base, LoraConfig(target_modules=["q_proj"], bias="lora_only"))
    message = "the base is the model inside the guider's adapter, which changed its weights; load the base again"
    with pytest.raises(TrioError, match=message):
        ThinkLogitForCausalLM.from_members(target, [Guider(guider, base)])
    base = member_of(members, "base")
    guider = PeftModel.from_pretrained(base, members / "adapter")
    guider.merge_adapter()
    with pytest.raises(TrioError, match=message):
        ThinkLogitForCausalLM.from_members(target, [Guider(guider, base)])


@pytest.mark.parametrize("how", [{}, {"copy_members": True}], ids=str)
def test_saved_and_loaded_again_they_still_share(shared, members, tmp_path, how):
    shared.save_pretrained(tmp_path / "first", **how)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "first")
    again.save_pretrained(tmp_path / "second")
    for model in (again, AutoModelForCausalLM.from_pretrained(tmp_path / "second")):
        assert share_weights(model.guiders[0].guider, model.guiders[0].base)
        assert torch.equal(logits(model), logits(shared))
    inside = {"target", "base", "guider-adapter"} if how else set()
    assert {each.name for each in (tmp_path / "first").iterdir() if each.is_dir()} == inside


def test_members_from_nowhere_are_saved_once(members, tmp_path):
    parts = [member_of(members, name) for name in ("target", "base")]
    for each in parts:
        each.config.name_or_path = ""
    guider = get_peft_model(parts[1], LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    model = ThinkLogitForCausalLM.from_members(parts[0], [Guider(guider, parts[1])], warmup_tokens=0).eval()
    model.save_pretrained(tmp_path / "trio")
    assert not (tmp_path / "trio" / "guider").exists()
    again = AutoModelForCausalLM.from_pretrained(shutil.move(tmp_path / "trio", tmp_path / "moved"))
    assert share_weights(again.guiders[0].guider, again.guiders[0].base)
    assert torch.equal(logits(again), logits(model))


def test_an_adapter_for_a_model_of_another_size(members, tmp_path):
    folder = composed(members, tmp_path / "trio", MemberRef(str(members / "guider")))
    save_adapter(members / "of-target", members / "target")
    config = trios.read_config(str(folder))
    config.guiders[0]["guider"]["adapter"] = str(members / "of-target")
    with pytest.raises(
        TrioError, match=r"the adapter of the guiders\.0\.guider at .* could not be loaded: .*size mismatch"
    ):
        ThinkLogitForCausalLM.from_pretrained(folder, config=config)


@pytest.mark.parametrize("computes_with_weights", [False, True])
def test_layers_of_two_members_are_packed_once(computes_with_weights, members, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SMALLEST", dict.fromkeys(packing.SMALLEST, 1))
    adapter = save_adapter(tmp_path / "adapter", members / "base", use_dora=computes_with_weights)
    guider = MemberRef(str(members / "base"), adapter=str(adapter))
    model, _ = thinklogit.load(composed(members, tmp_path / "trio", guider), dtype=torch.float32)
    before = model.generate(PROMPT, max_new_tokens=10, do_sample=False).tolist()
    bytes_before = packing.weight_bytes(model)
    of_target, of_both = 3 * 7 + 1, 2 * 7 + 1  # and a head
    assert packing.pack(model) == of_target + of_both
    pair = model.guiders[0]
    inner = pair.guider.get_base_model().model.layers[0].mlp.up_proj.base_layer
    assert inner is pair.base.model.layers[0].mlp.up_proj
    assert packing.weight_bytes(model) == bytes_before
    assert model.generate(PROMPT, max_new_tokens=10, do_sample=False).tolist() == before
