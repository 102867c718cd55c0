"""`merge`: plain checkpoints that say what the members with their adapters said."""

import json
import shutil

import pytest
import torch
from pico_members import END_ID, USER_ID, save_adapter, save_members
from transformers import AutoModelForCausalLM, AutoTokenizer

import thinklogit
from thinklogit.core.errors import TrioError
from thinklogit.models import merging, trios
from thinklogit.models.config import MemberRef
from thinklogit.models.merging import merge

QUANTIZED = {"quant_method": "bitsandbytes", "load_in_4bit": True}
PROMPT = torch.tensor([[3, 14, 15, 9, 26, 5], [2, 7, 1, 8, 2, 8]])


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = save_members(tmp_path_factory.mktemp("members"))
    save_adapter(folder / "adapter", folder / "base")
    save_adapter(folder / "of-target", folder / "target", seed=6)
    published = {"eos_token_id": [END_ID, USER_ID], "temperature": 0.6, "max_new_tokens": 7}
    (folder / "base" / "generation_config.json").write_text(json.dumps(published))
    return folder


def composed(members, out, **adapters):
    models = {"target": "target", "guider": "base", "base": "base"}
    refs = [
        MemberRef(str(members / model), adapter=str(members / adapters[role]) if role in adapters else None)
        for role, model in models.items()
    ]
    return trios.compose(*refs, out, warmup_tokens=0, alpha=1.25).folder


@pytest.fixture(scope="module")
def trio(members, tmp_path_factory):
    return composed(members, tmp_path_factory.mktemp("trio"), guider="adapter")


def logits(folder):
    with torch.no_grad():
        return thinklogit.load(folder).model(PROMPT).logits


def test_merged_logits_are_those_of_the_adapter(trio, tmp_path):
    made = merge(trio, tmp_path / "merged")
    assert made.checkpoints == {"guider": tmp_path / "merged" / "guider"}
    torch.testing.assert_close(logits(made.folder), logits(trio), atol=1e-4, rtol=1e-4)
    assert (logits(made.folder) - thinklogit.load(made.folder).model(PROMPT, alpha=0.0).logits)[
        ..., :261
    ].abs().max() > 0.1


def test_what_is_written_is_a_plain_checkpoint(trio, members, tmp_path):
    guider = merge(trio, tmp_path / "merged").checkpoints["guider"]
    assert not list(guider.glob("adapter*"))
    assert not hasattr(AutoModelForCausalLM.from_pretrained(guider), "peft_config")
    text = "What is 17?"
    assert AutoTokenizer.from_pretrained(guider)(text) == AutoTokenizer.from_pretrained(members / "base")(text)
    published = json.loads((guider / "generation_config.json").read_text())
    assert (published["eos_token_id"], published["temperature"]) == ([END_ID, USER_ID], 0.6)


def test_the_others_are_referred_to(trio, members, tmp_path):
    config = json.loads((merge(trio, tmp_path / "merged").folder / "config.json").read_text())
    assert config["target"]["model"] == str(members / "target")
    assert config["guiders"][0]["base"]["model"] == str(members / "base")
    assert config["guiders"][0]["guider"]["model"] == "./guider"
    assert "adapter" not in config["guiders"][0]["guider"]
    assert (config["guiders"][0]["alpha"], config["backed_ranges"]) == (1.25, [[0, 261]])


def test_every_adapter_is_merged_and_the_folder_can_be_moved(members, tmp_path):
    own = shutil.copytree(members, tmp_path / "own")
    trio = composed(own, own, guider="adapter", target="of-target")
    before = logits(trio)
    made = merge(trio, tmp_path / "merged")
    assert set(made.checkpoints) == {"target", "guider"}
    moved = shutil.move(made.folder, tmp_path / "moved")
    torch.testing.assert_close(logits(moved), before, atol=1e-4, rtol=1e-4)


def refused(message, *args):
    with pytest.raises(TrioError) as caught:
        merge(*args)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_merged(trio, members, tmp_path):
    out = tmp_path / "out"
    plain = composed(members, tmp_path / "plain")
    refused(f"{plain}: none of its members wears an adapter, so there is nothing to merge", plain, out)
    refused(f"{trio}: is there already; name a new or empty folder", trio, trio)
    own = shutil.copytree(trio, tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    guider = config["guiders"][0]["guider"]

    def given(**changes):
        changed = config | {"guiders": [config["guiders"][0] | {"guider": guider | changes}]}
        (own / "config.json").write_text(json.dumps(changed))

    given(adapter=str(members / "of-target"))
    refused(
        f"the adapter at {members / 'of-target'} does not fit the guider: the model has no place for 14 of its 42",
        own,
        out,
    )
    given(adapter=str(tmp_path / "nowhere"))
    refused(f"the adapter of the guider at '{tmp_path / 'nowhere'}' could not be read", own, out)
    quantized = shutil.copytree(members / "base", tmp_path / "quantized")
    checkpoint = json.loads((quantized / "config.json").read_text()) | {"quantization_config": QUANTIZED}
    (quantized / "config.json").write_text(json.dumps(checkpoint))
    given(model=str(quantized))
    refused("the guider's checkpoint is quantized, and merging would round its adapter away; compose with", own, out)
    assert not out.exists()


def test_what_is_quantized_at_loading_is_merged_before(trio, tmp_path):
    own = shutil.copytree(trio, tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    config["guiders"][0]["guider"]["quantization_config"] = QUANTIZED
    (own / "config.json").write_text(json.dumps(config))
    made = merge(own, tmp_path / "out")
    assert trios.read_config(str(made.folder)).guider_refs[0].guider.quantization_config == QUANTIZED
    plain = [
        AutoModelForCausalLM.from_pretrained(merge(each, tmp_path / f"{i}").checkpoints["guider"])
        for i, each in enumerate((own, trio))
    ]
    assert torch.equal(plain[0](PROMPT).logits, plain[1](PROMPT).logits)


def test_a_failure_while_writing_leaves_nothing(trio, tmp_path, monkeypatch):
    def full_disk(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging.ThinkLogitConfig, "save_pretrained", full_disk)
    with pytest.raises(OSError, match="No space left"):
        merge(trio, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_adapter_with_broken_numbers_is_refused(members, tmp_path):
    from safetensors.torch import load_file, save_file

    own = shutil.copytree(members, tmp_path / "own")
    file = own / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, file, {"format": "pt"})
    refused(
        "the adapter of the guider cannot be merged: NaNs detected", composed(own, own, guider="adapter"), own / "out"
    )
    assert not (own / "out").exists()
