"""Trio folders: composed, loaded, moved, and refused in one line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from pico_members import (
    ASSISTANT,
    END,
    END_ID,
    ENTRIES,
    MERGED,
    PAD,
    PAD_ID,
    ROWS,
    USER_ID,
    pico_tokenizer,
    save_member,
    save_members,
)
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig

import thinklogit
from thinklogit.core.errors import OptionError, TrioError
from thinklogit.models import places, trios
from thinklogit.models.composite import Guider, ThinkLogitForCausalLM
from thinklogit.models.config import MemberRef

PROMPTS = ["What is 17 * 204?", "née 你"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Members that no test changes."""
    return save_members(tmp_path_factory.mktemp("members"))


@pytest.fixture
def own(shared, tmp_path):
    """Members that a test may change."""
    return shutil.copytree(shared, tmp_path / "own")


def composed(members, out=None, **kwargs):
    out = members if out is None else out
    return trios.compose(members / "target", members / "guider", members / "base", out, **kwargs).folder


def written(folder):
    return json.loads((folder / "config.json").read_text())


def greedy(model, tokenizer, **kwargs):
    return model.generate(**tokenizer(PROMPTS, return_tensors="pt", padding=True), max_new_tokens=12, **kwargs).tolist()


def test_a_composed_trio_generates_what_its_members_do_in_memory(shared, tmp_path):
    model, tokenizer = thinklogit.load(composed(shared, tmp_path / "trio", alpha=1.25, warmup_tokens=3))
    members = [AutoModelForCausalLM.from_pretrained(shared / name) for name in ("target", "guider", "base")]
    in_memory = ThinkLogitForCausalLM.from_members(
        members[0], [Guider(members[1], members[2], 1.25)], warmup_tokens=3, backed_ranges=[[0, ENTRIES]]
    )
    assert greedy(model, tokenizer) == greedy(in_memory, tokenizer)
    assert greedy(model, tokenizer) != greedy(model, tokenizer, alpha=0.0)


def test_saved_again_it_still_generates_the_same(own, tmp_path):
    model, tokenizer = thinklogit.load(composed(own))
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    again, its_tokenizer = thinklogit.load(tmp_path / "again")
    assert greedy(again, its_tokenizer) == greedy(model, tokenizer)


def test_a_folder_with_its_members_inside_can_be_moved(own, tmp_path):
    before = greedy(*thinklogit.load(composed(own)))
    assert written(own)["target"]["model"] == "./target"
    assert [written(own)["guiders"][0][role]["model"] for role in ("guider", "base")] == ["./guider", "./base"]
    assert greedy(*thinklogit.load(shutil.move(own, tmp_path / "elsewhere"))) == before


def test_members_elsewhere_are_referred_to_by_absolute_path(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(shared)
    trios.compose("target", "guider", "base", tmp_path / "trio")
    assert written(tmp_path / "trio")["target"]["model"] == str(shared / "target")
    monkeypatch.chdir(tmp_path)
    assert thinklogit.load("trio").model.config.vocab_size == ROWS


def test_the_members_in_the_package_go_by_name(tmp_path, monkeypatch):
    trios.compose("mini/target", "mini/guider_rewarded", "mini/base", tmp_path / "trio")
    there = Path(written(tmp_path / "trio")["guiders"][0]["guider"]["model"])
    assert (there.name, there.parent.name) == ("guider_rewarded", "trio")
    with pytest.raises(TrioError, match="mini/gider"):
        trios.compose("mini/target", "mini/gider", "mini/base", tmp_path / "other")
    (tmp_path / "mini").mkdir()
    shutil.copytree(there, tmp_path / "mini" / "base")
    monkeypatch.chdir(tmp_path)
    trios.compose("mini/target", "mini/guider", "mini/base", "own")
    assert written(tmp_path / "own")["guiders"][0]["base"]["model"] == str(tmp_path / "mini" / "base")


def test_the_auto_classes_of_transformers_read_the_folder(shared, tmp_path):
    folder = composed(shared, tmp_path / "trio", warmup_tokens=0)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert isinstance(model, ThinkLogitForCausalLM)
    tokenizer.padding_side = "left"
    assert greedy(model, tokenizer) == greedy(*thinklogit.load(folder))


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_tokenizer_is_the_targets_id_for_id(kind, tmp_path):
    """transformers replaces the pre-tokenizer of a qwen2 folder in silence; a trio's must be what that became."""
    folder = composed(save_members(tmp_path / "own", target={"kind": kind}), tmp_path / "trio")
    target, trio = AutoTokenizer.from_pretrained(tmp_path / "own" / "target"), thinklogit.load(folder).tokenizer
    for text in [*PROMPTS, "17 17", "a  b\n\n"]:
        assert trio(text)["input_ids"] == target(text)["input_ids"]
    messages = [{"role": "user", "content": "17?"}]
    assert trio.apply_chat_template(messages, tokenize=False) == "<|user|>17?<|assistant|>"
    assert trio.get_vocab() == target.get_vocab()


def test_the_generation_config_is_the_targets(own):
    """Some models publish a temperature beside greedy decoding; transformers refuses to save such a config again."""
    file = own / "target" / "generation_config.json"
    file.write_text(json.dumps({"eos_token_id": [END_ID, USER_ID], "temperature": 0.6, "max_new_tokens": 7}))
    model, _ = thinklogit.load(composed(own))
    assert model.generation_config.eos_token_id == [END_ID, USER_ID]
    assert model.generation_config.max_new_tokens == 7
    assert model.generation_config.temperature == 0.6
    assert model.generation_config.pad_token_id == PAD_ID


def test_the_targets_end_token_stops_the_trio(own):
    free = greedy(*thinklogit.load(composed(own)), eos_token_id=None)
    end = free[0][-6]
    ends = {"eos_token_id": end, "pad_token_id": PAD_ID}
    (own / "target" / "generation_config.json").write_text(json.dumps(ends))
    stopped = greedy(*thinklogit.load(composed(own)))
    first = free[0].index(end, -12)
    assert stopped[0][: first + 1] == free[0][: first + 1]
    assert set(stopped[0][first + 1 :]) <= {PAD_ID}


def test_a_target_without_a_generation_config_ends_with_its_tokenizers_end(own):
    (own / "target" / "generation_config.json").unlink()
    assert thinklogit.load(composed(own)).model.generation_config.eos_token_id == [END_ID]


def test_rows_that_no_token_backs_never_win(shared, tmp_path):
    folder = composed(shared, tmp_path / "trio")
    assert written(folder)["backed_ranges"] == [[0, ENTRIES]]
    assert "shared_ranges" not in written(folder)["guiders"][0]
    logits = thinklogit.load(folder).model(torch.tensor([[1, 2, 3]])).logits
    assert torch.isneginf(logits[..., ENTRIES:]).all()
    assert torch.isfinite(logits[..., :ENTRIES]).all()


def test_a_row_for_every_token_needs_no_range(tmp_path):
    narrow = {"rows": ENTRIES}
    folder = composed(save_members(tmp_path, target=narrow, guider=narrow, base=narrow))
    assert written(folder)["backed_ranges"] is None


def test_ids_with_another_meaning_get_no_guidance(tmp_path):
    """151648 opens thinking for R1-Distill-Qwen and a box for Qwen2.5: the delta of such an id must be 0."""
    thinking = pico_tokenizer((END, PAD, "<think>", ASSISTANT))
    folder = composed(save_members(tmp_path, guider={"tokenizer": thinking}), warmup_tokens=0)
    assert written(folder)["guiders"][0]["shared_ranges"] == [[0, USER_ID], [USER_ID + 1, ENTRIES]]
    model, _ = thinklogit.load(folder)
    ids = torch.tensor([[5, 6, 7]])
    moved = model(ids, alpha=1.0).logits - model(ids, alpha=0.0).logits
    assert (moved[..., USER_ID] == 0).all()
    assert (moved[..., USER_ID - 1] != 0).all()


def test_an_end_under_another_name_is_shared(tmp_path):
    """151643 ends a text for Qwen2.5 and R1-Distill-Qwen, under two names: guidance must be able to favour stopping."""
    stop = pico_tokenizer(("<stop>", PAD, "<|user|>", ASSISTANT))
    folder = composed(save_members(tmp_path, guider={"tokenizer": stop}))
    assert "shared_ranges" not in written(folder)["guiders"][0]


def test_rows_that_guider_and_base_lack_get_no_guidance(tmp_path):
    """Where the guider is narrower than the target's rows but not its tokenizer, nothing is lost."""
    narrow = {"rows": ENTRIES}
    folder = composed(save_members(tmp_path, guider=narrow, base=narrow))
    assert "shared_ranges" not in written(folder)["guiders"][0]


def test_a_guider_without_a_tokenizer_is_taken_to_use_the_targets(tmp_path):
    found = trios.compose(
        *(save_members(tmp_path, guider={"tokenizer": False}) / name for name in ("target", "guider", "base")), tmp_path
    ).findings
    assert "guider: has no tokenizer of its own; taken to use the target's, unchecked" in [
        each.message for each in found
    ]


def test_several_guiders_each_with_its_base_and_alpha(shared, tmp_path):
    guiders, bases = [shared / "guider", shared / "base"], [shared / "base", shared / "guider"]
    folder = trios.compose(shared / "target", guiders, bases, tmp_path / "trio", alpha=[1.0, 1.0]).folder
    model, tokenizer = thinklogit.load(folder)
    assert [pair.alpha for pair in model.config.guider_refs] == [1.0, 1.0]
    # The second pair is the first turned round: together they change nothing.
    assert greedy(model, tokenizer, warmup_tokens=0) == greedy(model, tokenizer, alpha=0.0)


def test_what_is_said_of_a_member_is_kept_and_used(shared, tmp_path):
    guider = MemberRef(str(shared / "guider"), dtype="bfloat16")
    folder = trios.compose(shared / "target", guider, shared / "base", tmp_path / "trio").folder
    model, _ = thinklogit.load(folder)
    assert model.guiders[0].guider.dtype == torch.bfloat16
    assert model.target.dtype == torch.float32


def test_nothing_is_loaded_or_copied(own, tmp_path):
    for weights in own.glob("*/model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1000] + bytes(1000))
    folder = composed(own, tmp_path / "trio")
    assert sorted(file.name for file in folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_tokenizer_pads_left_with_the_end_token_where_it_has_no_other(tmp_path):
    no_pad = pico_tokenizer(pad=None)
    _, tokenizer = thinklogit.load(composed(save_members(tmp_path, target={"tokenizer": no_pad})))
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", END)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    neither = pico_tokenizer(pad=None, end=None)
    folder = composed(save_members(tmp_path, target={"tokenizer": neither}))
    with pytest.raises(TrioError, match="its tokenizer has neither a padding nor an end token; set"):
        thinklogit.load(folder)


def test_composing_again_replaces_what_was_there(own):
    composed(own)
    assert thinklogit.load(own).tokenizer.chat_template
    pico_tokenizer(template=None).save_pretrained(own / "target")
    (own / "target" / "chat_template.jinja").unlink()
    composed(own, alpha=0.5)
    assert written(own)["guiders"][0]["alpha"] == 0.5
    assert thinklogit.load(own).tokenizer.chat_template is None


@pytest.mark.parametrize("first", [True, False])
def test_a_failure_while_writing_leaves_what_was_there(own, tmp_path, monkeypatch, first):
    out = tmp_path / "trio"
    if not first:
        composed(own, out)
    before = {file.name: file.read_bytes() for file in out.glob("*")}

    def full_disk(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trios.ThinkLogitConfig, "save_pretrained", full_disk)
    with pytest.raises(OSError, match="No space left"):
        composed(own, out, alpha=0.25)
    assert {file.name: file.read_bytes() for file in out.glob("*")} == before
    assert out.exists() is not first
    assert not list(tmp_path.glob(".*"))


def refused(message, call, *args, error=TrioError, **kwargs):
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_compose_does_not_write_over(own, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.txt").write_text("mine")
    refused(f"{kept}: holds files but no trio, and is not overwritten; name a new or empty folder", composed, own, kept)
    refused(
        f"{kept / 'thesis.txt'}: expected a folder to write the trio to, found a file",
        composed,
        own,
        kept / "thesis.txt",
    )
    # Members further down do not make it theirs.
    refused(f"{tmp_path}: holds files but no trio, and is not overwritten", composed, own, tmp_path)
    save_member(kept, 5)
    refused(
        f"{kept}: holds a model that is no trio, which is not overwritten; name another folder", composed, own, kept
    )
    refused("the target lies at", composed, own, own / "target")


def test_members_that_are_not_there(own, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    members = [own / "target", own / "guider", own / "base"]
    absent = tmp_path / "absent"
    refused(
        f"the base should be a model folder at {absent}, where there is none", trios.compose, *members[:2], absent, own
    )
    refused(
        "the guider 'nobody/nothing' is no folder here, nor could it be read from the Hugging Face Hub: "
        "which cannot be reached, and it is not in the cache; check the name and the connection",
        trios.compose,
        members[0],
        "nobody/nothing",
        members[2],
        own,
    )
    (own / "guider" / "config.json").unlink()
    refused(f"the guider should be a model folder at {members[1]}, but that holds no config.json", composed, own)


def test_an_unreachable_hub_is_told_without_waiting(own, monkeypatch):
    class NoNetwork:
        def head(self, url, timeout):
            raise ConnectionError(url)

    monkeypatch.setattr("thinklogit.models.members.get_session", NoNetwork)
    refused("'nobody/x' is no folder here", trios.compose, own / "target", "nobody/x", own / "base", own)


def test_members_that_are_no_language_models(own, tmp_path):
    BertConfig().save_pretrained(own / "base")
    shutil.move(own / "base" / "config.json", own / "guider" / "config.json")
    config = json.loads((own / "guider" / "config.json").read_text())
    (own / "guider" / "config.json").write_text(json.dumps({**config, "model_type": "clip"}))
    shutil.copytree(own / "guider", own / "base", dirs_exist_ok=True)
    refused("is a 'clip' model, which is no causal language model", composed, own)


def test_a_trio_is_no_member(own, tmp_path):
    composed(own)
    refused("the target at", trios.compose, own, own / "guider", own / "base", tmp_path / "out")
    refused("is a trio itself; name a single model", trios.compose, own, own / "guider", own / "base", tmp_path / "out")


def test_a_target_without_a_tokenizer_is_refused(tmp_path):
    save_members(tmp_path, target={"tokenizer": False})
    refused("has no tokenizer that can be read; a trio decodes with the target's", composed, tmp_path)


def test_a_base_of_another_tokenizer_than_its_guider_is_refused(tmp_path):
    save_members(tmp_path, base={"tokenizer": pico_tokenizer(backwards=True)})
    refused("these do not make a trio: base: another tokenizer: 5 of the target's 261 ids", composed, tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_a_pair_of_another_tokenizer_is_aligned_by_bytes(tmp_path):
    foreign = pico_tokenizer(backwards=True)
    save_members(tmp_path, guider={"tokenizer": foreign}, base={"tokenizer": foreign})
    composed(tmp_path)
    [pair] = thinklogit.ThinkLogitConfig.from_pretrained(tmp_path).guider_refs
    assert (pair.alignment, pair.shared_ranges) == ("bytes", None)


def test_a_guider_that_cannot_read_every_token_is_refused(tmp_path):
    narrow = {"rows": ENTRIES - 2}
    save_members(tmp_path, guider=narrow, base=narrow)
    message = (
        "the guider has 259 rows and cannot read 2 of the target's tokens, such as 259 '<|user|>'; "
        "widen it with resize_token_embeddings(261) and save it"
    )
    refused(message, composed, tmp_path)


def test_options_that_cannot_be(shared, tmp_path):
    out, one = tmp_path / "out", shared / "base"
    refused(
        "unknown schedule 'warmpu'; did you mean 'warmup'?", composed, shared, out, schedule="warmpu", error=OptionError
    )
    refused("alpha must be a number from -100 to 100", composed, shared, out, alpha=float("nan"), error=OptionError)
    several = ([one, one], [one, one], out)
    refused(
        "each guider needs its base; got 2 of guider and 1 of base",
        trios.compose,
        one,
        [one, one],
        one,
        out,
        error=OptionError,
    )
    refused("one for each of 2 guiders; got 3", trios.compose, one, *several, alpha=[1, 1, 1], error=OptionError)
    refused(
        "the target should be loaded as 'bf16', which torch does not know; try 'bfloat16' or 'auto'",
        trios.compose,
        MemberRef(str(one), dtype="bf16"),
        one,
        one,
        out,
    )


def test_what_load_cannot_find(own, tmp_path, monkeypatch):
    nowhere = "expected a trio folder, a hub id (owner/name) or 'mini', found nothing there"
    refused(f"{tmp_path / 'nowhere'}: {nowhere}", thinklogit.load, tmp_path / "nowhere")
    refused(f"minni: {nowhere}", thinklogit.load, "minni")
    refused(f"{own}: expected a trio folder, but it holds no config.json", thinklogit.load, own)
    refused("expected a trio folder, found a 'llama' model", thinklogit.load, own / "target")
    monkeypatch.setitem(places.SHIPPED, "mini", tmp_path / "no mini")
    refused(f"the mini trio should be at {tmp_path / 'no mini'}, where there is none", thinklogit.load, "mini")


def test_load_names_a_member_that_has_gone_before_it_reads_weights(own, monkeypatch):
    composed(own)
    shutil.rmtree(own / "base")
    monkeypatch.setattr(ThinkLogitForCausalLM, "from_pretrained", lambda *args, **kwargs: pytest.fail("read weights"))
    refused(f"the base should be a model folder at {own / 'base'}, where there is none", thinklogit.load, own)


def test_load_without_a_tokenizer_or_a_member_config(own):
    composed(own)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (own / name).unlink()
    refused(f"{own}: ", thinklogit.load, own)
    values = written(own)
    del values["target"]["config"]
    (own / "config.json").write_text(json.dumps(values))
    refused("config.json lacks the config of member './target'; compose the trio again", thinklogit.load, own)


def test_the_merged_token_is_one_id():
    """Guards the fixtures: the tokenizers' odd entry is used, so that cutting can differ."""
    assert pico_tokenizer()("17")["input_ids"] == [MERGED]
    assert len(pico_tokenizer(digits=True)("17")["input_ids"]) == 2
