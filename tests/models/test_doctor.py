"""What the doctor finds in trios that fit, that do not, and that only look as if."""

import json
import shutil

import pytest
import torch
from pico_members import (
    ASSISTANT,
    END,
    END_ID,
    ENTRIES,
    PAD,
    ROWS,
    SPECIALS,
    USER,
    USER_ID,
    pico_tokenizer,
    save_adapter,
    save_member,
    save_members,
)
from safetensors.torch import load_file, save_file
from transformers import Gemma2Config, LlamaConfig

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.models import trios
from thinklogit.models.config import MemberRef
from thinklogit.models.doctor import memory
from thinklogit.models.doctor.checkpoints import distance, stored_tensors
from thinklogit.models.doctor.examine import examine
from thinklogit.models.doctor.findings import count, listed, size
from thinklogit.models.doctor.memory import Device, cache_bytes, parameters, tensor_parallel_sizes, weight_bytes
from thinklogit.models.members import read_member
from thinklogit.models.vocabularies import ranges_of


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A trio that no test changes."""
    folder = save_members(tmp_path_factory.mktemp("trio"))
    compose(folder)
    return folder


@pytest.fixture
def own(shared, tmp_path):
    return shutil.copytree(shared, tmp_path / "own")


def compose(folder, **kwargs):
    trios.compose(folder / "target", folder / "guider", folder / "base", folder, **kwargs)


def draft(folder, **members):
    refs = {role: MemberRef(str(folder / role), **members.get(role, {})) for role in ("target", "guider", "base")}
    return trios.draft(*refs.values()).config


def about(findings, subject):
    return [(finding.level, finding.message) for finding in findings if finding.subject == subject]


def examined(folder, **kwargs):
    return examine(draft(folder), **kwargs)


def test_members_that_go_together(shared):
    findings = examine(shared)
    assert {finding.level for finding in findings} == {"ok", "note"}
    assert about(findings, "tokenizers") == [
        ("ok", "guider: the target's, id for id (261 entries)"),
        ("ok", "base: the target's, id for id (261 entries)"),
    ]
    assert about(findings, "vocabulary") == [
        ("note", "the target has 264 rows for 261 tokens; the other 3 rows are masked")
    ]
    assert about(findings, "end of text") == [("ok", "every member ends a text with 257 '<|end|>'")]
    assert about(findings, "beginning of text") == [
        ("ok", "the target puts nothing before a text, as the others expect")
    ]
    assert about(findings, "chat template") == [("ok", "the same for all members")]
    assert about(findings, "context") == [("ok", "every member holds 128 tokens, prompt and completion together")]
    [(level, message)] = about(findings, "ancestry")
    assert (level, message.split(" (")[1]) == (
        "ok",
        "||guider - base|| / ||base||): a light change, as reasoning training makes",
    )
    assert about(findings, "members")[0] == (
        "ok",
        f"target: llama, 28.4K parameters, 3 layers, float32, at {shared / 'target'}",
    )


def test_findings_are_plain_json(shared):
    for finding in examine(shared):
        json.dumps(finding.data)
        assert "\n" not in finding.message


def test_other_meanings_are_listed_with_both(tmp_path):
    thinking = pico_tokenizer((END, PAD, "<think>", "</think>"))
    save_members(tmp_path, guider={"tokenizer": thinking})
    message = (
        "guider: 259 of the target's 261 ids (99.23%) mean the same; the others get no guidance: "
        "259 is '<|user|>' there and '<think>' here; 260 is '<|assistant|>' there and '</think>' here"
    )
    assert about(examined(tmp_path), "tokenizers")[0] == ("warning", message)


def test_ids_that_a_guider_does_not_have(tmp_path):
    save_members(tmp_path, guider={"tokenizer": pico_tokenizer(SPECIALS[:3])})
    [guider, base] = about(examined(tmp_path), "tokenizers")
    assert guider[1].endswith("the others get no guidance: no entry for 260")
    assert base[0] == "ok"


def test_texts_cut_into_other_ids(tmp_path):
    save_members(tmp_path, base={"tokenizer": pico_tokenizer(digits=True)})
    [_, same, cut] = about(examined(tmp_path), "tokenizers")
    assert same == ("ok", "base: the target's, id for id (261 entries)")
    assert cut[0] == "warning"
    assert cut[1].startswith("base: cuts 1 of 7 sample texts into other ids than the target, such as '17 * 204 = 3468;")


def test_a_base_of_another_tokenizer_than_its_guider_is_an_error(tmp_path):
    save_members(tmp_path, base={"tokenizer": pico_tokenizer(backwards=True)})
    [_, (level, message)] = about(examined(tmp_path), "tokenizers")
    assert level == "error"
    assert message == (
        "base: another tokenizer: 5 of the target's 261 ids (1.92%) mean the same; the guider has the target's, and "
        "the two must read the same tokens: choose the model that the guider was made from"
    )


def test_a_pair_of_another_tokenizer_is_said_to_read_in_tokens_of_its_own(tmp_path):
    foreign = pico_tokenizer(backwards=True)
    save_members(tmp_path, guider={"tokenizer": foreign}, base={"tokenizer": foreign})
    found = examined(tmp_path)
    [(level, message)] = about(found, "tokenizers")
    assert level == "note"
    assert message.startswith("guider and base: another tokenizer than the target's; they read its text in tokens of ")
    assert not [each for each in found if each.level == "error"]


def test_an_end_under_another_name(tmp_path):
    save_members(tmp_path, guider={"tokenizer": pico_tokenizer(("<stop>", *SPECIALS[1:]))})
    message = (
        "guider: ends a text with the target's id under another name: "
        "257 is '<|end|>' to the target and '<stop>' to the guider"
    )
    assert ("note", message) in about(examined(tmp_path), "tokenizers")


def test_entries_without_a_row(tmp_path):
    narrow = {"rows": ENTRIES - 1}
    save_members(tmp_path, target=narrow, guider=narrow, base=narrow)
    message = (
        "the target's tokenizer has entries without a row (1), such as 260 '<|assistant|>'; "
        "a prompt that holds one cannot be read"
    )
    assert ("warning", message) in about(examined(tmp_path), "vocabulary")


def test_a_config_behind_its_tokenizers(own):
    thinking = pico_tokenizer((END, PAD, "<think>", ASSISTANT))
    shutil.rmtree(own / "guider")
    save_member(own / "guider", 2, tokenizer=thinking)
    values = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({**values, "backed_ranges": None}))
    assert about(examine(own), "vocabulary")[1:] == [
        (
            "warning",
            "config.json takes the rows all to have a token, the tokenizer says 0 to 260; compose the trio again",
        ),
        (
            "warning",
            "config.json takes the rows all to mean the same to target, guider and base, their tokenizers say "
            "0 to 258, 260 to 260; compose the trio again",
        ),
    ]
    compose(own)
    assert [level for level, _ in about(examine(own), "vocabulary")] == ["note"]


def test_a_member_changed_since_composing(own):
    file = own / "base" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_position_embeddings": 64}))
    message = "base: its config changed since the trio was composed (max_position_embeddings); compose it again"
    assert ("warning", message) in about(examine(own), "members")


def test_ends_of_a_guider_that_end_nothing_of_the_targets(tmp_path):
    save_members(tmp_path, guider={"ends": [END_ID, USER_ID]})
    assert about(examined(tmp_path), "end of text") == [
        (
            "warning",
            "the guider ends a text with 259 '<|user|>' as well, which ends none of the target's: where guidance wants "
            "to stop, the text may run on; if the target means the same by it, add it to eos_token_id in the trio's "
            "generation_config.json",
        ),
        ("note", "the target, and so the trio, ends a text with 257 '<|end|>'"),
    ]


def test_no_end_token_at_all(tmp_path):
    endless = {"ends": None, "tokenizer": pico_tokenizer(end=None)}
    save_members(tmp_path, target=endless)
    message = "the target names no end token in generation config or tokenizer: every text runs to its token limit"
    assert about(examined(tmp_path), "end of text") == [("warning", message)]
    save_members(tmp_path / "other", guider=endless)
    note = ("note", "the guider names no end token; guidance may not favour stopping")
    assert about(examined(tmp_path / "other"), "end of text")[0] == note


def test_a_beginning_that_only_one_family_expects(tmp_path):
    save_members(tmp_path, guider={"tokenizer": pico_tokenizer(bos=USER)})
    message = (
        "the guider expects 259 '<|user|>' before a text, the target puts nothing before a text: "
        "it reads the target's prompt as it is"
    )
    assert about(examined(tmp_path), "beginning of text") == [("warning", message)]


def test_chat_templates_that_differ_or_lack(tmp_path):
    save_members(tmp_path, guider={"tokenizer": pico_tokenizer(template="{{ messages }}")})
    message = (
        "guider has another than the target, whose template all read; "
        "plain-text prompts, as in the paper, avoid the difference"
    )
    assert about(examined(tmp_path), "chat template") == [("note", message)]
    save_members(tmp_path / "bare", target={"tokenizer": pico_tokenizer(template=None)})
    message = "the target has no chat template: give prompts as plain text, as the paper does"
    assert about(examined(tmp_path / "bare"), "chat template") == [("note", message)]


def test_a_guider_with_a_shorter_context(tmp_path):
    save_members(tmp_path, target={"context": 9000}, guider={"context": 4096}, base={"context": 4096})
    assert about(examined(tmp_path), "context") == [
        (
            "warning",
            "guider and base hold 4,096 tokens, prompt and completion together (the paper's completions alone have "
            "8,192); the target holds 9,000; longer requests are refused, unless decoding past the context is allowed, "
            "and there the delta comes from positions never trained",
        )
    ]


def test_a_target_with_the_shortest_context(tmp_path):
    save_members(tmp_path, guider={"context": 9000}, base={"context": 9000}, target={"context": 8500})
    message = (
        "target holds 8,500 tokens, prompt and completion together; "
        "longer requests are refused, unless decoding past the context is allowed"
    )
    assert about(examined(tmp_path), "context") == [("note", message)]


def test_soft_caps_are_told(own):
    for name in ("target", "guider"):
        file = own / name / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "final_logit_softcapping": 30.0}))
    assert about(examine(own), "logits") == [
        ("note", "the target caps its logits softly at 30; the cap is taken off before fusing, and put on again after"),
        ("note", "the guider caps its logits softly at 30; the cap is taken off before fusing"),
    ]


def test_a_guider_that_is_its_base(own):
    shutil.copy(own / "base" / "model.safetensors", own / "guider" / "model.safetensors")
    message = "guider and base have identical weights: guidance would change nothing"
    assert about(examine(own), "ancestry") == [("warning", message)]


def with_adapter(own, role="guider", model="base", **ref):
    """A draft in which a member wears the adapter in the folder."""
    worn = {role: MemberRef(str(own / model), adapter=str(own / "adapter"), **ref)}
    return trios.draft(*(worn.get(each, own / each) for each in ("target", "guider", "base"))).config


def test_an_adapter_makes_a_guider_of_its_base(own):
    save_adapter(own / "adapter", own / "base")
    findings = examine(with_adapter(own))
    message = "guider and base are one model; guidance is what the adapter changes"
    assert about(findings, "ancestry") == [("ok", message)]
    message = (
        "guider: shares one copy of weights with the base in transformers; "
        "inside vLLM the adapter is merged, two copies"
    )
    assert about(findings, "adapters") == [("ok", message)]


def test_weights_that_are_shared_count_once(own):
    save_adapter(own / "adapter", own / "base")
    config = with_adapter(own)
    model, _ = trios.load(trios.compose(*config_refs(config), own / "trio").folder)
    held = next(each for each in examine(config) if each.subject == "memory").data["weight_bytes"]
    assert sum(held.values()) == sum(each.numel() * each.element_size() for each in model.parameters())


def config_refs(config):
    return [MemberRef(ref.model, adapter=ref.adapter) for ref in config.member_refs.values()]


@pytest.mark.parametrize("bias", ["none", "all"])
def test_an_adapter_beside_weights_of_its_own(own, bias):
    """On another checkpoint than the base, or one that writes into the weights: nothing is shared."""
    model = "guider" if bias == "none" else "base"
    save_adapter(own / "adapter", own / model, bias=bias)
    findings = examine(with_adapter(own, model=model))
    message = "guider: its adapter fits; inside vLLM the adapter is merged while it is loaded"
    assert about(findings, "adapters") == [("ok", message)]
    small = sum(each.size_bytes for each in stored_tensors(member_at(own / "base")).values())
    memory = next(each for each in findings if each.subject == "memory").data["weight_bytes"]
    assert memory["guiders.0.guider"] > memory["guiders.0.base"] == small


def test_an_adapter_of_another_model(own):
    save_adapter(own / "adapter", own / "guider")
    findings = examine(with_adapter(own))
    told = about(findings, "adapters")
    message = f"the guider's adapter was made for {own / 'guider'}; the guider is {own / 'base'}"
    assert told[0] == ("warning", message)
    shutil.copytree(own / "base", own / "its-own")
    (own / "guider").rename(own / "gone")
    own.joinpath("its-own").rename(own / "guider")
    file = own / "adapter" / "adapter_config.json"
    file.write_text(file.read_text().replace(str(own / "guider"), str(own / "nowhere")))
    assert about(examine(with_adapter(own)), "adapters")[0][0] == "note"


@pytest.mark.parametrize(
    ("made_on", "told"),
    [
        ({"width": 24}, "q_proj.lora_A.weight is 4 x 24, where the model takes 4 x 16"),
        ({"layers": 1}, "it lacks 2 of 4 tensors, such as base_model.model.model.layers.1."),
        ({"layers": 3}, "the model has no place for 2 of its 6 tensors, such as base_model.model.model.layers.2."),
        (None, "Target modules"),
    ],
    ids=str,
)
def test_an_adapter_that_does_not_fit(own, made_on, told):
    """Nothing of the weights is read: they are broken here."""
    save_member(own / "other", 8, **(made_on or {}))
    save_adapter(own / "adapter", own / "other", target_modules=["q_proj"])
    if made_on is None:
        file = own / "adapter" / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"target_modules": ["wte"]}))
    weights = own / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    config = with_adapter(own)
    [found] = [each for each in examine(config) if each.subject == "adapters"]
    assert found.level == "error"
    assert found.message.startswith(f"the adapter at {own / 'adapter'} does not fit the guider: ")
    assert told in found.message
    assert "\n" not in found.message
    with pytest.raises(TrioError, match="these do not make a trio: the adapter at"):
        trios.compose(own / "target", MemberRef(str(own / "base"), adapter=str(own / "adapter")), own / "base", own)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_that_is_not_there_or_broken(own, file):
    save_adapter(own / "adapter", own / "base")
    (own / "adapter" / file).write_bytes(b"no such thing")
    [found] = [each for each in examine(with_adapter(own)) if each.subject == "adapters"]
    assert found.level == "error"
    assert found.message.startswith(f"the adapter of the guider at '{own / 'adapter'}' could not be read: ")
    assert "\n" not in found.message


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [(0.7, "warning", "much for reasoning training, which stays below 50%"), (0.1, "ok", "a light change")],
)
def test_how_far_a_guider_lies_from_its_base(own, changed, level, words):
    weights = load_file(own / "base" / "model.safetensors")
    save_file({name: weight * (1 + changed) for name, weight in weights.items()}, own / "guider" / "model.safetensors")
    [(found, message)] = about(examine(own), "ancestry")
    assert (found, message.startswith(f"weights differ by {changed:.1%} (")) == (level, True)
    assert words in message


def test_unrelated_models_of_one_shape(own):
    save_member(own / "guider", 17)
    [(level, message)] = about(examine(own), "ancestry")
    assert level == "warning"
    assert message.startswith("weights differ by 14")
    assert message.endswith("as of unrelated models (independent random weights: 141%): the delta would be noise")


def test_a_base_of_another_shape(tmp_path):
    save_members(tmp_path, base={"layers": 1}, guider={"rows": ROWS + 1})
    message = "the base has another shape than the guider (num_hidden_layers 2 against 1): it is not its ancestor"
    assert about(examined(tmp_path), "ancestry") == [("warning", message)]


def test_guider_and_base_loaded_unlike(own):
    config = draft(own, guider={"dtype": "bfloat16"})
    message = (
        "loaded unlike (guider bfloat16, base float32): rounding errors, alike in both, would cancel in guider - base"
    )
    assert about(examine(config), "ancestry")[-1] == ("warning", message)


def member_at(folder, **ref):
    return read_member("guiders.0.guider", "guider", MemberRef(str(folder), **ref), ".", {})


def test_the_distance_is_that_of_the_whole_weights(shared, monkeypatch):
    monkeypatch.setattr("thinklogit.models.doctor.checkpoints.SLICE_ELEMENTS", 7)
    guider, base = (load_file(shared / name / "model.safetensors") for name in ("guider", "base"))
    apart = torch.cat([(guider[name] - base[name]).flatten() for name in base]).norm()
    length = torch.cat([weight.flatten() for weight in base.values()]).norm()
    found = distance(stored_tensors(member_at(shared / "guider")), stored_tensors(member_at(shared / "base")))
    assert found.relative == pytest.approx(float(apart / length), rel=1e-5)
    assert found.compared_share == 1.0


def test_a_vocabulary_that_grew_is_compared_over_the_rows_both_have(shared, tmp_path):
    weights = load_file(shared / "base" / "model.safetensors")
    grown = {name: torch.cat([w, torch.ones(8, w.shape[1])]) if len(w) == ROWS else w for name, w in weights.items()}
    folder = shutil.copytree(shared / "base", tmp_path / "grown")
    save_file(grown, folder / "model.safetensors")
    found = distance(stored_tensors(member_at(folder)), stored_tensors(member_at(shared / "base")))
    assert found == (0.0, 1.0)


def test_weights_that_have_no_like(own):
    weights = load_file(own / "guider" / "model.safetensors")
    save_file({f"other.{name}": weight for name, weight in weights.items()}, own / "guider" / "model.safetensors")
    message = "only 0% of the base's weights have a like in the guider: whether it is the ancestor cannot be told"
    assert about(examine(own), "ancestry") == [("warning", message)]


def sharded(folder):
    """Cut a member's weights into two files and an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_sharded_weights_are_found_through_their_index(own):
    whole = about(examine(own), "ancestry"), about(examine(own), "memory")
    sharded(own / "guider")
    assert (about(examine(own), "ancestry"), about(examine(own), "memory")) == whole


def test_broken_checkpoints(own):
    sharded(own / "guider")
    (own / "guider" / "b.safetensors").unlink()
    message = f"the guider at {own / 'guider'} lacks b.safetensors, which its index names; fetch it again"
    assert about(examine(own), "members") == [("error", message)]
    (own / "guider" / "b.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    message = f"the guider's {own / 'guider' / 'b.safetensors'} is no safetensors file; fetch it again"
    assert about(examine(own), "members") == [("error", message)]
    base = own / "base" / "model.safetensors"
    base.write_bytes(base.read_bytes()[:-5])
    shutil.copytree(own / "base", own / "guider", dirs_exist_ok=True)
    (own / "guider" / "model.safetensors.index.json").unlink()
    message = (
        f"the guider's {own / 'guider' / 'model.safetensors'} ends too early: a copy was cut short; fetch it again"
    )
    assert about(examine(own), "members") == [("error", message)]


def test_weights_that_are_not_here(own):
    (own / "guider" / "model.safetensors").unlink()
    findings = examine(own)
    message = f"guider: no safetensors weights at {own / 'guider'}; it can be loaded only if other weights are there"
    assert ("warning", message) in about(findings, "members")
    message = "guider and base have one shape; their weights are not both here to be compared"
    assert about(findings, "ancestry") == [("note", message)]


def test_members_that_cannot_be_read_are_all_named(own, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.rmtree(own / "target")
    values = json.loads((own / "config.json").read_text())
    values["guiders"][0]["guider"]["model"] = "nobody/nothing"
    (own / "config.json").write_text(json.dumps(values))
    assert about(examine(own), "members") == [
        ("error", f"the target should be a model folder at {own / 'target'}, where there is none; check the path"),
        (
            "error",
            "the guider 'nobody/nothing' is no folder here, nor could it be read from the Hugging Face Hub: which "
            "cannot be reached, and it is not in the cache; check the name and the connection",
        ),
    ]


def test_what_cannot_be_examined(own):
    with pytest.raises(OptionError, match="batch must be at least 1 row; got 0"):
        examine(own, batch=0)
    with pytest.raises(TrioError, match="expected a trio folder, found a 'llama' model"):
        examine(own / "target")


def test_weights_are_measured_as_they_will_be_loaded(shared):
    def bytes_of(**ref):
        member = member_at(shared / "guider", **ref)
        stored = stored_tensors(member)
        return weight_bytes(member, parameters(member, stored), stored)

    as_stored = bytes_of()
    total = parameters(member_at(shared / "guider"), None)
    assert as_stored == 4 * total.total
    assert total.embeddings == 2 * ROWS * 16
    assert bytes_of(dtype="bfloat16") == as_stored // 2
    four_bits = bytes_of(dtype="bfloat16", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    assert four_bits == 2 * total.embeddings + (total.total - total.embeddings) // 2


def test_keys_and_values_of_the_papers_target():
    """32B: 64 layers of 8 key-value heads of 128 in bfloat16 are 256 KiB a token."""
    config = LlamaConfig(num_hidden_layers=64, num_key_value_heads=8, num_attention_heads=40, hidden_size=5120)
    assert cache_bytes(config, 1, 1, 2) == 256 * 1024
    assert cache_bytes(config, 1000, 3, 2) == 3000 * 256 * 1024


def test_a_window_keeps_no_more_than_itself():
    config = Gemma2Config(num_hidden_layers=2, num_key_value_heads=1, head_dim=4, sliding_window=100)
    assert cache_bytes(config, 1000, 1, 2) == 2 * 4 * 2 * (100 + 1000)
    assert cache_bytes(config, 50, 1, 2) == 2 * 4 * 2 * (50 + 50)


def test_keys_and_values_split_over_gpus():
    """Two key-value heads on four GPUs are held twice: each GPU needs one."""
    config = LlamaConfig(num_hidden_layers=28, num_key_value_heads=2, num_attention_heads=12, hidden_size=1536)
    whole = cache_bytes(config, 10, 3, 2)
    assert [whole / cache_bytes(config, 10, 3, 2, split) for split in (1, 2, 4)] == [1, 2, 2]


def test_over_how_many_gpus_every_member_can_be_split(shared):
    large = LlamaConfig(num_attention_heads=40, num_key_value_heads=8, hidden_size=5120)
    small = LlamaConfig(num_attention_heads=12, num_key_value_heads=2, hidden_size=1536)
    assert tensor_parallel_sizes([large]) == [1, 2, 4, 8, 40]
    assert tensor_parallel_sizes([large, small, small]) == [1, 2, 4]
    assert tensor_parallel_sizes(
        [large, LlamaConfig(num_attention_heads=7, num_key_value_heads=7, hidden_size=56)]
    ) == [1]
    told = "can be split over 2 GPUs by tensor parallelism (attention heads: target 2, guider 2, base 2)"
    assert ("ok", told) in about(examine(shared), "memory")


def test_members_that_cannot_be_split(own):
    file = own / "base" / "config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "num_attention_heads": 1, "head_dim": 16, "num_key_value_heads": 1}))
    told = (
        "cannot be split over GPUs by tensor parallelism, which must divide every member's attention heads: "
        "target 2, guider 2, base 1"
    )
    assert ("note", told) in about(examine(own), "memory")


@pytest.mark.parametrize(
    ("devices", "level", "words"),
    [
        ([1 << 40], "ok", "fits into 1,024.0 GiB of GPU"),
        ([1000], "warning", "the weights alone do not fit into 1,000 bytes of GPU: load members quantized"),
        ([300_000], "warning", "weights and 128 tokens in 9 rows do not fit into 293.0 KiB of GPU: use fewer rows"),
        ([600_000, 600_000], "note", "fits into 1.1 MiB of 2 x GPU, but on no single one: load it with a device_map"),
    ],
)
def test_whether_it_fits(shared, monkeypatch, devices, level, words):
    monkeypatch.setattr(
        "thinklogit.models.doctor.weight_checks.devices", lambda: [Device("GPU", each) for each in devices]
    )
    [*_, (found, message)] = about(examine(shared, batch=9), "memory")
    assert (found, words in message) == (level, True), message


def test_this_machine_has_memory():
    assert all(device.total_bytes > 1 << 28 for device in memory.devices())


def test_the_cost_beside_the_target_alone(shared):
    [finding] = [finding for finding in examine(shared) if finding.subject == "cost"]
    target, guider = 28_440, 13_120
    assert finding.data["weights_ratio"] == pytest.approx((target + 2 * guider) / target, abs=0.01)
    assert finding.level == "note"
    assert finding.data["layers_ratio"] == pytest.approx(7 / 3)
    assert "and runs 2.33x the layers; the first 100 new tokens run the target alone" in finding.message


def test_several_guiders_have_numbers(shared):
    config = trios.draft(shared / "target", [shared / "guider"] * 2, [shared / "base"] * 2).config
    assert [message.split(":")[0] for _, message in about(examine(config), "tokenizers")] == [
        "guider 1",
        "base 1",
        "guider 2",
        "base 2",
    ]


def test_the_mini_trio_has_no_error():
    assert "error" not in {finding.level for finding in examine("mini")}


def test_how_numbers_are_written():
    assert [size(each) for each in (0, 1023, 1536, 3 << 30)] == ["0 bytes", "1,023 bytes", "1.5 KiB", "3.0 GiB"]
    assert [count(each) for each in (12, 1234, 1.5e6, 32.76e9)] == ["12", "1.23K", "1.5M", "32.8B"]
    assert [listed(each) for each in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert ranges_of([0, 1, 3, 7, 8]) == [[0, 2], [3, 4], [7, 9]]
