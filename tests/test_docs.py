"""The commands of docs/evaluation.md and docs/dpo.md run, in the order they stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "evaluation.md").read_text()


@pytest.mark.slow
def test_the_commands_of_the_page_on_evaluation_run(tmp_path):
    answers = re.search(r"^```json\n(.*?)```$", PAGE, re.DOTALL | re.MULTILINE)[1]
    json.loads(answers)
    (tmp_path / "answers.jsonl").write_text(answers)
    commands = commands_of(PAGE)
    assert len(commands) == 5
    told = dict(zip(commands, outputs(commands, tmp_path), strict=True))
    assert "Accuracy is better: guided minus target" in told["thinklogit compare runs/mini"]
    assert r"\toprule" in told["thinklogit table runs/mini --format latex"]
    assert "no grade changed" in told["thinklogit grade runs/mini"]
    assert "as expected 1 of 1" in told[commands[-1]]


@pytest.mark.slow
def test_the_commands_of_the_page_on_dpo_run(tmp_path):
    commands = commands_of((DOCS / "dpo.md").read_text())
    assert [command.split()[1] for command in commands] == ["pairs", "train", "compose", "eval"]
    pairs, trained, _, evaluated = outputs(commands, tmp_path)
    assert "pairs in pairs:" in pairs
    assert "trained adapter in 4 steps" in trained
    assert "| guided |" in evaluated


def commands_of(page):
    """Every line of its shell blocks."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def outputs(commands, folder):
    """What each printed, one after the other in one process, for each would load the harness anew."""
    lines = "try:\n    main({words})\nexcept SystemExit as left:\n    assert not left.code\nprint('=====')\n"
    script = "from thinklogit.cli.app import main\n" + "".join(
        lines.format(words=command.split()[1:]) for command in commands
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("=====\n")[:-1]
