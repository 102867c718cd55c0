import json
import shutil

import pytest

from thinklogit.mini import training

pytest_plugins = ["commands"]


@pytest.fixture
def instant_training(monkeypatch):
    """Training that writes random members at once, and reports on its way."""
    from conftest import pico

    from thinklogit.mini.tokenizer import build

    def train(out, seed=0, on_progress=None, budget=1.0):
        tokenizer = build()
        for name in ("target", "base", "guider"):
            for step in (1, 5, 10):
                on_progress(name, step, 10, 1.0 / step)
            pico(seed=seed, vocab=len(tokenizer)).save_pretrained(out / name)
            tokenizer.save_pretrained(out / name)
        tokenizer.save_pretrained(out)

    monkeypatch.setattr(training, "train", train)


def test_training_leaves_a_trio_that_can_be_moved_and_says_how_to_use_it(thinklogit, instant_training, tmp_path):
    out = tmp_path / "my trio"
    out.mkdir()
    code, told, err = thinklogit("mini", "train", "--out", out)
    assert code == 0
    assert told.splitlines() == [
        f"The trio is in {out}. Try it:",
        f"  thinklogit demo --trio '{out}'",
        f"  thinklogit generate --trio '{out}' 'A pen costs 8, a cup 13. Ann paid 55. How many of each?'",
    ]
    assert err.splitlines()[:2] == ["target 10%: step 1 of 10, loss 1.000", "target 50%: step 5 of 10, loss 0.200"]
    config = json.loads((out / "config.json").read_text())
    pair = config["guiders"][0]
    assert [config["target"]["model"], pair["guider"]["model"], pair["base"]["model"]] == [
        "./target",
        "./guider",
        "./base",
    ]
    moved = shutil.move(out, tmp_path / "moved")
    assert thinklogit("generate", "What does item 57 cost?", "--trio", moved, "--max-new-tokens", 2).code == 0


def test_what_is_there_already_is_left_alone(thinklogit, instant_training, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    message = f"thinklogit: {tmp_path} is there already; name another --out, or remove it\n"
    assert thinklogit("mini", "train", "--out", tmp_path) == (1, "", message)
    assert thinklogit("mini", "train", "--out", tmp_path / "notes.txt").code == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_missing_option_is_one_line(thinklogit):
    code, out, err = thinklogit("mini", "train")
    assert (code, out) == (2, "")
    assert (
        err
        == 'thinklogit: Command "mini train" parameter --out requires an argument. See thinklogit mini train --help\n'
    )
