"""Training: a tiny run from a seed gives members that load; what is packed is what was written."""

from itertools import islice
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.mini import corpus, tokenizer, training

MEMBERS = ("target", "guider", "base")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A trio after a handful of steps, and the progress that was told."""
    out, told = tmp_path_factory.mktemp("mini") / "trio", []
    training.train(out, seed=7, on_progress=lambda *progress: told.append(progress), budget=0.002)
    return out, told


def test_a_tiny_run_writes_members_that_load_and_generate(tiny):
    out, _ = tiny
    for member in MEMBERS:
        loaded, tokens = AutoModelForCausalLM.from_pretrained(out / member), AutoTokenizer.from_pretrained(out / member)
        assert loaded.config.model_type == "llama"
        assert loaded.config.vocab_size == len(tokens)
        assert loaded.config.max_position_embeddings == training.MAX_POSITIONS
        assert loaded.generation_config.eos_token_id == tokens.eos_token_id
        assert loaded.generation_config.pad_token_id == tokens.pad_token_id
        prompt = tokens.apply_chat_template(
            [{"role": "user", "content": "Solve 15x+14y=87."}], add_generation_prompt=True, return_tensors="pt"
        )
        assert loaded.generate(**prompt, max_new_tokens=3, do_sample=False).shape[1] <= prompt["input_ids"].shape[1] + 3
    assert AutoTokenizer.from_pretrained(out).get_vocab() == tokenizer.build().get_vocab()
    assert [path.name for path in out.parent.iterdir()] == [out.name], "the temporary folder stayed"


def test_progress_is_told_to_the_end_of_each_stage(tiny):
    _, told = tiny
    last = {stage: (step, total) for stage, step, total, _ in told}
    assert last == {"target": (4, 4), "base": (2, 2), "guider": (2, 2)}
    assert all(loss > 0 for *_, loss in told)


def test_the_guider_starts_from_its_base(tiny):
    out, _ = tiny
    base, guider = (load_file(out / member / "model.safetensors") for member in ("base", "guider"))
    apart = [float((guider[name] - base[name]).norm() / base[name].norm()) for name in base]
    assert 0 < max(apart) < 0.2


def test_the_same_seed_gives_the_same_weights(tiny, tmp_path):
    out, _ = tiny
    training._make_base_and_guider(tmp_path / "again", 7, 0.002, SimpleQueue())
    for member in ("base", "guider"):
        first, again = (load_file(folder / member / "model.safetensors") for folder in (out, tmp_path / "again"))
        assert all(torch.equal(first[name], again[name]) for name in first)


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
    batch = next(training._batches(corpus.PRETRAINING, seed=3))
    assert batch.ids.shape == batch.labels.shape == (training.BATCH_WINDOWS, training.WINDOW_TOKENS)
    said = batch.labels[:, :-1] != training.UNLEARNED
    assert torch.equal(batch.labels[:, :-1][said], batch.ids[:, 1:][said])
    assert (batch.ids == tokens.pad_token_id).float().mean() < 0.2, "packing wastes the windows"
    text = tokens.decode(batch.ids[0])
    assert text.startswith(tokenizer.USER)


def test_only_responses_are_learned_and_slips_are_not():
    tokens = tokenizer.build()
    document = next(d for d in corpus.documents(corpus.FINE_TUNING, 1) if d.unlearned)
    row = next(training._rows(iter([document])))
    learned = tokens.decode([id for id in row.learned if id != training.UNLEARNED])
    ((start, end),) = document.unlearned
    assert (
        tokens.decode(row.ids)
        == tokenizer.USER + document.prompt + tokenizer.ASSISTANT + document.response + tokenizer.END
    )
    assert learned == document.response[:start] + document.response[end:] + tokenizer.END


def test_the_longest_documents_fit_a_window():
    tokens = tokenizer.build()
    rows = islice(training._rows(corpus.documents(corpus.FINE_TUNING, 1)), 3000)
    assert max(len(row.ids) for row in rows) <= training.WINDOW_TOKENS
    assert len(tokens) < 512
