"""`thinklogit train` on the mini trio: from pairs to an adapter that guides, and what it says where it cannot."""

import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from thinklogit.train import dataset
from thinklogit.train.choice import Choice
from thinklogit.train.pairs import Answer, build

pytest_plugins = ["commands"]
pytestmark = pytest.mark.filterwarnings("ignore")
PROMPT = "<|user|>What does item {n} cost?<|assistant|>"
FLAGS = [
    "--per-device-train-batch-size",
    "4",
    "--gradient-accumulation-steps",
    "1",
    "--lora-r",
    "4",
    "--max-steps",
    "3",
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    answers = []
    for n in range(8):
        opening, prompt = f"So the price of item {n} in the list. ", PROMPT.format(n=n)
        answers.append(Answer(f"p{n}", prompt, "target", 0, f"{opening}It must be {n}. Answer: {n}.", 16, True, True))
        answers.append(Answer(f"p{n}", prompt, "guider", 0, f"{opening}Let me think. {n}+8={n + 8}.", 20, True, False))
    made = build(answers, Choice(), lambda text: [])
    folder = tmp_path_factory.mktemp("pairs")
    dataset.write(made.pairs, dataset.card(made.pairs, made.counts, {}, []), folder)
    return folder


@pytest.fixture(scope="module")
def adapter(pairs, tmp_path_factory):
    from thinklogit.cli.app import main

    folder = tmp_path_factory.mktemp("trained") / "adapter"
    with suppress(SystemExit):
        main(["train", "--pairs", str(pairs), "-o", str(folder), "--learning-rate", "0.01", *FLAGS])
    return folder


def test_the_adapter_guides_in_a_trio(thinklogit, adapter, tmp_path):
    import thinklogit as package

    outcome = thinklogit(
        *("compose", "--target", "mini/target", "--guider", "mini/guider", "--guider-adapter", adapter),
        *("--base", "mini/base", "-o", tmp_path / "trio"),
    )
    assert outcome.code == 0, outcome.err
    trained, tokenizer = package.load(tmp_path / "trio", dtype="float32")
    plain, _ = package.load("mini")
    prompt = tokenizer(PROMPT.format(n=3), return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        ours, theirs = (model(**prompt, alpha=1.0).logits for model in (trained, plain))
        alone = [model(**prompt, alpha=0.0).logits for model in (trained, plain)]
    assert not torch.allclose(ours, theirs, atol=1e-2)
    assert torch.allclose(*alone, atol=1e-4)


def test_the_size_of_the_adapter_is_told_first(thinklogit, pairs, tmp_path):
    outcome = thinklogit("train", "--pairs", pairs, "-o", tmp_path / "a", "--dry-run", *FLAGS)
    assert outcome.out.splitlines() == [
        "LoRA of rank 4 on all linear layers: 14,784 parameters",
        "8 pairs, the longest of 29 tokens: 3 steps on one device",
    ]
    assert not (tmp_path / "a").exists()


def test_what_is_trained_already_is_not_trained_again(thinklogit, pairs, adapter):
    before = (adapter / "adapter_model.safetensors").read_bytes()
    outcome = thinklogit("train", "--pairs", pairs, "-o", adapter, "--learning-rate", "0.01", *FLAGS)
    assert outcome.code == 0
    assert "is trained already" in outcome.err
    assert (adapter / "adapter_model.safetensors").read_bytes() == before
    changed = thinklogit("train", "--pairs", pairs, "-o", adapter, "--learning-rate", "0.02", *FLAGS)
    assert "was trained with learning_rate 0.01, now 0.02; use another -o" in changed.err


def test_the_outcome_as_json(thinklogit, pairs, tmp_path):
    outcome = thinklogit("train", "--pairs", pairs, "-o", tmp_path / "a", "--json", "--method", "sft", *FLAGS)
    told = json.loads(outcome.out)
    assert (told["steps"], told["parameters"]) == (3, 14_784)
    assert told["metrics"]["loss"] > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no pairs given; make some with `thinklogit pairs -o DIR`"),
        (["--pairs", "none"], "none: expected pairs in data/train.parquet, found none"),
        (["--beta", "0"], "beta must be a finite number above 0; got 0.0"),
        (["--learning-rate", "inf"], "learning_rate must be a finite number above 0; got inf"),
        (["--num-train-epochs", "inf"], "num_train_epochs must be a finite number above 0; got inf"),
        (["--warmup-ratio", "1.5"], "warmup_ratio must be a share, 0 or more and below 1; got 1.5"),
        (["--lr-scheduler-type", "cosin"], "unknown lr_scheduler_type 'cosin'; did you mean 'cosine'?"),
        (["--seed", "-1"], "seed must be a whole number from 0 to 4294967295; got -1"),
        (["--target-modules", "wrong", "--dry-run"], "target_modules=wrong: Target modules"),
        (["--trio", "none"], "none: expected a trio folder"),
    ],
)
def test_bad_input_is_one_line(thinklogit, tmp_path, arguments, told):
    outcome = thinklogit("train", "-o", tmp_path / "a", *arguments)
    assert outcome.code == 1
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_setting_that_could_not_work_does_not_bar_the_folder(thinklogit, pairs, tmp_path, monkeypatch):
    """A training that ended before its first checkpoint, such as for want of memory, left its settings behind, and the
    mended command was refused as a change of them. There is nothing to go on with, so it begins anew."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("thinklogit.train.trainers.PairTrainer.train", interrupted)
        outcome = thinklogit("train", "--pairs", pairs, "-o", tmp_path / "a", *FLAGS)
    assert outcome.code == 130
    assert "interrupted: no checkpoint yet, as --save-steps is 50; repeat the command to continue" in outcome.err
    assert thinklogit("train", "--pairs", pairs, "-o", tmp_path / "a", "--learning-rate", "0.02", *FLAGS).code == 0
    assert json.loads((tmp_path / "a" / "training.json").read_text())["learning_rate"] == 0.02


@pytest.mark.slow
def test_processes_of_a_launcher_train_one_adapter(pairs, tmp_path):
    """On more than one device the second process looked for the reference's log-probabilities in a folder that only the
    first knew, and DPO ended before its first step. They lie in a folder of all now; one process tells and writes."""
    command = [
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "-m",
        "thinklogit",
        "train",
        "--pairs",
        pairs,
        *FLAGS,
    ]
    made = subprocess.run(
        [sys.executable, *command, "-o", tmp_path / "a"],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("trained ") == 1
    assert made.stderr.count("thinklogit: LoRA of rank 4") == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]
    assert (tmp_path / "a" / "adapter_model.safetensors").is_file()


def test_where_nothing_can_be_written_it_is_said_before_anything_is_loaded(thinklogit, pairs, tmp_path):
    """With -o a file, the guider was loaded first and "make room" was advised. It is said at once, as by pairs."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "a"):
        outcome = thinklogit("train", "--pairs", pairs, "-o", place, *FLAGS)
        assert outcome.err == f"thinklogit: {place}: not a folder that you can write to; use another -o\n"


def test_what_to_do_next_can_be_pasted_into_a_shell(thinklogit, pairs, tmp_path):
    """The commands told after training and composing named places with spaces as they are, and a shell took them for
    several words. They are quoted where need be."""
    place = tmp_path / "an adapter"
    told = thinklogit("train", "--pairs", pairs, "-o", place, *FLAGS).out
    assert f"--guider-adapter '{place}' -o TRIO" in told
    members = ("--target", "mini/target", "--guider", "mini/guider", "--guider-adapter", place, "--base", "mini/base")
    told = thinklogit("compose", *members, "-o", tmp_path / "a trio").out
    assert f"thinklogit generate --trio '{tmp_path / 'a trio'}'" in told
    assert f"thinklogit doctor --trio '{tmp_path / 'a trio'}'" in told


@pytest.mark.parametrize(
    ("width", "told"), [(60, "loss 1"), (90, "loss 1, margin 2"), (120, "loss 1, margin 2, chosen 3")]
)
def test_the_bar_keeps_its_count_on_a_narrow_terminal(monkeypatch, capsys, width, told):
    """On 60 columns four metrics left no room for the bar, the steps done and the time left. Fewer are shown there."""
    from thinklogit.cli.train import _bar

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    with _bar() as on_step:
        on_step(7, 290, {"loss": 1.0, "rewards/margins": 2.0, "logps/chosen": 3.0})
    shown = capsys.readouterr().err
    assert "7/290" in shown
    assert f"steps {told} " in shown


def test_a_learning_rate_that_yaml_reads_as_text_is_a_number(thinklogit, pairs, tmp_path):
    """YAML takes 1e-5 for a text, for want of a point in it, and a traceback told so. It is read as --learning-rate
    would be, and a list of target_modules as their names with commas between."""
    config = tmp_path / "recipe.yaml"
    config.write_text("train:\n  learning_rate: 1e-5\n  target_modules: [q_proj, v_proj]\n  lora_r: 4\n")
    outcome = thinklogit("train", "--config", config, "--pairs", pairs, "-o", tmp_path / "a", "--dry-run")
    assert outcome.code == 0
    assert "LoRA of rank 4 on q_proj,v_proj" in outcome.out


def test_a_pair_that_is_too_long_is_refused(thinklogit, pairs, tmp_path):
    outcome = thinklogit("train", "--pairs", pairs, "-o", tmp_path / "a", "--max-length", "20", *FLAGS)
    assert "8 of 8 pairs are longer than max_length 20, and none is cut silently; use --max-length 29" in outcome.err


def test_a_guider_with_an_adapter_is_to_be_merged_first(thinklogit, pairs, adapter, tmp_path):
    thinklogit(
        *("compose", "--target", "mini/target", "--guider", "mini/guider", "--guider-adapter", adapter),
        *("--base", "mini/base", "-o", tmp_path / "trio"),
    )
    outcome = thinklogit("train", "--trio", tmp_path / "trio", "--pairs", pairs, "-o", tmp_path / "b", *FLAGS)
    assert "wears an adapter already; merge it first, with `thinklogit merge`" in outcome.err
