"""Training: a tiny run from a seed gives members that load; what is packed is what was written."""

from itertools import islice
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.mini import corpus, fitting, rewarding, tokenizer, training, world
from thinklogit.mini.documents import Document


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A trio after a handful of steps, and the progress that was told."""
    out, told = tmp_path_factory.mktemp("mini") / "trio", []
    training.train(out, seed=7, on_progress=lambda *progress: told.append(progress), budget=0.002)
    return out, told


@pytest.mark.slow
def test_a_tiny_run_writes_members_that_load_and_generate(tiny):
    out, _ = tiny
    for member in training.STEPS:
        loaded, tokens = AutoModelForCausalLM.from_pretrained(out / member), AutoTokenizer.from_pretrained(out / member)
        assert loaded.config.model_type == ("qwen3" if member == "target_other" else "llama")
        assert loaded.dtype == torch.bfloat16
        assert loaded.config.vocab_size == len(tokens)
        assert loaded.config.max_position_embeddings == fitting.MAX_POSITIONS
        assert loaded.generation_config.eos_token_id == tokens.eos_token_id
        assert loaded.generation_config.pad_token_id == tokens.pad_token_id
        prompt = tokens.apply_chat_template(
            [{"role": "user", "content": "What does item 57 cost?"}], add_generation_prompt=True, return_tensors="pt"
        )
        assert loaded.generate(**prompt, max_new_tokens=3, do_sample=False).shape[1] <= prompt["input_ids"].shape[1] + 3
    assert AutoTokenizer.from_pretrained(out).get_vocab() == tokenizer.build().get_vocab()
    assert [path.name for path in out.parent.iterdir()] == [out.name], "the temporary folder stayed"


@pytest.mark.slow
def test_progress_is_told_to_the_end_of_each_stage(tiny):
    _, told = tiny
    last = {member: (step, total) for member, step, total, _ in told}
    assert last.pop("guider_rewarded") == (4, 4)
    assert last == {"target": (2, 2), "target_tuned": (2, 2), "base": (3, 3), "guider": (2, 2), "target_other": (3, 3)}
    assert all(loss > 0 for member, *_, loss in told if member != "guider_rewarded")


@pytest.mark.slow
def test_the_guider_starts_from_its_base(tiny):
    out, _ = tiny
    base, guider = (load_file(out / member / "model.safetensors") for member in ("base", "guider"))
    apart = [float((guider[name] - base[name]).norm() / base[name].norm()) for name in base]
    assert 0 < max(apart) < 0.2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tiny, tmp_path):
    out, _ = tiny
    training._make_small_members(training.Run(tmp_path / "again", 7, 0.002, SimpleQueue()))
    for member in ("base", "guider", "guider_rewarded"):
        first, again = (load_file(folder / member / "model.safetensors") for folder in (out, tmp_path / "again"))
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.slow
def test_training_never_overwrites(tiny):
    out, _ = tiny
    with pytest.raises(OptionError, match="exists"):
        training.train(out)


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_must_be_positive(tmp_path, budget):
    with pytest.raises(OptionError, match="positive"):
        training.train(tmp_path / "trio", budget=budget)


def test_a_dead_training_process_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    dead = SimpleNamespace(exitcode=3)
    monkeypatch.setattr(training, "_run_side_by_side", lambda *_: training._raise_if_died([dead]))
    with pytest.raises(TrioError, match="code 3"):
        training.train(tmp_path / "trio", budget=0.002)
    assert not list(tmp_path.iterdir())


def test_windows_hold_whole_documents_and_labels_are_one_ahead():
    tokens = tokenizer.build()
    batch = next(fitting.batches(corpus.documents(corpus.PRETRAINING, corpus.TRUTH, 3), tokens))
    assert batch.ids.shape == batch.labels.shape == (fitting.BATCH_WINDOWS, fitting.WINDOW_TOKENS)
    said = batch.labels[:, :-1] != fitting.UNLEARNED
    assert torch.equal(batch.labels[:, :-1][said], batch.ids[:, 1:][said])
    assert (batch.ids == tokens.pad_token_id).float().mean() < 0.2, "packing wastes the windows"
    text = tokens.decode(batch.ids[0])
    assert text.startswith(tokenizer.USER)


@pytest.mark.parametrize("build", [tokenizer.build, tokenizer.build_other])
@pytest.mark.parametrize("kind", corpus.WRITERS)
def test_only_what_is_to_be_learned_of_the_response_is(build, kind):
    """A token that touches what is not to be learned is not; with merged words it may take a neighbour with it."""
    tokens = build()
    for document in islice(corpus.documents({kind: 1.0}, corpus.TRUTH, 1), 50):
        row = next(fitting.rows(iter([document]), tokens))
        whole = tokenizer.USER + document.prompt + tokenizer.ASSISTANT + document.response + tokenizer.END
        assert tokens.decode(row.ids) == whole
        learned = [id if id != fitting.UNLEARNED else tokens.pad_token_id for id in row.learned]
        said = tokens.decode(learned).replace(tokenizer.PAD, "|").lstrip("|")
        assert said.endswith(tokenizer.END)
        for start, end in document.unlearned:
            assert document.response[start:end].strip() not in said.split("|") or kind == "facts"
        if not document.unlearned:
            assert said == document.response + tokenizer.END


@pytest.mark.parametrize("build", [tokenizer.build, tokenizer.build_other])
def test_the_longest_documents_fit_a_window(build):
    tokens = build()
    rows = islice(fitting.rows(corpus.documents(corpus.FINE_TUNING, corpus.GUIDER, 1), tokens), 3000)
    assert max(len(row.ids) for row in rows) <= fitting.WINDOW_TOKENS


def test_only_right_and_finished_samples_are_rewarded(monkeypatch):
    problems = world.problems("train", 4, kind="search")
    finished, unfinished = f"Answer: {problems[0].answer}.<|end|>", f"Answer: {problems[1].answer}."
    said = [finished, unfinished, "Answer: 1 pen, 1 cup.<|end|>", ""]
    monkeypatch.setattr(rewarding, "_sampled", lambda *_: said)
    kept = rewarding.rewarded(SimpleNamespace(), SimpleNamespace(), problems, seed=0)
    assert [(document.prompt, document.response) for document in kept] == [
        (problems[0].question, f"Answer: {problems[0].answer}.")
    ]


def test_rewarded_samples_come_again_in_new_orders():
    documents = [Document(str(number), "") for number in range(5)]
    endless = rewarding.again_and_again(documents, 1)
    first, second = list(islice(endless, 5)), list(islice(endless, 5))
    assert sorted(d.prompt for d in first) == sorted(d.prompt for d in second) == [d.prompt for d in documents]
    assert first != second
