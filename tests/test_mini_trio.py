"""The shipped mini trio through every door a user has, and the gain that it is there to show."""

import pytest
from oracle import greedy
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

import thinklogit
from thinklogit import HuggingFaceEngine, SamplingParams, mini
from thinklogit.models.places import MINI


@pytest.fixture(scope="module")
def trio():
    return thinklogit.load("mini")


def ask(problem):
    return [{"role": "user", "content": problem.question}]


def ids_of(tokenizer, problem):
    return tokenizer.apply_chat_template(ask(problem), add_generation_prompt=True, return_dict=False)


def test_members_are_where_the_readme_says(trio):
    model, _ = trio
    sizes = [m.num_parameters() for m in (model.target, model.guiders[0].guider, model.guiders[0].base)]
    assert sizes[0] > 4 * sizes[1] == 4 * sizes[2]


def test_greedy_batches_equal_the_hand_written_loop(trio):
    """Left padding included: the questions differ in length."""
    model, tokenizer = trio
    problems = mini.problems("dev", 3, seed=5)
    texts = [tokenizer.apply_chat_template(ask(p), add_generation_prompt=True, tokenize=False) for p in problems]
    batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    warmup = model.config.warmup_tokens
    out = model.generate(**batch, max_new_tokens=60, do_sample=False, eos_token_id=None)
    pairs = [(model.guiders[0].guider, model.guiders[0].base, 1.0)]
    for problem, row in zip(problems, out[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
        assert row == greedy(model.target, pairs, ids_of(tokenizer, problem), 60, warmup)


def test_an_answer_goes_on_from_the_opening_it_was_given(trio):
    """Greedy, so that what follows the first words of an answer is the rest of that answer."""
    problem = mini.problems("dev", 1, kind="search")[0]
    engine = HuggingFaceEngine(*trio)
    params = SamplingParams(max_new_tokens=220, mode="target")
    whole = engine.generate([ask(problem)], params)[0].text
    for opening in (whole[: whole.index(", ") + 2], whole[: whole.index(". ") + 2]):
        opened = [*ask(problem), {"role": "assistant", "content": opening}]
        assert opening + engine.generate([opened], params)[0].text == whole


def test_the_auto_classes_and_the_pipeline_give_the_same_text(trio):
    model, tokenizer = trio
    problem = mini.problems("dev", 1)[0]
    engine = HuggingFaceEngine(model, tokenizer)
    expected = engine.generate([ask(problem)], SamplingParams(max_new_tokens=220))[0].text
    auto = AutoModelForCausalLM.from_pretrained(MINI), AutoTokenizer.from_pretrained(MINI)
    for model_or_folder, words in ((auto[0], {"tokenizer": auto[1]}), (str(MINI), {})):
        answer = pipeline("text-generation", model=model_or_folder, **words)
        got = answer(ask(problem), max_new_tokens=220, do_sample=False, return_full_text=False)
        assert got[0]["generated_text"].removesuffix("<|end|>") == expected


def test_a_pipeline_takes_alpha(trio):
    model, tokenizer = trio
    problem = mini.problems("dev", 1)[0]
    answer = pipeline("text-generation", model=model, tokenizer=tokenizer)
    alone = answer(ask(problem), max_new_tokens=220, do_sample=False, return_full_text=False, alpha=0.0)
    target = HuggingFaceEngine(model, tokenizer).generate([ask(problem)], SamplingParams(220, mode="target"))
    assert alone[0]["generated_text"].removesuffix("<|end|>") == target[0].text


@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.slow), 0.6])
def test_guided_is_right_more_often_and_thinks_longer(trio, temperature):
    """A small, loose version of the figures in the card: 120 dev problems, where the gain is many standard errors."""
    engine = HuggingFaceEngine(*trio, batch_size=120)
    problems = mini.problems("dev", 120)
    params = {"max_new_tokens": 240, "temperature": temperature, "top_p": 0.95 if temperature else 1.0}
    right, tokens = {}, {}
    for mode in ("target", "guider", "guided"):
        out = engine.generate([ask(p) for p in problems], SamplingParams(**params, mode=mode))
        right[mode] = sum(mini.grade(p, c.text).correct for p, c in zip(problems, out, strict=True))
        tokens[mode] = sum(c.new_tokens for c in out)
        if mode == "guided":
            assert sum(mini.checks(c.text) for c in out) > 100
            assert sum(mini.backtracks(c.text) for c in out) > 100
    assert right["guided"] > max(right["target"], right["guider"]) + 12
    assert tokens["guided"] > 2 * tokens["target"]
