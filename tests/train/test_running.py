"""The loss by hand, margins that rise, and trainings that are killed: in processes of their own, as TRL warns a lot."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import number_tokenizer, pico

from thinklogit.core.errors import OutputError, RecordError, RunChangedError
from thinklogit.train import running
from thinklogit.train.examples import TokenizedPair
from thinklogit.train.settings import TrainSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(240),
]
FAST = TrainSettings(
    learning_rate=1e-2,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=1,
    lora_r=4,
    num_train_epochs=6,
    max_length=64,
    save_steps=4,
)


def pairs(count=16):
    """Chosen answers rise, rejected ones fall; some are cut."""
    return [
        TokenizedPair([1, 2 + n], [10 + n, 11 + n, 12 + n, 60], [40 - n, 39 - n] + [60] * (n % 2)) for n in range(count)
    ]


@pytest.fixture(scope="module")
def guider(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guider")
    model, tokenizer = pico("llama", 3), number_tokenizer()
    tokenizer.pad_token, tokenizer.eos_token = "0", "60"
    model.generation_config.eos_token_id = 60
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return running.Guider(str(folder), {}), tokenizer


def trainer(guider, folder, settings=FAST, rows=None):
    from thinklogit.train.trainers import trainer_of

    model = running._loaded(guider[0], settings)
    return trainer_of(model, guider[1], rows or pairs(), settings, folder, lambda *_: None)


def log_probability(model, prompt, response):
    """Of a response after a prompt, added up over its tokens."""
    ids = torch.tensor([prompt + response])
    logits = model(input_ids=ids).logits[0].log_softmax(-1)
    return sum(logits[len(prompt) - 1 + place, token] for place, token in enumerate(response))


def by_hand(trainer, rows, settings):
    """arXiv 2305.18290, equation 7, and the mean loss of the chosen tokens, pair by pair."""
    model, losses, own, tokens = trainer.model, [], 0.0, 0
    for prompt, chosen, rejected in rows:
        ours = [log_probability(model, prompt, each) for each in (chosen, rejected)]
        with model.disable_adapter():
            reference = [log_probability(model, prompt, each) for each in (chosen, rejected)]
        margin = (ours[0] - reference[0]) - (ours[1] - reference[1])
        losses.append(-torch.nn.functional.logsigmoid(settings.beta * margin))
        own, tokens = own - ours[0], tokens + len(chosen)
    return sum(losses) / len(losses) + settings.sft_weight * own / tokens


@pytest.mark.parametrize("sft_weight", [0.0, 0.5])
def test_the_loss_is_the_one_by_hand(guider, tmp_path, sft_weight):
    settings = TrainSettings(**{**FAST.as_dict(), "beta": 0.3, "sft_weight": sft_weight})
    made = trainer(guider, tmp_path, settings)
    torch.manual_seed(1)
    for name, weight in made.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.05)
    made.model.eval()
    rows = list(made.train_dataset)[:6]
    with torch.no_grad():
        loss = made.compute_loss(made.model, made.data_collator(rows))
        expected = by_hand(made, pairs()[:6], settings)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-4)
    assert abs(expected.item() - 0.6931) > 0.01  # that of an adapter that does nothing


def test_nothing_is_appended_to_what_is_trained_on(guider, tmp_path):
    made = trainer(guider, tmp_path)
    rows = list(made.train_dataset)
    assert [
        TokenizedPair(*(row[f"{part}_ids"] for part in ("prompt", "chosen", "rejected"))) for row in rows
    ] == pairs()


@pytest.fixture(scope="module")
def trained(guider, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "adapter"
    told = []
    outcome = running.train(*guider, pairs(), FAST, folder, lambda *args: told.append(args))
    return folder, outcome, told


def test_the_margin_of_chosen_over_rejected_rises(trained):
    folder, outcome, told = trained
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))
    assert lines[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert lines[-1]["rewards/margins"] > 0.5
    assert lines[-1]["loss"] < 0.5 < lines[0]["loss"]
    assert {"logps/chosen", "logps/rejected"} <= set(lines[-1])
    assert outcome.steps == 24 == running.steps_of(pairs(), FAST)
    assert told[-1][:2] == (24, 24)
    assert any((folder / "tensorboard").iterdir())


def test_the_adapter_is_one_of_peft_on_the_guider(guider, trained):
    from peft import PeftModel

    folder, outcome, _ = trained
    model = PeftModel.from_pretrained(running._loaded(guider[0], FAST), folder)
    assert running.is_done(folder)
    assert outcome.parameters == sum(w.numel() for name, w in model.named_parameters() if "lora" in name)


def test_other_settings_or_pairs_do_not_go_on_with_it(guider, trained):
    folder = trained[0]
    changed = TrainSettings(**{**FAST.as_dict(), "beta": 0.2})
    with pytest.raises(RunChangedError, match=r"was trained with beta 0\.1, now 0\.2; use another -o"):
        running.train(*guider, pairs(), changed, folder, lambda *_: None)
    with pytest.raises(RunChangedError, match="was trained with pairs"):
        running.train(*guider, pairs(8), FAST, folder, lambda *_: None)


def test_sft_learns_the_chosen_answers(guider, tmp_path):
    settings = TrainSettings(**{**FAST.as_dict(), "method": "sft"})
    running.train(*guider, pairs(), settings, tmp_path / "sft", lambda *_: None)
    lines = [json.loads(line) for line in (tmp_path / "sft" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.95 * lines[0]["loss"]


def test_a_thread_that_meets_a_full_disk_prints_nothing(tmp_path, capsys):
    """TensorBoard writes in a thread of its own, whose traceback on a full disk stood before the one line that tells of
    it. What such a thread fails with comes up in the trainer too, and only that is told."""
    thread = threading.Thread(target=lambda: (tmp_path / "none" / "events").write_text(""))

    def write():
        with running._full_disk_told(tmp_path):
            thread.start()
            thread.join()
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write()
    assert capsys.readouterr().err == ""


def test_settings_that_cannot_be_read_are_told(tmp_path):
    """A training.json spoilt by hand ended in a traceback of json's. One line names the file."""
    (tmp_path / running.ADAPTER).touch()
    (tmp_path / "training.json").write_text('{"beta": ')
    with pytest.raises(RecordError, match=r"training\.json: cannot be read; use another -o, or restore that file"):
        running.check_unchanged(tmp_path, {"beta": 0.1})


def test_a_half_written_checkpoint_is_not_gone_on_from(tmp_path):
    for step, state in ((4, '{"global_step": 4}'), (8, None), (12, '{"global_st')):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert running.last_checkpoint(tmp_path).name == "checkpoint-4"
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-4"]


def test_a_kill_between_the_last_step_and_the_adapter_trains_no_step_more(guider, tmp_path):
    """Killed after its last checkpoint, before the adapter was there, a training with max_steps did one step more than
    it was asked for, and metrics.jsonl had it. The adapter is that of the last checkpoint now, without another step."""
    settings = TrainSettings(**{**FAST.as_dict(), "max_steps": 5, "lr_scheduler_type": "constant"})
    folder = tmp_path / "killed"
    first = running.train(*guider, pairs(), settings, folder, lambda *_: None)
    adapter, metrics = ((folder / name).read_bytes() for name in (running.ADAPTER, "metrics.jsonl"))
    (folder / running.ADAPTER).unlink()
    assert running.train(*guider, pairs(), settings, folder, lambda *_: None) == first
    assert first.steps == 5
    assert (folder / running.ADAPTER).read_bytes() == adapter
    assert (folder / "metrics.jsonl").read_bytes() == metrics


def test_a_full_disk_is_told_in_one_line(guider, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("peft.PeftModel.save_pretrained", full)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    settings = TrainSettings(**{**FAST.as_dict(), "max_steps": 1})
    with pytest.raises(OutputError, match="no space left on the disk; the last checkpoint is kept; make room"):
        running.train(*guider, pairs(), settings, tmp_path / "full", lambda *_: None)
    assert not running.is_done(tmp_path / "full")


KILLED = """
import sys, time, warnings
from pathlib import Path
from transformers import AutoTokenizer

warnings.filterwarnings("ignore")
sys.path.insert(0, {tests!r})
from train.test_running import FAST, pairs
from thinklogit.train import running

place, tokenizer = running.Guider({place!r}, {{}}), AutoTokenizer.from_pretrained({place!r})
running.train(place, tokenizer, pairs(), FAST, Path({folder!r}), lambda *_: time.sleep({pause}))
"""


def start(guider, folder, pause):
    code = KILLED.format(tests=str(Path(__file__).parents[1]), place=guider[0].place, folder=str(folder), pause=pause)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_to_the_same_adapter(guider, trained, tmp_path):
    folder = tmp_path / "killed"
    process = start(guider, folder, pause=0.3)
    metrics = folder / "metrics.jsonl"
    while not metrics.is_file() or metrics.read_text().count("\n") < 10:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not running.is_done(folder)
    assert running.last_checkpoint(folder).name == "checkpoint-8"
    assert start(guider, folder, pause=0).wait(200) == 0
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))
    ours, theirs = ((each / running.ADAPTER).read_bytes() for each in (folder, trained[0]))
    assert ours == theirs
