"""A trio across tokenizers as one model: identities, batches, caches that go back, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import thinklogit
from thinklogit.core.errors import OptionError, TrioError
from thinklogit.core.params import SamplingParams
from thinklogit.mini.world import grade, problems
from thinklogit.models.config import MemberRef
from thinklogit.models.cross.follower import Follower
from thinklogit.models.cross.lattice import Reach
from thinklogit.models.doctor.text_checks import check_text
from thinklogit.models.places import MINI, SHIPPED

NEW = 40


@pytest.fixture(scope="module")
def cross():
    return thinklogit.load("mini-cross")


@pytest.fixture(scope="module")
def asked():
    return problems("dev", 8, kind="search")


def prompts(tokenizer, asked):
    chats = [[{"role": "user", "content": each.question}] for each in asked]
    return tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
    )


def answers(model, tokenizer, asked, **how):
    prompt = prompts(tokenizer, asked)
    out = model.generate(**prompt, do_sample=False, **{"max_new_tokens": NEW} | how)
    return tokenizer.batch_decode(out[:, prompt["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.slow
def test_guided_it_searches_and_is_right_where_the_target_alone_guesses(cross, asked):
    guided = answers(*cross, asked, max_new_tokens=130)
    alone = answers(*cross, asked, alpha=0.0, max_new_tokens=130)
    right = [
        sum(grade(each, text).correct for each, text in zip(asked, texts, strict=True)) for texts in (guided, alone)
    ]
    assert right[0] == len(asked)
    assert right[1] < len(asked) / 2


def test_alpha_zero_is_the_target_alone(cross, asked):
    model, tokenizer = cross
    prompt = prompts(tokenizer, asked)
    alone = model.target.generate(**prompt, max_new_tokens=NEW, do_sample=False)
    assert torch.equal(model.generate(**prompt, alpha=0.0, max_new_tokens=NEW, do_sample=False), alone)


def test_where_guider_is_base_the_target_is_alone_at_any_alpha(asked, tmp_path):
    places = [MINI / name for name in ("target_other", "base", "base")]
    thinklogit.compose(*(MemberRef(str(each), dtype="float32") for each in places), tmp_path / "trio", alpha=3.0)
    model, tokenizer = thinklogit.load(tmp_path / "trio")
    same = answers(model, tokenizer, asked[:3], warmup_tokens=0)
    assert same == answers(model, tokenizer, asked[:3], alpha=0.0)


@pytest.mark.slow
def test_rows_beside_each_other_are_as_they_are_alone(cross, asked):
    model, tokenizer = cross
    asked, warm = asked[:4], [0, 3, 6, 9]
    together = answers(model, tokenizer, asked, warmup_tokens=warm)
    alone = [
        answers(model, tokenizer, [each], warmup_tokens=tokens)[0] for each, tokens in zip(asked, warm, strict=True)
    ]
    assert together == alone


def test_with_a_cache_and_without_it_is_the_same(cross, asked):
    assert answers(*cross, asked[:2], max_new_tokens=20) == answers(
        *cross, asked[:2], max_new_tokens=20, use_cache=False
    )


def test_beams_equal_beams_without_a_cache(cross, asked):
    how = {"num_beams": 3, "max_new_tokens": 16}
    assert answers(*cross, asked[:2], **how) == answers(*cross, asked[:2], use_cache=False, **how)


def test_rows_that_join_and_leave_a_batch_are_as_they_are_in_generate(cross, asked):
    model, tokenizer = cross
    engine = thinklogit.HuggingFaceEngine(model, tokenizer, batch_size=2)
    chats = [[{"role": "user", "content": each.question}] for each in asked[:5]]
    found = engine.generate(chats, SamplingParams(NEW))
    assert [each.text for each in found] == answers(model, tokenizer, asked[:5])


def follower(model, reach=None):
    pair = model.guiders[0]
    return Follower(pair.guider, pair.base, model.languages[0], reach or Reach())


def said(rows, followed, target):
    return followed.logits([[row] for row in rows], target, torch.ones(len(rows), 1, dtype=torch.bool))[:, :, 0]


def test_a_text_that_was_cut_back_and_goes_on_otherwise_is_read_anew(cross, asked):
    model, tokenizer = cross
    prompt = prompts(tokenizer, asked[:1])["input_ids"][0].tolist()
    texts = ["So baskets at 11", "So baskets at 11, pots", "So baskets at 11", "So b", "So pens at 11, cups at 17, "]
    rows = [prompt + tokenizer(each, add_special_tokens=False)["input_ids"] for each in texts]
    target, followed = torch.zeros(1, 1, model.config.vocab_size), follower(model)
    for row in rows:
        expected = said([row], follower(model), target)
        assert torch.allclose(said([row], followed, target), expected, atol=1e-4)


@pytest.mark.slow
def test_many_rows_each_with_its_own_boundaries_are_as_one_by_one(cross):
    """200 rows, at as many places of their texts; each then goes on by some tokens of its own."""
    model, tokenizer = cross
    asked = problems("dev", 200)
    generator = torch.Generator().manual_seed(0)
    chats = [[{"role": "user", "content": each.question}, {"role": "assistant", "content": ""}] for each in asked]
    texts = [
        tokenizer.apply_chat_template(chat, tokenize=False, continue_final_message=False).removesuffix("<|end|>")
        + "So pens at 8, cups at 13, 55 in all. Let me think. 1 pen: 55-8=47, 13*4=52, no. Back, 2 pens: 47-8=39, yes."
        for chat in chats
    ]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    first = [len(row) - int(torch.randint(2, 18, (1,), generator=generator)) for row in ids]
    target = torch.randn(200, 1, model.config.vocab_size, generator=generator)
    followed = follower(model)
    for step in range(3):
        rows = [row[: place + step] for row, place in zip(ids, first, strict=True)]
        together = said(rows, followed, target)
    alone = torch.cat([said([row], follower(model), target[[place]]) for place, row in enumerate(rows)], dim=1)
    assert torch.allclose(together, alone, atol=1e-3)


def test_the_caches_do_not_grow_beyond_what_rows_need(cross, asked):
    model, tokenizer = cross
    prompt = prompts(tokenizer, asked[:1])["input_ids"][0].tolist()
    answer = tokenizer(answers(model, tokenizer, asked[:1], max_new_tokens=130)[0], add_special_tokens=False)[
        "input_ids"
    ]
    followed, target = follower(model), torch.zeros(1, 1, model.config.vocab_size)
    for place in range(1, len(answer)):
        said([prompt + answer[:place]], followed, target)
        needed = len(followed.rows[0].lattice.trunk) + len(followed.rows[0].lattice.nodes())
        assert followed.width <= 1.5 * needed + 64


def test_the_same_tokens_under_other_ids_give_the_plain_delta(asked, tmp_path):
    """Identity 6: a pair whose ids are permuted, with its rows, says what it said."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    names = ("guider", "base")
    order = None
    for name in names:
        model = AutoModelForCausalLM.from_pretrained(MINI / name, dtype="float32")
        tokenizer = AutoTokenizer.from_pretrained(MINI / name)
        written = json.loads(tokenizer.backend_tokenizer.to_str())
        if order is None:
            order = torch.randperm(len(tokenizer), generator=torch.Generator().manual_seed(0)).tolist()
        written["model"]["vocab"] = {token: order[id] for token, id in written["model"]["vocab"].items()}
        for token in written["added_tokens"]:
            token["id"] = order[token["id"]]
        weights = model.get_input_embeddings().weight
        weights.data = weights.data[torch.tensor(order).argsort()].clone()  # tied
        model.generation_config.eos_token_id = order[tokenizer.eos_token_id]
        model.generation_config.pad_token_id = order[tokenizer.pad_token_id]
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        (tmp_path / name / "tokenizer.json").write_text(json.dumps(written))
    thinklogit.compose(MINI / "target", tmp_path / "guider", tmp_path / "base", tmp_path / "trio", warmup_tokens=12)
    model, tokenizer = thinklogit.load(tmp_path / "trio", dtype="float32")
    assert model.config.guider_refs[0].crosses
    assert model.languages[0].alignment.same
    plain = thinklogit.load("mini")
    assert answers(model, tokenizer, asked[:3], max_new_tokens=90) == answers(*plain, asked[:3], max_new_tokens=90)


def test_what_is_shipped_is_what_compose_writes(tmp_path):
    members = (MINI / name for name in ("target_other", "guider", "base"))
    refs = [MemberRef(str(each), dtype="float32") for each in members]
    thinklogit.compose(*refs, tmp_path / "cross", alpha=3.0, warmup_tokens=6)
    for file in (tmp_path / "cross").iterdir():
        written = file.read_text().replace(str(MINI), "../trio")
        assert Path(SHIPPED["mini-cross"], file.name).read_text() == written, file.name


def test_the_guider_cannot_draft(cross, asked):
    model, tokenizer = cross
    engine = thinklogit.HuggingFaceEngine(model, tokenizer)
    chat = [{"role": "user", "content": asked[0].question}]
    with pytest.raises(OptionError, match="speculate=4, but a guider has another tokenizer than the target"):
        engine.generate([chat], SamplingParams(8, speculate=4))
    assert engine.generate([chat], SamplingParams(8, speculate="auto"))[0].new_tokens == 8
    with pytest.raises(OptionError, match="speculate is not possible: a guider has another tokenizer"):
        model.generate(**prompts(tokenizer, asked[:1]), custom_generate=thinklogit.speculate, max_new_tokens=8)


def test_without_tokenizers_it_says_what_is_missing(cross):
    model, _ = cross
    bare = thinklogit.ThinkLogitForCausalLM(
        model.config, {name: model.member(name) for name in model.config.member_refs}
    )
    with pytest.raises(TrioError, match="load the trio with its tokenizers"):
        bare(torch.tensor([[5, 6]]), alpha=1.0)


def with_settings(folder, **changed):
    """The shipped trio in another folder, with some settings of its guider changed."""
    folder.mkdir()
    for file in Path(SHIPPED["mini-cross"]).iterdir():
        text = file.read_text().replace("../trio", str(MINI))
        if file.name == "config.json":
            values = json.loads(text)
            values["guiders"][0] |= changed
            text = json.dumps(values)
        (folder / file.name).write_text(text)
    return folder


def test_a_special_token_can_be_given_what_the_guider_has_in_its_place(tmp_path):
    model, tokenizer = thinklogit.load(with_settings(tmp_path / "roles", roles={"<|user|>": "Answer: "}))
    languages = model.languages[0]
    ids = [*tokenizer("it works. ", add_special_tokens=False)["input_ids"], tokenizer.convert_tokens_to_ids("<|user|>")]
    assert languages.say(ids).reading.text == b"it works. Answer: "
    logits = said([ids[:-1]], follower(model), torch.zeros(1, 1, model.config.vocab_size))[0, 0]
    assert -2 < logits[ids[-1]] < 0  # "Answer: " is what comes after this
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert thinklogit.load(tmp_path / "saved")[0].languages[0].target.roles == {"<|user|>": "Answer: "}


def test_a_role_of_no_special_token_is_refused(tmp_path):
    with pytest.raises(
        TrioError, match=r"roles: '<think>' is no special token of the target's; it has '<\|assistant\|>'"
    ):
        thinklogit.load(with_settings(tmp_path / "roles", roles={"<think>": "So "}))
    with pytest.raises(TrioError, match=r"'<\|user\|>' is to stand for what the guider has in its place; got an empty"):
        thinklogit.load(with_settings(tmp_path / "empty", roles={"<|user|>": ""}))


def test_a_guider_with_nothing_to_read_says_nothing(cross):
    model, tokenizer = cross
    start = tokenizer.convert_tokens_to_ids("<|assistant|>")
    target = torch.zeros(2, 1, model.config.vocab_size)
    [nothing, something] = said([[start], [start, 5]], follower(model), target).unbind(1)
    assert not nothing.any()
    assert something.any()


def test_doctor_says_what_share_of_the_targets_probability_is_matched_along_a_text():
    [found] = check_text("mini-cross", "So pens at 8, cups at 13, 55 in all. Let me think. 1 pen: 55-8=47, 13*4=52")
    assert found.message.startswith("along 23 tokens of the text, of the target's probability")
    assert sum(found.data["target_probability"].values()) == pytest.approx(1, abs=0.01)
    assert 0 < found.data["open"] < 0.2
    assert 0 <= found.data["dropped"] < 0.2
    with pytest.raises(OptionError, match="expected a text to look at; got an empty one"):
        list(check_text("mini-cross", ""))
    with pytest.raises(TrioError, match="mini: all members have one tokenizer"):
        list(check_text("mini", "So"))


def test_guiders_of_the_targets_tokenizer_and_of_another_add_up(asked, tmp_path):
    changed = AutoModelForCausalLM.from_pretrained(MINI / "target_other", dtype=torch.float32)
    with torch.no_grad():
        changed.lm_head.weight.mul_(1.2)
    changed.save_pretrained(tmp_path / "changed")
    AutoTokenizer.from_pretrained(MINI / "target_other").save_pretrained(tmp_path / "changed")
    names = ("target", "guider", "base", "target_other")
    target, guider, base, other = (MemberRef(str(MINI / name), dtype="float32") for name in names)
    changed = MemberRef(str(tmp_path / "changed"), dtype="float32")
    thinklogit.compose(target, [guider, changed], [base, other], tmp_path / "two", warmup_tokens=0)
    model, tokenizer = thinklogit.load(tmp_path / "two")
    prompt = prompts(tokenizer, asked[:2])

    @torch.no_grad()
    def fused(*alphas):
        return model(**prompt, alpha=torch.tensor([alphas] * 2), logits_to_keep=1).logits.log_softmax(-1)

    alone, both = fused(0.0, 0.0), fused(1.0, 0.5)
    added = (fused(1.0, 0.0) + fused(0.0, 0.5) - alone).log_softmax(-1)
    assert (fused(0.0, 0.5) - alone).abs().max() > 1e-2
    assert torch.allclose(both, added, atol=1e-3)
    guided = answers(model, tokenizer, asked[:2], alpha=torch.tensor([(1.0, 0.5)] * 2))
    assert guided != answers(model, tokenizer, asked[:2], alpha=0.0)


def test_a_text_beyond_the_guiders_own_context_goes_on_unguided_with_a_warning(cross):
    model, tokenizer = cross
    text = tokenizer("So pens at 8, cups at 13, 55 in all. ", add_special_tokens=False)["input_ids"]
    target = torch.zeros(1, 1, model.config.vocab_size)
    followed = follower(model)
    short, long = text * 30, text * 50
    assert len(long) < model.config.max_position_embeddings  # of the target's own tokens
    assert said([short], followed, target).any()
    with pytest.warns(UserWarning, match="more tokens of the guider's than its context of 512 holds; it goes on ungui"):
        assert not said([long], followed, target).any()


@pytest.mark.parametrize("mode", ["guider", "base", "target"])
def test_members_alone_answer_in_their_own_tokens(cross, asked, mode):
    chats = [[{"role": "user", "content": each.question}] for each in asked[:3]]
    params = SamplingParams(24, mode=mode, stop=("44 in",))
    alone = thinklogit.HuggingFaceEngine(*cross).generate(chats, params)
    if mode == "target":
        model, tokenizer = cross[0].target, cross[1]
    else:
        model, tokenizer = getattr(cross[0].guiders[0], mode), AutoTokenizer.from_pretrained(MINI / mode)
    for chat, found in zip(chats, alone, strict=True):
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        out = model.generate(**prompt, max_new_tokens=24, do_sample=False)
        text = tokenizer.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert found.text == text.split("44 in")[0]
    assert any(found.finish_reason == "stop" for found in alone)
